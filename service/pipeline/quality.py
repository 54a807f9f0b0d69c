"""Quality: counts of each source and field, and the risk of merging too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from service.engine.contract import Table
from service.pipeline.difference import Difference
from service.pipeline.evidence import only_rule
from service.pipeline.extract import Extracted
from service.pipeline.fields.phone import IS_RAW_SQL
from service.pipeline.filled import NO_RECORDS, Counts, filled_and_distinct
from service.pipeline.matched import Matched
from service.pipeline.normalise import Normalised
from service.pipeline.volume import Volume

MANY_NAMES = 3
LARGE_GROUP = 10

_REJECTS_BY_CODE = """
    select source_system, code, count(*) from this group by source_system, code order by source_system, code
"""
_ON_ONE_RULE = """
    select count(distinct group_id) filter ({on_name}), count(distinct group_id) filter ({on_id})
    from this join groups using (ordinal)
"""
# Most values have few records: the names of the others alone are counted.
_MANY_NAMES = f"""
    select '{{kind}}' as kind, {{rule}} as key, true as has_many_names
    from this
    where {{rule}} in (select {{rule}} from this where {{rule}} >= 0 group by {{rule}} having count(*) > {MANY_NAMES})
        and name >= 0 and {{condition}}
    group by {{rule}} having count(distinct name) > {MANY_NAMES}
"""
_SUSPICIOUS = f"""
    {_MANY_NAMES.format(kind="email", rule="email", condition="true")}
    union all
    {_MANY_NAMES.format(kind="phone", rule="phone", condition="phone not in (select phone from unreadable)")}
    union all
    select 'unreadable_phone', phone, count(distinct name) filter (name >= 0) > {MANY_NAMES}
    from this where phone in (select phone from unreadable)
    group by phone having count(*) > 1
    union all
    select distinct 'name_alone', name, false from evidence join this using (ordinal) where {{on_name}}
    union all
    select distinct 'id_alone', id, false from evidence join this using (ordinal) where {{on_id}}
    union all
    select 'large_group', group_id, false from groups group by group_id having count(*) > {LARGE_GROUP}
"""
_UNREADABLE = f"select ordinal as phone from this where {IS_RAW_SQL}"
_COUNTS = "select count(*) filter (has_many_names), count(*) filter (kind = 'large_group') from this"


@dataclass(frozen=True)
class OvermergeRisk:
    """Counts of groups and values that suggest that matching merged too much."""

    groups_on_a_name_alone: int
    groups_on_an_id_alone: int
    values_shared_by_many_names: int
    large_groups: int

    def sentences(self) -> list[str]:
        """One sentence for each count that is not zero."""
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


NO_RISK = OvermergeRisk(0, 0, 0, 0)
"""For records that were not matched."""


def suspicious_values(matched: Matched) -> Table:
    """kind · key · has_many_names of every value and group that suggests that matching merged too much.

    ``key``: the value's number in KEYS, or the group. ``has_many_names``: it is a value shared by records with more
    than ``MANY_NAMES`` names. See ``literal_cost``.
    """
    return matched.keys.derive(
        _SUSPICIOUS.format(**_only_rules(matched)),
        unreadable=matched.records.derive(_UNREADABLE),
        groups=matched.groups,
        evidence=matched.evidence,
    )


def overmerge_risk(suspicious: Table, matched: Matched) -> OvermergeRisk:
    """Count groups that rest on one weak rule, values with many names, and large groups.

    In:     suspicious see ``suspicious_values``
    Source: docs/specification.md section 5
    """
    with_many_names, large_groups = suspicious.rows(_COUNTS)[0]
    counted = _ON_ONE_RULE.format(**_only_rules(matched))
    on_name, on_id = matched.evidence.rows(counted, groups=matched.groups)[0]
    return OvermergeRisk(
        groups_on_a_name_alone=on_name,
        groups_on_an_id_alone=on_id,
        values_shared_by_many_names=with_many_names,
        large_groups=large_groups,
    )


def _only_rules(matched: Matched) -> dict[str, str]:
    return {"on_name": only_rule(matched.matcher, "name"), "on_id": only_rule(matched.matcher, "id")}


def report(
    extracted: Extracted,
    normalised: Normalised,
    keys: Table,
    volumes: Mapping[str, Volume],
    risk: OvermergeRisk,
    compared: Difference | None = None,
) -> dict[str, Any]:
    """The content of ``quality_report.json``: counts of every source and field, and the risk of merging too much.

    For each field: the number of values that are filled, missing, made missing (by reason), changed (not as
    written) and distinct; of dates also those that are kept, but doubtful (by reason). All keys are always there,
    in one order, but ``safe_matching``, the last: it is there where the user compares matchers.
    """
    filled = filled_and_distinct(normalised.records, keys)
    rejects = extracted.rejects.rows(_REJECTS_BY_CODE)
    return {
        "sources": {
            name: {
                "rows": rows,
                "rejects": extracted.source_rejects[name],
                "rejects_by_code": {code: count for source, code, count in rejects if source == name},
                "volume": volumes[name].figures(),
                "warnings": list(extracted.warnings[name]),
                "fields": _fields(filled.get(name), name, normalised),
            }
            for name, rows in extracted.source_rows.items()
        },
        "contradicting_dates": list(normalised.ambiguous),
        "literal_matching": asdict(risk),
        **({"safe_matching": compared.counts.figures()} if compared else {}),
    }


def _fields(filled: Counts | None, source: str, normalised: Normalised) -> dict[str, Any]:
    rows, counts = filled or NO_RECORDS
    fields: dict[str, dict[str, Any]] = {
        field: {
            "filled": count,
            "missing": rows - count,
            "made_missing": {
                reason: times
                for (name, column, reason), times in normalised.troubles.items()
                if (name, column) == (source, field)
            },
            "changed": normalised.changed.get((source, field), 0),
            "distinct": distinct,
        }
        for field, (count, distinct) in counts.items()
    }
    # What is no id is none: it was not made missing.
    del fields["source_id"]["made_missing"], fields["source_id"]["changed"]
    doubtful = {reason: count for (name, _, reason), count in normalised.doubtful.items() if name == source}
    fields["signup_date"]["doubtful"] = doubtful
    return fields
