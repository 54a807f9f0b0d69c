"""The proof of the customers: which record is kept, each cell of a customer, and what other files repeat of records.

Source: docs/specification.md sections 6 and 7
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.engine.contract import Engine, Table, sql_text
from service.model import MISSING
from service.pipeline.formulas import escaped_sql
from service.pipeline.parquet import MASTER_FILE, RECORDS_FILE
from service.verify.findings import Law, broken, differing, differs
from service.verify.stated import RULES, Stated

MASTER = ("unified_id", "full_name", "email", "phone", "signup_date", "source_system", "status")
DUPLICATES = ("kept_id", "removed_ids", "match_reason", "removed_sources")
CROSSWALK = ("unified_id", "source_system", "source_id", "record_key")
MATCH_EVIDENCE = ("unified_id", "removed_source", "removed_id", "via_source", "via_id", "rules")
WEIGHTS = ("weight", "parts")
_FIELDS = ("full_name", "email", "phone", "signup_date", "status")
_FAR = 1_000_000_000_000
_MISSING = " + ".join(f"({field} is null)::bigint" for field in _FIELDS)
_RANK = f"(({_MISSING}) * {_FAR} + ordinal)"
"""SQL: the smallest of a customer belongs to the kept record: the fewest missing fields, then the first."""

# ------------------------------------------------------------------------------------------------ the kept record

# The records of customers of several, with what decides among them.
_MERGED = f"""
    select ordinal, unified_id, customer, source, source_id, is_kept, {", ".join(_FIELDS)}, status_stated,
        {_RANK} as rank, string_split(rules, '+') as rule_list
    from this where customer in (select customer from this where not is_kept)
"""
_KEPT = Law(
    RECORDS_FILE,
    "is kept, though another record of its customer has fewer gaps, or as many and comes first",
    """
    select ordinal, unified_id, null as detail
    from this join (select customer, min(rank) as best from this group by customer) using (customer)
    where is_kept and rank <> best
    """,
)

# ---------------------------------------------------------------------------------------------- what a customer is

_GIVEN = ", ".join(f"arg_min({field}, rank) filter ({field} is not null) as {field}" for field in _FIELDS)
_REASONS = ", ".join(f"case when bool_or(list_contains(rule_list, '{rule}')) then '{rule}' end" for rule in RULES)
_GROUPED = f"""
    with ordered as (select source, min(ordinal) as first_of_source from stated group by source),
    removed as (
        select customer, array_to_string(list(source order by first_of_source), '+') as removed_sources
        from (select distinct customer, source from this where not is_kept) join ordered using (source)
        group by customer
    ),
    every as (
        select customer, array_to_string(list(source order by first_of_source), '+') as source_system
        from (select distinct customer, source from this) join ordered using (source)
        group by customer
    ),
    listed as (
        select customer, array_to_string(list(shown order by ordinal), ',') as removed_ids
        from (
            select customer, ordinal, is_kept,
                if(source_id in (from ambiguous), source || ':' || source_id, source_id) as shown
            from this
        )
        where not is_kept group by customer
    ),
    given as (
        select customer, {_GIVEN}, count(*) as record_count, concat_ws('+', {_REASONS}) as match_reason,
            arg_min(status, rank) filter (status is not null and status_stated) as stated_status
        from this group by customer
    )
    select * from given join every using (customer) join removed using (customer) join listed using (customer)
"""
_AMBIGUOUS = "select source_id from this group by source_id having min(source) <> max(source)"
# One row for each customer, as its records give it; the cells of the kept record are filled, or they are not.
_GOLDEN = """
    select
        null::bigint as ordinal, this.unified_id, this.unified_id as at, {cells},
        coalesce(grouped.source_system, this.source) as source_system,
        coalesce(grouped.record_count, 1) as record_count, grouped.match_reason, removed_ids, removed_sources
    from this left join grouped using (customer)
    where is_kept
"""
_CELLS = {
    "fill": ", ".join(
        [
            *(f"coalesce(this.{it}, grouped.{it}) as {it}" for it in _FIELDS[:-1]),
            "coalesce(grouped.stated_status, this.status, grouped.status) as status",
        ]
    ),
    "record": ", ".join(f"this.{field}" for field in _FIELDS),
}

# ------------------------------------------------------------------------------------------------------- the files

# Rows of a file beside those that are expected: ``at`` says which belong together.
_COMPARED = """
    select expected.ordinal, coalesce(expected.unified_id, this.unified_id) as unified_id,
        case when expected.at is null then 'there is a row too many' when this.at is null then 'the row is missing'
            else {differing} end as detail
    from this full join expected on this.at = expected.at
    where this.at is null or expected.at is null or {differs}
"""
_TYPED_CELLS = f"""
    select unified_id as at, unified_id, {", ".join(_FIELDS[:3])}, signup_date::varchar as signup_date, status,
        array_to_string(source_system, '+') as source_system, record_count, match_reason
    from this
"""
_STATED_STEPS = """
    select row_number() over (order by customer, ordinal) as at, ordinal, unified_id,
        source as removed_source, source_id as removed_id, via_source, via_id, rules,
        printf('%.2f', weight) as weight, parts
    from this where not is_kept
"""
_STATED_RECORDS = (
    "select ordinal as at, ordinal, unified_id, source as source_system, source_id, id_value as record_key from this"
)
_IS_NOT_OF_ITS_RECORDS = "is not what its records give:"
_REPEATS_WRONGLY = f"is not as {RECORDS_FILE} states it:"


@dataclass(frozen=True)
class Ways:
    """How the cells of customers are made and written."""

    survivorship: str
    """``fill`` or ``record``."""
    formula_escape: bool


EVERY_WAY = tuple(Ways(survivorship, escape) for survivorship in _CELLS for escape in (True, False))
"""Of a set of which it is not known in which of these it was made, one must explain all cells."""


def customer_findings(stated: Stated, ways: Sequence[Ways], folder: Path, shown: str, engine: Engine) -> list[str]:
    """Findings about kept records, customers, and the files that repeat what records state."""
    merged = stated.records.derive(_MERGED)
    found = broken([_KEPT], shown, merged)
    if not found:
        ambiguous = stated.records.derive(_AMBIGUOUS)
        grouped = merged.derive(_GROUPED, stated=stated.records, ambiguous=ambiguous)
        files = _Files(folder, shown, engine)
        tried = (_golden_findings(stated, grouped, way, files) for way in ways)
        found = _fewest(tried) + _repeated_findings(stated, files)
        grouped.release()
    merged.release()
    return found


def _fewest(tried: Iterable[list[str]]) -> list[str]:
    """The first list without a finding, else the shortest."""
    shortest: list[str] | None = None
    for found in tried:
        if not found:
            return found
        shortest = found if shortest is None or len(found) < len(shortest) else shortest
    return shortest or []


@dataclass(frozen=True)
class _Files:
    """The files of a set, compared with what is expected in them."""

    folder: Path
    shown: str
    engine: Engine

    def csv(self, name: str, columns: Sequence[str], sql: str) -> Table:
        """The rows of a CSV file; ``sql`` gives each a value ``at``."""
        rows = self.engine.read_csv(self.folder / name, columns)
        made = rows.numbered("row_at").derive(sql)
        rows.release()
        return made

    def compared(self, name: str, this: Table, expected: Table, columns: Sequence[str], broken_law: str) -> list[str]:
        """Findings where ``columns`` of a file are not as expected. ``this`` is released."""
        sql = _COMPARED.format(
            differing=differing("this", "expected", columns), differs=differs("this", "expected", columns)
        )
        found = broken([Law(name, broken_law, sql)], self.shown, this, expected=expected)
        this.release()
        return found


def _golden_findings(stated: Stated, grouped: Table, way: Ways, files: _Files) -> list[str]:
    """Findings about the files of customers, made in one way."""
    golden = stated.records.derive(_GOLDEN.format(cells=_CELLS[way.survivorship]), grouped=grouped)
    # A set of an older program does not say which status was stated.
    typed = [it for it in (*MASTER[1:], "record_count", "match_reason") if it != "status" or not stated.lacks]
    texts = [it for it in typed if it in MASTER]
    found: list[str] = []
    if (files.folder / MASTER_FILE).exists():
        rows = files.engine.read_parquet(files.folder / MASTER_FILE)
        found += files.compared(MASTER_FILE, rows.derive(_TYPED_CELLS), golden, typed, _IS_NOT_OF_ITS_RECORDS)
        rows.release()
    master = files.csv("customer_master.csv", MASTER, "select *, unified_id as at from this")
    printed = golden.derive(_printed((*_FIELDS, "source_system"), way))
    found += files.compared("customer_master.csv", master, printed, texts, _IS_NOT_OF_ITS_RECORDS)
    printed.release()
    report = files.csv("duplicate_report.csv", DUPLICATES, "select *, kept_id as unified_id, kept_id as at from this")
    expected = golden.derive(f"{_printed(('removed_ids',), way)} where record_count > 1")
    found += files.compared("duplicate_report.csv", report, expected, DUPLICATES[1:], _IS_NOT_OF_ITS_RECORDS)
    golden.release()
    return found


def _printed(columns: Sequence[str], way: Ways) -> str:
    """SQL: the rows with these columns as a CSV file for people has them."""
    cells = ", ".join(
        f"coalesce({escaped_sql(it) if way.formula_escape else it}, {sql_text(MISSING)}) as {it}" for it in columns
    )
    return f"select * replace ({cells}) from this"


def _repeated_findings(stated: Stated, files: _Files) -> list[str]:
    """Findings about the files that repeat columns of ``records.parquet``."""
    steps = stated.records.derive(_STATED_STEPS)
    columns = (*MATCH_EVIDENCE, *WEIGHTS) if stated.is_weighed else MATCH_EVIDENCE
    evidence = files.csv("match_evidence.csv", columns, "select row_at + 1 as at, * from this")
    found = files.compared("match_evidence.csv", evidence, steps, columns, _REPEATS_WRONGLY)
    crosswalk = files.csv("crosswalk.csv", CROSSWALK, "select row_at as at, * from this")
    records = stated.records.derive(_STATED_RECORDS)
    return found + files.compared("crosswalk.csv", crosswalk, records, CROSSWALK, _REPEATS_WRONGLY)
