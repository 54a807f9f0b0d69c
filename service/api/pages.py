"""A page of the customers API: its shape in an answer, and its rows as they are kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from service.api.rows import compact, key_of

_MOST = 10**12
"""No number in an envelope is greater: such a number is a mistake, and later arithmetic must be able to hold it."""
_SAFE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", re.ASCII)
_MOST_NAMES = 10


class NotAPage(Exception):
    """The body of an answer is not a page; the reason is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WrongShape(NotAPage):
    """The body is JSON, but of another shape."""

    def __init__(self, explanation: str) -> None:
        super().__init__("other_shape")
        self.explanation = explanation


class Envelope(BaseModel):
    """The object around the rows of a page; further members are ignored."""

    model_config = ConfigDict(strict=True)

    page: int = Field(ge=1, le=_MOST)
    per_page: int = Field(ge=1, le=_MOST)
    total: int = Field(ge=0, le=_MOST)
    total_pages: int = Field(ge=0, le=_MOST)
    # Not a list of models: a row of the wrong shape is a reject of the analytics job, not a fault of the page.
    data: list[Any]


@dataclass(frozen=True)
class Page:
    """One page as received."""

    number: int
    """The requested number."""
    stated_number: int
    """The number in the answer."""
    total: int
    """Customers of the API, by this answer; -1 if it states none."""
    total_pages: int
    """Pages of the API, by this answer; -1 if it states none."""
    keys: bytes
    """The keys of its rows, one after the other; see ``rows.key_of``."""
    body: bytes
    """Its rows as JSON, separated by commas."""
    etag: str | None = None

    @property
    def body_sha256(self) -> str:
        """SHA-256 of the rows, in hex."""
        return hashlib.sha256(self.body).hexdigest()


def empty_page(number: int) -> Page:
    """A page without rows that states nothing about the collection: the API has no page of this number."""
    return Page(number, number, total=-1, total_pages=-1, keys=b"", body=b"")


def parse_page(body: bytes, number: int, etag: str | None) -> Page:
    """The page in the body of an answer to the request for page ``number``. Raises: NotAPage, WrongShape."""
    try:
        found = _parsed(body)
        envelope = Envelope.model_validate(found)
        return Page(
            number=number,
            stated_number=envelope.page,
            total=envelope.total,
            total_pages=envelope.total_pages,
            keys=b"".join(map(key_of, envelope.data)),
            body=compact(envelope.data)[1:-1],
            etag=etag,
        )
    except ValidationError as error:
        raise WrongShape(_explanation(found, error)) from None
    except RecursionError:
        raise NotAPage("nested_too_deeply") from None
    except ValueError:
        raise NotAPage("malformed_json") from None


def has_no_rows(body: bytes) -> bool:
    """Whether the body of an answer of any shape states that there are no rows: ``[]``, or an empty ``data``."""
    try:
        found = _parsed(body)
    except (RecursionError, ValueError):
        return False
    return found == [] or (isinstance(found, dict) and found.get("data", 0) in ([], None))


def _explanation(found: Any, error: ValidationError) -> str:
    """Which members are missing or of another type, and which are there; no value, and no name that may be one."""
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(found), "a number")
        return f"it is {kind}, not an object with the members {', '.join(Envelope.model_fields)}"
    missing = [str(it["loc"][0]) for it in error.errors(include_url=False) if it["type"] == "missing"]
    wrong = [str(it["loc"][0]) for it in error.errors(include_url=False) if it["type"] != "missing"]
    parts = [f"members are missing: {', '.join(missing)}"] if missing else []
    parts += [f"{name} is not {'a list' if name == 'data' else f'a whole number from 0 to {_MOST}'}" for name in wrong]
    return f"{'; '.join(parts)}; it has: {', '.join(_names(found)) or 'none'}"


def _names(found: dict[str, Any]) -> Iterator[str]:
    """The first names of members that look like names, and the number of the others."""
    shown = [name for name in found if _SAFE_NAME.fullmatch(name)][:_MOST_NAMES]
    yield from shown
    if others := len(found) - len(shown):
        yield f"{others} others"


def _parsed(body: bytes) -> Any:
    """The parsed JSON. Raises: ValueError."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        # Unpaired surrogates, left by programs that cut texts: only the standard library accepts them.
        return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
