"""Ids with thousands commas, as a spreadsheet writes a column of numbers: ``1,001`` is ``1001``.

Decided for the column of each source: every id with a comma must be a number in groups of three, and no id without a
comma may equal one without its commas, for then the comma distinguishes two customers.
"""

from __future__ import annotations

from service.engine.contract import Table, sql_text

_GROUPED = "[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:[.]0*)?"
_WITH_COMMA = f"""
    select source, count(*) filter (not regexp_full_match(trim(source_id), '{_GROUPED}'))
    from this where strpos(source_id, ',') > 0
    group by source
"""
_CLASHES = f"""
    select distinct this.source
    from this join (
        select source, replace(regexp_replace(trim(source_id), '[.]0*$', ''), ',', '') as plain from this
        where strpos(source_id, ',') > 0 and regexp_full_match(trim(source_id), '{_GROUPED}')
    ) as others on others.source = this.source and others.plain = regexp_replace(trim(this.source_id), '[.]0*$', '')
"""


def ungrouped(rows: Table) -> Table:
    """The rows with ``source_id`` without commas, in the sources whose ids are grouped numbers."""
    candidates = {source for source, others in rows.rows(_WITH_COMMA) if not others}
    if not candidates:
        return rows
    candidates -= {source for (source,) in rows.rows(_CLASHES)}
    if not candidates:
        return rows
    listed = ", ".join(map(sql_text, sorted(candidates)))
    return rows.derive(
        f"""
        select * exclude (source_id),
            case when source in ({listed}) then replace(source_id, ',', '') else source_id end as source_id
        from this
        """
    )
