"""How the pages write numbers, times and sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from service.dashboard import formats

NOW = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "–"),
        (0, 7, "0 %"),
        (7, 7, "100 %"),
        (1, 3, "33.3 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


def test_numbers_sizes_and_durations_have_units_and_separators() -> None:
    assert (formats.number(1_234_567), formats.number(None)) == ("1,234,567", "–")
    assert [formats.size(n) for n in (0, 999, 1000, 12_345_678, None)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "12.3 MB",
        "–",
    ]
    seconds = (0.04, 9.96, 59.4, 200, 7500, None)
    assert [formats.duration(it) for it in seconds] == ["0.0 s", "10.0 s", "59 s", "3 min 20 s", "2 h 5 min", "–"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "just now"), (1, "1 second ago"), (59, "59 seconds ago"), (3600, "1 hour ago"), (-7200, "in 2 hours")],
)
def test_a_time_is_relative_with_the_exact_one_on_hover(seconds: int, text: str) -> None:
    shown = str(formats.when((NOW - timedelta(seconds=seconds)).isoformat(), NOW))
    assert f">{text}</time>" in shown
    assert 'title="2026-11-26 ' in shown


def test_what_is_no_time_is_shown_as_text_and_stays_text() -> None:
    assert str(formats.when("<b>", NOW)) == "&lt;b&gt;"
    assert str(formats.when(None, NOW)) == "–"


def test_text_in_backticks_becomes_code_and_nothing_else_becomes_markup() -> None:
    assert str(formats.code_spans("a `<b>` c")) == "a <code>&lt;b&gt;</code> c"
    assert str(formats.code_spans("one ` only <i>")) == "one ` only &lt;i&gt;"
