# SPDX-License-Identifier: MIT
"""Peers of the proxy that mean it no good, and the honest ones between them.

`Upstream` answers by path; it counts how often each request id came to it, and tells in each answer what the body of the
request was. `Caller` sends random bodies through the proxy and compares every byte that comes back. Each is a process of
its own, or all of them would wait for one another's turn.
"""

import collections
import contextlib
import hashlib
import http.client
import itertools
import json
import multiprocessing
import random
import socket
import socketserver
import struct
import threading

from lab import wait_for

FORK = multiprocessing.get_context("fork")
PATIENCE = 30  # seconds until a socket that says nothing fails its test


def body_of(name, size):
    """The same bytes wherever they are made."""
    return random.Random(name).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def reset(stream):
    """Closes with a reset, as a process that is killed does while bytes are unread."""
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def read_head(stream):
    """(first line, {name: value}, what came behind it); None at the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}, rest


def read_chunked(file):
    body = b""
    while size := int(file.readline().split(b";")[0], 16):
        body += file.read(size)
        if file.readline() != b"\r\n":
            raise ValueError("a chunk that does not end")
    while file.readline() not in (b"\r\n", b""):
        pass
    return body


class Serving(socketserver.StreamRequestHandler):
    """One connection: method, path and fields of a request, then do_NAME() by the first part of the path. A handler that
    returns False closes the connection."""

    timeout = PATIENCE
    disable_nagle_algorithm = True

    def handle(self):
        with contextlib.suppress(OSError, ValueError):
            while self.serve_one() is not False:
                pass

    def serve_one(self):
        words = self.rfile.readline().decode("latin-1").split()
        if len(words) != 3:
            return False
        self.method, path, _ = words
        self.fields = {}
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.fields[name.lower()] = value.strip()
        if not path.startswith("/seen"):
            with self.server.lock:
                self.server.seen[self.fields.get("x-request-id", path)] += 1
            return getattr(self, "do_" + path.split("/")[1], self.do_echo)()
        return self.do_seen(path)

    def read_body(self):
        if "chunked" in self.fields.get("transfer-encoding", ""):
            return read_chunked(self.rfile)
        return self.rfile.read(int(self.fields.get("content-length", 0)))

    def send(self, data):
        self.connection.sendall(data)

    # Honest.

    def do_seen(self, path):
        with self.server.lock:
            body = json.dumps(self.server.seen if path == "/seen" else self.server.seen[path[6:]]).encode()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return False

    def do_echo(self):
        """What was sent is told by its digest; the answer's body is as large as was asked for."""
        fields = self.fields
        head = f"HTTP/1.1 200 OK\r\nX-Sum: {digest(self.read_body())}\r\n"
        body = body_of(fields.get("x-request-id", ""), int(fields.get("x-size", 0)))
        if "x-chunked" not in fields:
            self.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        self.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        step = max(len(body) // 20, 1000) + len(body) % 7
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            self.send(b"%x;n=%d\r\n%s\r\n" % (len(piece), at, piece))
        self.send(b"0\r\nX-End: yes\r\n\r\n")

    def do_tunnel(self):
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := self.connection.recv(65536):
            if data == b"die":
                reset(self.connection)
                return False
            self.send(data)
        return False

    # Not so.

    def do_die(self):
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nthat is all")
        return False

    def do_kill(self):
        self.read_body()
        reset(self.connection)
        return False

    def do_killhead(self):
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        reset(self.connection)
        return False

    def do_killbody(self):
        """Before the request's body is read."""
        reset(self.connection)
        return False

    def do_garbage(self):
        self.read_body()
        self.send(b"\x16\x03\x01\x00\xff\xff nothing like HTTP\r\n\r\n\x00")
        return False

    def do_twolengths(self):
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 30\r\n\r\nEVIL")

    def do_endless(self):
        self.read_body()
        with contextlib.suppress(OSError):
            self.send(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(1000)))
        return False

    def do_twice(self):
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")

    def do_later(self):
        """The second answer comes when nobody asked."""
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        self.server.told.wait(PATIENCE)
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")
        with contextlib.suppress(OSError):
            self.rfile.read(1)  # until whoever got that closes the connection
        self.server.done.set()
        return False

    def do_leave(self):
        """Goes away behind an answer that promised to stay."""
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        return False

    def do_never(self):
        self.read_body()
        self.connection.recv(1)
        return False


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        pass


class Upstream:
    def __init__(self):
        server = Server(("127.0.0.1", 0), Serving)
        self.told, self.done = FORK.Event(), FORK.Event()
        server.told, server.done = self.told, self.done
        server.seen, server.lock = collections.Counter(), threading.Lock()
        self.port = server.server_address[1]
        self.process = FORK.Process(target=server.serve_forever, daemon=True)
        self.process.start()
        server.server_close()  # here; the process has its own

    def ask(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def count(self, name):
        """How often the request of that id came."""
        return self.ask(f"/seen/{name}")

    @property
    def seen(self):
        """{id: how often it came}"""
        return collections.Counter(self.ask("/seen"))

    def close(self):
        self.process.kill()
        self.process.join()


class Caller:
    """Calls until it is told to stop; what went wrong is in `wrong`."""

    SIZES = (0, 1, 100, 5_000, 16_384, 70_000, 300_000)

    def __init__(self, port, name, largest):
        self.port, self.prefix, self.largest = port, name, largest
        self.dice = random.Random(name)
        self.names, self.wrong = [], []
        self.stopping, self.results = FORK.Event(), FORK.SimpleQueue()
        self.process = FORK.Process(target=self.run, daemon=True)
        self.process.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self.stopping.is_set() and not self.wrong:
            try:
                self.call(connection)
            except (OSError, http.client.HTTPException) as problem:
                self.wrong.append((self.names[-1], repr(problem)))
        self.results.put((self.names, self.wrong))

    def size(self):
        if self.dice.random() < 0.05:
            return self.dice.randrange(self.largest + 1)
        return min(self.dice.choice(self.SIZES), self.largest)

    def call(self, connection):
        name = f"{self.prefix}-{len(self.names)}"
        self.names.append(name)
        sent, size = body_of(name + "/sent", self.size()), self.size()
        headers = {"X-Request-Id": name, "X-Size": str(size)}
        if self.dice.random() < 0.5:
            headers["X-Chunked"] = "yes"
        chunked = self.dice.random() < 0.5
        body = (sent[at : at + 50_000] for at in range(0, len(sent), 50_000)) if chunked else sent
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        connection.request("POST", "/echo", body, headers, encode_chunked=chunked)
        response = connection.getresponse()
        got = response.read()
        if response.status != 200:
            self.wrong.append((name, response.status, got[:200].decode("latin-1")))
        elif response.getheader("X-Sum") != digest(sent) or got != body_of(name, size):
            self.wrong.append((name, f"other bytes: {len(sent)} out, {size} asked for, {len(got)} back"))

    def stop(self):
        self.stopping.set()
        self.names, self.wrong = self.results.get()
        self.process.join()


@contextlib.contextmanager
def calls(upstream, port, count=2, largest=5_000_000):
    """Honest traffic beside what the block does: nothing of it is lost, changed or doubled."""
    callers = [Caller(port, f"call-{random.randrange(1 << 40):x}", largest) for _ in range(count)]
    yield
    for caller in callers:
        caller.stop()
    wrong = [caller.wrong for caller in callers if caller.wrong]
    assert not wrong, wrong
    seen = upstream.seen
    for caller in callers:
        assert caller.names
        assert {seen[name] for name in caller.names} == {1}
    print(f"{sum(len(caller.names) for caller in callers)} honest requests beside it")


class Attacker:
    """What clients can do to a proxy; each method is one attack, which ends by itself."""

    def __init__(self, port, upstream, held=None):
        self.port, self.upstream = port, upstream
        self.held = held  # how many requests the proxy has held back so far
        self.numbers = itertools.count()  # one step of it is atomic
        self.last = ""

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def name(self, kind="post"):
        return f"{kind}-{next(self.numbers)}"

    def send(self, data):
        stream = self.connect()
        stream.sendall(data)
        return stream

    def expect(self, status, stream):
        head = read_head(stream)
        assert head and head[0].split()[1] == str(status), head
        return head

    def ask(self, path, body=b"x", method="POST"):
        """One request on a connection of its own: the status; 0 when the connection broke."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            self.last = self.name()
            connection.request(method, path, body, {"X-Request-Id": self.last})
            response = connection.getresponse()
            response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    # Slow ones: a byte at a time, many side by side. Half of them never get to the end.

    def drip(self, data, behind, count=40):
        streams = [self.send(data) for _ in range(count)]
        for n in range(len(behind)):
            for stream in streams:
                stream.sendall(behind[n : n + 1])
        whole, given_up = streams[: count // 2], streams[count // 2 :]
        for stream in given_up:
            reset(stream)
        return whole

    def slow_heads(self):
        for stream in self.drip(b"", b"GET /echo HTTP/1.1\r\nHost: slow\r\nX: y\r\n"):
            stream.sendall(b"\r\n")
            self.expect(200, stream)
            stream.close()

    def slow_bodies(self):
        head = b"POST /echo HTTP/1.1\r\nHost: slow\r\nContent-Length: 41\r\n\r\n"
        for stream in self.drip(head, b"z" * 40):
            stream.sendall(b"z")
            assert self.expect(200, stream)[1]["x-sum"] == digest(b"z" * 41)
            stream.close()

    def slow_chunks(self):
        head = b"POST /echo HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n\r\n"
        for stream in self.drip(head, b"3\r\nabc\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n"):
            stream.sendall(b"\r\n")
            assert self.expect(200, stream)[1]["x-sum"] == digest(b"abcabc")
            stream.close()

    def half_open(self):
        for data in (b"", b"GET /echo HT", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfour"):
            for _ in range(10):
                stream = self.send(data)
                stream.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while stream.recv(65536):
                        pass
                stream.close()

    # Resets, at every stage of an exchange.

    def resets(self):
        """A reset overtakes the bytes before it, so each waits until the proxy is where it is to be."""
        post = "POST /%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n"
        for _ in range(5):
            reset(self.send(b""))
            reset(self.send(b"GET /echo HTTP/1.1\r\nHost"))
            for path, length in (("never", 1), ("echo", 1_000_000)):
                name = self.name()
                stream = self.send((post % (path, name, length)).encode() + b"x")
                wait_for(lambda: self.upstream.count(name), "the upstream has the request")
                reset(stream)
            before = self.held()
            stream = self.send((post % ("held", self.name(), 1)).encode() + b"x")
            wait_for(lambda: self.held() > before, "the request is held")
            reset(stream)
            for back in (1, 300_000):
                stream = self.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Size: 3000000\r\n\r\n")
                while back > 0 and (piece := stream.recv(back)):
                    back -= len(piece)
                reset(stream)

    def deaf(self):
        """Asks for much and reads nothing of it."""
        streams = [self.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Size: 5000000\r\n\r\n") for _ in range(5)]
        assert all(stream.recv(1) == b"H" for stream in streams)
        for stream in streams:
            reset(stream)

    def tunnels(self):
        ask = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        for end in (b"die", None):
            for _ in range(5):
                stream = self.send(ask)
                self.expect(101, stream)
                stream.sendall(b"through")
                assert stream.recv(100) == b"through"
                if end:
                    stream.sendall(end)
                    with contextlib.suppress(ConnectionResetError):
                        assert stream.recv(1) == b""
                reset(stream)

    def giant_heads(self):
        line = b"GET /echo HTTP/1.1\r\nHost: a\r\n"
        self.expect(200, self.send(line + b"X: " + b"y" * 60_000 + b"\r\n\r\n"))
        self.expect(431, self.send(line + b"X: y\r\n" * 200 + b"\r\n"))
        for data in (line + b"X: " + b"y" * 1_000_000, b"GET /" + b"y" * 1_000_000):
            stream = self.connect()
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                stream.sendall(data)
                self.expect(431, stream)
            stream.close()

    def nonsense(self):
        for data in (b"\x00" * 100 + b"\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            stream = self.send(data)
            self.expect(400, stream)
            stream.close()

    def pipelines(self):
        names = [self.name("get") for _ in range(30)]
        requests = [f"GET /echo HTTP/1.1\r\nHost: a\r\nX-Request-Id: {name}\r\nX-Size: 777\r\n\r\n".encode() for name in names]
        whole, given_up = self.send(b"".join(requests)), self.send(b"".join(requests))
        reset(given_up)
        file = whole.makefile("rb")
        for name in names:
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            while file.readline() != b"\r\n":
                pass
            assert file.read(777) == body_of(name, 777)
        file.close()
        whole.close()

    # Upstreams that are no better.

    def bad_upstreams(self):
        for path, statuses in (
            ("/die", {0}),
            ("/kill", {502}),
            ("/killhead", {502}),
            ("/garbage", {502}),
            ("/twolengths", {502}),
            ("/endless", {502}),
            ("/twice", {200}),
        ):
            for _ in range(5):
                got = self.ask(path)
                assert got in statuses, (path, got)
        assert self.ask("/killbody", b"x" * 2_000_000) in (0, 502)

    def all(self):
        return [self.slow_heads, self.slow_bodies, self.slow_chunks, self.half_open, self.resets, self.deaf, self.tunnels,
                self.giant_heads, self.nonsense, self.pipelines, self.bad_upstreams]


def proc(pid, key):
    """A number out of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))
