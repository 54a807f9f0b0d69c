"""Connected components of a graph on whole numbers, in memory.

Linear in nodes and edges: a chain of a million nodes is ordinary work.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from service.engine.contract import IntArray

_ROWS_OF_A_PART = 1 << 20
_BYTES_OF_A_NODE, _BYTES_OF_AN_EDGE = 4, 40
"""Of the labels, and of one part of the edges, while components are searched."""


def bytes_for(nodes: int, edges: int) -> int:
    """The memory that ``smallest_of_component`` takes."""
    return _BYTES_OF_A_NODE * nodes + _BYTES_OF_AN_EDGE * min(edges, _ROWS_OF_A_PART)


def smallest_of_component(size: int, links: Iterable[tuple[IntArray, ...]]) -> npt.NDArray[np.int32]:
    """Connected components of the graph on ``0 … size-1``: for each node the smallest of its component.

    ``links`` are parts of its edges, the nodes on one side and on the other.

    Minimum labels with pointer jumping: each round hooks the larger of two roots under the smaller, then
    flattens; the number of rounds is logarithmic in the longest chain.

    >>> smallest_of_component(5, [(np.array([3]), np.array([1])), (np.array([1]), np.array([4]))]).tolist()
    [0, 1, 2, 1, 1]
    """
    label = np.arange(size, dtype=np.int32)
    for left, right in links:
        one, other = label[left], label[right]
        while len(one):
            np.minimum.at(label, np.maximum(one, other), np.minimum(one, other))
            _flatten(label)
            one, other = label[one], label[other]
            apart = one != other
            one, other = one[apart], other[apart]
    return label


def _flatten(label: npt.NDArray[np.int32]) -> None:
    """Make each label that of its root; in place, and part by part, so that it takes no memory."""
    is_flat = False
    while not is_flat:
        is_flat = True
        for start in range(0, len(label), _ROWS_OF_A_PART):
            part = label[start : start + _ROWS_OF_A_PART]
            above = label[part]
            if not np.array_equal(part, above):
                is_flat = False
                part[:] = above
