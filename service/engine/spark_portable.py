"""Which scalar terms of a statement are portable: Spark gives the same value for the same SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlglot import exp

from service.engine.spark_dialect import Untranslatable

_PORTABLE = {
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Case, exp.If, exp.And, exp.Or),
    *(exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is, exp.NullSafeEQ),
    *(exp.NullSafeNEQ, exp.Coalesce, exp.Nullif, exp.DPipe, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.BitwiseAnd),
    *(exp.Neg, exp.Cast),
}
_PORTABLE_TYPES = {"TEXT", "BIGINT", "INT", "DOUBLE", "BOOLEAN", "INT128"}
_CAST_ALIKE = {"BIGINT", "INTEGER", "BOOLEAN", "DECIMAL(38,0)"}
"""What is cast to any portable type with the same result. Of texts only those of integers are: Spark refuses any other,
where DuckDB may round. Floating-point numbers are rounded and printed in other ways."""
_OF_TEXTS = {"BIGINT", "INT", "TEXT"}
_NOT_SCALAR = (exp.AggFunc, exp.Window, exp.Query, exp.Star, exp.Alias, exp.Ordered, exp.Filter, exp.Distinct)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_NOT_PORTABLE = "not portable"
_COMPUTED_BY_SPARK = {
    *(exp.Count, exp.Sum, exp.Min, exp.Max, exp.ArgMin, exp.ArgMax, exp.AnyValue, exp.LogicalOr, exp.LogicalAnd),
    *(exp.BitwiseAndAgg, exp.ArrayAgg, exp.ArrayUniqueAgg, exp.ArraySort, exp.ArrayToString, exp.ArraySlice),
    *(exp.Transform, exp.GroupConcat, exp.RowNumber, exp.DenseRank, exp.Rank, exp.Coalesce, exp.Nullif, exp.Cast),
    *(exp.Case, exp.If, exp.And, exp.Or, exp.Exists, exp.Struct, exp.ConcatWs),
}
"""The functions that may be left in a translated statement: aggregates, windows, what is portable. ``ConcatWs`` is that
of an aggregate."""


def refuse_what_is_left(root: exp.Query, calls: Collection[str]) -> None:
    """Raises: Untranslatable where Spark would compute something else than ``calls`` and what it has alike."""
    for node in root.find_all(exp.Func, exp.Qualify):
        is_call = isinstance(node, exp.Anonymous) and node.name.lower() in calls
        if not is_call and (type(node) not in _COMPUTED_BY_SPARK or node.meta.get(_NOT_PORTABLE)):
            raise Untranslatable(f"{node.key} beside an aggregate or a window, or not known to be the same in Spark")


def typed_terms(select: exp.Select) -> list[exp.Expr]:
    """The terms of a query whose type decides whether a term around them is portable: see ``mark``.

    Without those of aggregates, inside lambdas, and of queries inside it.
    """
    found = (it for it in select.find_all(exp.Cast, exp.DPipe) if it.find_ancestor(exp.Lambda, exp.Query) is select)
    scalar = (it for it in found if not it.find(*_NOT_SCALAR))
    return [it.args[operand] for it in scalar for operand in ("this", "expression") if operand in it.args]


def mark(term: exp.Expr, given: str) -> None:
    """Mark the parent of ``term`` (a cast or ``||``) as not portable, if Spark treats a value of the type ``given``
    differently there; ``terms_of`` reads the mark.
    """
    around = term.parent
    is_alike = isinstance(term, exp.Null) or given in _CAST_ALIKE
    if isinstance(around, exp.Cast):
        is_alike = is_alike or (given == "VARCHAR" and around.args["to"].this.name in _OF_TEXTS)
    else:
        is_alike = is_alike or given == "VARCHAR"
    if around is not None and not is_alike:
        around.meta[_NOT_PORTABLE] = True


def terms_of(select: exp.Select) -> Iterator[exp.Expr]:
    """The largest scalar terms of a query that are not portable, without those of queries inside it."""
    for part in ("expressions", "where", "group", "having", "order"):
        given = select.args.get(part)
        for node in given if isinstance(given, list) else [given] if given else []:
            yield from _terms_in(node)
    for join in select.args.get("joins") or ():
        if condition := join.args.get("on"):
            yield from _terms_in(condition, (exp.And, *_COMPARISONS))


def _terms_in(node: exp.Expr, descended: tuple[type[exp.Expr], ...] = ()) -> Iterator[exp.Expr]:
    """``descended``: of these the operands are terms, not the whole."""
    if isinstance(node, exp.Query):
        return
    is_scalar = not any(isinstance(it, _NOT_SCALAR) for it in node.walk())
    if isinstance(node, (exp.Where, exp.Having, exp.Group, *descended)) or not is_scalar:
        parts = node.iter_expressions()
        if isinstance(node, exp.Window):
            ordered = node.args.get("order")
            ordering = ordered.expressions if ordered else ()
            parts = iter([*node.this.iter_expressions(), *(node.args.get("partition_by") or ()), *ordering])
        for part in parts:
            yield from _terms_in(part, descended if isinstance(node, descended) else ())
    elif not all(_is_portable(it) for it in node.walk()):
        yield node


def _is_portable(node: exp.Expr) -> bool:
    if isinstance(node, exp.DataType):
        return node.this.name in _PORTABLE_TYPES
    if isinstance(node, exp.Mod) and not (node.right.is_int and int(node.right.name)):
        return False  # by zero: null, or an error
    return type(node) in _PORTABLE and not node.meta.get(_NOT_PORTABLE)
