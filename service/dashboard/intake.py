"""Intake: how much one connection may send and how long it may take, so that it takes nothing from the others.

waitress reads a whole body, large ones to disk, before the application sees the request, and waits as long as a byte
comes now and then. Here a request is judged as soon as its headers are complete, and has a time by which it must be.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer, MultiSocketServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from service.dashboard.access import HEADERS
from service.files import free_bytes

MOST_CONNECTIONS = 200
"""Of more, the one that makes the others wait the longest is closed."""
MOST_HEADER_BYTES = 1 << 16
MOST_BODY_BYTES = 1 << 20
"""Of a request that brings no file."""
HEADER_SECONDS = 15.0
IDLE_SECONDS = 30
LEAST_BYTES_PER_SECOND = 20_000
_SPARE_BYTES = 64 << 20
_BODIES_AT_ONCE = 2
"""So many bodies of the largest size may be on their way at the same time."""


class Limits(NamedTuple):
    """What is accepted from a connection."""

    upload_bytes: int
    admits: Callable[[Mapping[str, Any]], bool]
    """Whether the application lets the request of this WSGI environment bring a file."""


def bound_intake(server: BaseWSGIServer | MultiSocketServer, limits: Limits) -> None:
    """Let every connection of the server keep these limits."""
    kind = type("_LimitedChannel", (_Channel,), {"limits": limits})
    listening = server.map.values() if isinstance(server, MultiSocketServer) and server.map else [server]
    for one in listening:
        if isinstance(one, BaseWSGIServer):
            one.channel_class = kind


class _Refusal(Error):
    """An answer of the server itself, as a problem document (RFC 9457)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.code, self.reason = status, HTTPStatus(status).phrase


def _problem(error: Error) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body. The text of waitress is left out: it may quote the request."""
    detail = error.body if isinstance(error, _Refusal) else "the request is not HTTP as it is understood here"
    members = {"type": "about:blank", "title": error.reason, "status": error.code, "detail": detail}
    headers = [*HEADERS.items(), ("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    return f"{error.code} {error.reason}", headers, json.dumps(members).encode()


class _ProblemTask(ErrorTask):
    """An answer to a request that the application does not get, with the same headers as its own."""

    def execute(self) -> None:
        status, headers, body = _problem(self.request.error)  # type: ignore[attr-defined]  # a parser, which the stubs take for its error
        self.status = status
        self.response_headers = [*self.response_headers, *headers]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Request(HTTPRequestParser):
    """A request that is being received; judged when its headers are complete."""

    path: str  # set by the parser, but unknown to its stubs

    def __init__(self, adj: Adjustments, channel: _Channel) -> None:
        super().__init__(adj)
        self._channel = channel
        self._began = time.monotonic()

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if self.body_rcv is not None and not self.body_bytes_received and self.error is None:
            self.error = self._refusal()
            if self.error is not None:
                self.completed, self.expect_continue = True, False
        return consumed

    @property
    def declared_bytes(self) -> int:
        """The size of the body, once it is known."""
        return self.content_length if self.body_rcv is not None else 0

    def is_late(self) -> bool:
        """Whether it takes longer than its size explains."""
        allowed = HEADER_SECONDS + self.declared_bytes / LEAST_BYTES_PER_SECOND
        return not self.completed and time.monotonic() - self._began > allowed

    def _refusal(self) -> Error | None:
        if self.chunked:
            return _Refusal(411, "the size of the body must stand in Content-Length")
        size = self.content_length
        if size <= MOST_BODY_BYTES:
            return None
        limits = self._channel.limits
        if size > limits.upload_bytes or not limits.admits(self._environ()):
            return _Refusal(413, "the body is larger than is accepted here")
        on_their_way = sum(request.declared_bytes for request in self._channel.requests_of_all())
        if size + on_their_way > _BODIES_AT_ONCE * limits.upload_bytes:
            return _Refusal(503, "other files are being uploaded; try again when they are here")
        # The body is first kept in the folder for temporary files.
        if size + _SPARE_BYTES > free_bytes(Path(tempfile.gettempdir())):
            return _Refusal(507, "the disk of the temporary folder has no room for this file")
        return None

    def _environ(self) -> dict[str, Any]:
        """What the guards of the application read, without a body."""
        named = {f"HTTP_{name}": value for name, value in self.headers.items()}
        path = {"REQUEST_METHOD": self.command, "PATH_INFO": self.path, "QUERY_STRING": "", "SCRIPT_NAME": ""}
        server = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
        return {**named, **path, **server}


class _Channel(HTTPChannel):
    """A connection that ends when it makes no progress, and makes room when there are too many."""

    limits: Limits
    error_task_class = _ProblemTask

    def __init__(
        self,
        server: BaseWSGIServer,
        sock: Any,
        addr: Any,
        adj: Adjustments,
        map: Any = None,  # noqa: A002  # theirs
    ) -> None:
        super().__init__(server, sock, addr, adj, map)
        self.parser_class = lambda adj: _Request(adj, self)  # type: ignore[assignment]  # called, never inherited
        self._make_room()

    def readable(self) -> bool:
        # Called in every round of the loop. waitress itself waits until the socket takes bytes again, and for a request
        # in work without end: a reader who stops would keep its thread.
        if self.total_outbufs_len and time.time() - self.last_activity > IDLE_SECONDS:
            self.handle_close()
            return False
        if isinstance(self.request, _Request) and self.request.is_late():
            self.will_close = True
        return super().readable()

    def writable(self) -> bool:
        return self.socket is not None and super().writable()

    def handle_close(self) -> None:
        # A body that was never complete: its file goes now, and not when the garbage collector comes by.
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def requests_of_all(self) -> Iterator[_Request]:
        """The requests of all connections, received or not, but for the one that is judged."""
        for channel in _channels(self.server):
            for request in (channel.request, *channel.requests):
                if isinstance(request, _Request) and request is not self.request:
                    yield request

    def _make_room(self) -> None:
        channels = [channel for channel in _channels(self.server) if not channel.will_close]
        if len(channels) <= MOST_CONNECTIONS:
            return
        # Not the ones whose request is in work or whose body arrives, unless there are no others.
        idle = [channel for channel in channels if not channel.requests and channel is not self]
        for channel in sorted(idle, key=_is_useful_since)[:1]:
            channel.will_close = True


def _channels(server: BaseWSGIServer) -> list[HTTPChannel]:
    return list(server.active_channels.values())  # type: ignore[attr-defined]  # a dictionary, not one channel


def _is_useful_since(channel: HTTPChannel) -> tuple[bool, float]:
    return channel.request is not None and channel.request.headers_finished, channel.creation_time
