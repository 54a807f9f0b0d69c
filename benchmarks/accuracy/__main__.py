"""``python -m benchmarks.accuracy FOLDER [PAGE [PYTHON]]``: measures matchers on the sets that ``gold`` wrote there.

Prints a table, and writes it into the page, between its marks. ``PYTHON``: that of an environment with the peers, which
are measured, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.accuracy.literal_rule import literal_groups
from benchmarks.accuracy.measures import Labels, after_review, measures
from benchmarks.accuracy.peers import PEERS, groups_of
from benchmarks.accuracy.sets import GoldSet, gold_sets
from service.pipeline.matching.safe.matcher import match

BEGIN, END = "<!-- figures: python -m benchmarks.accuracy -->\n", "<!-- /figures -->"
HEAD = (
    "| set | records | customers | matcher | P | R | F1 | B³ P | B³ R | B³ F1 | largest | false merges | queue | same "
    "| F1 after review | CPU s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)


@dataclass(frozen=True)
class Answer:
    """What a matcher makes of a set: the group of each record, and the pairs that it leaves to a person."""

    groups: Labels
    queue: Sequence[tuple[int, int]] = field(default=())


def _safe(gold: GoldSet) -> Answer:
    found = match(gold.fields)
    return Answer(found.groups.tolist(), [(it.one, it.other) for it in found.questions])


MATCHERS: Mapping[str, Callable[[GoldSet], Answer]] = {
    "literal": lambda gold: Answer(literal_groups(gold)),
    "safe": _safe,
}


def main(folder: Path, page: Path | None = None, python_of_peers: Path | None = None) -> None:
    """Measure every matcher on every set."""
    print(HEAD, end="")
    rows = []
    for row in _rows(folder, python_of_peers):
        print(row, end="", flush=True)
        rows.append(row)
    if page:
        text = page.read_text(encoding="utf-8")
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(text[:begin] + HEAD + "".join(rows) + text[end:], encoding="utf-8")


def _rows(folder: Path, python_of_peers: Path | None) -> Iterator[str]:
    for gold in gold_sets(folder):
        for name, matcher in MATCHERS.items():
            start = time.process_time()
            answer = matcher(gold)
            yield _row(gold, name, answer, time.process_time() - start)
        if python_of_peers is not None:
            for name, module in PEERS.items():
                groups, seconds = groups_of(gold, python_of_peers, module)
                yield _row(gold, name, Answer(groups), seconds)


def _row(gold: GoldSet, name: str, answer: Answer, seconds: float) -> str:
    it = measures(answer.groups, gold.customers)
    reviewed = measures(after_review(answer.groups, gold.customers, answer.queue), gold.customers)
    customers, questions = len({*gold.customers}), len(answer.queue)
    same = sum(gold.customers[one] == gold.customers[other] for one, other in answer.queue)
    cells = (
        *(gold.name, f"{len(gold.customers):,}", f"{customers:,}", name),
        *(f"{figure:.4f}" for figure in (it.precision, it.recall, it.f1, *it.bcubed)),
        *(str(it.largest), f"{it.false_merges:.2f}", f"{1000 * questions / customers:.1f}" if questions else "–"),
        *(f"{100 * same / questions:.0f} %" if questions else "–", f"{reviewed.f1:.4f}", f"{seconds:.1f}"),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
