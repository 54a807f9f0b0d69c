"""Uploads by HTTP: the file of a form, or the body of an API request, on its way into the inbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, cast
from urllib.parse import unquote

from flask import Flask, flash, redirect, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.formparser import FormDataParser

from service.dashboard.routes import Announced, UploadRoute
from service.dashboard.site import Site
from service.dashboard.web.requests import path_parameters_of
from service.errors import UsageError
from service.inbox import StagedUpload, UploadTooLarge, WrongUpload

FILE_NAME = "X-File-Name"
"""Header with the file's name, in UTF-8 and percent-encoded."""
FIELD = "file"
RECEIVED = "service.received"
"""In the WSGI environment: the body as a ``StagedUpload``, where the server has received it to the disk."""
FRAME_BYTES = 1 << 20
"""What a form may be larger than its file."""
_CHUNK_BYTES = 1 << 18
_MOST_FIELDS = 8


def add_upload(
    app: Flask, site: Site, route: UploadRoute[Any, Any], api_path: str, as_answer: Callable[[Any], Any]
) -> None:
    """Add the route as a form and to the API; ``as_answer`` makes the answer of the API from the result."""
    endpoints = (route.name, f"api_{route.name}")

    @app.before_request
    def check() -> None:
        if request.endpoint in endpoints and request.method == "POST":
            if site.is_sample:
                raise UsageError("the sample cannot be changed", hint="upload the file on the page of your service")
            is_api = request.endpoint != route.name
            announced = Announced(_name_in_header() if is_api else None, request.content_length or 0)
            route.check(site, path_parameters_of(request, route.parameters), announced)
            request.max_content_length = (site.settings.upload_limit_mb << 20) + FRAME_BYTES

    def as_html(**_: str) -> Any:
        parameters = path_parameters_of(request, route.parameters)
        with _file_of_form(site) as (name, upload):
            result = route.run(site, parameters, name, upload)
        flash(result.message)
        endpoint, values = route.next_page(parameters, result)
        return redirect(url_for(endpoint, **values), code=303)

    def as_json(**_: str) -> Any:
        parameters = path_parameters_of(request, route.parameters)
        with _body(site) as upload:
            return as_answer(route.run(site, parameters, _name_in_header(), upload))

    app.add_url_rule(route.path, endpoints[0], as_html, methods=["POST"])
    app.add_url_rule(api_path, endpoints[1], as_json, methods=["POST"])


def _name_in_header() -> str:
    return unquote(request.headers.get(FILE_NAME, ""), errors="surrogateescape")


@contextmanager
def _body(site: Site) -> Iterator[StagedUpload]:
    """The body as it is; received by the server, or copied to the disk."""
    received = request.environ.get(RECEIVED)
    if isinstance(received, StagedUpload):
        with received:
            yield received
        return
    with StagedUpload(site.inbox.root, site.settings.upload_limit_mb) as upload:
        while chunk := request.stream.read(_CHUNK_BYTES):
            upload.write(chunk)
        yield upload


@contextmanager
def _file_of_form(site: Site) -> Iterator[tuple[str, StagedUpload]]:
    """The name and the file of a multipart form, written to the disk while the form is read."""
    with ExitStack() as stack:
        if isinstance(body := request.environ.get(RECEIVED), StagedUpload):
            stack.enter_context(body)
        uploads: list[StagedUpload] = []

        def begin(*_: object, **__: object) -> IO[bytes]:
            if uploads:
                raise WrongUpload("the form has several files", hint="send one file at a time")
            uploads.append(stack.enter_context(StagedUpload(site.inbox.root, site.settings.upload_limit_mb)))
            return cast(IO[bytes], uploads[0])

        if request.mimetype != "multipart/form-data":
            raise BadRequest("the body is not a form with a file (multipart/form-data)")
        parser = FormDataParser(begin, max_form_memory_size=_CHUNK_BYTES, max_form_parts=_MOST_FIELDS)
        stream, kind, length = request.stream, request.mimetype, request.content_length
        _, _, files = parser.parse(stream, kind, length, request.mimetype_params)
        file = files.get(FIELD)
        if file is None or not file.filename:
            raise WrongUpload("no file was chosen", hint="choose one, then upload it")
        yield file.filename, uploads[0]


def refuse_too_large(announced: Announced, most_mb: int) -> None:
    """Raises: UploadTooLarge for a body that cannot be a file of at most so many MB."""
    beside = 0 if announced.file_name is not None else FRAME_BYTES
    if announced.size_bytes > (most_mb << 20) + beside:
        raise UploadTooLarge(most_mb)
