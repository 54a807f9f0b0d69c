"""The SQL that stages give to tables stays inside one subset of DuckDB SQL, which is translated for Spark.

Every statement of a few batches of both jobs is recorded, parsed, and compared with the lists below. Before a new
relational construct or aggregate is added to them, see that Spark has the same; any other function becomes a call of
DuckDB.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from service.engine.embedded import EmbeddedEngine
from service.engine.embedded_tables import EmbeddedTable
from service.engine.spark_dialect import Untranslatable
from service.engine.spark_sql import Statement, Translated, ordered_sql
from tests import regenerate_analytics
from tests.case_runs import run_case
from tests.worlds import CASES

NAMES = ("merged_split_retired", "rejects", "decided_same", "decided_different")
ANALYTICS_NAMES = ("the_master_fills_in",)

STRUCTURE = {
    *("Select", "From", "Table", "TableAlias", "Subquery", "With", "CTE", "Union", "Join", "Where", "Group", "Having"),
    *("Order", "Ordered", "Limit", "Distinct", "Window", "Filter", "Lambda", "Alias", "Column", "Identifier", "Star"),
    *("Literal", "Boolean", "Null", "Paren", "Case", "If", "DataType", "Var", "Bracket", "Array", "Except"),
}
OPERATORS = {
    *("Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "Neg", "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE"),
    *("Between", "In", "Is", "NullSafeNEQ", "NullSafeEQ", "DPipe", "BitwiseAnd"),
}
FUNCTIONS = {
    *("Cast", "TryCast", "Coalesce", "Nullif", "Count", "Sum", "Min", "Max", "ArgMin", "ArgMax", "AnyValue"),
    *("LogicalOr", "LogicalAnd", "BitwiseAndAgg", "RowNumber", "DenseRank", "Rank", "IgnoreNulls"),
    *("ArrayAgg", "ArrayContains", "ArrayFilter", "ArrayToString", "Transform", "GroupConcat"),
    *("Chr", "ConcatWs", "Concat", "Left", "Right", "Length", "Lower", "Upper", "MD5", "Pad", "Trim", "Replace"),
    *("RegexpExtract", "RegexpExtractAll", "RegexpFullMatch", "RegexpLike", "RegexpReplace"),
    *("Split", "SplitPart", "StartsWith", "Contains", "StrPosition", "Substring", "TimeToUnix", "Least", "Greatest"),
}
TYPES = {"TEXT", "BIGINT", "INT", "DATE", "DOUBLE", "TIMESTAMP", "BOOLEAN"}
OTHER_FUNCTIONS = {"strlen"}
"""Functions that the parser has no class for; Spark's ``octet_length``."""

EXCEPTIONS = {
    "min of several rows": "the first rows of a group as an array: array_agg over row_number() elsewhere",
    "isfinite": "not NaN and not infinite: two comparisons elsewhere",
    "INT128": "decimal(38, 0) elsewhere",
    "to_json": "quotes one text as JSON",
}
"""What ``sqlglot`` does not translate; ``spark_dialect`` does, or it is part of a call."""


COMPUTED_BY_SPARK = {
    *("Count", "Sum", "Min", "Max", "ArgMin", "ArgMax", "AnyValue", "LogicalOr", "LogicalAnd", "BitwiseAndAgg"),
    *("ArrayAgg", "ArrayUniqueAgg", "ArraySort", "ArrayToString", "ArraySlice", "Transform", "GroupConcat"),
    *("RowNumber", "DenseRank", "Rank", "Coalesce", "Nullif", "TryCast", "Case", "If", "And", "Or", "Exists", "Struct"),
    "ConcatWs",  # of aggregates
}
"""The functions that are left in a translated statement: aggregates, windows, what is portable. All else is a call."""


class Recorder:
    """The statements and the functions that were given to an engine, and what is run in Spark for them."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.statements: dict[str, None] = {}
        self.translated: dict[str, Translated] = {}
        self.registered: set[str] = set()
        derive, rows, register = EmbeddedTable.derive, EmbeddedTable.rows, EmbeddedEngine.register
        in_order = EmbeddedTable.sorted

        def recorded_derive(table: EmbeddedTable, sql: str, **others: Any) -> EmbeddedTable:
            self.statements[sql] = None
            self._translate(table, sql, others, is_table=True)
            return derive(table, sql, **others)

        def recorded_rows(table: EmbeddedTable, sql: str = "from this", **others: Any) -> list[Any]:
            self.statements[sql] = None
            self._translate(table, sql, others, is_table=False)
            return rows(table, sql, **others)

        def recorded_sorted(
            table: EmbeddedTable, order_by: str, sql: str = "from this", **others: Any
        ) -> EmbeddedTable:
            self.statements[sql] = None
            self._translate(table, sql, others, is_table=True)
            return in_order(table, order_by, sql, **others)

        def written(write: Callable[..., None]) -> Callable[..., None]:
            parameters = inspect.signature(write)

            def recorded_write(table: EmbeddedTable, *given: Any, **named: Any) -> None:
                bound = parameters.bind(table, *given, **named)
                sql = bound.arguments.get("sql", "from this")
                self.statements[sql] = None
                self._translate(table, sql, bound.arguments.get("others", {}), is_table=False)
                write(table, *given, **named)

            return recorded_write

        def recorded_register(engine: EmbeddedEngine, name: str, *given: Any, **named: Any) -> None:
            self.registered.add(name)
            register(engine, name, *given, **named)

        patched.setattr(EmbeddedTable, "derive", recorded_derive)
        patched.setattr(EmbeddedTable, "rows", recorded_rows)
        patched.setattr(EmbeddedTable, "sorted", recorded_sorted)
        for name in ("write_parquet", "write_csv", "write_lines"):
            patched.setattr(EmbeddedTable, name, written(getattr(EmbeddedTable, name)))
        patched.setattr(EmbeddedEngine, "register", recorded_register)

    def _translate(self, table: EmbeddedTable, sql: str, others: dict[str, Any], *, is_table: bool) -> None:
        if sql in self.translated:
            return
        run = table._database.run
        tables = {
            name: {column: str(kind) for column, kind, *_ in run(f"describe select * from {it.name}")}
            for name, it in {"this": table, **others}.items()
        }
        statement = Statement(sql, tables, self.registered, lambda query: [row[1] for row in run(f"describe {query}")])
        self.translated[sql] = statement.translated(is_table=is_table)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    with pytest.MonkeyPatch.context() as patched:
        recorder = Recorder(patched)
        for case in NAMES:
            run_case(CASES / case, tmp_path_factory.mktemp(case))
        for case in ANALYTICS_NAMES:
            regenerate_analytics.outcome_of(regenerate_analytics.CASES / case, tmp_path_factory.mktemp(case))
    yield recorder


def exceptions_in(statement: exp.Expr) -> set[str]:
    """The constructs of ``EXCEPTIONS`` that a statement uses."""
    found = {node.name.lower() for node in statement.find_all(exp.Anonymous)}
    found |= {node.sql("duckdb") for node in statement.find_all(exp.DataType)}
    if any(node.args.get("count") for node in statement.find_all(exp.Min)):
        found.add("min of several rows")
    return found & EXCEPTIONS.keys()


def strange_in(statement: exp.Expr, registered: set[str]) -> set[str]:
    """The constructs outside the subset that a statement uses."""
    strange = {type(node).__name__ for node in statement.walk()}
    strange -= STRUCTURE | OPERATORS | FUNCTIONS | {"Anonymous"}
    strange |= {node.name.lower() for node in statement.find_all(exp.Anonymous)} - OTHER_FUNCTIONS - registered
    strange |= {node.sql("duckdb") for node in statement.find_all(exp.DataType)} - TYPES
    if any(side.is_star for union in statement.find_all(exp.Union) for side in (union.left, union.right)):
        strange.add("a star in a union")
    return strange - EXCEPTIONS.keys()


def parsed(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, read="duckdb")


def test_every_statement_stays_inside_the_subset(recorded: Recorder) -> None:
    assert len(recorded.statements) > 50
    assert any("removed.via_source" in sql for sql in recorded.statements), "those of Parquet files, too"
    for sql in recorded.statements:
        assert not strange_in(parsed(sql), recorded.registered), sql


def test_every_statement_without_an_exception_is_translated_to_spark(recorded: Recorder) -> None:
    for sql in recorded.statements:
        if not exceptions_in(parsed(sql)):
            sqlglot.transpile(sql, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)


def test_spark_computes_aggregates_and_what_is_portable_and_calls_the_rest(recorded: Recorder) -> None:
    assert len(recorded.translated) > 50
    for translated in recorded.translated.values():
        root = sqlglot.parse_one(translated.sql, read="spark")
        known = {call.name for call in translated.calls}
        assert {it.name.lower() for it in root.find_all(exp.Anonymous)} <= known, translated.sql
        found = {type(it).__name__ for it in root.find_all(exp.Func)} - {"Anonymous"}
        assert found <= COMPUTED_BY_SPARK, translated.sql


def test_every_listed_exception_is_used(recorded: Recorder) -> None:
    used = {name for sql in recorded.statements for name in exceptions_in(parsed(sql))}
    assert used == EXCEPTIONS.keys()


@pytest.mark.parametrize(
    "sql",
    [
        "select list(a order by b desc) as a from this",
        "select string_agg(distinct a, ',' order by a desc) as a from this",
        "select a, b from this union all from this",
        "select upper(min(a)) as a from this",
        "select a from this qualify upper(a) = 'X'",
        "select unnest([1, 2]) as n, b from this",
        "select a, b from this order by a, b",
    ],
)
def test_what_means_something_else_in_spark_is_refused(sql: str) -> None:
    with pytest.raises(Untranslatable):
        translated(sql)


def translated(sql: str) -> Translated:
    """A statement on a table of two columns, as one that makes a table."""

    def described(query: str) -> list[str]:
        return [str(row[1]) for row in duckdb.execute(f"describe {query}").fetchall()]

    return Statement(sql, {"this": {"a": "VARCHAR", "b": "BIGINT"}}, (), described).translated(is_table=True)


def test_what_texts_and_rests_of_division_mean_depends_on_the_types() -> None:
    """Spark prints floating-point numbers in another way, and refuses to divide by zero."""
    for sql, calls in {
        "select a || b::varchar as a from this": 0,
        "select a || b::double as a from this": 1,
        "select b % 2 as b from this": 0,
        "select b % b as b from this": 1,
        "select b % 0 as b from this": 1,
    }.items():
        assert len(translated(sql).calls) == calls, sql


def test_rows_are_ordered_by_columns_and_casts_alone() -> None:
    assert ordered_sql("a desc, b::bigint") == "`a` DESC, CAST(`b` AS BIGINT) NULLS LAST"
    with pytest.raises(Untranslatable):
        ordered_sql("lower(a)")


@pytest.mark.parametrize(
    ("sql", "strange"),
    [
        ("from this select unnest(list_value(1, 2))", {"Unnest", "Explode"}),
        ("from this select * exclude (a) qualify row_number() over () = 1", {"Qualify"}),
        ("from this select *, current_date", {"CurrentDate"}),
        ("from this select levenshtein(a, b)", {"Levenshtein"}),
        ("from this select jaro_winkler_similarity(a, b)", {"JarowinklerSimilarity", "jaro_winkler_similarity"}),
        ("from this select a::uuid", {"UUID"}),
        ("pivot this on a using sum(b)", {"Pivot"}),
        # A union pairs columns by position, and `* replace` puts a column elsewhere in Spark.
        ("select a, b from this union all from other", {"a star in a union"}),
        ("select 1, * replace (b + 1 as b) from this union all select 1, a, b from other", {"a star in a union"}),
    ],
)
def test_a_construct_outside_the_subset_is_found(sql: str, strange: set[str]) -> None:
    assert strange_in(parsed(sql), set()) & strange
