"""Decided: the records of a batch that decisions of people are about, and the links that ``same`` makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.decisions import Decision
from service.decisions.partition import Partition
from service.engine.contract import Engine, Table

DECISION = "decision"
"""The rule that links records decided the same; a column of KEYS."""
# Rows with one id have one key, and are one customer already: the first stands for them.
_FOUND = """
    select this.key, min(records.ordinal) as ordinal, any_value(records.source) as source,
        arg_min(records.source_id, records.ordinal) as source_id
    from this join records on records.record_key = this.key
    group by this.key
"""
_WITH_DECISION = f"""
    select this.*, coalesce(decided.number, -1) as {DECISION}
    from this left join decided using (ordinal)
    order by ordinal
"""


@dataclass(frozen=True)
class Attached:
    """A decision whose records are in the batch."""

    decision: Decision
    left: int
    """Ordinal of the record."""
    right: int
    names: tuple[str, str]
    """What the sources call them now: ``CRM:1001``."""


def attached(decisions: Sequence[Decision], records: Table, engine: Engine) -> list[Attached]:
    """The decisions of which both records are among ``records`` (RECORD), in their order."""
    keys = sorted({key for decision in decisions for key in decision.keys})
    named = engine.text_table(("key",), ((key,) for key in keys))
    found = {key: (ordinal, f"{source}:{id_}") for key, ordinal, source, id_ in named.rows(_FOUND, records=records)}
    named.release()
    both_found: list[Attached] = []
    for decision in decisions:
        if found.keys() >= set(decision.keys):
            (left, left_name), (right, right_name) = (found[key] for key in decision.keys)
            both_found.append(Attached(decision, left, right, (left_name, right_name)))
    return both_found


def with_same(keys: Table, same: Sequence[Attached], engine: Engine) -> Table:
    """``keys`` with one more column, ``decision``: what the closure of ``same`` makes one has the same number.

    As in the other columns that is the smallest ordinal with it, or -1. ``keys`` is released.
    """
    numbers = _smallest_of_closure(same)
    decided = integer_table(("ordinal", "number"), numbers.items(), engine)
    found = keys.derive(_WITH_DECISION, decided=decided)
    decided.release()
    keys.release()
    return found


def integer_table(columns: Sequence[str], rows: Iterable[Sequence[int]], engine: Engine) -> Table:
    """A small table of integers."""
    texts = engine.text_table(columns, (tuple(map(str, row)) for row in rows))
    table = texts.derive(f"select {', '.join(f'{name}::bigint as {name}' for name in columns)} from this")
    texts.release()
    return table


def _smallest_of_closure(same: Sequence[Attached]) -> dict[int, int]:
    """Ordinal -> the smallest that decisions make the same customer."""
    ordinals = sorted({ordinal for it in same for ordinal in (it.left, it.right)})
    position = {ordinal: at for at, ordinal in enumerate(ordinals)}
    clusters = Partition(len(ordinals))
    for it in same:
        clusters.join(position[it.left], position[it.right])
    smallest: dict[int, int] = {}
    return {ordinal: smallest.setdefault(clusters.find(at), ordinal) for at, ordinal in enumerate(ordinals)}
