"""Ids that a source gives its customers: the definition, and the same rule in SQL."""

from __future__ import annotations

import re

from service.model import NOT_IDS
from service.pipeline.fields.missing import is_missing

_FORMULA = re.compile(r'="(.*)"')
LOST_DIGITS = r"[0-9](?:[.,][0-9]+)?E\+[0-9]{2,3}"
"""Regular expression: a long number as a spreadsheet shows it; the other digits are lost when it saves the file."""
_LOST_DIGITS = re.compile(LOST_DIGITS)
# Of longer numbers a program that writes floats has rounded the last digits.
_AS_A_FLOAT = re.compile(r"([0-9]{1,15})\.0*", re.ASCII)
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def norm_id(text: str) -> str | None:
    """The id without a spreadsheet's wrapping; None if it is empty, ``0``, ``-1`` or a missing word.

    Number formats do not change it: ``1001.0``, as pandas writes the ids of a column with gaps, is ``1001``.
    None also if a spreadsheet has rounded it: all ids with the same first digits would be one customer.

    >>> norm_id("'7210448301122"), norm_id('="0123"'), norm_id(" -1 "), norm_id("7.21045E+12"), norm_id("1001.0")
    ('7210448301122', '0123', None, None, '1001')
    """
    bare = _NOT_PRINTABLE.sub(" ", text).strip()
    if wrapped := _FORMULA.fullmatch(bare):
        bare = wrapped[1].strip()
    bare = bare.removeprefix("'").strip()
    if as_float := _AS_A_FLOAT.fullmatch(bare):
        bare = as_float[1]
    return None if bare in NOT_IDS or is_missing(bare) or _LOST_DIGITS.fullmatch(bare) else bare


# An id is a text: a leading apostrophe and ="…" are a spreadsheet's; "", 0 and -1 are no id.
SOURCE_ID_SQL = r"""
    case
        when source_id is null then null
        when regexp_full_match(source_id, '[A-Za-z0-9][A-Za-z0-9_\-]*') then nullif(source_id, '0')
        when regexp_full_match(source_id, '[A-Za-z0-9][A-Za-z0-9_.\-]*[A-Za-z1-9_\-]') then source_id
        else norm_id(source_id)
    end
"""
"""SQL: ``norm_id`` of ``source_id``."""

# ------------------------------------------------------------------------------- ids that are compared otherwise

_SALESFORCE = re.compile(r"[A-Za-z0-9]{15}[A-Z0-5]{3}", re.ASCII)
_CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def id_key(source_id: str) -> str:
    """What an id is compared by: of a Salesforce id of 18 characters the first 15, of any other id all of it.

    The last three characters are a checksum: one for five characters each, whose bits say which of them are capitals.

    >>> id_key("0035g00000aBcDeAAK"), id_key("0035g00000aBcDeAAA")
    ('0035g00000aBcDe', '0035g00000aBcDeAAA')
    """
    if not _SALESFORCE.fullmatch(source_id):
        return source_id
    chunks = (source_id[start : start + 5] for start in (0, 5, 10))
    bits = (sum(1 << index for index, c in enumerate(chunk) if "A" <= c <= "Z") for chunk in chunks)
    return source_id[:15] if "".join(_CHECKSUM[it] for it in bits) == source_id[15:] else source_id


ID_KEY_SQL = "case when regexp_full_match({0}, '[A-Za-z0-9]{{15}}[A-Z0-5]{{3}}') then id_key({0}) else {0} end"
"""SQL: ``id_key`` of the id in column ``{0}``."""
