"""What the sweeps share: the houses they start from, and a count of what was tried, shown at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tests.faults.starts import Start, build

_TRIED = "faults tried"

Tally = Callable[[str, Iterable[str]], None]


@pytest.fixture(scope="package")
def start_named(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Start]:
    """The starts, each built once."""
    built: dict[str, Start] = {}

    def start(name: str) -> Start:
        if name not in built:
            built[name] = build(name, tmp_path_factory.mktemp(name.replace(" ", "-")))
        return built[name]

    return start


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """Take down what was tried: a title, and a kind for every try."""

    def note(title: str, kinds: Iterable[str]) -> None:
        counts = Counter(kinds)
        listed = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        record_property(_TRIED, f"{title}: {counts.total()} ({listed})")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was tried."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    tried = [text for report in reports for name, text in getattr(report, "user_properties", []) if name == _TRIED]
    if tried:
        terminalreporter.section("faults tried")
    for text in sorted(set(tried)):
        terminalreporter.write_line(str(text))
