# SPDX-License-Identifier: MIT
"""Peers of the proxy that mean it no good, and the honest ones between them.

`Upstream` answers by path; it counts how often each request id came to it, and tells in each answer what the body of the
request was. `Caller` sends random bodies through the proxy and compares every byte that comes back.
"""

import collections
import contextlib
import hashlib
import http.client
import random
import socket
import socketserver
import struct
import threading
import time

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
        assert file.readline() == b"\r\n"
    while file.readline() != b"\r\n":
        pass
    return body


class Serving(socketserver.StreamRequestHandler):
    """One connection: method, path and fields of a request, then do_NAME() by the first part of the path. A handler that
    returns False closes the connection."""

    timeout = PATIENCE

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
        with self.server.lock:
            self.server.seen[self.fields.get("x-request-id", path)] += 1
        return getattr(self, "do_" + path.split("/")[1], self.do_echo)()

    def read_body(self):
        if "chunked" in self.fields.get("transfer-encoding", ""):
            return read_chunked(self.rfile)
        return self.rfile.read(int(self.fields.get("content-length", 0)))

    def send(self, data):
        self.connection.sendall(data)

    # Honest.

    def do_echo(self):
        """What was sent is told by its digest; the answer's body is as large as was asked for."""
        fields = self.fields
        head = f"HTTP/1.1 200 OK\r\nX-Sum: {digest(self.read_body())}\r\n"
        body = body_of(fields.get("x-request-id", ""), int(fields.get("x-size", 0)))
        if "x-chunked" not in fields:
            self.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return
        self.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        step = 1 + random.Random(len(body)).randrange(200_000)
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
        self.server.done.set()

    def do_leave(self):
        """Goes away behind an answer that promised to stay."""
        self.read_body()
        self.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        return False

    def do_never(self):
        self.read_body()
        self.connection.recv(1)
        return False


class Upstream(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Serving)
        self.lock = threading.Lock()
        self.seen = collections.Counter()
        self.told, self.done = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass

    def close(self):
        self.shutdown()
        self.server_close()


class Caller(threading.Thread):
    """Calls until it is told to stop; what went wrong is in `wrong`."""

    SIZES = (0, 1, 100, 5_000, 16_384, 70_000, 300_000)

    def __init__(self, port, name, largest=5_000_000):
        super().__init__(daemon=True)
        self.port, self.prefix, self.largest = port, name, largest
        self.dice = random.Random(name)
        self.stopping = threading.Event()
        self.names, self.wrong = [], []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self.stopping.is_set() and not self.wrong:
            try:
                self.call(connection)
            except (OSError, http.client.HTTPException) as problem:
                self.wrong.append((self.names[-1], repr(problem)))
        connection.close()

    def size(self):
        if self.dice.random() < 0.02:
            return self.dice.randrange(self.largest + 1)
        return self.dice.choice(self.SIZES)

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
            self.wrong.append((name, response.status, got[:200]))
        elif response.getheader("X-Sum") != digest(sent) or got != body_of(name, size):
            self.wrong.append((name, f"other bytes: {len(sent)} out, {size} asked for, {len(got)} back"))

    def stop(self):
        self.stopping.set()
        self.join()


@contextlib.contextmanager
def calls(upstream, port, count=2, **kwargs):
    """Honest traffic beside what the block does: nothing of it is lost, changed or doubled."""
    callers = [Caller(port, f"call-{random.randrange(1 << 40):x}", **kwargs) for _ in range(count)]
    for caller in callers:
        caller.start()
    yield callers
    for caller in callers:
        caller.stop()
    assert [caller.wrong for caller in callers] == [[]] * count
    for caller in callers:
        assert caller.names
        assert {upstream.seen[name] for name in caller.names} == {1}


class Attacker:
    """What clients can do to a proxy; each method is one attack, which ends by itself."""

    def __init__(self, port):
        self.port = port
        self.number = 0

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def name(self):
        self.number += 1
        return f"attack-{id(self):x}-{self.number}"

    def send(self, data):
        stream = self.connect()
        stream.sendall(data)
        return stream

    def status(self, stream):
        head = read_head(stream)
        return int(head[0].split()[1]) if head else None

    def ask(self, path, body=b"x", method="POST"):
        """One request on a connection of its own: the status; 0 when the connection broke."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"X-Request-Id": self.name()})
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
            assert self.status(stream) == 200
            stream.close()

    def slow_bodies(self):
        head = b"POST /echo HTTP/1.1\r\nHost: slow\r\nContent-Length: 41\r\n\r\n"
        for stream in self.drip(head, b"z" * 40):
            stream.sendall(b"z")
            first, fields, _ = read_head(stream)
            assert first.split()[1] == "200" and fields["x-sum"] == digest(b"z" * 41)
            stream.close()

    def slow_chunks(self):
        head = b"POST /echo HTTP/1.1\r\nHost: slow\r\nTransfer-Encoding: chunked\r\n\r\n"
        for stream in self.drip(head, b"3\r\nabc\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n"):
            stream.sendall(b"\r\n")
            first, fields, _ = read_head(stream)
            assert first.split()[1] == "200" and fields["x-sum"] == digest(b"abcabc")
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
        large = b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Size: 3000000\r\n\r\n"
        for data, back in (
            (b"", 0),
            (b"GET /echo HTTP/1.1\r\nHost", 0),
            (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 60_000, 0),
            (b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 0),
            (b"POST /never HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 0),
            (large, 0),
            (large, 1),
            (large, 300_000),
        ):
            for _ in range(5):
                stream = self.send(data)
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
                assert self.status(stream) == 101
                stream.sendall(b"through")
                assert stream.recv(100) == b"through"
                if end:
                    stream.sendall(end)
                    with contextlib.suppress(ConnectionResetError):
                        assert stream.recv(1) == b""
                reset(stream)

    def giant_heads(self):
        line = b"GET /echo HTTP/1.1\r\nHost: a\r\n"
        assert self.status(self.send(line + b"X: " + b"y" * 60_000 + b"\r\n\r\n")) == 200
        assert self.status(self.send(line + b"X: y\r\n" * 200 + b"\r\n")) == 431
        for data in (line + b"X: " + b"y" * 1_000_000, b"GET /" + b"y" * 1_000_000):
            stream = self.connect()
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                stream.sendall(data)
                assert self.status(stream) == 431
            stream.close()

    def nonsense(self):
        for data in (b"\x00" * 100 + b"\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            stream = self.send(data)
            assert self.status(stream) == 400
            stream.close()

    def pipelines(self):
        names = [self.name() for _ in range(30)]
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


def settled(read, quiet=0.3):
    """The value once it has not changed for a while."""
    value, since = read(), time.monotonic()
    while time.monotonic() - since < quiet:
        time.sleep(0.02)
        if (now := read()) != value:
            value, since = now, time.monotonic()
    return value
