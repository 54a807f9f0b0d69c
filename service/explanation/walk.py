"""The shortest way from one record to every other, over the values that they share. Linear.

It is that of ``pipeline.evidence``: level by level, and of several records before one the earliest counts. So the tree
that is shown for the kept record is the published one.
"""

from __future__ import annotations

from service.explanation.group import Group


def walk_from(group: Group, start: int) -> list[int | None]:
    """For each record the one before it on the way from ``start``; None for ``start`` and for what is not reached."""
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


def way_between(group: Group, start: int, end: int) -> list[int]:
    """The records from ``start`` to ``end``, both among them; empty where no value leads there."""
    via = walk_from(group, start)
    way = [end]
    while way[-1] != start:
        before = via[way[-1]]
        if before is None:
            return []
        way.append(before)
    return way[::-1]
