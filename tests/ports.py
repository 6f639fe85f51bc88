"""Ports for servers of these tests."""

import socket


def free_port() -> int:
    """One on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
