"""Errors as answers: each kind with its status, what is wrong and what to do; a bug shows nothing of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service import logs
from service.dashboard.site import Site
from service.dashboard.web.access import TooManyAttempts
from service.dashboard.web.answers import failed
from service.errors import InputError, ServiceError, UsageError
from service.inbox import NoSpaceForUpload, UploadTooLarge, WrongUpload, shown_error
from service.masters.missing import MissingThing
from service.printable import printable

_STATUSES: tuple[tuple[type[ServiceError], int], ...] = (
    (WrongUpload, 400),
    (UploadTooLarge, 413),
    (NoSpaceForUpload, 507),
    (UsageError, 409),
    (InputError, 409),
)
"""The first that fits counts; any other error is 503."""


_PLAIN: Mapping[int, tuple[str, str]] = {
    400: ("the request cannot be understood", "go back, and try it again"),
    404: ("there is no such page", "go to the overview"),
    405: ("this page cannot be asked for in this way", "go to the overview"),
    413: ("the request is too large", ""),
}
"""What is wrong and what to do, where the web framework found it and has only words of its own."""


def add_failures(app: Flask, site: Site, note_refusal: Callable[[str], None]) -> None:
    """Answer every exception that a route raises."""

    def missing(error: MissingThing) -> Any:
        return failed(404, error.message, error.hint)

    def refused(error: ServiceError) -> Any:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 503)
        return failed(status, printable(error.message), printable(error.hint))

    def too_many(error: TooManyAttempts) -> Any:
        note_refusal("too many wrong tokens")
        g.is_frameless = True
        answer = app.make_response(failed(429, str(error), "wait, then enter the right token"))
        answer.headers["Retry-After"] = str(error.seconds)
        return answer

    def http(error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error
        answer = app.make_response(failed(error.code, *_in_words(error, error.code)))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.headers["Allow"] = ", ".join(error.valid_methods)
        return answer

    def world(error: OSError) -> Any:
        g.is_frameless = True
        reason = shown_error(error, site.sources)
        logs.get().error("dashboard.failed", reason=reason)
        return failed(503, reason, "check that the folder exists, has room, and may be read by this user")

    def bug(error: Exception) -> Any:
        g.is_frameless = True
        logs.get().error("bug.found", error=error)
        return failed(500, "unexpected error", "the log line bug.found says where")

    handlers: tuple[tuple[type[Exception], Callable[[Any], Any]], ...] = (
        (MissingThing, missing),
        (ServiceError, refused),
        (TooManyAttempts, too_many),
        (HTTPException, http),
        (OSError, world),
        (Exception, bug),
    )
    for kind, handler in handlers:
        app.register_error_handler(kind, handler)


def _in_words(error: HTTPException, status: int) -> tuple[str, str]:
    """What is wrong and what to do: as the raiser says, else in plain words."""
    if error.description and error.description != type(error).description:
        return error.description, ""
    return _PLAIN.get(status, (error.name.lower(), ""))
