"""E-mail addresses: the definition, and the same rule in SQL."""

from __future__ import annotations

import re

from service.pipeline.fields.text import Unusable, plain, reason_of, until_stable, value_of

# ------------------------------------------------------------------------------------------------ definition

_ANGLE_BRACKETS = re.compile(r"[^<>]*<([^<>]*)>")
_MAILTO = re.compile(r"(?:mailto:\s*)+")


def read_email(text: str) -> str:
    """The address alone, in lower case. Raises: Unusable (invalid_email).

    >>> read_email(" JANE.DOE@EMAIL.COM "), read_email('"Doe, Jane" <mailto:Jane@X.org>')
    ('jane.doe@email.com', 'jane@x.org')
    >>> [trouble_email(text) for text in ("bob@", "a b@x.org", "a@x.org, b@x.org")]
    ['invalid_email', 'invalid_email', 'invalid_email']
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
    """The address; None if ``trouble_email`` gives a reason."""
    return value_of(lambda: read_email(text))


def trouble_email(text: str) -> str | None:
    """The reason why the address is unusable, or None."""
    return reason_of(lambda: read_email(text))


def _bare_address(text: str) -> str:
    address = plain(text).lower()
    if bracketed := _ANGLE_BRACKETS.fullmatch(address):
        address = bracketed[1].strip()
    if link := _MAILTO.match(address):
        address = address[link.end() :].partition("?")[0].strip()
    return address


# ------------------------------------------------------------------------------------------------------- SQL

_ADDRESS = r"[A-Za-z0-9À-ÖØ-öø-ÿ._%+''\-]+@[A-Za-z0-9À-ÖØ-öø-ÿ\-]+(?:\.[A-Za-z0-9À-ÖØ-öø-ÿ\-]+)+"
_LINK = "(?:(?i:mailto): *)?"
EMAIL_SQL = rf"""
    case
        when email is null then null
        when strlen(email) > 10000 then norm_email(email) -- longer texts are unusable
        when regexp_full_match(email, '{_ADDRESS}') then lower(email)
        -- behind the scheme of a link, in angle brackets behind a name, between blanks
        when regexp_full_match(email, ' *{_LINK}{_ADDRESS} *|[ -;=?-~]*< *{_LINK}{_ADDRESS} *> *')
            then lower(regexp_extract(email, '({_ADDRESS})[ >]*$', 1))
        when regexp_full_match(email, '[ -?A-~]*@?') then null -- no "@", or nothing behind it
        else norm_email(email)
    end
"""
"""SQL: the normalised ``email``."""
