"""What machines ask for: probes, metrics, and the description of the API."""

from __future__ import annotations

import msgspec
from flask import Flask, Response, g
from msgspec import structs

from service import metrics
from service.dashboard.pages import ACTIONS, FILES, PAGES, UPLOADS
from service.dashboard.pages.settings import checks_of
from service.dashboard.routes import Route
from service.dashboard.site import Site
from service.dashboard.web.answers import API, api_path, json_text
from service.dashboard.web.openapi import openapi_document

_SENTENCE_FOR_USERS = "ask with the token, and by an address or known name, for the reason"


def add_probes(app: Flask, site: Site) -> None:
    """Serve ``/healthz``, ``/readyz``, ``/metrics`` and the OpenAPI document."""

    @app.get("/healthz")
    def healthz() -> Response:
        return json_text(b'{"state":"ok"}')

    @app.get("/readyz")
    def readyz() -> Response:
        checks = checks_of(site)
        if not g.is_probe_by_user:  # sentences name folders and batches
            checks = tuple(structs.replace(it, sentence=_SENTENCE_FOR_USERS) for it in checks)
        answer = json_text(msgspec.json.encode({"is_ready": all(it.is_ok for it in checks), "checks": checks}))
        answer.status_code = 200 if all(it.is_ok for it in checks) else 503
        return answer

    @app.get("/metrics")
    def figures() -> Response:
        return Response(_metrics_of(site), content_type=metrics.CONTENT_TYPE)

    @app.get(f"{API}/openapi.json")
    def openapi() -> Response:
        routes: tuple[Route, ...] = (*PAGES, *ACTIONS, *FILES, *UPLOADS)
        return json_text(msgspec.json.encode(openapi_document(routes, api_path)))


def _metrics_of(site: Site) -> bytes:
    return metrics.render(site.folders, site.now(), stall_minutes=site.settings.stall_minutes)
