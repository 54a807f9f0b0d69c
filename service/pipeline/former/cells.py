"""Values of cells, by the former rules: the fields of a row as the former keys were made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.engine.contract import BLANK, sql_text
from service.model import FieldPath, Layout
from service.pipeline.former.missing import MISSING_WORDS
from service.pipeline.formulas import FORMULA
from service.readers.rows import cell_name

FIELDS = ("source_id", "full_name", "email", "phone", "signup_date", "status")
"""The fields that former keys were made of."""

# Case-folding splits the ligature "fi", a regular expression does not.
_WORDS = "|".join(re.escape(word).replace("fi", "(?:fi|\ufb01)") for word in sorted(MISSING_WORDS))
_SIGNS = "|".join(re.escape(word) for word in sorted(MISSING_WORDS) if not word.isalpha())
_MISSING_CELL = f"{BLANK}*(?:{_WORDS})?{BLANK}*"
_MISSING_PART = f"{BLANK}*(?:{_SIGNS})?{BLANK}*"
_CELL = f"""
    case
        when starts_with($cell, '''') and regexp_matches($cell, {sql_text(rf"^'+{FORMULA}")})
            then case when not regexp_full_match($cell, '(?i)''{_MISSING_CELL}') then substr($cell, 2) end
        when regexp_full_match($cell, '(?i){_MISSING_CELL}') then null
        else $cell
    end
"""
_PART = f"case when not regexp_full_match($cell, '(?i){_MISSING_PART}') then $cell end"


def former_column(name: str) -> str:
    """The column of a field's former value."""
    return f"former_{name}"


def former_columns(layout: Layout) -> Iterator[str]:
    """SQL for the former values, on a table of cells (RAW) that was read in this layout."""
    for name in FIELDS:
        values = (_value(layout, option) for option in layout.fields.get(name, ()))
        yield f"coalesce({', '.join([*values, 'null::varchar'])}) as {former_column(name)}"


def _value(layout: Layout, option: FieldPath) -> str:
    cells = [cell_name(layout.paths.index(path)) for path in option]
    if len(cells) == 1:
        return _CELL.replace("$cell", cells[0])
    return f"nullif(concat_ws(' ', {', '.join(_PART.replace('$cell', cell) for cell in cells)}), '')"
