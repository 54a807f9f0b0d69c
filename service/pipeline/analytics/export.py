"""Export: ``sample_output.json``, and the report that counts its values and their evidence.

The models are the published schema: docs/sample_output.schema.json is generated from them, and the tests validate every
export against them. The engine writes the file, so that a million customers need no Python objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.engine.contract import Table, sql_text
from service.vocabulary import STATED, Activity, Channel, Engagement, Segment, Tier

EXPORT = "sample_output.json"
REPORT = "analytics_report.json"
MAX_ID_DIGITS = 15
"""An id with more digits is written as text, because many JSON readers would round the number."""

_NUMBER_ID = rf"[1-9][0-9]{{0,{MAX_ID_DIGITS - 1}}}"
_HIGH, _MEDIUM = 80, 50
QUALITY = f"""
    case when data_quality_score >= {_HIGH} then 'high' when data_quality_score >= {_MEDIUM} then 'medium'
         else 'low' end
"""


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QualitySummary(_Published):
    """Number of customers by data_quality_score: high from 80, medium from 50, low below."""

    high_quality: int = Field(ge=0)
    medium_quality: int = Field(ge=0)
    low_quality: int = Field(ge=0)


class Metadata(_Published):
    """Counts and time of the export."""

    total_customers: int = Field(ge=0)
    export_timestamp: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="UTC")
    data_quality_summary: QualitySummary


class Customer(_Published):
    """One customer. Fields without evidence are unknown."""

    customer_id: Annotated[int, Field(ge=1, lt=10**MAX_ID_DIGITS)] | Annotated[str, Field(min_length=1)] | None
    full_name: str = Field(min_length=1)
    email_domain: str = Field(min_length=1)
    engagement_level: Engagement
    activity_status: Activity
    acquisition_channel: Channel
    market_segment: Segment
    customer_tier: Tier
    data_quality_score: int = Field(ge=0, le=100, multiple_of=10)


class Export(_Published):
    """The file sample_output.json: customers in the order of full_name, then customer_id."""

    metadata: Metadata
    customers: tuple[Customer, ...]


_FIELDS = tuple(Customer.model_fields)
_TEXTS, _WORDS = _FIELDS[1:3], _FIELDS[3:-1]
# Numbers come before texts, texts before missing ids; equal and missing ids keep the order of the file.
_ORDER = "full_name, number_id nulls last, id nulls last, row_number"
# What a line is made of: the lines themselves are far longer.
_PARTS_OF_A_LINE = f"""
    select
        row_number, id, case when regexp_full_match(id, '{_NUMBER_ID}') then id::bigint end as number_id,
        {", ".join(_FIELDS[1:])}
    from this
"""
_CUSTOMER_ID = """
    case when id is null then 'null' when number_id is not null then id else to_json(id)::varchar end
"""
# concat, not ||: of a chain of these each makes a text of its own.
_MEMBERS = ", ',' || chr(10), ".join(
    [
        f"""'      "customer_id": ', {_CUSTOMER_ID}""",
        *(f"""'      "{name}": ', to_json({name})::varchar""" for name in _TEXTS),
        *(f"""'      "{name}": "', {name}, '"'""" for name in _WORDS),
        """'      "data_quality_score": ', data_quality_score""",
    ]
)
_LINE = f"""
    select
        concat(
            case when position = 1 then {{head}} || chr(10) else '' end,
            '    {{' || chr(10), {_MEMBERS}, chr(10) || '    }}',
            case when position = {{last}} then chr(10) || {{tail}} else ',' end
        ) as line
    from this
"""

VALUES: Mapping[str, tuple[str, ...]] = {**STATED, "data_quality": ("high", "medium", "low")}
"""Column that the report counts -> its values."""
_FROM = {
    "engagement_from": "engagement_level",
    "activity_from": "activity_status",
    "channel_from": "acquisition_channel",
    "segment_from": "market_segment",
    "tier_from": "customer_tier",
}
_COUNTED = " union all ".join(
    f"select '{column}', {column}, count(*) from quality group by {column}" for column in (*VALUES, *_FROM)
)
_COUNTS = f"""
    with quality as (select *, {QUALITY} as data_quality from this)
    {_COUNTED}
    union all select 'matched_by', coalesce(matched_by, 'nothing'), count(*) from quality group by matched_by
    order by 1, 2
"""
Counts = Mapping[str, Mapping[str, int]]


def count(customers: Table) -> Counts:
    """Column -> value -> number of customers, for all columns of the report; values without a customer are left out.

    In:     customers  as ``enrich`` returns them
    """
    counts: dict[str, dict[str, int]] = {}
    for column, value, number in customers.rows(_COUNTS):
        counts.setdefault(column, {})[value] = number
    return counts


def report(
    counts: Counts, *, fetched_at: int | None, master: str | None, rejects: int, repeated: int
) -> dict[str, Any]:
    """The content of ``analytics_report.json``: counts only; always the same keys, in the same order."""

    def each(column: str, values: tuple[str, ...]) -> dict[str, int]:
        return {value: counts.get(column, {}).get(value, 0) for value in values}

    return {
        "customers": sum(counts.get("data_quality", {}).values()),
        "fetched_at": None if fetched_at is None else _utc(datetime.fromtimestamp(fetched_at, UTC)),
        "master": master,
        "rejects": rejects,
        "repeated_ids_removed": repeated,
        "matched_in_master": each("matched_by", ("email", "phone", "name", "nothing")),
        **{column: each(column, values) for column, values in VALUES.items()},
        "evidence": {column: each(source, ("record", "master", "none")) for source, column in _FROM.items()},
    }


def write_export(customers: Table, counts: Counts, exported_at: datetime, folder: Path) -> None:
    """Write ``sample_output.json``, indented by two blanks.

    In:     customers  as ``enrich`` returns them
            counts     as ``count`` returns them
    """
    quality = counts.get("data_quality", {})
    metadata = {
        "total_customers": sum(quality.values()),
        "export_timestamp": _utc(exported_at),
        "data_quality_summary": {f"{level}_quality": quality.get(level, 0) for level in VALUES["data_quality"]},
    }
    empty = json.dumps({"metadata": metadata, "customers": []}, indent=2)
    if not quality:
        (folder / EXPORT).write_text(f"{empty}\n", encoding="utf-8")
        return
    head, tail = empty.removesuffix("]\n}"), "  ]\n}"
    line = _LINE.replace("{head}", sql_text(head)).replace("{tail}", sql_text(tail))
    line = line.replace("{last}", f"{customers.count()}")
    in_order = customers.sorted(_ORDER, _PARTS_OF_A_LINE).numbered("position", 1)
    in_order.write_lines(folder / EXPORT, "line", _ORDER, line)


def write_report(content: Mapping[str, Any], folder: Path) -> None:
    """Write ``analytics_report.json``."""
    (folder / REPORT).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def schema() -> str:
    """The JSON Schema of ``sample_output.json``: the text of docs/sample_output.schema.json."""
    return json.dumps(Export.model_json_schema(), indent=2) + "\n"


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
