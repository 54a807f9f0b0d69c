"""How waitress receives a request: large bodies go to the disk of the inbox once, and what is refused is refused early.

By itself waitress takes every body of the largest size that any page allows, into the temporary folder, before the
application sees the first header: that folder is small in a container, and no token was asked for yet.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, cast

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import FixedStreamReceiver
from waitress.task import WSGITask
from werkzeug.exceptions import LengthRequired, RequestEntityTooLarge, RequestTimeout

from service.dashboard.site import Site
from service.dashboard.web.intake import ApplicationAnswer, PatientChannel
from service.dashboard.web.uploads import FRAME_BYTES, RECEIVED
from service.errors import ServiceError
from service.files import free_bytes, open_file
from service.inbox import NoSpaceForUpload, StagedUpload

SMALL_BYTES = 1 << 20
"""A body up to this size stays in memory; only an upload may be larger."""
_GRACE_SECONDS = 30.0
_LEAST_BYTES_PER_SECOND = 1000
"""After the grace, on average since a request began; a slower sender is cut off."""
_LINGER_SECONDS = 5.0
"""For so long a refused body is read and dropped: a connection closed at once would also drop the answer."""
_READ_BYTES = 1 << 16


class EarlyGuard:
    """What the server asks the application while a request is received."""

    def __init__(self, app: Flask, site: Site, upload_endpoints: frozenset[str]) -> None:
        self._app = app
        self._site = site
        self._endpoints = upload_endpoints

    def refusal(self, environ: dict[str, Any]) -> EarlyAnswer | None:
        """The answer to a request with a large body, by its header; None where the body may be received."""
        with self._app.request_context(environ) as context:
            if context.request.endpoint not in self._endpoints:
                return self._answer(self._app.handle_user_exception(RequestEntityTooLarge()))
            try:
                given: Any = self._app.preprocess_request()
            except Exception as error:  # noqa: BLE001  # not hidden: Flask's own handlers answer, and log a bug
                given = self._app.handle_user_exception(error)
            return None if given is None else self._answer(given)

    def failure(self, environ: dict[str, Any], error: Exception) -> EarlyAnswer:
        """The answer to a request that fails while its body is received."""
        with self._app.request_context(environ):
            return self._answer(self._app.handle_user_exception(error))

    def _answer(self, given: Any) -> EarlyAnswer:
        response = self._app.process_response(self._app.make_response(given))
        return EarlyAnswer(response.status, list(response.headers), response.get_data())

    def begin(self, size_bytes: int) -> StagedUpload:
        """A new file for a body, where the disk has room for ``size_bytes``. Raises: NoSpaceForUpload, OSError."""
        if free_bytes(self._site.inbox.root) < size_bytes:
            raise NoSpaceForUpload
        return StagedUpload(self._site.inbox.root, self._site.settings.upload_limit_mb, FRAME_BYTES)


class EarlyAnswer(ApplicationAnswer):
    """An answer of the application that is sent before the body was received."""

    def __init__(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        self._parts = status, [(name, text) for name, text in headers if name.lower() != "content-length"], body

    def to_response(self, ident: str | None = None) -> Any:
        """Status, headers and body."""
        return self._parts


def channel_class(guard: EarlyGuard) -> type[HTTPChannel]:
    """The class of the server's connections."""
    return type("GuardedChannel", (_Channel,), {"guard": guard})


class _DiskBuffer:
    """What waitress appends a body to."""

    def __init__(self, upload: StagedUpload) -> None:
        self._upload = upload
        self._reader: BinaryIO | None = None
        self.append: Callable[[bytes], int] = upload.write

    def __len__(self) -> int:
        return self._upload.size_bytes

    def getfile(self) -> BinaryIO:
        """The body, to be read from its beginning."""
        self._upload.seek(0)
        self._reader = self._reader or open_file(self._upload.path)
        return self._reader

    def close(self) -> None:
        """Forget the body."""
        if self._reader is not None:
            self._reader.close()
        self._upload.discard()


class _Parser(HTTPRequestParser):
    """One request, from its first byte to its last."""

    upload: StagedUpload | None = None
    _is_refused = False

    def __init__(self, adj: Adjustments, channel: _Channel) -> None:
        super().__init__(adj)
        self._channel = channel
        self._began = time.monotonic()

    def received(self, data: bytes) -> int:
        try:
            consumed = super().received(data)
        except (ServiceError, OSError) as error:  # the disk is full, or the file too large
            self._fail(error)
        if self._is_refused:
            return len(data)
        if not self.completed:
            if self.upload is None and self.body_bytes_received > SMALL_BYTES:
                self._fail(LengthRequired("a body of more than a megabyte needs a Content-Length"))
            elif self._is_slow():
                self._fail(RequestTimeout("the request was sent too slowly"))
        return len(data) if self._is_refused else consumed

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        # A proxy may read another end of the request from these; what follows would be a request of its own.
        if "CONTENT_LENGTH" in self.headers if self.chunked else "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("the request has two lengths")
        if self.content_length <= SMALL_BYTES or self.chunked:
            return
        answer = self._channel.guard.refusal(self._environ())
        if answer is not None:
            self._refuse(answer)
            return
        try:
            self.upload = self._channel.guard.begin(self.content_length + self._channel.bytes_to_come())
        except (ServiceError, OSError) as error:
            self._refuse(self._channel.guard.failure(self._environ(), error))
            return
        self.body_rcv = FixedStreamReceiver(self.content_length, cast(Any, _DiskBuffer(self.upload)))

    def _is_slow(self) -> bool:
        seconds = time.monotonic() - self._began
        received = self.header_bytes_received + self.body_bytes_received
        return seconds > _GRACE_SECONDS and received < seconds * _LEAST_BYTES_PER_SECOND

    def _environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = WSGITask(self._channel, cast(Any, self)).get_environment()
        return environ

    def _fail(self, error: Exception) -> None:
        self.close()
        self.body_rcv = None
        if self.headers_finished or self.upload is not None:
            self._refuse(self._channel.guard.failure(self._environ(), error))
        else:  # there is no request that could be answered
            self._channel.will_close = True
            self.completed = self.empty = self._is_refused = True

    def _refuse(self, answer: EarlyAnswer) -> None:
        self.error = answer
        self.expect_continue = False
        self.completed = self.headers_finished = self._is_refused = True
        self._channel.is_refused = True


class _Task(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        if (upload := getattr(self.request, "upload", None)) is not None:
            environ[RECEIVED] = upload
        return environ


class _Channel(PatientChannel):
    """One connection."""

    guard: EarlyGuard
    task_class = _Task
    is_refused = False
    _lingers_until: float | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        parser: Any = partial(_Parser, channel=self)  # waitress only calls it; its stub says a class
        self.parser_class = parser

    def readable(self) -> bool:
        return self._lingers_until is not None or bool(super().readable())

    def handle_read(self) -> None:
        if self._lingers_until is None:
            super().handle_read()
        elif time.monotonic() > self._lingers_until:
            self.handle_close()
        else:
            with suppress(OSError):
                self.recv(_READ_BYTES)  # closes the channel at the end

    def handle_write(self) -> None:
        ends = self.is_refused and self.close_when_flushed
        if ends:
            self.close_when_flushed = False
        super().handle_write()
        if ends and self.total_outbufs_len:
            self.close_when_flushed = True
        elif ends and self._lingers_until is None:
            self._lingers_until = time.monotonic() + _LINGER_SECONDS
            with suppress(OSError, AttributeError):  # closed meanwhile
                cast(socket.socket, self.socket).shutdown(socket.SHUT_WR)

    def handle_close(self) -> None:
        if self.request is not None:  # it was being received
            self.request.close()
            self.request = None
        super().handle_close()
