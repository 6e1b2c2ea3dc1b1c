# SPDX-License-Identifier: MIT
"""A `chaoseater serve` of a lab, and what can be asked of it."""
import contextlib
import http.client
import json
import signal
import socket
import threading
import urllib.parse

from lab import wait_for


class Serve:
    def __init__(self, lab, *arguments, listen="127.0.0.1:0"):
        self.lab = lab
        self.process = lab.start("serve", *arguments, "--listen", listen, "--json")
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        text = line
        while True:  # the document has several lines
            try:
                ready = json.loads(text)
                break
            except ValueError:
                text += self.process.stdout.readline()
        self.url, self.token, self.listen = ready["url"], ready["token"], ready["listen"]
        self.host, _, port = self.listen.rpartition(":")
        self.port = int(port)

    def ask(self, method, path, body=None, token=False, **headers):
        """(status, headers, body): JSON where it says so."""
        connection = http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = "Bearer " + (self.token if token is True else token)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read()
            found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, json.loads(text) if found.get("content-type") == "application/json" and text else text

    def get(self, path, **query):
        path += "?" + urllib.parse.urlencode(query) if query else ""
        status, _, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body

    def post(self, path, body, token=True):
        status, _, answer = self.ask("POST", path, body, token)
        return status, answer

    def runs(self):
        return [run for suite in self.get("/api/v1/live")["suites"] for run in suite["runs"]]

    def wait_for_phase(self, phase):
        return wait_for(lambda: [run for run in self.runs() if run["phase"] == phase], f"a run in its phase {phase}")[0]

    def wait_for_end(self, count=1):
        return wait_for(lambda: (suites := [s for s in self.get("/api/v1/live")["suites"] if s["ended"]])
                        and len(suites) >= count and suites, "the suite ended")

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, err


class Events:
    """A client of the server-sent events, which reads in a thread."""

    def __init__(self, serve, last=None, path="/api/v1/events"):
        self.socket = socket.create_connection((serve.host, serve.port), timeout=60)
        header = f"Last-Event-ID: {last}\r\n" if last is not None else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {serve.listen}\r\n{header}\r\n".encode())
        self.reader = self.socket.makefile("rb")
        self.status = int(self.reader.readline().split()[1])
        self.headers = {}
        while (line := self.reader.readline().decode().strip()):
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.events, self.ended = [], False
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        event = {}
        with contextlib.suppress(OSError, ValueError):
            while (size := self.reader.readline()):
                left = int(size, 16)
                if left == 0:
                    break
                text = self.reader.read(left).decode()
                self.reader.readline()
                for line in (self.rest() + text).split("\n")[:-1]:
                    name, _, value = line.partition(": ")
                    if name:
                        event[name] = value
                    elif event:
                        self.events.append(event)
                        event = {}
                self.left = text[text.rfind("\n") + 1:] if "\n" in text else self.rest() + text
        self.ended = True

    left = ""

    def rest(self):
        rest, self.left = self.left, ""
        return rest

    def named(self, name):
        return [json.loads(event["data"]) for event in list(self.events) if event.get("event") == name]

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
