"""Match: the customer of the published customer master that each API record belongs to."""

from __future__ import annotations

from service.analytics_rules import AnalyticsRules
from service.commands import command
from service.engine.contract import Engine, Table
from service.errors import InputError, TransientError
from service.model import InputFile, Layout, Source
from service.pipeline.extract import FieldSpec, fields_of
from service.pipeline.fields.email import EMAIL_KEY_SQL, EMAIL_SQL
from service.pipeline.fields.name import NAME_KEY_SQL, NAME_SQL
from service.pipeline.fields.phone import key_of_printed_phone_in


def _own_file(name: str, file_name: str, *columns: str) -> Source:
    """A file of a published set, as a source that can be read like an export."""
    layout = Layout(name, {column: ((column,),) for column in columns}, needs=((columns[0],),))
    return Source(name.upper(), file_name, (layout,))


MASTER = _own_file(
    *("master", "customer_master.csv"), *("unified_id", "full_name", "email", "phone", "source_system", "status")
)
ORDERS = _own_file("orders", "customer_orders.csv", "unified_id", "orders_count")

_SHOP = "ECOM"
_CUSTOMERS = f"""
    select *, {NAME_KEY_SQL} as name_key, coalesce({EMAIL_KEY_SQL}, email) as email_key
    from (
        select
            row_number as customer, unified_id,
            {NAME_SQL} as full_name, {EMAIL_SQL} as email, {{phone_key}} as phone_key,
            lower(trim(status)) as status,
            list_contains(string_split(source_system, '+'), '{_SHOP}') as is_of_shop
        from this
    )
"""
_WITH_ORDERS = """
    select named.*, orders.orders_count
    from ({customers}) as named left join (
        select unified_id, max(try_cast(orders_count as hugeint)) as orders_count from orders group by unified_id
    ) as orders using (unified_id)
"""
_NO_ORDERS = "select *, null::hugeint as orders_count from ({customers})"

# As in the integration job a value belongs to one customer. Only a changed file can have several; the first counts.
_MATCHED = f"""
    with
    names as (
        select row_number, {NAME_KEY_SQL} as name_key from this where has_first_name and has_last_name
    ),
    by_email as (
        select email_key, min(customer) as customer from customers where email_key is not null group by email_key
    ),
    by_phone as (
        select phone_key, min(customer) as customer from customers where phone_key is not null group by phone_key
    ),
    by_name as (select name_key, min(customer) as customer from customers where name_key is not null group by name_key)
    select
        this.row_number,
        coalesce(by_email.customer, by_phone.customer, by_name.customer) as customer,
        case when by_email.customer is not null then 'email'
             when by_phone.customer is not null then 'phone'
             else 'name' end as matched_by
    from this
    left join names on names.row_number = this.row_number
    left join by_email on by_email.email_key = this.email_key
    left join by_phone on by_phone.phone_key = this.phone_key
    left join by_name on by_name.name_key = names.name_key
    where coalesce(by_email.customer, by_phone.customer, by_name.customer) is not null
"""
_MATCHES = """
    select
        this.row_number, this.matched_by, customers.orders_count, customers.status, customers.is_of_shop,
        customers.email, customers.phone_key
    from this join customers using (customer)
"""
_NO_MATCHES = """
    select 0::bigint as row_number, '' as matched_by, 0::hugeint as orders_count, '' as status, false as is_of_shop,
        '' as email, '' as phone_key
    from this where false
"""


def no_matches(records: Table) -> Table:
    """The result of ``match`` without a customer master: the same columns, no row."""
    return records.derive(_NO_MATCHES)


def match(records: Table, master: InputFile, orders: InputFile | None, rules: AnalyticsRules, engine: Engine) -> Table:
    """Match each record to a customer of the master: by e-mail address, else by phone, else by full name.

    In:     records    as ``read_records`` returns them
    Out:    row_number · matched_by · orders_count · status · is_of_shop · email · phone_key, of matched records only;
            all but the first two are the customer's
    Raises: TransientError if a published file cannot be read; the API file is not at fault
    Source: docs/specification.md section 8
    """
    named = _CUSTOMERS.replace("{phone_key}", key_of_printed_phone_in(rules.default_region))
    rows = _read(master, engine)
    if orders is None:
        customers = rows.derive(_NO_ORDERS.replace("{customers}", named))
    else:
        customers = rows.derive(_WITH_ORDERS.replace("{customers}", named), orders=_read(orders, engine))
    rows.release()
    return records.derive(_MATCHED, customers=customers).derive(_MATCHES, customers=customers)


def _read(file: InputFile, engine: Engine) -> Table:
    try:
        table, report = engine.read(file)
    except InputError as error:
        raise TransientError(
            f"{file.file_name} of the published set cannot be read: {error.message}",
            hint=f"run {command('verify')} to see what is wrong with the outbox",
        ) from None
    fields = tuple(file.source.own.fields)
    return table.derive(f"select row_number, {fields_of(report.layout, FieldSpec(fields, fields[:1]))} from this")
