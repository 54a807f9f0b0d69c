"""What ``sqlglot`` does not translate from the contract's SQL to Spark's: some aggregates, stars, ``not in``."""

from __future__ import annotations

from collections.abc import Iterable

import sqlglot
from sqlglot import exp

_SORTED_LIST = "transform(sort_array(collect_list(named_struct('k', $key, 'v', $value))), it -> it.v)"
_SORTED_TEXTS = "array_join(sort_array(collect_set($value)), $separator)"
_FIRST_OF_LIST = "slice(sort_array(collect_list($value)), 1, $count)"


class Untranslatable(ValueError):
    """A statement of a stage means something else in Spark: it must be written in another way."""


def for_spark(root: exp.Expr) -> exp.Expr:
    """The statement with terms of Spark for what Spark does not have."""
    return root.transform(_changed, copy=False)


def _changed(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Select):
        return _without_replace(node)
    if isinstance(node, exp.ArrayAgg) and isinstance(node.this, exp.Order):
        (ordered,) = node.this.expressions
        _refuse_descending([ordered])
        return _spark(_SORTED_LIST, key=ordered.this, value=node.this.this)
    if isinstance(node, exp.GroupConcat) and (distinct := node.find(exp.Distinct)):
        # Spark 4.3 has an error in listagg beside count(distinct …).
        _refuse_descending(node.find_all(exp.Ordered))
        return _spark(_SORTED_TEXTS, value=distinct.expressions[0], separator=node.args["separator"])
    if isinstance(node, exp.Min) and node.args.get("count"):
        return _spark(_FIRST_OF_LIST, value=node.this, count=node.args["count"])
    if isinstance(node, exp.ArgMin | exp.ArgMax):
        return _of_given_values(node)
    if isinstance(node, exp.DataType) and node.this == exp.DType.INT128:
        return exp.DataType.build("decimal(38, 0)", dialect="spark")
    if isinstance(node, exp.Not) and isinstance(node.this, exp.In) and node.this.args.get("query"):
        return _not_there(node.this)
    return node


def _refuse_descending(ordered: Iterable[exp.Ordered]) -> None:
    if any(it.args.get("desc") for it in ordered):
        raise Untranslatable("an aggregate in descending order: sort_array ascends")


def _spark(template: str, **terms: exp.Expr) -> exp.Expr:
    for name in terms:
        template = template.replace(f"${name}", f"`${name}`")
    parsed = sqlglot.parse_one(template, read="spark")
    for column in list(parsed.find_all(exp.Column)):
        if column.name.startswith("$"):
            column.replace(for_spark(terms[column.name[1:]].copy()))
    return parsed


def _without_replace(select: exp.Select) -> exp.Select:
    """``* replace (term as a)`` leaves ``a`` out and adds it at the end: no union may pair such columns by position."""
    added: list[exp.Expr] = []
    for projection in select.expressions:
        star = projection.this if isinstance(projection, exp.Column) else projection
        if isinstance(star, exp.Star) and (replaced := star.args.get("replace")):
            names = [exp.to_identifier(it.alias) for it in replaced]
            star.set("except_", [*(star.args.get("except_") or ()), *names])
            star.set("replace", None)
            added += replaced
    if added:
        select.select(*added, copy=False)
    return select


def _of_given_values(node: exp.ArgMin | exp.ArgMax) -> exp.Expr:
    """Rows without the value do not count, as rows without a rank do not."""
    is_given = exp.Is(this=node.this.copy(), expression=exp.Null()).not_()
    node.set("expression", exp.Case().when(is_given, node.expression.copy()))
    return node


def _not_there(node: exp.In) -> exp.Expr:
    """``a not in (select b …)`` as ``not exists``, which Spark can join; for columns without nulls."""
    query = node.args["query"]
    query = query.this if isinstance(query, exp.Subquery) else query
    if not isinstance(query, exp.Select) or len(query.expressions) != 1 or query.expressions[0].is_star:
        return exp.Not(this=node)
    query = query.copy()
    query.set("expressions", [exp.alias_(query.expressions[0].unalias(), "listed_value")])
    translated = for_spark(query)
    assert isinstance(translated, exp.Query)
    listed = translated.subquery("listed")
    condition = exp.EQ(this=exp.column("listed_value", "listed"), expression=node.this.copy())
    return exp.Not(this=exp.Exists(this=exp.select(exp.Literal.number(1)).from_(listed).where(condition)))
