"""Read ahead: where many values can be read by their definitions alone, worker processes read them first.

A function in Python that a statement calls runs on one processor, whatever the engine does; these run on all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from service.engine.contract import Engine, Table

_CALL = re.compile(r"\b(norm_name|norm_email|compared_phone|norm_date|name_key|email_key)\((\w+)(?:, ([^()]*))?\)")
_MARK = "chr(1)"
"""SQL: a text that no value is."""
_MANY_VALUES = 50_000
"""Fewer are read before the worker processes have started."""
_SAMPLED_ROWS = 20_000
_NEARLY_ALL = 0.9
"""Where so many of all rows need the call, by the sample, it is made for all: not to ask takes less time."""
_LONGEST_BYTES = 1_000
"""Longer texts are read where they are, so that the calls in work have a bounded size."""
_SHARE_OF_THE_SAMPLE, _SHARE_OF_A_TERM, _SHARE_OF_THE_JOIN = 0.02, 0.18, 0.1
"""Of the work around it."""


class _Slow(NamedTuple):
    """A term that calls its definition for many rows.

    name     the name of the term
    call     in its SQL
    is_slow  SQL: whether a row needs the call
    """

    name: str
    call: re.Match[str]
    is_slow: str

    @property
    def arguments(self) -> dict[str, str]:
        """Column -> SQL of each argument of the call."""
        _, text, rule = self.call.groups()
        return {"known_text": text} if rule is None else {"known_text": text, "known_rule": rule}


@contextmanager
def read_ahead(rows: Table, terms: Mapping[str, str], engine: Engine) -> Iterator[tuple[Table, Mapping[str, str]]]:
    """The rows with the results of slow calls beside them, and the terms with these instead of the calls.

    In:   rows   source · row_number · what the terms need
          terms  name -> SQL of a value, which calls its definition for what it cannot decide itself
    Out:  the rows in their order, with more columns, until the block ends; and the terms, which use these
    """
    slow_terms = [] if engine.calls_in_parallel else _slow_terms(rows, terms, engine)
    if not slow_terms:
        yield rows, terms
        return
    # The rows of several exports have no positions before they are one table.
    own = rows.derive("from this")
    results: list[Table] = []
    for slow in slow_terms:
        with engine.meter.part(_SHARE_OF_A_TERM, steps=0):
            results.append(_results_of(own, slow, engine))
    with engine.meter.part(_SHARE_OF_THE_JOIN):
        read = _with_results(own, slow_terms, results)
    for table in (own, *results):
        table.release()
    names = [it.name for it in slow_terms]
    known = {name: f"case when is_known_{name} then known_{name} else {terms[name]} end" for name in names}
    try:
        yield read, {**terms, **known}
    finally:
        read.release()


def _slow_terms(rows: Table, sql_of: Mapping[str, str], engine: Engine) -> list[_Slow]:
    """Those that call their definitions for many rows, by a sample."""
    calls = ((name, sql, _CALL.search(sql)) for name, sql in sql_of.items())
    candidates = [
        _Slow(name, call, f"{_has_text(call)} and ({sql.replace(call[0], _MARK)}) = {_MARK}")
        for name, sql, call in calls
        if call is not None
    ]
    with engine.meter.part(_SHARE_OF_THE_SAMPLE, steps=2):
        count = rows.count()
        if count < _MANY_VALUES or not candidates:
            return []
        step = max(count // _SAMPLED_ROWS, 1)
        # In a query of their own: DuckDB plans an aggregate's filter several times, and these are long.
        terms = ", ".join(f"{it.is_slow} as {it.name}" for it in candidates)
        counted = ", ".join(f"count(*) filter ({it.name})" for it in candidates)
        times = rows.rows(f"select {counted} from (select {terms} from this where row_number % {step} = 0)")[0]
    return [
        it if sampled * step < _NEARLY_ALL * count else it._replace(is_slow=_has_text(it.call))
        for it, sampled in zip(candidates, times, strict=True)
        if sampled * step >= _MANY_VALUES
    ]


def _has_text(call: re.Match[str]) -> str:
    """SQL: whether a row has a text for the call; without one it has no result."""
    return f"{call[2]} is not null and strlen({call[2]}) <= {_LONGEST_BYTES}"


def _results_of(rows: Table, slow: _Slow, engine: Engine) -> Table:
    """The arguments of the call, each once, and its ``result``, where rows need it."""
    listed = ", ".join(f"{sql} as {argument}" for argument, sql in slow.arguments.items())
    with engine.meter.part(0.05):
        texts = rows.derive(f"select distinct {listed} from this where {slow.is_slow}")
    with engine.meter.part(0.95, steps=0):
        results = engine.call(slow.call[1], texts, tuple(slow.arguments))
    texts.release()
    return results


def _with_results(rows: Table, slow_terms: Sequence[_Slow], results: Sequence[Table]) -> Table:
    """The rows with the result of each call, where it is needed, in the columns ``known_…`` and ``is_known_…``."""
    columns = "".join(
        f", of_{it.name}.result as known_{it.name}, of_{it.name}.known_text is not null as is_known_{it.name}"
        for it in slow_terms
    )
    joins = " ".join(f"left join of_{it.name} on {_matches(it)}" for it in slow_terms)
    # A join does not keep the order of the rows.
    return rows.numbered("position").derive(
        f"select this.* exclude (position){columns} from this {joins} order by position",
        **{f"of_{it.name}": known for it, known in zip(slow_terms, results, strict=True)},
    )


def _matches(slow: _Slow) -> str:
    return " and ".join(f"{sql} = of_{slow.name}.{argument}" for argument, sql in slow.arguments.items())
