"""A reader reads published Parquet files and nothing else, in bounded time and memory, and outlives its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from service.engine import open_reader
from service.engine.contract import PARQUET, Reader, StatementTooSlow
from service.errors import TransientError

ROWS = 300_000
ENDLESS = "select count(*) from range(10000000000) as a, range(1000) as b where a.range + b.range = -1"
HOSTILE = ("'; drop table x; --", "\0", "' or '1'='1", "\\", '"', "%_*[")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sets with one file, of more than two row groups."""
    made = tmp_path_factory.mktemp("outbox") / "it's [all] *" / "batches"
    made.mkdir(parents=True)
    write(made / "many.parquet", f"select i as n, 'Name ' || md5(i::varchar) as name from range({ROWS}) as t(i)")
    return made


@pytest.fixture(scope="module")
def reader(folder: Path) -> Iterator[Reader]:
    with open_reader([folder]) as opened:
        yield opened


def write(path: Path, select: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"copy ({select}) to ? (format parquet)", [str(path)])


def count(reader: Reader, path: Path | str) -> int:
    return int(reader.rows(f"select count(*) from {PARQUET}", str(path))[0][0])


def test_a_page_is_read_by_the_position_of_its_rows(reader: Reader, folder: Path) -> None:
    page = f"select n, file_row_number from {PARQUET} where file_row_number between ? and ? order by file_row_number"
    rows = reader.rows(page, str(folder / "many.parquet"), 250_000, 250_049)
    assert rows == [(n, n) for n in range(250_000, 250_050)]
    assert reader.rows(page, str(folder / "many.parquet"), ROWS, ROWS + 49) == []


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_parameter_is_a_value(reader: Reader, folder: Path, value: str) -> None:
    path = str(folder / "many.parquet")
    assert reader.rows("select ?", value) == [(value,)]
    assert reader.rows(f"select n from {PARQUET} where name = ? or contains(name, ?)", path, value, value) == []
    # The engine takes a backslash as a possible way out of the folder, and refuses it.
    with pytest.raises(TransientError if value == "\\" else FileNotFoundError):
        count(reader, folder / value.replace("\0", "-"))


def test_a_parameter_that_is_no_text_is_an_error_of_the_query(reader: Reader) -> None:
    for parameter in ("\ud800", object()):
        with pytest.raises(TransientError, match="the query failed"):
            reader.rows("select ?", parameter)


def test_a_file_that_is_gone_is_named_as_such(reader: Reader, folder: Path) -> None:
    for missing in (folder / "gone.parquet", folder / "20240115T120000Z-0a1b2c" / "records.parquet"):
        with pytest.raises(FileNotFoundError):
            count(reader, missing)


@pytest.mark.large
def test_a_file_that_goes_while_it_is_opened_is_named_as_such(reader: Reader, folder: Path) -> None:
    path, is_over = folder / "fleeting.parquet", threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            path.hardlink_to(folder / "many.parquet")
            path.unlink()

    coming = threading.Thread(target=come_and_go)
    coming.start()
    found: set[int | None] = set()
    try:
        for _ in range(400):
            try:
                found.add(count(reader, path))
            except FileNotFoundError:
                found.add(None)
    finally:
        is_over.set()
        coming.join()
    assert found == {ROWS, None}


def test_nothing_is_read_outside_of_the_folders(reader: Reader, folder: Path) -> None:
    outside = folder.parent / "secret.parquet"
    write(outside, "select 1 as n")
    link, linked_folder = folder / "link.parquet", folder / "linked"
    link.symlink_to(outside)
    linked_folder.symlink_to(folder.parent)
    for path in (
        *(outside, link, linked_folder / "secret.parquet", folder / ".." / "secret.parquet", folder.parent),
        *("/etc/passwd", "https://localhost/x.parquet", "s3://bucket/x.parquet", "/proc/self/environ"),
    ):
        with pytest.raises((TransientError, FileNotFoundError)):
            count(reader, path)
    for sql in ("from read_text('/etc/passwd')", "from glob('/etc/*')", "from read_csv('/etc/passwd')"):
        with pytest.raises(TransientError):
            reader.rows(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{folder}/new.parquet'",
        "attach '{folder}/new.db' as new",
        "set memory_limit = '10GB'",
        "load httpfs",
        "select 1; select 2",
        "create table t as select 1",
        "",
    ],
)
def test_only_one_select_is_run(reader: Reader, folder: Path, sql: str) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(ValueError, match="one select"):
        reader.rows(sql.format(folder=str(folder).replace("'", "''")))
    assert sorted(folder.iterdir()) == before


def test_a_statement_over_the_time_limit_is_ended_and_no_other_with_it(folder: Path) -> None:
    with open_reader([folder], limit_seconds=0.6) as reader, ThreadPoolExecutor(4) as threads:
        started = time.monotonic()
        slow = threads.submit(reader.rows, ENDLESS)
        quick = threads.submit(lambda: [count(reader, folder / "many.parquet") for _ in range(20)])
        assert quick.result() == [ROWS] * 20
        with pytest.raises(StatementTooSlow, match=r"longer than 0\.6 seconds"):
            slow.result()
        assert time.monotonic() - started < 4


def test_a_statement_that_waits_for_slow_ones_waits_no_longer_than_it_may_run(folder: Path) -> None:
    with open_reader([folder], limit_seconds=0.4) as reader, ThreadPoolExecutor(8) as threads:
        started = time.monotonic()
        for statement in [threads.submit(reader.rows, ENDLESS) for _ in range(8)]:
            with pytest.raises(StatementTooSlow):
                statement.result()
        assert time.monotonic() - started < 4
        assert count(reader, folder / "many.parquet") == ROWS


def test_a_reader_has_two_threads_and_leaves_none(folder: Path) -> None:
    before = threading.active_count()
    with open_reader([folder]) as reader, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: reader.rows("select ?", n), range(50))) == [[(n,)] for n in range(50)]
        assert threading.active_count() <= before + 8 + 2
    assert threading.active_count() == before


def test_threads_read_at_once_and_each_has_its_own_rows(reader: Reader, folder: Path) -> None:
    page = f"select n from {PARQUET} where file_row_number = ?"
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: reader.rows(page, str(folder / "many.parquet"), n), range(0, ROWS, 5000)))
    assert found == [[(n,)] for n in range(0, ROWS, 5000)]


def test_a_statement_that_needs_more_memory_fails_and_the_next_one_works(folder: Path) -> None:
    with open_reader([folder], memory_limit_mb=16) as reader:
        with pytest.raises(TransientError, match="more memory") as error:
            reader.rows(f"select count(distinct name || n) from {PARQUET}", str(folder / "many.parquet"))
        assert "Name" not in str(error.value)
        assert count(reader, folder / "many.parquet") == ROWS


def test_an_error_never_quotes_a_value(reader: Reader, folder: Path) -> None:
    for sql, *parameters in (
        ("select ?::int", "Ann Lee"),
        (f"select name::date from {PARQUET}", folder / "many.parquet"),
    ):
        with pytest.raises(TransientError) as error:
            reader.rows(sql, *map(str, parameters))
        assert "Name" not in error.value.explained() and "Ann" not in error.value.explained()
        assert error.value.__cause__ is None and error.value.__suppress_context__


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"customer_id\n1\n"])
def test_a_file_that_is_no_parquet_is_an_error_of_its_own(reader: Reader, folder: Path, content: bytes) -> None:
    damaged = folder / "damaged.parquet"
    damaged.write_bytes(content)
    with pytest.raises(TransientError, match="the query failed"):
        count(reader, damaged)
    assert count(reader, folder / "many.parquet") == ROWS


def test_a_damaged_file_that_ends_the_database_does_not_end_the_reader(reader: Reader, folder: Path) -> None:
    damaged = folder / "negative.parquet"
    write(damaged, "select i as n from range(3000) as t(i)")
    with duckdb.connect() as connection:
        sql = "select total_compressed_size from parquet_metadata(?)"
        [(size,)] = connection.execute(sql, [str(damaged)]).fetchall()
    content = damaged.read_bytes()
    assert content.count(zigzag(size)) == 2  # of the column, and of its row group
    damaged.write_bytes(content.replace(zigzag(size), zigzag(-size), 1))
    with pytest.raises(duckdb.FatalException), duckdb.connect() as connection:
        with pytest.raises(duckdb.InternalException):
            connection.execute("from read_parquet(?)", [str(damaged)]).fetchall()
        connection.execute("select 1")
    with pytest.raises(TransientError, match="the query failed"):
        reader.rows(f"from {PARQUET}", str(damaged))
    assert count(reader, folder / "many.parquet") == ROWS


def zigzag(value: int) -> bytes:
    """A number as the footer of a Parquet file has it."""
    rest, encoded = (value << 1) ^ (value >> 63), bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*encoded, rest])


def test_a_new_file_under_the_same_name_is_read(reader: Reader, folder: Path) -> None:
    changing = folder / "changing.parquet"
    for rows in (1, 2):
        write(changing, f"from range({rows})")
        assert count(reader, changing) == rows


def test_a_folder_may_be_created_after_the_reader_and_be_reached_by_a_link_that_changes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    with open_reader([tmp_path / "link" / "batches"]) as reader:
        with pytest.raises((FileNotFoundError, TransientError)):
            count(reader, tmp_path / "link" / "batches" / "t.parquet")
        (tmp_path / "real" / "batches").mkdir(parents=True)
        write(tmp_path / "real" / "batches" / "t.parquet", "select 1 as n")
        assert count(reader, tmp_path / "link" / "batches" / "t.parquet") == 1
        (tmp_path / "link").unlink()
        (tmp_path / "real").rename(tmp_path / "moved")
        (tmp_path / "link").symlink_to("moved")
        assert count(reader, tmp_path / "link" / "batches" / "t.parquet") == 1
