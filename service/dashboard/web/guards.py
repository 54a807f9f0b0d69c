"""Guards before every route: known host name, own origin, token; and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, Forbidden, NotFound

from service import logs
from service.dashboard.sample import MOUNTED_AT
from service.dashboard.site import Site
from service.dashboard.web.access import (
    HEADERS,
    RefusalLog,
    TokenCheck,
    TooManyAttempts,
    is_foreign_write,
    is_own_host,
)
from service.dashboard.web.answers import is_api, problem
from service.masters.missing import MissingThing

_STATIC = "/static/"
_PROBES = frozenset({"/healthz", "/readyz"})
"""Reached under any host name, because probes use addresses of their own, and without a token."""


def add_guards(app: Flask, site: Site, tokens: TokenCheck | None) -> Callable[[str], None]:
    """Refuse what may not reach a route.

    Returns: the function that notes a refusal; they are counted, and logged at most so often.
    """
    names = frozenset({site.settings.http_host, *site.settings.http_names})
    refusals = RefusalLog()

    def note(why: str) -> None:
        if times := refusals.note(why):
            logs.get().warning("dashboard.refused", why=why, times=times)

    @app.before_request
    def refuse() -> ResponseReturnValue | None:
        g.is_frameless = True
        is_own = is_own_host(request.headers.get("Host", ""), names)
        is_probe = request.path in _PROBES
        _refuse_others(is_own or is_probe, note)
        g.is_probe_by_user = is_probe and is_own and _is_probe_by_user(tokens)
        is_open = is_probe or request.path == "/login" or request.path.startswith(_STATIC)
        if not is_open and not _is_user(tokens):
            return _ask_for_token()
        g.is_frameless = False
        if not _is_plain(request.path):
            raise NotFound
        return _lead_out(site) if site.is_sample and not is_open else None

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        if not request.path.startswith(_STATIC):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return note


def _refuse_others(is_own: bool, note: Callable[[str], None]) -> None:
    """Raises: BadRequest under another host name, Forbidden for a write of another site."""
    if not is_own:
        note("unknown host name")
        hint = "a name that is meant to reach this page goes into SERVICE_HTTP_NAMES"
        raise BadRequest(f"this host name is not known here; {hint}")
    if is_foreign_write(request.method, request.headers, request.host):
        note("foreign origin")
        raise Forbidden("another site made the browser send this; open the page itself and act there")


def _is_plain(path: str) -> bool:
    """Whether a path has no control character and was UTF-8; no route has a name with either."""
    return path.isprintable() and "\ufffd" not in path


def _is_user(tokens: TokenCheck | None) -> bool:
    if tokens is None:
        return True
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        # In a header every byte is a character; programs send text as UTF-8.
        return tokens.is_right(given.strip().encode("latin-1", "replace").decode("utf-8", "surrogateescape"))
    return session.get("is_in") is True


def _is_probe_by_user(tokens: TokenCheck | None) -> bool:
    """As ``_is_user``; a probe is answered without a token, so also while no token is looked at."""
    try:
        return _is_user(tokens)
    except TooManyAttempts:
        return False


def _ask_for_token() -> ResponseReturnValue:
    if is_api() or request.method != "GET" or request.path == "/metrics":
        answer = problem(401, "this needs the token", "send it as: Authorization: Bearer TOKEN")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    return redirect(url_for("login"))


def _lead_out(site: Site) -> Any:
    """From the sample to the page of the service where there is no sample."""
    if site.settings.state.exists():
        return None
    if is_api():
        raise MissingThing("there is no sample", "make it on the overview of your service")
    return redirect(f"{request.script_root.removesuffix(MOUNTED_AT)}/")
