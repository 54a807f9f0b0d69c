"""Real names of many cultures: as an export writes them, as the rule prints them, and why.

If the rule gives a form that no person would write by hand, the table says so: the rule is the same for all names,
knows no language, and the case of a name never decides whether two names are equal.
"""

from __future__ import annotations

import pytest

from service.pipeline.fields.name import name_key, norm_name, read_name
from tests.corpus import REAL_NAMES as NAMES


@pytest.mark.parametrize(("written", "expected", "why"), NAMES, ids=[ascii(written) for written, _, _ in NAMES])
def test_a_real_name_is_printed_by_the_rule(written: str, expected: str, why: str) -> None:
    assert read_name(written) == expected, why
    assert read_name(expected) == expected


def test_there_are_names_of_many_cultures_each_once() -> None:
    assert len({written for written, _, _ in NAMES}) == len(NAMES) >= 150


def test_the_rule_changes_no_letters_of_a_real_name() -> None:
    for written, expected, _ in NAMES:
        # Turkish has two letters i, case-folding has one and a half; the words of "Last, First" swap.
        if "," in written or not written.isprintable() or set("İı\u0307") & set(written):
            continue
        assert name_key(" ".join(written.split())) == name_key(expected)


def test_real_names_that_differ_in_letters_stay_different() -> None:
    shown = {norm_name(written) for written, _, _ in NAMES}
    keys = {name_key(expected) for _, expected, _ in NAMES}
    assert {name_key(name) for name in shown if name} == keys
