"""Cells that a spreadsheet would run as a formula: ``load`` puts a quote before them, ``extract`` removes it."""

from __future__ import annotations

from service.engine.contract import BLANK, sql_text

FORMULA = rf"{BLANK}*[=+\-@\t\r＝＋－＠]"
"""Regular expression: the beginning of a formula. Its first visible character is = + - @ or a full-width form of
these, or there is a tab or a carriage return."""

# Behind one quote more, a formula that ends in a quote would be a cell in a pair of quotes: it gets such a pair.
_ESCAPED = rf"""
    case
        when not regexp_matches($cell, {sql_text(f"^{FORMULA}")}) then $cell
        when regexp_matches($cell, {sql_text(f"'{BLANK}*$")}) then '''' || replace($cell, '''', '''''') || ''''
        else '''' || $cell
    end
"""


def escaped_sql(cell: str) -> str:
    """SQL: the text with a quote before it if it is a formula, so that ``value_of_cell`` gives the text again."""
    return _ESCAPED.replace("$cell", cell)
