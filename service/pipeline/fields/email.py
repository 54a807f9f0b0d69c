"""E-mail addresses: the definition, and the same rule in SQL."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import idna

from service.pipeline.fields.cell import without_formula_quotes
from service.pipeline.fields.text import (
    LONGEST_TEXT,
    MOST_CACHED,
    Unusable,
    plain,
    reason_of,
    until_stable,
    value_of,
    without_entities,
)

# ------------------------------------------------------------------------------------------------ definition

_SCHEME = re.compile(r"(?:(?:mailto|smtp|e-?mail)\s*:\s*)+")
_NAMED = re.compile(r"[^<>]*<+([^<>]*)>+")
# Quoted texts and addresses in angle brackets are one piece, whatever they hold.
_PIECE = re.compile(r'(?:"[^"\n\r]*"|<[^<>\n\r]*>|:{1,2}(?!:)|[^,;|:\n\r\v\f\x1c-\x1e\x85\u2028\u2029])+')
_PAIRS = {"<": ">", "(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}
_CLOSING = frozenset({*_PAIRS.values(), "”"})
_MOST_WRAPPINGS = 100
"""Round one address. More are no writing of an address, and take quadratic time."""
_BEHIND_AN_ADDRESS = " \t,;.:!/\\"
_MASKS = frozenset("*•●∗∙⁎⬤█■▪")
# Most addresses: nothing is written round them, and all their characters may be in an address.
_PLAIN_ADDRESS = re.compile(r"\w[\w.%+\-]*@[\w\-]+(?:\.[\w\-]+)+")
_LOCAL = re.compile(r"""[^\s@<>(),;:|"\[\]]+|"[^"\s<>]+\"""")
_LITERAL = re.compile(r"\[[0-9a-f:.]+\]")
_LONGEST_DOMAIN, _LONGEST_LABEL = 253, 63
# Letters that IDNA leaves as they are, and so all of a label but its hyphens.
_IN_A_LABEL = "[a-z0-9à-öø-ÿāăąćčďđēėęěğģīįķļłńņňőŕřśşšţťūůűųźżž]+"
_PLAIN_DOMAIN = re.compile(rf"{_IN_A_LABEL}(?:[.\-]{_IN_A_LABEL})*")


def read_email(text: str) -> str:
    """The first usable address of the cell, in lower case, without what programs and people write round it.

    Raises: Unusable (masked_email where an address was made unreadable on purpose, else invalid_email).

    >>> read_email(" JANE.DOE@EMAIL.COM "), read_email('"Doe, Jane" <mailto:Jane@X.org>')
    ('jane.doe@email.com', 'jane@x.org')
    >>> read_email("none; a@x.org, b@x.org"), read_email("SMTP:a@x.org;smtp:b@x.org"), read_email("('a@x.org').")
    ('a@x.org', 'a@x.org', 'a@x.org')
    >>> [trouble_email(text) for text in ("bob@", "a b@x.org", "b***@x.org")]
    ['invalid_email', 'invalid_email', 'masked_email']
    """
    cell = until_stable(lambda it: plain(without_entities(it)).replace("。", ".").lower(), text)
    if _PLAIN_ADDRESS.fullmatch(cell):
        return cell
    for address in _candidates(cell):
        if _is_address(address):
            return address
    raise Unusable("masked_email" if _MASKS & set(cell) else "invalid_email")


def norm_email(text: str) -> str | None:
    """The address; None if ``trouble_email`` gives a reason."""
    return value_of(lambda: read_email(text))


def trouble_email(text: str) -> str | None:
    """The reason why the address is unusable, or None."""
    return reason_of(lambda: read_email(text))


def email_key(address: str) -> str:
    """The key by which addresses are compared: a domain in other letters than ASCII in its form for the DNS.

    >>> email_key("zoë@bücher.de") == email_key("zoë@xn--bcher-kva.de")
    True
    """
    local, _, domain = address.rpartition("@")
    key = None if len(domain) > _LONGEST_DOMAIN else _domain_key(domain)
    return address if key is None else f"{local}@{key}"


@lru_cache(MOST_CACHED)
def _domain_key(domain: str) -> str | None:
    """None for a domain that cannot exist; it is compared as it is written."""
    if _PLAIN_DOMAIN.fullmatch(domain):  # the same in a fifth of the time
        labels = [it if it.isascii() else f"xn--{it.encode('punycode').decode('ascii')}" for it in domain.split(".")]
        if max(map(len, labels)) <= _LONGEST_LABEL and len(key := ".".join(labels)) <= _LONGEST_DOMAIN:
            return key
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return None


def _candidates(cell: str) -> Iterator[str]:
    """The pieces of the cell that may be an address, in their order."""
    return map(_bare_address, _PIECE.findall(cell))


def _bare_address(piece: str) -> str:
    """The address alone; repeated because wrappings are nested: ``"<mailto:a@x.org>".`` Empty if they are too many."""
    for _ in range(_MOST_WRAPPINGS + 1):
        bare = without_formula_quotes(_without_wrapping(piece))
        if bare == piece:
            return piece
        piece = bare
    return ""


def _without_wrapping(text: str) -> str:
    bare = text.rstrip(_BEHIND_AN_ADDRESS).lstrip()
    if named := _NAMED.fullmatch(bare):
        return named[1]
    if link := _SCHEME.match(bare):
        return bare[link.end() :].partition("?")[0]
    if bare.startswith('="'):
        bare = bare[1:]
    if bare[:1] in _PAIRS and _closes_at_its_end(bare):
        bare = bare[1:]
    if bare.endswith(")") and (uncommented := _without_comment(bare)) != bare:
        return uncommented
    is_wrapped = bare[-1:] in _CLOSING and not _LITERAL.fullmatch(bare.rpartition("@")[2])
    return bare[:-1] if is_wrapped else bare


def _without_comment(text: str) -> str:
    """The text without the parentheses at its end, unless they hold others or begin it."""
    opens = text.rfind("(")
    is_comment = opens > 0 and text.find(")", opens) == len(text) - 1
    return text[:1] + text[1:opens].rstrip() if is_comment else text


def _closes_at_its_end(text: str) -> bool:
    """Whether what opens at the beginning is closed at the end or nowhere, and so does not belong to the address."""
    return text.find(_PAIRS[text[0]], 1) in (-1, len(text) - 1)


def _is_address(address: str) -> bool:
    local, _, domain = address.partition("@")
    if _MASKS & set(address) or not _LOCAL.fullmatch(local):
        return False
    labels = domain.split(".")
    if _LITERAL.fullmatch(domain):
        return len(labels) > 1
    return len(labels) > 1 and all(labels) and all(map(_is_of_a_domain, domain))


def _is_of_a_domain(character: str) -> bool:
    """Letters, digits and marks of any script, the hyphens and dots between them."""
    return character in "-_.·・" or unicodedata.category(character)[0] in "LMN"


# ------------------------------------------------------------------------------------------------------- SQL

_LETTER = "A-Za-z0-9À-ÖØ-öø-ÿ"
_ADDRESS = rf"[{_LETTER}._%+\-][{_LETTER}._%+''\-]*@[{_LETTER}\-]+(?:\.[{_LETTER}\-]+)+"
_NAME = r"""(?:[ -!#-%''-;=?A-~]*|"[ -!#-%''-;=?-~]*" *)"""  # no &, which may begin an entity, and no address
_LINK = "(?:(?i:mailto): *)?"
EMAIL_SQL = rf"""
    case
        when email is null then null
        when strlen(email) > {LONGEST_TEXT} then norm_email(email) -- longer texts are unusable
        when regexp_full_match(email, '{_ADDRESS}') then lower(email)
        -- behind the scheme of a link, in angle brackets behind a name, between blanks, before a mark
        when regexp_full_match(email, ' *{_LINK}{_ADDRESS}[ ;,.]*|{_NAME}< *{_LINK}{_ADDRESS} *> *')
            then lower(regexp_extract(email, '({_ADDRESS})[ >;,.]*$', 1))
        when regexp_full_match(email, '[ -%''-?A-~]*@?') then null -- no "@", or nothing behind it
        else norm_email(email)
    end
"""
"""SQL: the normalised ``email``."""

EMAIL_KEY_SQL = """
    case when instr(email, 'xn--') = 0
            and (strlen(email) = length(email) or regexp_full_match(email, '[^@]*@[!-~]*')) then null -- domain in ASCII
         else email_key(email) end
"""
"""SQL: ``email_key`` of a normalised ``email``; null for nearly all, whose key is the address."""
