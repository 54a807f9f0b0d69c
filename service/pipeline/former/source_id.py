"""Ids, by the former rules."""

from __future__ import annotations

import re

from service.model import NOT_IDS
from service.pipeline.former.missing import is_missing

_FORMULA = re.compile(r'="(.*)"')
LOST_DIGITS = r"[0-9](?:[.,][0-9]+)?E\+[0-9]{2,3}"
"""Regular expression: a long number as a spreadsheet shows it; the other digits are lost when it saves the file."""
_LOST_DIGITS = re.compile(LOST_DIGITS)
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def norm_id(text: str) -> str | None:
    """The id without a spreadsheet's wrapping; None if it is empty, ``0``, ``-1`` or a missing word.

    None also if a spreadsheet has rounded it: all ids with the same first digits would be one customer.

    >>> norm_id("'7210448301122"), norm_id('="0123"'), norm_id(" -1 "), norm_id("7.21045E+12")
    ('7210448301122', '0123', None, None)
    """
    bare = _NOT_PRINTABLE.sub(" ", text).strip()
    if wrapped := _FORMULA.fullmatch(bare):
        bare = wrapped[1].strip()
    bare = bare.removeprefix("'").strip()
    return None if bare in NOT_IDS or is_missing(bare) or _LOST_DIGITS.fullmatch(bare) else bare
