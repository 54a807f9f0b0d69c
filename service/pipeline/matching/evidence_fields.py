"""Fields that only weighed evidence reads: as they are written in an export, and as ``safe`` compares them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from service.model import DateOrder
from service.pipeline.fields.cell import part_of_name, value_of_cell
from service.pipeline.fields.date import column_of, date_evidence, norm_date
from service.pipeline.fields.name import norm_name
from service.pipeline.matching.safe.prepared import Texts

_NAMES = ("first_name", "last_name")
_DIGITS_OF_A_DAY = 8
_COMPARED_DIGITS = 7


def read_evidence(written: Mapping[str, Texts], date_order: DateOrder) -> dict[str, Texts]:
    """Each field (``model.EVIDENCE_FIELDS``, identifiers) as it is compared; what cannot be read is missing."""
    found: dict[str, Texts] = {}
    for field, texts in written.items():
        if field in _NAMES:
            found[field] = [_name(text) for text in texts]
        elif field == "birth_date":
            found[field] = _days([value_of_cell(text) for text in texts], date_order)
        else:
            found[field] = [value_of_cell(text) for text in texts]
    return found


def extension(written: str | None, key: str | None) -> str | None:
    """The digits behind those of the phone number that was read.

    >>> extension("+1-709-555-0117 x0948", "+17095550117"), extension("(212) 555-0101", "+12125550101")
    ('0948', None)
    """
    digits, number = ("".join(filter(str.isdigit, it or "")) for it in (written, key))
    national = number[-_COMPARED_DIGITS:]
    return digits.partition(national)[2] or None if national else None


def _name(text: str | None) -> str | None:
    part = part_of_name(text)
    return norm_name(part) if part else None


def _days(texts: Texts, date_order: DateOrder) -> list[str | None]:
    """Days of one column. Eight digits that are no day are kept: they may be a day with a typing error."""
    filled = [text for text in texts if text]
    shown = Counter(it for it in map(date_evidence, filled) if it)
    column = column_of(shown, len(filled), date_order)[0].code
    return [_day(text, column) if text else None for text in texts]


def _day(text: str, column: str) -> str | None:
    digits = "".join(filter(str.isdigit, text))
    return norm_date(text, column) or (digits if len(digits) == _DIGITS_OF_A_DAY else None)
