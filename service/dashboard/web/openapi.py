"""The OpenAPI 3.1 document of the JSON API, made from the types of the routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service import __version__
from service.dashboard.routes import ActionRoute, FileRoute, PageRoute, Route, UploadRoute
from service.dashboard.web.uploads import FILE_NAME

_VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")
_REF = "#/components/schemas/{name}"
_PROBLEMS = {
    400: "a parameter is missing, unknown, or has a value that is not allowed",
    401: "the token is missing or wrong",
    403: "another site made the browser send this",
    404: "what the parameters name does not exist",
    408: "the file was sent too slowly",
    409: "this cannot be done in the present state",
    411: "the size of the file must stand in Content-Length",
    413: "the body is larger than is accepted",
    415: "the body is neither JSON nor a form",
    429: "too many wrong tokens; Retry-After says for how many seconds",
    503: "the files of the service cannot be read or written at the moment",
    507: "the disk has no room for the file",
}
_ALWAYS, _OF_POST, _OF_UPLOAD = (400, 401, 429, 503), (403, 413, 415), (408, 411, 507)


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request failed (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    """What is wrong."""
    hint: str = ""
    """What to do."""


def openapi_document(routes: Sequence[Route], path_of: Callable[[Route], str]) -> dict[str, Any]:
    """The document, as a JSON value."""
    kinds = [*(route.parameters for route in routes), *map(_answer, routes), Problem]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for number, route in enumerate(routes):
        path = _VARIABLE.sub(r"{\1}", path_of(route))
        parameters = components[route.parameters.__name__]
        answer = schemas[len(routes) + number]
        content = {"*/*": {}} if isinstance(route, FileRoute) else {"application/json": {"schema": answer}}
        operation = _operation(route, path, parameters, content, schemas[-1])
        paths.setdefault(path, {})[_method(route)] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Customer Integration Service", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _answer(route: Route) -> type[Struct | bytes]:
    match route:
        case PageRoute():
            return route.view
        case ActionRoute() | UploadRoute():
            return route.result
        case FileRoute():
            return bytes


def _method(route: Route) -> str:
    match route:
        case PageRoute():
            return route.method.lower()
        case ActionRoute() | UploadRoute():
            return "post"
        case FileRoute():
            return "get"


def _operation(
    route: Route, path: str, parameters: dict[str, Any], content: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    of_path = set(re.findall(r"{(\w+)}", path))
    required = set(parameters.get("required", ()))
    members: dict[str, Any] = parameters.get("properties", {})
    in_url = of_path if _method(route) == "post" else set(members)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            {
                "name": name,
                "in": "path" if name in of_path else "query",
                "required": name in of_path or name in required,
                "schema": _without_nul(members[name]),
            }
            for name in sorted(in_url)
        ],
        "responses": {
            "200": {"description": "done", "content": content},
            **{
                str(status): {
                    "description": _PROBLEMS[status],
                    "content": {"application/problem+json": {"schema": problem}},
                }
                for status in _statuses(route, has_parameters=bool(members))
            },
        },
    }
    if isinstance(route, UploadRoute):
        return operation | _body_is_file(operation["parameters"])
    body = {name: _without_nul(schema) for name, schema in members.items() if name not in in_url}
    if _method(route) == "post":
        schema = {"type": "object", "properties": body, "additionalProperties": False}
        needed = sorted(required & body.keys())
        content = {"application/json": {"schema": schema | ({"required": needed} if needed else {})}}
        operation["requestBody"] = {"content": content, "required": bool(needed)}
    return operation


def _statuses(route: Route, *, has_parameters: bool) -> list[int]:
    found = [*_ALWAYS]
    if has_parameters:
        found.append(404)
    if _method(route) == "post":
        found += _OF_POST
    if not isinstance(route, PageRoute):
        found.append(409)
    if isinstance(route, UploadRoute):
        found += _OF_UPLOAD
    return sorted(found)


def _without_nul(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter; a text never has the character NUL, which a path of the system cannot have."""
    choices = schema.get("anyOf")
    if choices is not None:
        return schema | {"anyOf": [_without_nul(choice) for choice in choices]}
    is_free = schema.get("type") == "string" and not {"pattern", "format"} & schema.keys()
    return schema | {"pattern": "^[^\\u0000]*$"} if is_free else schema


def _body_is_file(parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """The members of an operation whose body is a file."""
    name = {
        "name": FILE_NAME,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 1024, "pattern": "^[!-~]*$"},
        "description": "the file's name in UTF-8, percent-encoded; without it the file is named as the source's export",
    }
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "parameters": [*parameters, name],
        "requestBody": {"content": {"application/octet-stream": {"schema": file}}, "required": True},
    }
