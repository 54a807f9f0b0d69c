"""The literal matcher: records are linked if they have the same id, e-mail address, phone or name.

The id counts within one source only. Missing values are never equal. Everything here is linear in records and
values, however many records share a value.

Source: docs/specification.md section 5
"""

from __future__ import annotations

from collections.abc import Iterable

from service.engine.contract import Engine, Table
from service.pipeline.matching.compared import Compared

_KEYS = {
    "id": "case when has_id then record_key end",
    "email": "coalesce(email_key, email)",
    "phone": "phone_key",
    "name": "name_key",
}
"""Rule -> the text by which it compares records."""
# Each record is linked to the first that shares the value: k records cost k - 1 links, not k * k.
_LINK = (
    "select {rule} as one, ordinal as other, '{rule}' as rule, 1.0::double as weight from this "
    "where {rule} >= 0 and {rule} <> ordinal"
)
# A name is weaker evidence than e-mail address and phone: where both of these agree it is not listed.
_AGREEMENT = """
    select ordinal, via, {listed}
    from (
        select
            this.ordinal, this.via,
            {compared}
        from this
        join keys as one on one.ordinal = this.ordinal
        join keys as other on other.ordinal = this.via
    )
    where {any_rule}
"""
# Weighed evidence is listed where no value alone links the two.
_WEAKER = {
    "name": "by_name and not (by_email and by_phone) as by_name",
    "weighed": "by_weighed and not (by_id or by_email or by_phone or by_name) as by_weighed",
}
_SHARED_VALUE = "select ordinal, {number} as rule, {rule} as value from this where {rule} >= 0"


def links_by(rules: Iterable[str]) -> str:
    """SQL: LINKS of each record with the first that shares a value of one of these rules."""
    return " union all ".join(_LINK.format(rule=rule) for rule in rules)


class LiteralMatcher:
    """See ``Matcher``. Every rule has the weight 1.

    ``more``: rules beyond those that compare values, the weakest in a reason; their columns are made elsewhere.
    """

    def __init__(self, more: tuple[str, ...] = ()) -> None:
        self.rules: tuple[str, ...] = (*_KEYS, *more)
        rules = self.rules
        self._links = links_by(rules)
        self._shared_values = " union all ".join(
            _SHARED_VALUE.format(number=number, rule=rule) for number, rule in enumerate(rules)
        )
        self._agreement = _AGREEMENT.format(
            listed=", ".join(_WEAKER.get(rule, f"by_{rule}") for rule in rules),
            compared=",\n            ".join(f"one.{it} = other.{it} and one.{it} >= 0 as by_{it}" for it in rules),
            any_rule=" or ".join(f"by_{rule}" for rule in rules),
        )

    def with_rule(self, rule: str) -> LiteralMatcher:
        """See ``Matcher.with_rule``."""
        return LiteralMatcher((*self.rules[len(_KEYS) :], rule))

    def compare(self, records: Table, engine: Engine) -> Compared:
        """KEYS: what the rules compare, as numbers; there are no questions."""
        return Compared(records.codes(_KEYS))

    def within_groups(self, keys: Table, groups: Table) -> Table:
        """``keys`` as they are: records that share a number are linked."""
        return keys

    def links(self, keys: Table, engine: Engine) -> Table:
        """LINKS: each record with the first that shares a value."""
        return keys.derive(self._links)

    def agreement(self, pairs: Table, keys: Table) -> Table:
        """EVIDENCE: the rules by which the two records of each pair agree."""
        return pairs.derive(self._agreement, keys=keys)

    def shared_values(self, keys: Table) -> Table:
        """ordinal · rule · value: the values by which records are linked."""
        return keys.derive(self._shared_values)
