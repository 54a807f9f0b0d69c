"""The log lines about the decisions of people that a batch followed; without decisions there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from service.journal import Journal
from service.pipeline.matching.grouping import Followed

_MOST_NUMBERS = 20
"""So many decisions are named in one line or event, and so many have a line of their own."""


def report_decisions(followed: Followed, journal: Journal) -> None:
    """Log how many decisions were applied, which lack a record, and which kept records apart that share a value.

    The text log names records by their ids, the structured log decisions by their numbers.
    """
    if not followed.decisions:
        return
    names = {it.decision.number: it.names for it in followed.attached}
    lacking = [number for number, outcome in followed.outcomes.items() if outcome == "unattached"]
    if lacking:
        journal.line("WARNING", f"Decisions without effect, a record is not in the exports: {_counted(lacking)}")
    for it in followed.kept_apart[:_MOST_NUMBERS]:
        one, other = names[it.number]
        links = f"links left out: {it.links} ({', '.join(it.rules)})"
        journal.line("WARNING", f"Records {one} and {other} kept apart by decision {it.number}, {links}")
    if len(followed.kept_apart) > _MOST_NUMBERS:
        journal.line("WARNING", f"Decisions that kept records apart: {len(followed.kept_apart)}")
    kinds = Counter(it.decision.kind for it in followed.attached)
    journal.event(
        "decisions.applied",
        same=kinds["same"],
        different=kinds["different"],
        unattached=len(lacking),
        links_left_out=sum(it.links for it in followed.kept_apart),
        kept_apart_by=[it.number for it in followed.kept_apart[:_MOST_NUMBERS]],
    )


def _counted(numbers: Sequence[int]) -> str:
    more = ", …" if len(numbers) > _MOST_NUMBERS else ""
    return f"{len(numbers)} ({', '.join(map(str, numbers[:_MOST_NUMBERS]))}{more})"
