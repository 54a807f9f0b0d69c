"""Cluster: close links to groups.

Linear in records and links: a chain of a million records is ordinary work.
"""

from __future__ import annotations

import numpy as np

from service.engine.contract import Engine, IntArray, Table


def cluster(links: Table, records: int, engine: Engine) -> Table:
    """Group the records that links connect, directly or through others.

    In:     links      LINKS
            records    how many records there are; their ordinals are 0 … records - 1
    Out:    ordinal · group_id            one row per record; group_id is the smallest ordinal of the group
    Source: docs/specification.md section 5
    """
    one, other = links.integers("one", "other", sort=False)
    labels = smallest_of_component(records, one, other)
    return engine.table({"ordinal": np.arange(records, dtype=np.int64), "group_id": labels})


def smallest_of_component(size: int, left: IntArray, right: IntArray) -> IntArray:
    """Connected components of the graph on ``0 … size-1``: for each node the smallest of its component.

    Minimum labels with pointer jumping: each round hooks the larger of two roots under the smaller, then
    flattens; the number of rounds is logarithmic in the longest chain.

    >>> smallest_of_component(5, np.array([3, 1]), np.array([1, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    label = np.arange(size, dtype=np.int64)
    while len(left):
        np.minimum.at(label, np.maximum(label[left], label[right]), np.minimum(label[left], label[right]))
        while not np.array_equal(label, label[label]):
            label = label[label]
        apart = label[left] != label[right]
        left, right = left[apart], right[apart]
    return label
