"""A page of the customers API: its shape in an answer, and its rows as they are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from service.api.rows import compact, key_of


class NotAPage(Exception):
    """The body of an answer is not a page; the reason is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Envelope(BaseModel):
    """The object around the rows of a page; further members are ignored."""

    model_config = ConfigDict(strict=True)

    page: int = Field(ge=1)
    per_page: int = Field(ge=1)
    total: int = Field(ge=0)
    total_pages: int = Field(ge=0)
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
    """The page in the body of an answer to the request for page ``number``. Raises: NotAPage."""
    try:
        envelope = Envelope.model_validate(_parsed(body))
    except ValidationError:
        raise NotAPage("other_shape") from None
    except ValueError:
        raise NotAPage("malformed_json") from None
    return Page(
        number=number,
        stated_number=envelope.page,
        total=envelope.total,
        total_pages=envelope.total_pages,
        keys=b"".join(map(key_of, envelope.data)),
        body=compact(envelope.data)[1:-1],
        etag=etag,
    )


def _parsed(body: bytes) -> Any:
    """The parsed JSON. Raises: ValueError."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        # Unpaired surrogates, left by programs that cut texts: only the standard library accepts them.
        return json.loads(body, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
