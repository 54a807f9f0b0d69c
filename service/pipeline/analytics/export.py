"""Export: ``sample_output.json``, and the report that says what it rests on.

The models are the published schema: docs/sample_output.schema.json is made of them, and the tests hold every export
to it. The file itself is written by the engine, which needs no object for each of a million customers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from service.engine.contract import Table
from service.vocabulary import Activity, Channel, Engagement, Segment, Tier

EXPORT = "sample_output.json"
REPORT = "analytics_report.json"
MOST_DIGITS = 15
"""An id of more digits is written as text: many readers of JSON would round it."""

_NUMBER_ID = rf"[1-9][0-9]{{0,{MOST_DIGITS - 1}}}"
_HIGH, _MEDIUM = 80, 50
QUALITY = f"""
    case when data_quality_score >= {_HIGH} then 'high' when data_quality_score >= {_MEDIUM} then 'medium'
         else 'low' end
"""


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QualitySummary(_Published):
    """How many customers have a score of 80 or more, of 50 or more, of less."""

    high_quality: int = Field(ge=0)
    medium_quality: int = Field(ge=0)
    low_quality: int = Field(ge=0)


class Metadata(_Published):
    """What the export is."""

    total_customers: int = Field(ge=0)
    export_timestamp: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", description="UTC")
    data_quality_summary: QualitySummary


class Customer(_Published):
    """One customer; what nothing tells of is unknown."""

    customer_id: Annotated[int, Field(ge=1, lt=10**MOST_DIGITS)] | Annotated[str, Field(min_length=1)] | None
    full_name: str = Field(min_length=1)
    email_domain: str = Field(min_length=1)
    engagement_level: Engagement
    activity_status: Activity
    acquisition_channel: Channel
    market_segment: Segment
    customer_tier: Tier
    data_quality_score: int = Field(ge=0, le=100, multiple_of=10)


class Export(_Published):
    """``sample_output.json``: customers by full name, then id."""

    metadata: Metadata
    customers: tuple[Customer, ...]


_FIELDS = tuple(Customer.model_fields)
_TEXTS, _WORDS = _FIELDS[1:3], _FIELDS[3:-1]
# Numbers before texts before those without; of the same ids, and of those without, the order of the file.
_ORDER = "full_name, number_id nulls last, id nulls last, row_number"
_REVERSED = "full_name desc, number_id desc nulls first, id desc nulls first, row_number desc"
_CUSTOMER_ID = f"""
    case when id is null then 'null' when regexp_full_match(id, '{_NUMBER_ID}') then id else to_json(id)::varchar end
"""
_MEMBERS = " || ',' || chr(10) || ".join(
    [
        f"""'      "customer_id": ' || {_CUSTOMER_ID}""",
        *(f"""'      "{name}": ' || to_json({name})::varchar""" for name in _TEXTS),
        *(f"""'      "{name}": "' || {name} || '"'""" for name in _WORDS),
        """'      "data_quality_score": ' || data_quality_score""",
    ]
)
_LINES = f"""
    with
    numbered as (
        select *, case when regexp_full_match(id, '{_NUMBER_ID}') then id::bigint end as number_id from this
    ),
    last as (select row_number from numbered order by {_REVERSED} limit 1)
    select 1 as part, full_name, number_id, id, row_number,
        '    {{' || chr(10) || {_MEMBERS} || chr(10) || '    }}'
            || case when row_number in (from last) then '' else ',' end as line
    from numbered
    union all select 0, null, null, null, null, {{head}}
    union all select 2, null, null, null, null, {{tail}}
"""

VALUES: Mapping[str, tuple[str, ...]] = {
    "engagement_level": get_args(Engagement),
    "activity_status": get_args(Activity),
    "acquisition_channel": get_args(Channel),
    "market_segment": get_args(Segment),
    "customer_tier": get_args(Tier),
    "data_quality": ("high", "medium", "low"),
}
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
    """Column -> value -> of how many customers, for all that the report counts; those without any left out."""
    found: dict[str, dict[str, int]] = {}
    for column, value, customers_with_it in customers.derive(_COUNTS).rows():
        found.setdefault(column, {})[value] = customers_with_it
    return found


def report(
    counts: Counts, *, fetched_at: int | None, master: str | None, rejects: int, repeated: int
) -> dict[str, Any]:
    """``analytics_report.json``: counts only. All of its keys are always there, in one order."""

    def every(column: str, values: tuple[str, ...]) -> dict[str, int]:
        return {value: counts.get(column, {}).get(value, 0) for value in values}

    return {
        "customers": sum(counts.get("data_quality", {}).values()),
        "fetched_at": None if fetched_at is None else _utc(datetime.fromtimestamp(fetched_at, UTC)),
        "master": master,
        "rejects": rejects,
        "repeated_ids_removed": repeated,
        "matched_in_master": every("matched_by", ("email", "phone", "name", "nothing")),
        **{column: every(column, values) for column, values in VALUES.items()},
        "evidence": {column: every(source, ("record", "master", "none")) for source, column in _FROM.items()},
    }


def write_export(customers: Table, counts: Counts, exported_at: datetime, folder: Path) -> None:
    """Write ``sample_output.json``, with two blanks for each level.

    In:     customers  row_number · id · the fields of the export
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
    lines = _LINES.replace("{head}", f"'{head}'").replace("{tail}", f"'{tail}'")
    customers.derive(lines).write_lines(folder / EXPORT, "line", f"part, {_ORDER}")


def write_report(found: Mapping[str, Any], folder: Path) -> None:
    """Write ``analytics_report.json``."""
    (folder / REPORT).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_rejects(rejects: Table, folder: Path) -> None:
    """Write ``rejects.csv``, as the main job does."""
    columns = ("source_system", "row_number", "code", '"column"', "explanation")
    rejects.write_csv(folder / "rejects.csv", columns, "source_system, row_number::bigint")


def schema() -> str:
    """The JSON Schema of ``sample_output.json``, as docs/sample_output.schema.json has it."""
    return json.dumps(Export.model_json_schema(), indent=2) + "\n"


def _utc(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
