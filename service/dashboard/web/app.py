"""The Flask application: every route of the pages, what guards them, and the sample as a second one below it."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Flask, g, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from service.commands import command
from service.dashboard import charts, formats
from service.dashboard.page_frame import NAVIGATION, Frame
from service.dashboard.pages import ACTIONS, FILES, PAGES, UPLOADS
from service.dashboard.sample import MOUNTED_AT, sample_of
from service.dashboard.site import Site
from service.dashboard.web.access import TokenCheck
from service.dashboard.web.answers import api_path, as_json_answer
from service.dashboard.web.failures import add_failures
from service.dashboard.web.guards import add_guards
from service.dashboard.web.login import add_login
from service.dashboard.web.probes import add_probes
from service.dashboard.web.serving import add_action, add_file, add_page
from service.dashboard.web.uploads import add_upload
from service.explanation import words
from service.explanation.evidence import LEGEND, evidence_in_words, field_in_words, outcome_in_words

_MOST_BODY_BYTES = 1 << 20


def create_app(site: Site, token: str | None = None) -> Flask:
    """The application for one site and its sample; with ``token`` every page but the login needs it."""
    tokens = TokenCheck(token) if token is not None else None
    key = tokens.session_key() if tokens else secrets.token_bytes(32)
    app = _application(site, tokens, key)
    sample = _application(sample_of(site), tokens, key)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {MOUNTED_AT: sample.wsgi_app})  # type: ignore[method-assign]  # Flask's documented way; mypy sees a method
    app.add_url_rule(f"{MOUNTED_AT}/", "sample", build_only=True)
    return app


def _application(site: Site, tokens: TokenCheck | None, key: bytes) -> Flask:
    app = Flask("service.dashboard")  # templates and static files are there
    app.config.update(
        SECRET_KEY=key,
        # A browser sends its cookies to all ports of a host: another program there must not overwrite ours.
        SESSION_COOKIE_NAME="customer_integration",
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_HTTPONLY=True,
        MAX_CONTENT_LENGTH=_MOST_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=_MOST_BODY_BYTES,
    )
    _add_formats(app, site)
    note_refusal = add_guards(app, site, tokens)
    for page in PAGES:
        add_page(app, site, page)
    for action in ACTIONS:
        add_action(app, site, action)
    for file in FILES:
        add_file(app, site, file)
    for upload in UPLOADS:
        add_upload(app, site, upload, api_path(upload), as_json_answer)
    add_probes(app, site)
    add_login(app, tokens, note_refusal)
    add_failures(app, site, note_refusal)
    return app


def _add_formats(app: Flask, site: Site) -> None:
    """What templates call: formats as filters, charts as ``charts.…``, the frame as ``frame``."""
    for function in (
        formats.number,
        formats.percent,
        formats.size,
        formats.duration,
        formats.code_spans,
        formats.parted,
        words.rules_in_words,
        words.link_in_words,
        evidence_in_words,
        field_in_words,
        outcome_in_words,
        formats.sentence,
    ):
        app.add_template_filter(function)
    app.add_template_filter(lambda text: formats.when(text, site.now()), "when")
    app.add_template_filter(lambda text: formats.clock_time(text, site.now()), "clock_time")
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(charts=charts, legend=LEGEND, navigation=NAVIGATION, command=command)

    def frame() -> dict[str, Any]:
        # Who was refused learns nothing of the service. And where the frame is what failed, the page needs none.
        if g.get("is_frameless", True):
            return {}
        sample_exit = f"{request.script_root.removesuffix(MOUNTED_AT)}/"
        return {"frame": Frame.of(site), "settings": site.settings, "sample_exit": sample_exit}

    app.context_processor(frame)
