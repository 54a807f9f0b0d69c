"""E-mail addresses, by the former rules."""

from __future__ import annotations

import re

from service.pipeline.fields.text import Unusable, value_of
from service.pipeline.former.text import plain, until_stable

_ANGLE_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>")
_MAILTO = re.compile(r"(?:mailto:\s*)+")


def read_email(text: str) -> str:
    """The address alone, in lower case. Raises: Unusable (invalid_email).

    >>> read_email(" JANE.DOE@EMAIL.COM "), read_email('"Doe, Jane" <mailto:Jane@X.org>')
    ('jane.doe@email.com', 'jane@x.org')
    """
    address = until_stable(_bare_address, text)
    local, at, domain = address.partition("@")
    labels = domain.split(".")
    if not (local and at and len(labels) > 1 and all(labels)) or "@" in domain:
        raise Unusable("invalid_email")
    if any(c.isspace() or c in "<>" for c in address):
        raise Unusable("invalid_email")
    return address


def norm_email(text: str) -> str | None:
    """The address; None if it is unusable."""
    return value_of(lambda: read_email(text))


def _bare_address(text: str) -> str:
    address = plain(text).lower()
    if bracketed := _ANGLE_BRACKETS.fullmatch(address):
        address = bracketed[1].strip()
    if link := _MAILTO.match(address):
        address = address[link.end() :].partition("?")[0].strip()
    return address
