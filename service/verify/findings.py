"""Laws of a set, each as SQL that selects what breaks it, and the sentences about the first that do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from service.engine.contract import Table

_MOST_NAMED = 5
"""So many breaches of a law are named; the others are counted."""
# A file may state anything in place of an id: only what has the form of one is printed.
_FIRST = f"""
    select ordinal, if(regexp_full_match(unified_id, 'CUST[0-9]{{3,19}}'), unified_id, null), detail, count(*) over ()
    from ($sql) order by ordinal, unified_id, detail limit {_MOST_NAMED}
"""


@dataclass
class Proof:
    """What was found in a set, and what could not be proved of it."""

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_unproved: bool = False
    """Whether what made its customers could not be proved."""


@dataclass(frozen=True)
class Law:
    """What must be so in a file of a set.

    sql  selects ordinal · unified_id · detail of each row that breaks it; one of the first two may be null. ``detail``
         holds names of columns and rules, never a value.
    """

    file: str
    broken: str
    """What a finding says; ``detail`` follows."""
    sql: str

    def findings(self, shown: str, this: Table, **others: Table) -> Iterator[str]:
        """A sentence for each of the first breaches; ``shown`` is what messages call the folder."""
        found = this.rows(_FIRST.replace("$sql", self.sql), **others)
        for ordinal, unified_id, detail, _ in found:
            yield f"{shown}/{self.file}: {_subject(ordinal, unified_id)} {self.broken}{f' {detail}' if detail else ''}"
        if found and (more := found[0][-1] - len(found)):
            yield f"{shown}/{self.file}: {more} more {self.broken}"


def _subject(ordinal: int | None, unified_id: str | None) -> str:
    if ordinal is None:
        return unified_id or "a customer"
    return f"record {ordinal}{f' of {unified_id}' if unified_id else ''}"


def broken(laws: Sequence[Law], shown: str, this: Table, **others: Table) -> list[str]:
    """The findings of several laws over the same tables."""
    return [finding for law in laws for finding in law.findings(shown, this, **others)]


def differs(one: str, other: str, columns: Sequence[str]) -> str:
    """SQL: whether any of ``columns`` differs between two rows."""
    return " or ".join(f"{one}.{it} is distinct from {other}.{it}" for it in columns)


def differing(one: str, other: str, columns: Sequence[str]) -> str:
    """SQL: the names of those of ``columns`` that differ between two rows, joined."""
    cases = (f"case when {one}.{it} is distinct from {other}.{it} then '{it}' end" for it in columns)
    return f"concat_ws(', ', {', '.join(cases)})"
