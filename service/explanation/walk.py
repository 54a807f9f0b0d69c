"""The shortest path from one record to every other, over the values that they share. Linear.

It is that of ``pipeline.evidence``: level by level, and of several possible parents the earliest record is taken. So
the tree that is shown for the kept record is the published one.
"""

from __future__ import annotations

from service.explanation.group import Group


def walk_from(group: Group, start: int) -> list[int | None]:
    """For each record its parent on the path from ``start``; None for ``start`` and for records without a path."""
    via: list[int | None] = [None] * len(group.records)
    seen, opened = bytearray(len(group.records)), bytearray(len(group.values))
    seen[start] = True
    level = [start]
    while level:
        following: list[int] = []
        for record in level:
            for value in group.values_of[record]:
                if opened[value]:
                    continue
                opened[value] = True
                for sharer in group.values[value].sharers:
                    if not seen[sharer]:
                        seen[sharer] = True
                        via[sharer] = record
                        following.append(sharer)
        level = sorted(following)
    return via


def path_between(group: Group, start: int, end: int) -> list[int]:
    """The records of the path from ``start`` to ``end``, both among them; empty where there is none."""
    via = walk_from(group, start)
    path = [end]
    while path[-1] != start:
        parent = via[path[-1]]
        if parent is None:
            return []
        path.append(parent)
    return path[::-1]
