"""Intake: a connection that makes no progress ends, very many make room for others, and every answer is a safe one.

waitress alone lets a reader who stops keep its thread, and accepts no one while its limit of connections is reached.
"""

from __future__ import annotations

import json
import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from service.dashboard.web.access import HEADERS

MOST_CONNECTIONS = 200
"""Of more, one that has no request in work is closed: at first those that send no body, the oldest first."""
IDLE_SECONDS = 30


class ApplicationAnswer(Error):
    """An answer that the application made, with all its headers."""


class _ProblemTask(ErrorTask):
    """The answer to a request that the application does not get: a problem document (RFC 9457)."""

    def execute(self) -> None:
        request: Any = self.request
        made: Any = (
            request.error.to_response() if isinstance(request.error, ApplicationAnswer) else _problem(request.error)
        )
        self.status, headers, body = made
        self.response_headers = [*self.response_headers, *headers]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def _problem(error: Error) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body. The text of waitress is left out: it may quote the request."""
    detail = "the request is larger than is accepted, or not HTTP as it is understood here"
    members = {"type": "about:blank", "title": error.reason, "status": error.code, "detail": detail}
    headers = [*HEADERS.items(), ("Content-Type", "application/problem+json"), ("Cache-Control", "no-store")]
    return f"{error.code} {error.reason}", headers, json.dumps(members).encode()


class PatientChannel(HTTPChannel):
    """A connection that takes nothing from the others."""

    error_task_class = _ProblemTask

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._make_room()

    def readable(self) -> bool:
        # Called in every round of the loop. To close it later would need a socket that takes bytes again, or no request
        # in work: a reader who stops gives neither, and keeps a thread.
        if self.total_outbufs_len and time.time() - self.last_activity > IDLE_SECONDS:
            self.handle_close()
            return False
        return super().readable()

    def writable(self) -> bool:
        return self.socket is not None and super().writable()

    def bytes_to_come(self) -> int:
        """What the other connections have announced and not sent yet."""
        others = (channel.request for channel in _channels(self.server) if channel is not self)
        return sum(request.content_length - request.body_bytes_received for request in others if request is not None)

    def _make_room(self) -> None:
        channels = [channel for channel in _channels(self.server) if not channel.will_close]
        if len(channels) <= MOST_CONNECTIONS:
            return
        idle = [channel for channel in channels if not channel.requests and channel is not self]
        for channel in sorted(idle, key=_closing_order)[:1]:
            channel.will_close = True


def _channels(server: BaseWSGIServer) -> list[HTTPChannel]:
    channels: Any = server.active_channels  # a dictionary of connections; its stub says one connection
    return list(channels.values())


def _closing_order(channel: HTTPChannel) -> tuple[bool, float]:
    """Those that send no body come first, then the oldest."""
    return channel.request is not None and channel.request.headers_finished, channel.creation_time
