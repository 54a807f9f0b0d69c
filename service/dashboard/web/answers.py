"""Answers of every route: JSON, pages of errors, and problem documents (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response, render_template, request
from msgspec import Struct

from service.dashboard.routes import Route

API = "/api/v1"


def is_api() -> bool:
    """Whether the request is for the JSON API."""
    return request.path.startswith(f"{API}/")


def api_path(route: Route) -> str:
    """The path of a route in the JSON API."""
    return f"{API}{route.path}" if route.path != "/" else f"{API}/overview"


def as_json_answer(view: Struct) -> Response:
    """The view as JSON."""
    return json_text(msgspec.json.encode(view))


def json_text(content: bytes) -> Response:
    """An answer of JSON text."""
    return Response(content, mimetype="application/json")


def failed(status: int, message: str, hint: str) -> Any:
    """An error as a page, or in the API as a problem document (RFC 9457)."""
    if is_api() or request.path in ("/metrics", "/readyz"):
        return problem(status, message, hint)
    title = HTTPStatus(status).phrase
    return render_template("failed.html", status=status, title=title, message=message, hint=hint), status


def problem(status: int, message: str, hint: str) -> Response:
    """A problem document."""
    members = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": message}
    content = msgspec.json.encode(members | ({"hint": hint} if hint else {}))
    return Response(content, status, mimetype="application/problem+json")
