"""Cells: what programs write round the value of a whole cell; the definition, and the same rule in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from service.engine.contract import BLANK, Callables, sql_text
from service.pipeline.fields.missing import (
    is_missing,
    is_missing_cell_sql,
    is_missing_name,
    is_missing_name_sql,
    is_missing_part,
    is_missing_part_sql,
)
from service.pipeline.fields.text import compiled
from service.pipeline.formulas import FORMULA

# ------------------------------------------------------------------------------------------------ definition

# Within a pair of quotes the quote itself occurs doubled only, or as an apostrophe between letters or digits. No mark
# that may open or close a pair counts as such, so that pairs cannot be nested without end.
_LETTER = r"[^\s!-/:-@\[-`{-~«»‘-›]"
_PAIR = re.compile(
    r"\s*(?:"
    rf"'([^']*(?:(?:''|(?<={_LETTER})'(?={_LETTER}))[^']*)*)'"
    r'|(?:=\s*)?"([^"]*(?:""[^"]*)*)"'
    rf"|‘([^‘’]*(?:(?<={_LETTER})’(?={_LETTER})[^‘’]*)*)’"
    r"|“([^“”]*)”|„([^“”„]*)[“”]|«([^«»]*)»|‹([^‹›]*)›"
    r")\s*"
)
_DOUBLED = {1: "'", 2: '"'}
_QUOTES_BEFORE_A_FORMULA = compiled(rf"(?:{BLANK}|')*'(?={FORMULA})")


def bare_cell(text: str) -> str:
    """The text without what programs write round a whole cell: pairs of quotes, ``="…"``, quotes before a formula.

    All of them are removed, however they are nested, so that the bare text is its own bare text.

    >>> bare_cell("'Ann Roe'"), bare_cell('="0123"'), bare_cell("'O''Brien'"), bare_cell("'t Hooft")
    ('Ann Roe', '0123', "O'Brien", "'t Hooft")
    >>> bare_cell("'‘Ann’'"), bare_cell("'+1'"), bare_cell("''+1"), bare_cell("'+1'''")
    ('Ann', '+1', '+1', "+1'")
    """
    if text[:1].isalnum():
        return text  # nothing opens, as in nearly all cells
    while (inside := without_formula_quotes(_without_pair(text))) != text:
        text = inside  # each round is shorter; there are few, because a pair within one of its kind is doubled
    return text


def without_formula_quotes(text: str) -> str:
    """The text without the quotes before a formula: those that ``formulas.escaped_sql`` or a spreadsheet wrote."""
    quotes = _QUOTES_BEFORE_A_FORMULA.match(text)
    return text[quotes.end() :] if quotes else text


def value_of_cell(cell: str | None) -> str | None:
    """The value of a cell as a field gets it; None if the cell is missing.

    >>> value_of_cell("'Ann'"), value_of_cell("'=1+1"), value_of_cell("'null'"), value_of_cell("'-")
    ('Ann', '=1+1', None, None)
    """
    bare = None if cell is None else bare_cell(cell)
    return None if is_missing(bare) else bare


def part_of_name(cell: str | None) -> str | None:
    """The value of a cell as a part of a composed name; None if it is left out.

    >>> part_of_name("'Na'"), part_of_name("'n/a'"), part_of_name("'7'")
    ('Na', None, None)
    """
    bare = None if cell is None else bare_cell(cell)
    return None if is_missing_part(bare) else bare


def _without_pair(text: str) -> str:
    pair = _PAIR.fullmatch(text)
    if pair is None:
        return text
    kind = pair.lastindex or 0
    mark = _DOUBLED.get(kind)
    return pair[kind].replace(mark + mark, mark) if mark else pair[kind]


# ------------------------------------------------------------------------------------------------------- SQL

# Of nearly all cells the first character shows that nothing is to be removed.
_MAY_OPEN = "($cell < '(' or $cell >= '\u0080' or starts_with($cell, '='))"
_OPENS = rf"""^{BLANK}*(?:['‘“„«‹]|(?:={BLANK}*)?")"""
# Behind the first mark there is none in which a second pair, or a formula behind more quotes, could begin.
_FIRST = rf"""[^{BLANK[1:-1]}='"‘’“”„«»‹›]"""
_ONE_PAIR = (
    rf"""'{_FIRST}[^']*'|=?"{_FIRST}[^"]*"|‘{_FIRST}[^‘’]*’|“{_FIRST}[^“”]*”|„{_FIRST}[^“”„]*[“”]"""
    rf"|«{_FIRST}[^«»]*»|‹{_FIRST}[^‹›]*›"
)
_ONE_QUOTE = rf"""'[^{BLANK[1:-1]}'"][^'"]*"""
_BARE = rf"""case when regexp_full_match($cell, {sql_text(_ONE_PAIR)})
                    then regexp_extract($cell, '(?s)^=?.(.*).$', 1)
                when not regexp_full_match($cell, {sql_text(_ONE_QUOTE)}) then bare_cell($cell)
                when regexp_matches($cell, {sql_text(f"^'{FORMULA}")}) then substr($cell, 2)
                else $cell end"""
_UNLESS_MISSING = rf"""
    case
        when {_MAY_OPEN} and regexp_matches($cell, {sql_text(_OPENS)}) then
            list_transform([{_BARE}], lambda bare: case when not $is_missing(bare) then bare end)[1]
        when $is_missing($cell) then null
        else $cell
    end
"""


class CellSql(NamedTuple):
    """SQL for what a cell holds; each function takes the SQL of a text."""

    value: Callable[[str], str]
    """As ``value_of_cell``."""
    part_of_name: Callable[[str], str]
    """As ``part_of_name``."""
    is_missing_name: Callable[[str], str]
    """As ``is_missing_name``."""


def register_cell(engine: Callables) -> None:
    """Make the definitions callable from SQL; once for each engine, before the SQL of this file is used."""
    for function in (bare_cell, value_of_cell, part_of_name):
        engine.register(function.__name__, function)
    engine.register(is_missing_name.__name__, is_missing_name, "boolean")


def value_of_cell_sql(cell: str) -> str:
    """SQL: the value of the cell in this column, as ``value_of_cell``."""
    return _unless_missing(cell, is_missing_cell_sql)


def part_of_name_sql(cell: str) -> str:
    """SQL: the value of the cell in this column, as ``part_of_name``."""
    return _unless_missing(cell, is_missing_part_sql)


def _unless_missing(cell: str, is_missing_sql: Callable[[str], str]) -> str:
    sql = _UNLESS_MISSING.replace("$is_missing(bare)", is_missing_sql("bare"))
    return sql.replace("$is_missing($cell)", is_missing_sql("$cell")).replace("$cell", cell)


IN_SQL = CellSql(value_of_cell_sql, part_of_name_sql, is_missing_name_sql)
"""The definitions are called only where they are needed: little time for each row."""
BY_DEFINITION = CellSql("value_of_cell({})".format, "part_of_name({})".format, "is_missing_name({})".format)
"""The definitions are called for each cell: little time to plan the statement."""
