"""The proof of the values: the archived inputs of a set, read once more, give what its records state.

Values are read by the definitions of the fields that the batch used, so a set is read again only by the program and
with the settings that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from service.engine.contract import Engine
from service.errors import InputError
from service.model import Batch, Guards, InputFile, Rules
from service.pipeline.extract import extract
from service.pipeline.fields.phone import other_phone_key_sql
from service.pipeline.normalise import normalise
from service.pipeline.parquet import RECORDS_FILE
from service.verify.findings import Law, broken, differing, differs
from service.verify.stated import Stated

_COLUMNS = (
    *("source", "source_id", "record_key", "full_name", "email", "phone", "signup_date", "status"),
    *("phone_key", "status_stated"),
)
_READ_AGAIN = """
    select coalesce(this.ordinal, again.ordinal) as ordinal, unified_id,
        case when again.ordinal is null then 'no such row' when this.ordinal is null then 'the record is missing'
            else {differing} end as detail
    from (select *, id_value as record_key from this) as this full join again on again.ordinal = this.ordinal
    where this.ordinal is null or again.ordinal is null or {differs}
"""
_NO_GUARDS = Guards(max_reject_percent=100)
_LAW = Law(
    RECORDS_FILE,
    "is not what the archived input gives:",
    _READ_AGAIN.format(differing=differing("this", "again", _COLUMNS), differs=differs("this", "again", _COLUMNS)),
)


def reading_findings(
    stated: Stated, batch_id: str, inputs: Sequence[InputFile], rules: Rules, shown: str, engine: Engine
) -> list[str]:
    """Findings about values that the archived inputs do not give."""
    batch = Batch(batch_id, datetime.fromtimestamp(0, UTC), tuple(inputs))
    try:
        extracted = extract(batch, _NO_GUARDS, engine)
    except InputError as error:
        return [f"{shown}: the archived inputs cannot be read any more: {type(error).__name__}"]
    phone_key = other_phone_key_sql(rules.default_region)
    again = normalise(extracted, rules, engine).records.derive(f"select * replace ({phone_key} as phone_key) from this")
    extracted.rows.release()
    found = broken([_LAW], shown, stated.records, again=again)
    again.release()
    return found
