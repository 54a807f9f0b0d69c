"""The id a source gives its customers, as one written form."""

from __future__ import annotations

import re

from service.pipeline.values import is_missing

_NO_IDS = frozenset({"", "0", "-1"})
_FORMULA = re.compile(r'="(.*)"')
LOST_DIGITS = r"[0-9](?:[.,][0-9]+)?E\+[0-9]{2,3}"
"""How a spreadsheet shows a long number; it saves no more of it than that."""
_LOST_DIGITS = re.compile(LOST_DIGITS)
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def norm_id(text: str) -> str | None:
    """The id without a spreadsheet's wrapping; None where it is none: empty, ``0``, ``-1``, a missing word.

    What a spreadsheet has rounded is none either: it would make one customer of all whose first digits agree.

    >>> norm_id("'7210448301122"), norm_id('="0123"'), norm_id(" -1 "), norm_id("7.21045E+12")
    ('7210448301122', '0123', None, None)
    """
    bare = _NOT_PRINTABLE.sub(" ", text).strip()
    if wrapped := _FORMULA.fullmatch(bare):
        bare = wrapped[1].strip()
    bare = bare.removeprefix("'").strip()
    return None if bare in _NO_IDS or is_missing(bare) or _LOST_DIGITS.fullmatch(bare) else bare
