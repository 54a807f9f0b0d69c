"""Cells that a spreadsheet would run as a formula: ``load`` puts a quote before them, ``extract`` removes it."""

from __future__ import annotations

from service.engine.contract import BLANK

FORMULA = rf"{BLANK}*[=+\-@\t\r＝＋－＠]"
"""Regular expression: the beginning of a formula. Its first visible character is = + - @ or a full-width form of
these, or there is a tab or a carriage return."""
