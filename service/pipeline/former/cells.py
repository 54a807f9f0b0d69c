"""Values of cells, by the former rules: the fields of a row as the former keys were made of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from service.engine.contract import BLANK, sql_text
from service.model import FieldPath, Layout
from service.pipeline.former.missing import MISSING_WORDS
from service.pipeline.formulas import FORMULA
from service.readers.csv_header import exact
from service.readers.rows import BOOLEAN_MARK, FileReport, cell_name

FIELDS = ("source_id", "full_name", "email", "phone", "signup_date", "status")
"""The fields that former keys were made of."""

_NEW_PATHS: dict[tuple[str, str], tuple[FieldPath, ...]] = {
    ("crm", "full_name"): (("name",), ("first_name", "last_name")),
    ("ecom", "source_id"): (("_id",), ("customer_id",)),
    ("ecom", "full_name"): (("first_name", "last_name"),),
    ("ecom", "email"): (("email",),),
    ("ecom", "phone"): (("phone",),),
    ("plain", "source_id"): (("_id",), ("customer_id",)),
    ("plain", "full_name"): (("full_name",),),
}
"""Layout and field -> the field paths that its built-in layout did not have."""

# Case-folding splits the ligature "fi", a regular expression does not.
_WORDS = "|".join(re.escape(word).replace("fi", "(?:fi|\ufb01)") for word in sorted(MISSING_WORDS))
_SIGNS = "|".join(re.escape(word) for word in sorted(MISSING_WORDS) if not word.isalpha())
_MISSING_CELL = f"{BLANK}*(?:{_WORDS})?{BLANK}*"
_MISSING_PART = f"{BLANK}*(?:{_SIGNS})?{BLANK}*"
# A truth value was the text of its word.
_WRITTEN = f"""if(regexp_full_match($cell, '{BOOLEAN_MARK}(?:true|false)'), substr($cell, 2), $cell)"""
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


def former_columns(report: FileReport) -> Iterator[str]:
    """SQL for the former values, on a table of cells (RAW) that was read with this report."""
    layout = report.layout
    for name in FIELDS:
        options = (option for option in layout.fields.get(name, ()) if _was_read(name, option, report))
        values = (_value(layout, option) for option in options)
        yield f"coalesce({', '.join([*values, 'null::varchar'])}) as {former_column(name)}"


def _was_read(name: str, option: FieldPath, report: FileReport) -> bool:
    """Whether the former layouts had this field path, and found its columns by their exact names."""
    is_new = name in report.layout.one_origin and option in _NEW_PATHS.get((report.layout.name, name), ())
    columns = report.column_names
    return not is_new and all(columns.get(path, exact(path)) == exact(path) for path in option)


def _value(layout: Layout, option: FieldPath) -> str:
    cells = [_WRITTEN.replace("$cell", cell_name(layout.paths.index(path))) for path in option]
    if len(cells) == 1:
        return _CELL.replace("$cell", cells[0])
    return f"nullif(concat_ws(' ', {', '.join(_PART.replace('$cell', cell) for cell in cells)}), '')"
