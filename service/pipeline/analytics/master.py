"""Match: the customer of the published customer master that each API record belongs to."""

from __future__ import annotations

from pathlib import Path

from service.analytics_rules import AnalyticsRules
from service.commands import command
from service.engine.contract import Engine, Table
from service.errors import InputError, TransientError
from service.model import InputFile, Layout, Source
from service.outbox import published_file
from service.pipeline.extract import FieldSpec, fields_of
from service.pipeline.fields.email import EMAIL_KEY_SQL, EMAIL_SQL
from service.pipeline.fields.name import NAME_KEY_SQL, NAME_SQL
from service.pipeline.fields.phone import key_of_printed_phone_in
from service.pipeline.parquet import MASTER_FILE


def _own_file(name: str, file_name: str, *columns: str) -> Source:
    """A file of a published set, as a source that can be read like an export."""
    layout = Layout(name, {column: ((column,),) for column in columns}, needs=((columns[0],),))
    return Source(name.upper(), file_name, (layout,))


MASTER = _own_file(
    *("master", "customer_master.csv"), *("unified_id", "full_name", "email", "phone", "source_system", "status")
)
ORDERS = _own_file("orders", "customer_orders.csv", "unified_id", "orders_count")

_SHOP = "ECOM"
_IN_PARQUET = f"""
    select customer, unified_id, full_name, email, phone, lower(trim(status)) as status,
        list_contains(source_system, '{_SHOP}') as is_of_shop
    from this
"""
_IN_CSV = f"""
    select
        row_number as customer, unified_id, {NAME_SQL} as full_name, {EMAIL_SQL} as email, phone,
        lower(trim(status)) as status,
        list_contains(string_split(source_system, '+'), '{_SHOP}') as is_of_shop
    from (select row_number, {{fields}} from this)
"""
_WITH_KEYS = f"""
    select customer, unified_id, email, status, is_of_shop,
        {NAME_KEY_SQL} as name_key, coalesce({EMAIL_KEY_SQL}, email) as email_key, {{phone_key}} as phone_key
    from ({{customers}})
"""
_ORDERS_OF_CUSTOMERS = """
    select unified_id, max(try_cast(orders_count as hugeint)) as orders_count
    from (select {fields} from this) group by unified_id
"""
_NO_ORDERS = "select '' as unified_id, 0::hugeint as orders_count from this where false"

# As in the integration job a value belongs to one customer. Only a changed file can have several; the first counts.
# Phone and name of a record are looked up only where its address, or its phone, has found nothing.
_MATCHED = f"""
    with
    by_email as (
        select email_key, min(customer) as customer from customers where email_key is not null group by email_key
    ),
    by_phone as (
        select phone_key, min(customer) as customer from customers where phone_key is not null group by phone_key
    ),
    by_name as (select name_key, min(customer) as customer from customers where name_key is not null group by name_key),
    with_email as (
        select row_number, by_email.customer as of_email, has_first_name and has_last_name as is_named, full_name,
            case when by_email.customer is null then phone_key end as phone_key
        from this left join by_email using (email_key)
    ),
    with_phone as (
        select row_number, of_email, by_phone.customer as of_phone,
            case when of_email is null and by_phone.customer is null and is_named then {NAME_KEY_SQL} end as name_key
        from with_email left join by_phone using (phone_key)
    )
    select
        row_number,
        coalesce(of_email, of_phone, by_name.customer) as customer,
        case when of_email is not null then 'email' when of_phone is not null then 'phone' else 'name' end as matched_by
    from with_phone left join by_name using (name_key)
    where coalesce(of_email, of_phone, by_name.customer) is not null
"""
_MATCHES = """
    select
        this.row_number, this.matched_by, orders.orders_count, customers.status, customers.is_of_shop,
        customers.email, customers.phone_key
    from this join customers using (customer) left join orders using (unified_id)
"""
_NO_MATCHES = """
    select 0::bigint as row_number, '' as matched_by, 0::hugeint as orders_count, '' as status, false as is_of_shop,
        '' as email, '' as phone_key
    from this where false
"""


def no_matches(records: Table) -> Table:
    """The result of ``match`` without a customer master: the same columns, no row."""
    return records.derive(_NO_MATCHES)


def match(records: Table, master: Path, rules: AnalyticsRules, engine: Engine) -> Table:
    """Match each record to a customer of the master: by e-mail address, else by phone, else by full name.

    In:     records    as ``read_records`` returns them
            master     the folder of a published set
    Out:    row_number · matched_by · orders_count · status · is_of_shop · email · phone_key, of matched records only;
            all but the first two are the customer's
    Raises: TransientError if a published file cannot be read; the API file is not at fault
    Source: docs/specification.md section 8
    """
    rows, selected = _customers(master, engine)
    phone_key = key_of_printed_phone_in(rules.default_region)
    customers = rows.derive(_WITH_KEYS.replace("{customers}", selected).replace("{phone_key}", phone_key))
    rows.release()
    orders = published_file(master, ORDERS)  # sets of older versions have none
    if orders is None:
        counted = records.derive(_NO_ORDERS)
    else:
        rows, fields = _read(orders, engine)
        counted = rows.derive(_ORDERS_OF_CUSTOMERS.replace("{fields}", fields))
        rows.release()
    matched = records.derive(_MATCHED, customers=customers)
    matches = matched.derive(_MATCHES, customers=customers, orders=counted)
    for table in (customers, counted, matched):
        table.release()
    return matches


def _customers(master: Path, engine: Engine) -> tuple[Table, str]:
    """The customers of a published set, and the SQL that selects what is matched from them."""
    if (typed := master / MASTER_FILE).is_file():
        stored = engine.read_parquet(typed)
        rows = stored.numbered("customer", 1)
        return rows, _IN_PARQUET
    # Sets of older versions have the CSV file only.
    file = published_file(master, MASTER)
    assert file is not None, "the caller has seen it"
    rows, fields = _read(file, engine)
    return rows, _IN_CSV.replace("{fields}", fields)


def _read(file: InputFile, engine: Engine) -> tuple[Table, str]:
    """The rows of a published file as they were read, and the SQL that selects its fields from them.

    Raises: TransientError if it cannot be read.
    """
    try:
        table, report = engine.read(file)
    except InputError as error:
        raise TransientError(
            f"{file.file_name} of the published set cannot be read: {error.message}",
            hint=f"run {command('verify')} to see what is wrong with the outbox",
        ) from None
    fields = tuple(file.source.own.fields)
    return table, fields_of(report.layout, FieldSpec(fields, fields[:1]))
