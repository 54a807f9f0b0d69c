"""The suffix of an export's name pairs it with others, and may give it an order in time."""

from __future__ import annotations

import doctest

import pytest

from service import suffixes
from service.suffixes import is_before, order_of, sort_key


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(suffixes).failed == 0


@pytest.mark.parametrize("suffix", ["2024-01-15", "20240115", "2024_01_15", "2024.01.15", "2024 01 15"])
def test_a_date_has_the_same_order_in_every_notation(suffix: str) -> None:
    assert order_of(suffix) == order_of("2024-01-15")
    assert is_before("2024-01-14", suffix)
    assert is_before(suffix, "2024-01-16")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [("2023-12-31", "2024-01-01"), ("9", "10"), ("007", "8"), ("20239999", "20240000")],
)
def test_dates_and_numbers_have_an_order(earlier: str, later: str) -> None:
    assert is_before(earlier, later)
    assert not is_before(later, earlier)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024-01-15", "2024-01-15"),
        ("2024-01-15", "20240115"),
        ("7", "007"),
        ("7", "2024-01-15"),  # of two kinds
        ("north", "south"),
        ("", "2024-01-15"),
        ("", ""),
        ("2024-13-45", "2024-13-46"),  # no dates
        ("²", "9"),
    ],
)
def test_without_an_order_neither_comes_before_the_other(one: str, other: str) -> None:
    assert not is_before(one, other)
    assert not is_before(other, one)


def test_batches_are_processed_in_order_and_those_without_one_last() -> None:
    suffixes_found = ["north", "10", "2024-02-01", "", "9", "2024-01-15"]
    assert sorted(suffixes_found, key=sort_key) == ["2024-01-15", "2024-02-01", "9", "10", "north", ""]
