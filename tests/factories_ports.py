"""Ports of this machine for servers of tests."""

import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Say whether somebody listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0
