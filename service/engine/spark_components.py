"""Connected components of a large graph, by statements alone: nothing that grows with it comes to the driver.

Each round links every node to its smallest neighbour, if that is smaller; pointer jumping makes every parent a root;
then each tree is contracted to its root. The number of rounds grows with the logarithm of the longest chain,
and a node with many neighbours costs one row for each. Each statement is written before the next begins.
"""

from __future__ import annotations

from service.engine.spark_tables import SparkTable

_EDGES = """
    select one as a, other as b from this where one <> other
    union all select other, one from this where one <> other
"""
_PARENTS = "select a as node, min(b) as parent from this group by a having min(b) < a"
_JUMPED = """
    select this.node, coalesce(above.parent, this.parent) as parent, above.parent is not null as has_moved
    from this left join this as above on above.node = this.parent
"""
_MOVED = "select count(*) from this where has_moved"
_MERGED = """
    select distinct a, b
    from (
        select coalesce(of_a.parent, this.a) as a, coalesce(of_b.parent, this.b) as b
        from this
        left join parents as of_a on of_a.node = this.a
        left join parents as of_b on of_b.node = this.b
    )
    where a <> b
"""
# A node that had no label yet was the root of its tree.
_LABELLED = """
    select this.node, coalesce(parents.parent, this.label) as label
    from this left join parents on parents.node = this.label
    union all
    select node, parent from parents
"""


def labels(links: SparkTable) -> SparkTable:
    """node · label: for each node the smallest node of its component; the smallest itself has no row.

    In:     links  one · other
    """
    edges = links.derive(_EDGES)
    found: SparkTable | None = None
    while edges.count():
        parents = _flat(edges.derive(_PARENTS))
        merged = edges.derive(_MERGED, parents=parents)
        if found is None:
            relabelled = parents.derive("select node, parent as label from this")
        else:
            relabelled = found.derive(_LABELLED, parents=parents)
            found.release()
        edges.release()
        parents.release()
        edges, found = merged, relabelled
    if found is None:
        found = edges.derive("select a as node, b as label from this")
    edges.release()
    return found


def _flat(parents: SparkTable) -> SparkTable:
    """node · parent, of which each parent is a root."""
    while True:
        jumped = parents.derive(_JUMPED)
        parents.release()
        parents = jumped
        if jumped.rows(_MOVED) == [(0,)]:
            return parents
