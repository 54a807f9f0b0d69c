"""What a set states about its records: the values that its rules compare, the steps between them, the decisions.

Everything comes from files of the set. How values are compared is what the fields define, nothing else of the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.decisions.decision_file import DECISIONS_FILE
from service.decisions.rows import csv_rows
from service.engine.contract import Engine, Table
from service.pipeline.fields.email import EMAIL_KEY_SQL, email_key
from service.pipeline.fields.name import NAME_KEY_SQL, name_key
from service.pipeline.parquet import RECORDS_FILE

RULES = ("id", "email", "phone", "name", "weighed", "decision")
"""In the order of a reason. The column ``<rule>_value`` of ``Stated.records`` holds what a rule compares."""
STRONGEST_FIRST = ("decision", "id", "email", "phone", "name", "weighed")
"""In the order in which links are added where decisions keep records apart."""
PROVING_COLUMNS = ("via_ordinal", "phone_key", "status_stated")
"""Of ``records.parquet``; sets of older programs have none of them."""
WEIGHED_COLUMNS = ("weighed", "weight", "parts")
"""The same where evidence was weighed. Of the literal rule they are null here."""

_STATED = f"""
    select
        this.ordinal, this.unified_id, try_cast(substr(this.unified_id, 5) as bigint) as customer,
        this.source, this.source_id, is_kept,
        full_name, email, phone, signup_date::varchar as signup_date, status, {{status_stated}} as status_stated,
        via_source, via_id, rules, {{via}} as via, {{phone_key}} as phone_key,
        record_key as id_value, coalesce({EMAIL_KEY_SQL}, email) as email_value, {{phone_value}} as phone_value,
        {NAME_KEY_SQL} as name_value, same.number::bigint as decision_value,
        {{weighed}}::bigint as weighed_value, {{weight}}::double as weight, {{parts}}::varchar as parts
    from this
    left join same on same.ordinal::bigint = this.ordinal
"""
# Where a step is known by source and id only: the record of the customer that has both, if there is but one.
_NAMED = """
    select unified_id, source, source_id, min(ordinal) as via
    from this group by unified_id, source, source_id having count(*) = 1
"""
_BY_NAME = """
    left join named on named.unified_id = this.unified_id and named.source = via_source and named.source_id = via_id
"""
_FIRST_WITH_KEY = """
    select keys.key, min(this.ordinal)::bigint from this join keys on keys.key = this.record_key group by keys.key
"""


@dataclass(frozen=True)
class Stated:
    """What a set states.

    records    ordinal · unified_id · customer (its number) · source · source_id · is_kept · the five fields as texts ·
               status_stated · via_source · via_id · rules · via (ordinal) · phone_key ·
               <rule>_value of each of ``RULES``
    different  the ordinals of the records that each decision ``different`` keeps apart
    lacks      those of ``PROVING_COLUMNS`` that it does not have
    is_weighed  whether weighed evidence made its customers
    """

    records: Table
    different: Sequence[tuple[int, int]]
    lacks: frozenset[str]
    is_weighed: bool = False

    @property
    def linking(self) -> Sequence[str]:
        """The rules that make two records one customer wherever they are."""
        return ("id", "weighed", "decision") if self.is_weighed else RULES


def read_stated(folder: Path, engine: Engine, *, is_weighed: bool) -> Stated | None:
    """What the set in ``folder`` states; None where a former program weighed evidence.

    Raises: OSError, and what the engine raises for a damaged file.
    """
    engine.register("email_key", email_key)
    engine.register("name_key", name_key)
    rows = engine.read_parquet(folder / RECORDS_FILE)
    columns = {name for (name,) in rows.rows("select column_name from (describe from this)")}
    lacks = frozenset(PROVING_COLUMNS) - columns
    if is_weighed and (lacks or not columns.issuperset(WEIGHED_COLUMNS)):
        return None
    same, different = _decided(folder / DECISIONS_FILE, rows, engine)
    is_named = "via_ordinal" in lacks
    sql = _STATED.format(
        via="named.via" if is_named else "via_ordinal",
        phone_key="null::varchar" if "phone_key" in lacks else "this.phone_key",
        phone_value="phone" if "phone_key" in lacks else "coalesce(this.phone_key, phone)",
        status_stated="null::boolean" if "status_stated" in lacks else "this.status_stated",
        **{column: f"this.{column}" if is_weighed else "null" for column in WEIGHED_COLUMNS},
    )
    tables = {"same": engine.text_table(("ordinal", "number"), _closed(same))}
    if is_named:
        tables["named"] = rows.derive(_NAMED)
    records = rows.derive(sql + _BY_NAME if is_named else sql, **tables)
    rows.release()
    return Stated(records, different, lacks, is_weighed)


def _decided(path: Path, rows: Table, engine: Engine) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The ordinals of the records that are decided to be the same, and different. Of rows with one id the first counts.

    A decision of which a record is not in the set has no effect. Sets of older programs have no decisions.
    """
    if not path.exists():
        return [], []
    with csv_rows(path) as decisions:
        decided = [(it["decision"], it["left_key"], it["right_key"]) for it in decisions]
    keys = engine.text_table(("key",), ((key,) for key in sorted({key for _, *both in decided for key in both})))
    ordinal: dict[str, int] = dict(rows.rows(_FIRST_WITH_KEY, keys=keys))
    pairs = [(kind, ordinal[one], ordinal[other]) for kind, one, other in decided if {one, other} <= ordinal.keys()]
    same, different = ([(one, other) for it, one, other in pairs if it == kind] for kind in ("same", "different"))
    return same, different


def _closed(same: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Each of these ordinals, and a number that those have in common which are the same, directly or through others."""
    clusters: dict[int, list[int]] = {ordinal: [ordinal] for pair in same for ordinal in pair}
    for one, other in same:
        smaller, larger = sorted((clusters[one], clusters[other]), key=len)
        if smaller is not larger:
            larger.extend(smaller)
            clusters.update(dict.fromkeys(smaller, larger))
    return [(str(ordinal), str(min(cluster))) for ordinal, cluster in sorted(clusters.items())]
