# SPDX-License-Identifier: MIT
"""Ports for servers that have to be told theirs before they start."""
import pathlib
import random
import socket

CLAIMS = []


def candidates():
    """None that the kernel gives to clients, of which there are always some on a busy machine."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return [port for port in range(10000, 65536) if not low <= port <= high] or range(10000, 65536)


def free_port():
    """A port of the loopback that no other process of tests gets while this one lives.

    The claim is an abstract socket: the kernel takes it back from whoever dies, and it belongs to the same network namespace.
    """
    ports = candidates()
    for port in random.SystemRandom().sample(ports, len(ports)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0chaoseater-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port
    raise AssertionError("every port is taken")
