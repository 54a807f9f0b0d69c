"""Parameters of a request: the variables of the path and the query, form or JSON body, as a typed value."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from flask import Request
from msgspec import Struct
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

P = TypeVar("P", bound=Struct)
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


def parameters_of(request: Request, kind: type[P]) -> P:
    """The parameters of ``request``. Raises: BadRequest, whose text names the parameter and never its value."""
    given: dict[str, Any] = dict(_body(request) if request.method == "POST" else _singles(request.args, request))
    if request.method == "POST" and request.args:
        raise BadRequest("parameters of a POST go into its body, not into the URL")
    of_path: dict[str, Any] = request.view_args or {}
    if given.keys() & of_path.keys():
        raise BadRequest("a parameter of the path is given twice")
    # Forms and queries have only text; JSON has numbers and is read as it stands.
    return _converted(given | of_path, kind, is_strict=_is_json(request))


def path_parameters_of(request: Request, kind: type[P]) -> P:
    """The variables of the path alone; the body is not read. Raises: as ``parameters_of``."""
    if request.args:
        raise BadRequest("parameters of a POST go into its body, not into the URL")
    return _converted(request.view_args or {}, kind, is_strict=False)


def _converted(given: dict[str, Any], kind: type[P], *, is_strict: bool) -> P:
    if any(isinstance(value, str) and "\0" in value for value in given.values()):
        raise BadRequest("a parameter has the character NUL")
    try:
        return msgspec.convert(given, kind, strict=is_strict)
    except msgspec.ValidationError as error:
        raise BadRequest(_without_value(str(error))) from None


def _is_json(request: Request) -> bool:
    return request.method == "POST" and request.mimetype == "application/json"


def _body(request: Request) -> dict[str, Any]:
    if not _is_json(request):
        if request.mimetype not in _FORMS and request.content_length:
            raise UnsupportedMediaType("the body must be JSON or a form, and its Content-Type say so")
        return _singles(request.form, request)
    if not request.get_data():
        return {}
    try:
        body = msgspec.json.decode(request.get_data())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    # JSON has one kind of numbers: 50.0 is an integer, too.
    return {name: int(it) if isinstance(it, float) and it.is_integer() else it for name, it in body.items()}


def _singles(values: Any, request: Request) -> dict[str, str]:
    """Each name with its one value; an empty one counts as absent, as browsers send empty fields of forms."""
    for _, several in values.lists():
        if len(several) > 1:
            raise BadRequest(f"a parameter is given {len(several)} times")
    is_api = request.path.startswith("/api/")
    return {name: text for name, text in values.items() if text or is_api}


def _without_value(message: str) -> str:
    """The message of msgspec, which quotes a value only where a word is not in a list, and names of unknown members."""
    if message.startswith("Invalid enum value"):
        return f"a parameter has a value that is not in its list{message[message.rfind(' - at') :]}"
    if message.startswith("Object contains unknown field"):
        return "a parameter has an unknown name"
    return message
