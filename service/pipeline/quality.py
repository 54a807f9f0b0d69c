"""Quality: what the sources were like and what the literal rule cost, as counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from service.engine.contract import Table
from service.pipeline.extract import Delivered
from service.pipeline.normalise import Normalised

MANY_NAMES = 3
LARGE_GROUP = 10

_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_FILLED = f"""
    select source, count(*), {", ".join(f"count({field})" for field in _FIELDS)} from this group by source
"""
_RESTS_ON_ONE = """
    select
        count(distinct group_id) filter (by_name and not (by_id or by_email or by_phone)),
        count(distinct group_id) filter (by_id and not (by_email or by_phone or by_name))
    from this
"""
_SHARED_VALUES = f"""
    select count(*) from (
        select email as value from this where email is not null and name_key is not null
        group by email having count(distinct name_key) > {MANY_NAMES}
        union all
        select phone_key from this where phone_key is not null and name_key is not null
        group by phone_key having count(distinct name_key) > {MANY_NAMES}
    )
"""
_LARGE_GROUPS = f"select count(*) from (select group_id from this group by group_id having count(*) > {LARGE_GROUP})"


@dataclass(frozen=True)
class LiteralCost:
    """Where the literal rule may have merged too much."""

    groups_on_a_name_alone: int
    groups_on_an_id_alone: int
    values_shared_by_many_names: int
    large_groups: int

    def sentences(self) -> list[str]:
        """One sentence for each cost there is."""
        texts = (
            (self.groups_on_a_name_alone, "groups with a record that belongs by its name alone"),
            (self.groups_on_an_id_alone, "groups with a record that belongs by its id alone"),
            (
                self.values_shared_by_many_names,
                f"values shared by more than {MANY_NAMES} different names",
            ),
            (self.large_groups, f"groups of more than {LARGE_GROUP} records"),
        )
        return [f"Literal matching: {text}: {count}" for count, text in texts if count]


def literal_cost(records: Table, groups: Table, evidence: Table) -> LiteralCost:
    """Count what section 5 of the contract wants shown."""
    on_name, on_id = evidence.derive(_RESTS_ON_ONE).rows()[0]
    return LiteralCost(
        groups_on_a_name_alone=on_name,
        groups_on_an_id_alone=on_id,
        values_shared_by_many_names=records.derive(_SHARED_VALUES).rows()[0][0],
        large_groups=groups.derive(_LARGE_GROUPS).rows()[0][0],
    )


def report(delivered: Delivered, normalised: Normalised, cost: LiteralCost) -> dict[str, Any]:
    """``quality_report.json``: per source and field filled, missing and made missing by reason; rejects; cost."""
    figures = {row[0]: row[1:] for row in normalised.records.derive(_FILLED).rows()}
    return {
        "sources": {
            name: {
                "rows": rows,
                "rejects": delivered.source_rejects[name],
                "rejects_by_code": _rejects_by_code(delivered, name),
                "warnings": list(delivered.warnings[name]),
                "fields": _fields(figures[name], name, normalised.troubles) if name in figures else {},
            }
            for name, rows in delivered.source_rows.items()
        },
        "contradicting_dates": list(normalised.ambiguous),
        "literal_matching": asdict(cost),
    }


def _fields(figures: tuple[int, ...], source: str, troubles: Mapping[tuple[str, str, str], int]) -> dict[str, Any]:
    rows, *filled = figures
    return {
        field: {
            "filled": filled[index],
            "missing": rows - filled[index],
            "made_missing": {
                reason: count for (name, at, reason), count in troubles.items() if (name, at) == (source, field)
            },
        }
        for index, field in enumerate(_FIELDS)
    }


def _rejects_by_code(delivered: Delivered, source: str) -> dict[str, int]:
    counted = delivered.rejects.derive("select source_system, code, count(*) from this group by all order by all")
    return {code: count for name, code, count in counted.rows() if name == source}
