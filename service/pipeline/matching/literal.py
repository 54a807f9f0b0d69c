"""The literal matcher: records are linked if they have the same id, e-mail address, phone or name.

The id counts within one source only. Missing values are never equal. Everything here is linear in records and
values, however many records share a value.

Source: docs/specification.md section 5
"""

from __future__ import annotations

from service.engine.contract import Engine, Table

# One row for every record and every value by which it can be linked to another.
_SHARED_VALUES = """
    select ordinal, 'id' as rule, record_key as value from this where has_id
    union all select ordinal, 'email', coalesce(email_key, email) from this where email is not null
    union all select ordinal, 'phone', phone_key from this where phone_key is not null
    union all select ordinal, 'name', name_key from this where name_key is not null
"""
# Each record is linked to the first that shares the value: k records cost k - 1 links, not k * k.
_LINKS = """
    with shared as (
        select rule, value, min(ordinal) as first from this group by rule, value having count(*) > 1
    )
    select shared.first as one, this.ordinal as other, rule, 1.0::double as weight
    from this join shared using (rule, value)
    where this.ordinal <> shared.first
"""
# A name is weaker evidence than e-mail address and phone: where both of these agree it is not listed.
_AGREEMENT = """
    select
        this.ordinal, this.via,
        one.has_id and other.has_id and one.record_key = other.record_key as same_id,
        coalesce(coalesce(one.email_key, one.email) = coalesce(other.email_key, other.email), false) as same_email,
        coalesce(one.phone_key = other.phone_key, false) as same_phone,
        coalesce(one.name_key = other.name_key, false) as same_name
    from this
    join records as one on one.ordinal = this.ordinal
    join records as other on other.ordinal = this.via
"""
_EVIDENCE = """
    select ordinal, via, 'id' as rule, 1.0::double as weight from this where same_id
    union all select ordinal, via, 'email', 1.0 from this where same_email
    union all select ordinal, via, 'phone', 1.0 from this where same_phone
    union all select ordinal, via, 'name', 1.0 from this where same_name and not (same_email and same_phone)
"""


class LiteralMatcher:
    """See ``Matcher``. Every rule has the weight 1."""

    rules: tuple[str, ...] = ("id", "email", "phone", "name")

    def links(self, records: Table, engine: Engine) -> Table:
        """LINKS: each record with the first that shares a value."""
        return self.shared_values(records).derive(_LINKS)

    def agreement(self, pairs: Table, records: Table) -> Table:
        """EVIDENCE: the rules by which the two records of each pair agree."""
        return pairs.derive(_AGREEMENT, records=records).derive(_EVIDENCE)

    def shared_values(self, records: Table) -> Table:
        """ordinal · rule · value: the values by which records are linked."""
        return records.derive(_SHARED_VALUES)
