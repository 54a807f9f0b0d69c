"""Cluster: close links to groups."""

from __future__ import annotations

from service.engine.contract import Engine, Table


def cluster(links: Table, records: int, engine: Engine) -> Table:
    """Group the records that links connect, directly or through others.

    In:     links      LINKS, which are released
            records    how many records there are; their ordinals are 0 … records - 1
    Out:    ordinal · group_id            one row per record; group_id is the smallest ordinal of the group
    Source: docs/specification.md section 5
    """
    groups = engine.components(links, records)
    links.release()
    return groups
