"""Serving a route: as a page or a redirect for people, as JSON below ``/api/v1``, or as a file."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, flash, redirect, render_template, request, send_file, url_for
from msgspec import Struct

from service import logs
from service.dashboard.routes import ActionRoute, FileRoute, PageRoute
from service.dashboard.site import Site
from service.dashboard.web.answers import api_path, as_json_answer
from service.dashboard.web.requests import parameters_of
from service.errors import UsageError


def add_page(app: Flask, site: Site, page: PageRoute[Any, Any]) -> None:
    """Serve a page, and its view as JSON."""

    def as_html(**_: str) -> str | tuple[str, int]:
        parameters = parameters_of(request, page.parameters)
        view = page.build(site, parameters)
        if page.is_unchanged(parameters, view):
            return "", 204
        return render_template(page.template or f"{page.name}.html", view=view)

    def as_json(**_: str) -> Response:
        return as_json_answer(page.build(site, parameters_of(request, page.parameters)))

    app.add_url_rule(page.path, page.name, as_html, methods=[page.method])
    app.add_url_rule(api_path(page), f"api_{page.name}", as_json, methods=[page.method])


def add_action(app: Flask, site: Site, action: ActionRoute[Any, Any]) -> None:
    """Serve an action: in HTML it leads to the next page. Each is a line in the log."""

    def act() -> tuple[Struct, Any]:
        if site.is_sample and not action.works_on_sample:
            raise UsageError("the sample cannot be changed", hint="do this on the page of your service")
        parameters = parameters_of(request, action.parameters)
        result = action.run(site, parameters)
        logs.get().info("dashboard.acted", action=action.name, path=request.path)
        return parameters, result

    def as_html(**_: str) -> Any:
        parameters, result = act()
        flash(result.message)
        endpoint, values = action.next_page(parameters, result)
        return redirect(url_for(endpoint, **values), code=303)

    def as_json(**_: str) -> Response:
        return as_json_answer(act()[1])

    app.add_url_rule(action.path, action.name, as_html, methods=["POST"])
    app.add_url_rule(api_path(action), f"api_{action.name}", as_json, methods=["POST"])


def add_file(app: Flask, site: Site, route: FileRoute[Any]) -> None:
    """Serve a file as a download, in HTML and in the API alike."""

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
