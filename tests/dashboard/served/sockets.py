"""Requests as bytes, for what no HTTP client would send."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

_SECONDS = 20.0


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection to the dashboard."""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        yield connection


def received(connection: socket.socket) -> bytes:
    """What comes until the other side closes the connection, or resets it."""
    parts: list[bytes] = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def exchanged(port: int, *lines: str | bytes, body: bytes = b"") -> tuple[int, str]:
    """The status and the whole text of the answer to these header lines, the last of which asks to close."""
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    with connected(port) as connection:
        connection.sendall(b"\r\n".join([*encoded, b"Connection: close", b"", b""]) + body)
        answer = received(connection)
    status = answer.partition(b"\r\n")[0].split(b" ")
    return int(status[1]) if len(status) > 1 else 0, answer.decode("utf-8", errors="replace")


def is_closed_within(connection: socket.socket, seconds: float, drip: bytes = b"") -> bool:
    """Whether the other side ends the connection within this time, while ``drip`` is sent every 50 milliseconds."""
    deadline = time.monotonic() + seconds
    connection.settimeout(0.05)
    while time.monotonic() < deadline:
        try:
            if drip:
                connection.sendall(drip)
            if connection.recv(1 << 16) == b"":
                return True
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False
