"""Read both exports with DuckDB; for the floors, and for tools that only match."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from service.readers.json_window import array_window
from service.readers.served_files import Served, ServedFiles

_BOTH = """
    select customer_id as id, full_name, email, phone, signup_date, status
    from read_csv('{crm}', all_varchar=true, header=true)
    union all
    select id, concat_ws(' ', name.first, name.last), contact.email, contact.phone, registered, 'active'
    from read_json('{url}', format='array', columns={{
        id: 'varchar', name: 'struct(first varchar, last varchar)',
        contact: 'struct(email varchar, phone varchar)', registered: 'varchar'}})
"""
_MISSING = "('n/a', '-', 'null', 'unknown', 'none', '')"
_TIDY = """
    create table tidy as
    select
        trim(regexp_replace(lower(full_name), ' +', ' ', 'g')) as name,
        regexp_replace(trim(lower(email)), '^mailto:', '') as email,
        regexp_replace(regexp_replace(phone, ' ?x.*$', ''), '[^0-9]', '', 'g') as phone
    from ({rows})
"""
_PREPARED = f"""
    create table prepared as
    select
        rowid as unique_id,
        nullif(regexp_replace(name, '^([^,]*), ?([^,]*)$', '\\2 \\1'), '') as name,
        case when email not in {_MISSING} then email end as email,
        case when length(phone) = 10 then '1' || phone when length(phone) > 6 then phone end as phone
    from tidy
"""


@contextmanager
def both_exports(crm: Path, ecom: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """A connection, and the query of all rows: id · full_name · email · phone · signup_date · status, as written."""
    window = array_window(ecom, "customers")
    assert window is not None, "the generator writes the plain form"
    with duckdb.connect() as connection:
        files = ServedFiles()
        connection.register_filesystem(files)
        with files.at_url(Served(ecom, *window, lambda chunk: None, before=b"[", after=b"]")) as url:
            yield connection, _BOTH.format(crm=crm, url=url)


def prepare(connection: duckdb.DuckDBPyConnection, rows: str) -> None:
    """Make the table ``prepared``: unique_id · name · email · phone, by a few expressions; null if missing."""
    connection.execute(_TIDY.format(rows=rows))
    connection.execute(_PREPARED)
