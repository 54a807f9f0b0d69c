"""Which scalar terms of a statement are portable: Spark gives the same value for the same SQL."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

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


def scalar_casts(select: exp.Select) -> list[exp.Cast]:
    """The casts of a query, without those of aggregates, inside lambdas, and of queries inside it."""
    found = (it for it in select.find_all(exp.Cast) if it.find_ancestor(exp.Lambda, exp.Query) is select)
    return [it for it in found if not it.find(*_NOT_SCALAR)]


def mark(cast: exp.Cast, given: str) -> None:
    """Mark a cast from this type where it is not portable; ``terms_of`` reads the mark."""
    is_alike = isinstance(cast.this, exp.Null) or given in _CAST_ALIKE
    cast.meta[_NOT_PORTABLE] = not (is_alike or (given == "VARCHAR" and cast.args["to"].this.name in _OF_TEXTS))


def terms_of(select: exp.Select) -> Iterator[exp.Expr]:
    """The largest scalar terms of a query that are not portable, without those of queries inside it."""
    for part in ("expressions", "where", "group", "having", "order"):
        given = select.args.get(part)
        for node in given if isinstance(given, list) else [given] if given else []:
            yield from _terms_in(node)
    for join in select.args.get("joins") or ():
        if condition := join.args.get("on"):
            yield from _terms_in(condition, (exp.And, *_COMPARISONS))


def _terms_in(node: exp.Expr, opened: tuple[type[exp.Expr], ...] = ()) -> Iterator[exp.Expr]:
    """``opened``: of these the operands are terms, not the whole."""
    if isinstance(node, exp.Query):
        return
    is_scalar = not any(isinstance(it, _NOT_SCALAR) for it in node.walk())
    if isinstance(node, (exp.Where, exp.Having, exp.Group, *opened)) or not is_scalar:
        parts = node.iter_expressions()
        if isinstance(node, exp.Window):
            ordered = node.args.get("order")
            ordering = ordered.expressions if ordered else ()
            parts = iter([*node.this.iter_expressions(), *(node.args.get("partition_by") or ()), *ordering])
        for part in parts:
            yield from _terms_in(part, opened if isinstance(node, opened) else ())
    elif not all(_is_portable(it) for it in node.walk()):
        yield node


def _is_portable(node: exp.Expr) -> bool:
    if isinstance(node, exp.DataType):
        return node.this.name in _PORTABLE_TYPES
    return type(node) in _PORTABLE and not node.meta.get(_NOT_PORTABLE)
