"""The Flask application: every route of ``PAGES`` and ``ACTIONS`` as HTML and as JSON, errors, and what guards them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, flash, g, redirect, render_template, request, send_file, session, url_for
from msgspec import Struct
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, MethodNotAllowed, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from service import logs, metrics
from service.dashboard import charts, formats
from service.dashboard.access import HEADERS, RefusalLog, TokenCheck, TooManyAttempts, is_foreign_write, is_own_host
from service.dashboard.openapi import openapi_document
from service.dashboard.page_frame import NAVIGATION, Frame
from service.dashboard.pages import ACTIONS, FILES, PAGES, UPLOADS
from service.dashboard.pages.settings import checks_of
from service.dashboard.requests import parameters_of
from service.dashboard.routes import ActionRoute, FileRoute, MissingThing, PageRoute, Route
from service.dashboard.sample import MOUNTED_AT, sample_of
from service.dashboard.site import Site
from service.dashboard.uploads import add_upload
from service.errors import InputError, ServiceError, UsageError, safe_text
from service.inbox import NoSpaceForUpload, UploadTooLarge, WrongUpload
from service.printable import printable

API = "/api/v1"
_STATIC = "/static/"
_PROBES = frozenset({"/healthz", "/readyz"})
"""Reached under any host name, because probes use addresses of their own, and without a token."""
_MOST_BODY_BYTES = 1 << 20
_STATUSES: tuple[tuple[type[ServiceError], int], ...] = (
    (WrongUpload, 400),
    (UploadTooLarge, 413),
    (NoSpaceForUpload, 507),
    (UsageError, 409),
    (InputError, 409),
)
"""The first that fits counts; any other error is 503."""


def create_app(site: Site, token: str | None = None) -> Flask:
    """The application for one site and its sample; with ``token`` every page but the login needs it."""
    tokens = TokenCheck(token) if token is not None else None
    key = tokens.session_key() if tokens else secrets.token_bytes(32)
    app = _application(site, tokens, key)
    sample = _application(sample_of(site), tokens, key)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {MOUNTED_AT: sample.wsgi_app})  # type: ignore[method-assign]
    app.add_url_rule(f"{MOUNTED_AT}/", "sample", build_only=True)
    return app


def _application(site: Site, tokens: TokenCheck | None, key: bytes) -> Flask:
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=key,
        # A browser sends its cookies to all ports of a host: another program there must not overwrite ours.
        SESSION_COOKIE_NAME="customer_integration",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
        MAX_CONTENT_LENGTH=_MOST_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=_MOST_BODY_BYTES,
    )
    app.json.ensure_ascii = False  # type: ignore[attr-defined]  # declared on the default provider only
    _add_formats(app, site)
    _add_guards(app, site, tokens)
    for page in PAGES:
        _add_page(app, site, page)
    for action in ACTIONS:
        _add_action(app, site, action)
    for file in FILES:
        _add_file(app, site, file)
    for upload in UPLOADS:
        add_upload(app, site, upload, api_path(upload), _json)
    _add_other_routes(app, site, tokens)
    _add_errors(app)
    return app


def _add_formats(app: Flask, site: Site) -> None:
    """What templates call: formats as filters, charts as ``charts.…``, the frame as ``frame``."""
    for function in (
        formats.number,
        formats.percent,
        formats.size,
        formats.duration,
        formats.code_spans,
        formats.rules_in_words,
        formats.sentence,
    ):
        app.add_template_filter(function)
    app.add_template_filter(lambda text: formats.when(text, site.now()), "when")
    app.add_template_filter(lambda text: formats.clock_time(text, site.now()), "clock_time")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(charts=charts, navigation=NAVIGATION, has_page=lambda name: name in app.view_functions)

    def frame() -> dict[str, Any]:
        # Who was refused learns nothing of the service. And where the frame is what failed, the page needs none.
        if g.get("is_frameless", True):
            return {}
        sample_exit = f"{request.script_root.removesuffix(MOUNTED_AT)}/"
        return {"frame": Frame.of(site), "settings": site.settings, "sample_exit": sample_exit}

    app.context_processor(frame)


# ---------------------------------------------------------------------------------------------------- guards


def _add_guards(app: Flask, site: Site, tokens: TokenCheck | None) -> None:
    names = frozenset({site.settings.http_host, *site.settings.http_names})
    refusals = RefusalLog()

    def note(why: str) -> None:
        if times := refusals.note(why):
            logs.get().warning("dashboard.refused", why=why, times=times)

    app.extensions["note_refusal"] = note

    @app.before_request
    def refuse() -> Response | tuple[str, int] | None:
        g.is_frameless = True
        if request.path not in _PROBES and not is_own_host(request.headers.get("Host", ""), names):
            note("unknown host name")
            hint = "a name that is meant to reach this page goes into SERVICE_HTTP_NAMES"
            raise BadRequest(f"this host name is not known here; {hint}")
        if is_foreign_write(request.method, request.headers, request.host):
            note("foreign origin")
            raise Forbidden("another site made the browser send this; open the page itself and act there")
        is_open = request.path in _PROBES or request.path == "/login" or request.path.startswith(_STATIC)
        if tokens is not None and not is_open and not _has_token(tokens):
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


def _is_plain(path: str) -> bool:
    """Whether a path has no control character and was UTF-8; no route has a name with either."""
    return path.isprintable() and "\ufffd" not in path


def _has_token(tokens: TokenCheck) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return tokens.is_right(given.strip())
    return session.get("is_in") is True


def _ask_for_token() -> Response | tuple[str, int]:
    if _is_api() or request.method != "GET" or request.path == "/metrics":
        answer = _problem(401, "this needs the token", "send it as: Authorization: Bearer TOKEN")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    return redirect(url_for("login"))  # type: ignore[return-value]  # werkzeug's Response, which is Flask's here


def _lead_out(site: Site) -> Any:
    """From the sample to the page of the service where there is no sample."""
    if site.settings.state.exists():
        return None
    if _is_api():
        raise MissingThing("there is no sample", "make it on the overview of your service")
    return redirect(f"{request.script_root.removesuffix(MOUNTED_AT)}/")


def _is_api() -> bool:
    return request.path.startswith(f"{API}/")


# ---------------------------------------------------------------------------------------------------- routes


def _add_page(app: Flask, site: Site, page: PageRoute[Any, Any]) -> None:
    def as_html(**_: str) -> str | tuple[str, int]:
        parameters = parameters_of(request, page.parameters)
        view = page.build(site, parameters)
        if page.is_unchanged(parameters, view):
            return "", 204
        return render_template(page.template or f"{page.name}.html", view=view, page=page)

    def as_json(**_: str) -> Response:
        return _json(page.build(site, parameters_of(request, page.parameters)))

    app.add_url_rule(page.path, page.name, as_html, methods=[page.method])
    app.add_url_rule(api_path(page), f"api_{page.name}", as_json, methods=[page.method])


def api_path(route: Route) -> str:
    """The path of a route in the JSON API."""
    return f"{API}{route.path}" if route.path != "/" else f"{API}/overview"


def _add_action(app: Flask, site: Site, action: ActionRoute[Any, Any]) -> None:
    def act() -> tuple[Struct, Struct]:
        if site.is_sample and not action.works_on_sample:
            raise UsageError("the sample cannot be changed", hint="do this on the page of your service")
        parameters = parameters_of(request, action.parameters)
        result = action.run(site, parameters)
        logs.get().info("dashboard.acted", action=action.name, path=request.path)
        return parameters, result

    def as_html(**_: str) -> Any:
        parameters, result = act()
        flash(result.message)  # type: ignore[attr-defined]  # every result has it
        endpoint, values = action.next_page(parameters, result)
        return redirect(url_for(endpoint, **values), code=303)

    def as_json(**_: str) -> Response:
        return _json(act()[1])

    app.add_url_rule(action.path, action.name, as_html, methods=["POST"])
    app.add_url_rule(api_path(action), f"api_{action.name}", as_json, methods=["POST"])


def _add_file(app: Flask, site: Site, route: FileRoute[Any]) -> None:
    def send(**_: str) -> Any:
        found = route.find(site, parameters_of(request, route.parameters))
        answer = send_file(
            found.file,
            mimetype=found.media_type,
            as_attachment=True,
            download_name=found.name,
            etag=found.sha256 or False,
            conditional=False,
        )
        answer.headers["Cache-Control"] = "no-store"
        answer.content_length = os.fstat(found.file.fileno()).st_size
        return answer.make_conditional(request, accept_ranges=True, complete_length=answer.content_length)

    app.add_url_rule(route.path, route.name, send)
    app.add_url_rule(api_path(route), f"api_{route.name}", send)


def _add_other_routes(app: Flask, site: Site, tokens: TokenCheck | None) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return _json_text(b'{"state":"ok"}')

    @app.get("/readyz")
    def readyz() -> Response:
        checks = checks_of(site)
        answer = _json_text(msgspec.json.encode({"is_ready": all(it.is_ok for it in checks), "checks": checks}))
        answer.status_code = 200 if all(it.is_ok for it in checks) else 503
        return answer

    @app.get("/metrics")
    def figures() -> Response:
        return Response(_metrics_of(site), content_type=metrics.CONTENT_TYPE)

    @app.get(f"{API}/openapi.json")
    def openapi() -> Response:
        routes: tuple[Route, ...] = (*PAGES, *ACTIONS, *FILES, *UPLOADS)
        return _json_text(msgspec.json.encode(openapi_document(routes, api_path)))

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        given = request.form.get("token", "") or _token_of_link()
        if tokens is None or (given and tokens.is_right(given.strip())):
            session["is_in"] = True
            logs.get().info("dashboard.entered")
            return redirect(url_for("overview"), code=303)
        if given:
            app.extensions["note_refusal"]("wrong token")
        return render_template("login.html", is_wrong=bool(given)), 401 if given else 200

    @app.post("/logout")
    def logout() -> Any:
        session.clear()
        return redirect(url_for("login"), code=303)


def _metrics_of(site: Site) -> bytes:
    return metrics.render(site.folders, site.now(), stall_minutes=site.settings.stall_minutes)


def _token_of_link() -> str:
    """The token of the address that the first start prints. Another site that links here must not use up attempts."""
    is_foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    return "" if is_foreign else request.args.get("token", "")


def _json(view: Struct) -> Response:
    return _json_text(msgspec.json.encode(view))


def _json_text(content: bytes) -> Response:
    return Response(content, mimetype="application/json")


# ---------------------------------------------------------------------------------------------------- errors


def _add_errors(app: Flask) -> None:
    def missing(error: MissingThing) -> Any:
        return _failed(404, error.message, error.hint)

    def refused(error: ServiceError) -> Any:
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 503)
        return _failed(status, printable(error.message), printable(error.hint))

    def too_many(error: TooManyAttempts) -> Any:
        app.extensions["note_refusal"]("too many wrong tokens")
        g.is_frameless = True
        answer = app.make_response(_failed(429, str(error), "wait, then enter the right token"))
        answer.headers["Retry-After"] = str(error.seconds)
        return answer

    def http(error: HTTPException) -> Any:
        if error.code is None or error.code < 400:
            return error
        answer = app.make_response(_failed(error.code, error.description or error.name, ""))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            answer.headers["Allow"] = ", ".join(error.valid_methods)
        return answer

    def world(error: OSError) -> Any:
        g.is_frameless = True
        logs.get().error("dashboard.failed", reason=safe_text(error))
        return _failed(503, safe_text(error), "check that the folder exists, has room, and may be read by this user")

    def bug(error: Exception) -> Any:
        g.is_frameless = True
        logs.get().error("bug.found", error=error)
        return _failed(500, "unexpected error", "the log line bug.found says where")

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


def _failed(status: int, message: str, hint: str) -> Any:
    """An error as a page, or in the API as a problem document (RFC 9457)."""
    if _is_api() or request.path in ("/metrics", "/readyz"):
        return _problem(status, message, hint)
    title = HTTPStatus(status).phrase
    g.is_failed = True
    return render_template("failed.html", status=status, title=title, message=message, hint=hint), status


def _problem(status: int, message: str, hint: str) -> Response:
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message}
    content = msgspec.json.encode(problem | ({"hint": hint} if hint else {}))
    return Response(content, status, mimetype="application/problem+json")
