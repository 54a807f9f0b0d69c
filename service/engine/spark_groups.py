"""A function of whole groups of rows, in Spark's Python workers: each task has all groups of one part.

So a group is walked where its rows are, with as many steps as it takes, and none of it comes to the driver.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from service.engine.contract import GroupFunction, IntArray
from service.engine.spark_session import Session
from service.engine.spark_tables import Rows, SparkTable, materialised

_MANY_ROWS = 1 << 17
"""Rows for one call: to call the function for each small group takes longer."""


class GroupsOfTask(NamedTuple):
    """A group function for the rows of one task, which are ordered by the group."""

    function: GroupFunction

    def results(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What it returns, for some groups after the others."""
        for group, *columns in _whole_groups(batches):
            order = np.lexsort(columns[::-1])
            found = self.function.function(np.unique(group), *(column[order] for column in columns))
            arrays = [pa.array(it.astype(np.int64)) for it in found]
            yield pa.RecordBatch.from_arrays(arrays, list(self.function.result))


def by_group(session: Session, table: SparkTable, function: GroupFunction) -> Rows:
    """A new table of what the function makes of the groups of a table."""
    listed = ", ".join((function.group, *function.columns))
    query = f"select {listed} from {table.view} distribute by {function.group} sort by {function.group}"
    of_task = GroupsOfTask(function)
    types = ", ".join(f"{name} bigint" for name in function.result)
    # A function, because Spark takes no bound method of a tuple.
    results = session.view_of_batches(query, lambda batches: of_task.results(batches), types)
    return materialised(session, f"select * from {results}")


def _whole_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[IntArray, ...]]:
    """The columns of rows ordered by the first, cut where it changes, in parts of about ``_MANY_ROWS`` or one group."""
    kept: list[tuple[IntArray, ...]] = []
    count = 0
    for batch in batches:
        columns = tuple(np.asarray(column.to_numpy(), dtype=np.int64) for column in batch.columns)
        group = columns[0]
        if not len(group):
            continue
        kept.append(columns)
        count += len(group)
        # Not each time that rows are added to one large group: that would copy them each time.
        if count >= _MANY_ROWS and group[-1] != kept[0][0][0]:
            together = _joined(kept)
            last = int(np.searchsorted(together[0], group[-1]))
            yield tuple(column[:last] for column in together)
            kept, count = [tuple(column[last:] for column in together)], count - last
    if kept:
        yield _joined(kept)


def _joined(parts: list[tuple[IntArray, ...]]) -> tuple[IntArray, ...]:
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
