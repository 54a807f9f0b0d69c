"""The literal matcher: records are linked if they have the same id, e-mail address, phone or name.

The id counts within one source only. Missing values are never equal. Everything here is linear in records and
values, however many records share a value.

Source: docs/specification.md section 5
"""

from __future__ import annotations

from service.engine.contract import Engine, Table

_KEYS = {
    "id": "case when has_id then record_key end",
    "email": "coalesce(email_key, email)",
    "phone": "phone_key",
    "name": "name_key",
}
"""Rule -> the text by which it compares records."""
# Each record is linked to the first that shares the value: k records cost k - 1 links, not k * k.
_LINKS = " union all ".join(
    f"select {rule} as one, ordinal as other, '{rule}' as rule, 1.0::double as weight from this "
    f"where {rule} >= 0 and {rule} <> ordinal"
    for rule in _KEYS
)
# A name is weaker evidence than e-mail address and phone: where both of these agree it is not listed.
_AGREEMENT = """
    select ordinal, via, by_id, by_email, by_phone, by_name and not (by_email and by_phone) as by_name
    from (
        select
            this.ordinal, this.via,
            one.id = other.id and one.id >= 0 as by_id,
            one.email = other.email and one.email >= 0 as by_email,
            one.phone = other.phone and one.phone >= 0 as by_phone,
            one.name = other.name and one.name >= 0 as by_name
        from this
        join keys as one on one.ordinal = this.ordinal
        join keys as other on other.ordinal = this.via
    )
    where by_id or by_email or by_phone or by_name
"""
_SHARED_VALUES = " union all ".join(
    f"select ordinal, {number} as rule, {rule} as value from this where {rule} >= 0"
    for number, rule in enumerate(_KEYS)
)


class LiteralMatcher:
    """See ``Matcher``. Every rule has the weight 1."""

    rules: tuple[str, ...] = tuple(_KEYS)

    def keys(self, records: Table) -> Table:
        """KEYS: what the rules compare, as numbers."""
        return records.codes(_KEYS)

    def links(self, keys: Table, engine: Engine) -> Table:
        """LINKS: each record with the first that shares a value."""
        return keys.derive(_LINKS)

    def agreement(self, pairs: Table, keys: Table) -> Table:
        """EVIDENCE: the rules by which the two records of each pair agree."""
        return pairs.derive(_AGREEMENT, keys=keys)

    def shared_values(self, keys: Table) -> Table:
        """ordinal · rule · value: the values by which records are linked."""
        return keys.derive(_SHARED_VALUES)
