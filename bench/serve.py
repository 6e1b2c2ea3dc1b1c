#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Whether those who look disturb what they look at: a running experiment without and with 500 browsers and 1,000 scrapes/s.

    bench/serve.py [BUILD-FOLDER]        ROUNDS=3 by default

Each round runs the same control run (nothing is injected, 50 operations per second for 6 s) twice, alone and under load, and
prints the latency that the run itself measured. The load: 500 clients of the server-sent events, and 1,000 requests/s for
/metrics over 10 connections. It is made by one Python process beside it, which takes more of the machine than the server
does; how much each took is printed, too.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

CLIENTS, RATE, CONNECTIONS = 500, 1000, 10
DOCUMENT = {"seed": 7, "experiments": [{"name": "looked_at", "layer": "model", "fault_type": "slow_inference", "duration": "6s",
                                        "baseline": "3s", "parameters": {"latency_ms": 0, "variance": 0}}]}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(host, port, seconds):
    """The process that makes the load; says at the end what it has had, as JSON."""
    listening = []
    for _ in range(CLIENTS):
        client = socket.create_connection((host, port))
        client.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        listening.append(client)
    heard = [0]

    def hear():
        import select
        poll = select.epoll()
        for client in listening:
            poll.register(client, select.EPOLLIN)
        by_fd = {client.fileno(): client for client in listening}
        while not over.is_set():
            for fd, _ in poll.poll(0.2):
                heard[0] += by_fd[fd].recv(65536).count(b"event: sample")

    over = threading.Event()
    thread = threading.Thread(target=hear)
    thread.start()
    print("ready", flush=True)
    scrapers = [socket.create_connection((host, port)) for _ in range(CONNECTIONS)]
    request = f"GET /metrics HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    took, begun, n = [], time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        due = begun + n / RATE
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        scraper = scrapers[n % CONNECTIONS]
        scraper.sendall(request)
        answer = scraper.recv(65536)
        size = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = answer.partition(b"\r\n\r\n")[2]
        while len(body) < size:
            body += scraper.recv(65536)
        took.append(time.monotonic() - due)
        n += 1
    over.set()
    thread.join()
    took.sort()
    print(json.dumps({"scrapes_per_second": n / seconds, "scrape_p50_ms": 1e3 * took[n // 2], "scrape_p99_ms": 1e3 * took[n * 99 // 100],
                      "samples_heard": heard[0]}), flush=True)


def run(program, plan, env):
    done = subprocess.run([program, "run", plan, "--json"], env=env, capture_output=True, text=True, check=False)
    latency = json.loads(done.stdout)["runs"][0]["metrics"]["latency_ms"]["fault"]
    return latency["p50"], latency["p99"]


def measure(program, folder):
    env = dict(os.environ, CHAOSEATER_STATE_DIR=str(folder / "state"))
    plan = folder / "plan.yaml"
    plan.write_text(json.dumps(DOCUMENT))
    serve = subprocess.Popen([program, "serve", "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, text=True)
    address = serve.stdout.readline().partition("http://")[2].partition("/")[0]
    host, _, port = address.rpartition(":")
    try:
        alone = run(program, plan, env)
        before = cpu_seconds(serve.pid)
        maker = subprocess.Popen([sys.executable, __file__, "--load", host, port, "10"], stdout=subprocess.PIPE, text=True)
        maker.stdout.readline()
        looked_at = run(program, plan, env)
        had = json.loads(maker.stdout.readline())
        server = (cpu_seconds(serve.pid) - before) / 10
        maker.wait()
    finally:
        serve.send_signal(signal.SIGTERM)
        serve.wait()
    return alone, looked_at, had, server


def main():
    if "--load" in sys.argv:
        load(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve() / "chaoseater"
    rounds = int(os.environ.get("ROUNDS", 3))
    all_of = []
    print(f"{'':8}{'alone, ms':>20}{'looked at, ms':>20}{'scrapes':>24}{'server':>12}")
    print(f"{'round':8}{'p50':>10}{'p99':>10}{'p50':>10}{'p99':>10}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}{'% of a core':>12}")
    for i in range(rounds):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="chaoseater-bench-"))
        alone, looked_at, had, server = measure(program, folder)
        shutil.rmtree(folder, ignore_errors=True)
        all_of.append((*alone, *looked_at))
        print(f"{i + 1:<8}{alone[0]:10.2f}{alone[1]:10.2f}{looked_at[0]:10.2f}{looked_at[1]:10.2f}{had['scrapes_per_second']:8.0f}"
              f"{had['scrape_p50_ms']:8.2f}{had['scrape_p99_ms']:8.2f}{100 * server:12.0f}")
    middle = [statistics.median(column) for column in zip(*all_of)]
    print(f"{'median':8}" + "".join(f"{value:10.2f}" for value in middle))


main()
