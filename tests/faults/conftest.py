"""What the sweeps share: the houses they start from, and a count of what was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tests.faults.starts import Start, build

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
    """A function that records what was tried: a title, and a kind for every try."""

    def note(title: str, kinds: Iterable[str]) -> None:
        counts = Counter(kinds)
        listed = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        record_property(title, f"{counts.total()} ({listed})")

    return note
