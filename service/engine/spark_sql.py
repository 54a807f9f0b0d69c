"""The SQL of the stages for Spark: the relational part is translated, scalar terms become calls of functions.

A scalar term that is not portable (``spark_portable``) becomes one call of a function that evaluates it in the SQL of
the contract (``spark_terms``): the largest such term, so that the conditions inside it decide for which rows a
definition is called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlglot
from sqlglot import exp

from service.engine.spark_dialect import Untranslatable, for_spark
from service.engine.spark_portable import mark, refuse_what_is_left, terms_of, typed_terms

Columns = Mapping[str, str]
"""Column -> its type, in the dialect of the contract."""
Describe = Callable[[str], Sequence[str]]
"""The types of the columns that a query in this dialect has."""

POSITION = "row_position"
"""The column by which the rows of a table are ordered; a table without it has no order."""

_MERGING = ("joins", "group", "distinct", "limit")
"""With these a query has other rows than what it reads."""
_INTEGERS = {"BIGINT", "INTEGER"}


class Call(NamedTuple):
    """A term that became a call ``name(c0, c1, …)``."""

    name: str
    sql: str
    """Over the columns c0, c1, …"""
    result: str
    """Its type."""
    functions: tuple[str, ...]
    """Those that it calls."""


class Translated(NamedTuple):
    """A statement for Spark."""

    sql: str
    """It reads each table from a view with a name that ``on`` replaces."""
    calls: tuple[Call, ...]
    has_position: bool
    """Whether it has the column ``POSITION``, the order of its rows."""
    keeps_rows: bool
    """Whether each row is one of the table ``this``, in its order."""

    def on(self, views: Mapping[str, str]) -> Translated:
        """The statement on these views: table -> name."""
        sql = self.sql
        for name, view in views.items():
            sql = sql.replace(f"`{_VIEW.format(name)}`", view)
        return self._replace(sql=sql)


_VIEW = "view of {}"
_MOST_REMEMBERED = 2000
_remembered: dict[Hashable, Translated] = {}


def translated(
    sql: str, tables: Mapping[str, Columns], functions: Collection[str], describe: Describe, *, is_table: bool
) -> Translated:
    """A statement on tables, translated once for all batches of this process: it takes about a tenth of a second.

    ``is_table``: the order of the result is kept by a column alone, not by sorting. A function with a name always has
    the same result type.
    """
    columns = tuple((name, tuple(of_table.items())) for name, of_table in tables.items())
    key = (sql, columns, frozenset(functions), is_table)
    if key not in _remembered:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[key] = Statement(sql, tables, functions, describe).translated(is_table=is_table)
    return _remembered[key]


class Statement:
    """A statement on tables."""

    def __init__(self, sql: str, tables: Mapping[str, Columns], functions: Collection[str], describe: Describe) -> None:
        self._root = sqlglot.parse_one(sql, read="duckdb")
        assert isinstance(self._root, exp.Query)
        self._tables = tables
        self._functions = functions
        self._describe = describe

    def translated(self, *, is_table: bool) -> Translated:
        """The statement for Spark. ``is_table``: see the function."""
        root = self._root
        if any(_has_star(it) for it in root.find_all(exp.Union)):
            raise Untranslatable("a star in a union, which pairs columns by position")
        if root.find(exp.Explode, exp.Unnest):
            raise Untranslatable("unnest, which makes several rows of one")
        order = self._ordering_column() if is_table else None
        self._mark_by_types()
        sums = self._sums_of_integers()
        calls = self._with_calls()
        for it in sums:
            # They have no bounds in the contract, in Spark those of 64 bits.
            it.set("this", exp.cast(it.this, "decimal(38, 0)"))
        keeps_rows = POSITION in self._tables["this"] and self._keeps_rows(root) and not root.args.get("order")
        if is_table and order is not None:
            assert isinstance(root, exp.Select)
            root.select(exp.alias_(order, POSITION), copy=False)
        elif keeps_rows:
            self._add_position(root)
        if is_table and not root.args.get("limit"):
            if root.args.get("order") and order is None:
                raise Untranslatable("a table ordered by anything but one integer column, upwards")
            root.set("order", None)
        root = for_spark(root)
        assert isinstance(root, exp.Query)
        refuse_what_is_left(root, {call.name for call in calls})
        self._define(root, keeps_rows=keeps_rows)
        sql = root.sql("spark", identify=True)
        return Translated(sql, calls, keeps_rows or order is not None, keeps_rows)

    # ------------------------------------------------------------------------------------------------- terms

    def _with_calls(self) -> tuple[Call, ...]:
        """Replace the terms that are not portable by calls."""
        calls: dict[str, Call] = {}
        found = [(select, list(terms_of(select))) for select in self._selects()]
        typed = [(self._types_of(select, terms), terms) for select, terms in found if terms]
        for types, terms in typed:
            for result, term in zip(types, terms, strict=True):
                call, columns = self._call_of(term, result)
                calls[call.name] = call
                term.replace(exp.Anonymous(this=call.name, expressions=columns or [exp.Literal.number(1)]))
        return tuple(calls.values())

    def _selects(self) -> list[exp.Select]:
        return list(self._root.find_all(exp.Select))

    def _mark_by_types(self) -> None:
        """Mark the terms whose value is another in Spark because of the types in them."""
        for select in self._selects():
            terms = typed_terms(select)
            types = self._types_of(select, terms) if terms else []
            for term, given in zip(terms, types, strict=True):
                mark(term, given)

    def _sums_of_integers(self) -> list[exp.Sum]:
        found: list[exp.Sum] = []
        for select in self._selects():
            sums = [it for it in select.find_all(exp.Sum) if it.parent_select is select]
            types = self._types_of(select, [it.this for it in sums]) if sums else []
            found += [it for it, given in zip(sums, types, strict=True) if given in _INTEGERS]
        return found

    def _types_of(self, select: exp.Select, terms: Sequence[exp.Expr]) -> list[str]:
        """The types of terms that are used in ``select``."""
        query = exp.Select(expressions=[exp.alias_(term.copy(), f"t{index}") for index, term in enumerate(terms)])
        for part in ("from_", "joins"):
            given = select.args.get(part)
            if given:
                query.set(part, [it.copy() for it in given] if isinstance(given, list) else given.copy())
        names = [f'"{name}" as ({_nothing(columns)})' for name, columns in self._tables.items()]
        names += [f"{cte.alias} as ({cte.this.sql('duckdb')})" for cte in _visible_ctes(select)]
        found = self._describe(f"with {', '.join(names)} {query.sql('duckdb')}")
        return ["VARCHAR" if it == '"NULL"' else "DECIMAL(38,0)" if it == "HUGEINT" else it for it in found]

    def _call_of(self, term: exp.Expr, result: str) -> tuple[Call, list[exp.Expr]]:
        columns: dict[str, exp.Expr] = {}
        numbered = term.copy()
        for column in list(numbered.find_all(exp.Column)):
            key = column.sql("duckdb")
            columns.setdefault(key, column.copy())
            number = list(columns).index(key)
            replaced = exp.column(f"c{number}")
            if column is numbered:
                numbered = replaced
            else:
                column.replace(replaced)
        called = {it.name.lower() for it in numbered.find_all(exp.Anonymous)}
        functions = tuple(sorted(called.intersection(self._functions)))
        sql = numbered.sql("duckdb")
        name = "term_" + hashlib.sha256(f"{sql}|{result}|{functions}".encode()).hexdigest()[:16]
        return Call(name, sql, result, functions), list(columns.values())

    # ------------------------------------------------------------------------------------------------- order

    def _ordering_column(self) -> exp.Expr | None:
        """The integer column by which the whole result is ordered; None where it is ordered otherwise."""
        root = self._root
        order = root.args.get("order")
        if not isinstance(root, exp.Select) or order is None or len(order.expressions) != 1 or root.args.get("limit"):
            return None
        column = order.expressions[0].this
        if not isinstance(column, exp.Column) or order.expressions[0].args.get("desc"):
            return None
        return column.copy() if self._types_of(root, [column])[0] in _INTEGERS else None

    def _source_of(self, query: exp.Expr) -> exp.Expr | str | None:
        """What a query reads its rows from, if it has one row for each: a query, or a table's name."""
        if isinstance(query, exp.Subquery):
            return None if query.args.get("joins") else query.this
        if not isinstance(query, exp.Select) or any(query.args.get(it) for it in _MERGING):
            return None
        if any(_is_aggregate(it) for it in query.expressions) or query.args.get("from_") is None:
            return None
        source: exp.Expr = query.args["from_"].this
        if not isinstance(source, exp.Table):
            return source
        ctes: dict[str, exp.Expr] = {cte.alias: cte.this for cte in _visible_ctes(query)}
        return ctes.get(source.name, source.name)

    def _keeps_rows(self, query: exp.Expr) -> bool:
        """Whether each row of the result is one of ``this``."""
        source = self._source_of(query)
        return source == "this" if source is None or isinstance(source, str) else self._keeps_rows(source)

    def _add_position(self, query: exp.Expr) -> None:
        source = self._source_of(query)
        if isinstance(query, exp.Select) and not any(it.is_star for it in query.expressions):
            query.select(exp.column(POSITION), copy=False)
        if isinstance(source, exp.Expr):
            self._add_position(source)

    def _define(self, root: exp.Query, *, keeps_rows: bool) -> None:
        """Define the names of the tables at the beginning of the statement."""
        own = root.args.get("with_")
        ctes: list[exp.Expr] = []
        for name, columns in self._tables.items():
            shown = [it for it in columns if it != POSITION or (keeps_rows and name == "this")]
            view = exp.table_(_VIEW.format(name), quoted=True)
            select = exp.select(*(exp.column(it, quoted=True) for it in shown)).from_(view)
            ctes.append(exp.CTE(this=select, alias=exp.TableAlias(this=exp.to_identifier(name))))
        root.set("with_", exp.With(expressions=[*ctes, *(own.expressions if own else ())]))


def ordered_sql(order_by: str) -> str:
    """The columns of an ``order by`` for Spark; texts of digits may be cast."""
    parsed = for_spark(sqlglot.parse_one(f"select 1 order by {order_by}", read="duckdb"))
    ordered = [it.this for it in parsed.args["order"].expressions]
    if not all(isinstance(it, exp.Column | exp.Cast) for it in ordered):
        raise Untranslatable("an order by anything but columns and casts")
    return ", ".join(it.sql("spark", identify=True) for it in parsed.args["order"].expressions)


def _has_star(union: exp.Union) -> bool:
    return any(arm.is_star for arm in (union.this, union.expression))


def _nothing(columns: Columns) -> str:
    listed = ", ".join(f'null::{kind} as "{name}"' for name, kind in columns.items() if name != POSITION)
    return f"select {listed} where false"


def _visible_ctes(query: exp.Expr) -> list[exp.CTE]:
    """The named queries that a query may use, those outside it first."""
    found: list[exp.CTE] = []
    node: Any = query
    inside: exp.CTE | None = None
    while node is not None:
        if isinstance(node, exp.CTE):
            inside = node
        elif isinstance(node, exp.Query) and node.args.get("with_"):
            own = list(node.args["with_"].expressions)
            # A named query may use those before it.
            before = next((index for index, it in enumerate(own) if it is inside), len(own))
            found = [*own[:before], *found]
        node = node.parent
    return found


def _is_aggregate(projection: exp.Expr) -> bool:
    """Whether a value of a query is made of several of its rows."""
    return any(not _is_inside(it, projection) for it in projection.find_all(exp.AggFunc))


def _is_inside(node: exp.Expr, projection: exp.Expr) -> bool:
    """Whether a part of a value belongs to a window or to another query."""
    around: Any = node
    while around is not None and not isinstance(around, exp.Window | exp.Query):
        around = None if around is projection else around.parent
    return around is not None
