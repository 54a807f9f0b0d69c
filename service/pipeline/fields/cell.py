"""Cells: what programs write round the value of a whole cell; the definition, and the same rule in SQL."""

from __future__ import annotations

from collections.abc import Callable

from service.engine.contract import BLANK, sql_text
from service.pipeline.fields.missing import is_missing, is_missing_cell_sql, is_missing_part_sql
from service.pipeline.fields.text import compiled
from service.pipeline.formulas import FORMULA

# ------------------------------------------------------------------------------------------------ definition

# Within a pair of quotes the quote itself occurs doubled only, or as an apostrophe between two other characters.
_WRAPPED = (
    rf"{BLANK}*(?:"
    r"'([^']*(?:(?:''|[^ ']'[^ '])[^']*)*)'"
    rf'|=?{BLANK}*"([^"]*(?:""[^"]*)*)"'
    "|\u201c([^\u201c\u201d]*)\u201d|\u201e([^\u201c\u201d\u201e]*)[\u201c\u201d]"
    "|\u2018([^\u2018\u2019]*(?:[^ \u2018\u2019]\u2019[^ \u2018\u2019][^\u2018\u2019]*)*)\u2019"
    "|\u00ab([^\u00ab\u00bb]*)\u00bb|\u2039([^\u2039\u203a]*)\u203a"
    rf"){BLANK}*"
)
_INSIDE = r"\1\2\3\4\5\6\7"
_QUOTED_FORMULA = rf"^'+{FORMULA}"
_IS_WRAPPED, _IS_QUOTED_FORMULA = compiled(_WRAPPED), compiled(_QUOTED_FORMULA)


def unwrapped(text: str) -> str:
    """The text without a pair of quotes or ``="…"`` round all of it; a doubled quote within is one.

    >>> unwrapped("'Ann Roe'"), unwrapped('="0123"'), unwrapped("'O''Brien'"), unwrapped("'t Hooft")
    ('Ann Roe', '0123', "O'Brien", "'t Hooft")
    """
    wrapped = _IS_WRAPPED.fullmatch(text)
    return wrapped.expand(_INSIDE).replace("''", "'").replace('""', '"') if wrapped else text


def value_of_cell(cell: str | None) -> str | None:
    """The value of a cell as a field gets it; None if the cell is missing.

    The quote that our own writer puts before a formula is removed, too.

    >>> value_of_cell("'Ann'"), value_of_cell("'=1+1"), value_of_cell("'null'"), value_of_cell("'-")
    ('Ann', '=1+1', None, None)
    """
    if cell is None:
        return None
    bare = unwrapped(cell)
    if _IS_QUOTED_FORMULA.match(bare):
        bare = bare[1:]
    return None if is_missing(bare) else bare


# ------------------------------------------------------------------------------------------------------- SQL

# Of nearly all cells the first character shows that nothing is to be removed.
_MAY_BE_WRAPPED = "($cell < '(' or $cell >= '\u00a0' or starts_with($cell, '='))"
_UNWRAPPED = rf"""case when regexp_full_match($cell, {sql_text(_WRAPPED)})
            then replace(replace(regexp_replace($cell, {sql_text(f"^(?:{_WRAPPED})$")}, '{_INSIDE}'),
                '''''', ''''), '""', '"')
            else $cell end"""
_WITHOUT_OUR_QUOTE = rf"""case when starts_with(bare, '''') and regexp_matches(bare, {sql_text(_QUOTED_FORMULA)})
            then substr(bare, 2) else bare end"""
_UNLESS_MISSING = rf"""
    case
        when {_MAY_BE_WRAPPED} then
            list_transform(list_transform([{_UNWRAPPED}], lambda bare: {_WITHOUT_OUR_QUOTE}),
                lambda it: case when not $is_missing(it) then it end)[1]
        when $is_missing($cell) then null
        else $cell
    end
"""


def value_of_cell_sql(cell: str) -> str:
    """SQL: the value of the cell in this column, as ``value_of_cell``."""
    return _unless_missing(cell, is_missing_cell_sql)


def part_of_name_sql(cell: str) -> str:
    """SQL: the value of the cell in this column as a part of a composed name; null if it is left out."""
    return _unless_missing(cell, is_missing_part_sql)


def _unless_missing(cell: str, is_missing_sql: Callable[[str], str]) -> str:
    sql = _UNLESS_MISSING.replace("$is_missing(it)", is_missing_sql("it"))
    return sql.replace("$is_missing($cell)", is_missing_sql("$cell")).replace("$cell", cell)
