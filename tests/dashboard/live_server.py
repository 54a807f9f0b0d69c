"""The dashboard under its real server, in a thread of this process, and raw requests to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

import msgspec
from waitress import wasyncore

from service.dashboard.site import Site
from service.dashboard.web.server import listen


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Its body as JSON."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


@dataclass(frozen=True)
class LiveServer:
    """A server that listens on a port of 127.0.0.1."""

    port: int

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, head: str, body: bytes = b"", **headers: object) -> Reply:
        """The answer to a request, which is sent as far as the server takes it."""
        with self.connect() as client:
            client.sendall(header_of(head, headers))
            with suppress(BrokenPipeError, ConnectionResetError):  # refused meanwhile; the answer says why
                client.sendall(body)
            return reply(client)


def header_of(head: str, headers: dict[str, object]) -> bytes:
    """The header of a request: ``header_of("GET /", {"x_name": 1})``."""
    lines = [f"{head} HTTP/1.1", "Host: 127.0.0.1", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def reply(client: socket.socket) -> Reply:
    """The next answer on a connection."""
    response = HTTPResponse(client)
    response.begin()
    with response:
        return Reply(response.status, response.read())


@contextmanager
def serving(site: Site, token: str | None = None) -> Iterator[LiveServer]:
    """The dashboard of ``site``, whose setting ``http_port`` is 0, until the block ends."""
    server: Any = listen(site, token)
    port = int(server.effective_port)
    ends = threading.Event()

    def run() -> None:
        while not ends.is_set():
            wasyncore.loop(timeout=0.05, map=server._map, count=1)
        for channel in list(server.active_channels.values()):
            channel.handle_close()  # a thread may wait for its reader
        server.task_dispatcher.shutdown()
        wasyncore.close_all(server._map)

    thread = threading.Thread(target=run, name="dashboard")
    thread.start()
    try:
        yield LiveServer(port)
    finally:
        ends.set()
        thread.join(20)
