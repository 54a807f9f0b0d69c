"""File names and cells made to harm: terminals, logs, personal data in names, columns from folders, endless marks."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.embedded import open_embedded
from service.errors import SettingsError, TransientError, UsageError, safe_text
from service.inbox import shown_name
from service.model import SOURCES
from service.pipeline.fields.email import norm_email
from service.pipeline.fields.name import norm_name
from service.pipeline.fields.phone import norm_phone
from service.pipeline.rejects import rejects_table
from service.printable import LONGEST_RUN, bounded, printable
from service.raw_settings import from_files
from service.readers.rows import REJECTS_IN_MEMORY
from service.vocabulary import word_of
from tests.small_batches import delivered_file
from tests.worlds import CRM, ECOM, House

ANY_TEXT = st.text(st.characters(exclude_categories=[]))
PERSON = "Erika Mustermann"
HARMFUL = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egpj.exe"


# ------------------------------------------------------------------------------------------------ what is printed


@given(ANY_TEXT)
def test_law_what_is_printable_has_one_line_and_every_encoding(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert printable(shown) == shown
    assert (shown == text) is text.isprintable()


@given(ANY_TEXT, ANY_TEXT)
def test_law_errors_are_printable(message: str, where: str) -> None:
    error = UsageError(message, where=where, hint="h")
    assert all(line.isprintable() for line in error.explained().split("\n"))
    assert len(error.explained().split("\n")) <= 3
    assert safe_text(error).isprintable()
    assert safe_text(FileNotFoundError(2, "No such file", where)).isprintable()


@pytest.mark.large
@pytest.mark.parametrize("encoding", ["ascii:strict", "utf-8:strict", "latin-1:strict"])
def test_a_harmful_name_neither_ends_the_daemon_nor_reaches_the_terminal(house: House, encoding: str) -> None:
    for name in (f"{HARMFUL}.csv", os.fsdecode(b"crm_customers_\xff\xfe.csv"), "crm_customers_Zo\xeb\u2028.csv"):
        (house.inbox / name).touch()
    house.drop()
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONIOENCODING", environment["PYTHONIOENCODING"])
        run = house.run("watch", "--once", settle_seconds="0.2")
        checked = house.run("check", f"inbox/{HARMFUL}.csv")
    assert (run.code, len(house.batches())) == (0, 1)
    for text in (run.out, run.err, checked.out, checked.err, (house.state / "health.json").read_text("utf-8")):
        assert all(line.isprintable() for line in text.splitlines())
        assert "Traceback" not in text


@pytest.mark.large
def test_named_files_are_printed_as_escapes_and_must_be_utf_8(house: House) -> None:
    gone = house.run("integrate", f"{HARMFUL}.csv", ECOM, "--outbox", "out")
    assert gone.code == 2
    assert all(line.isprintable() for line in gone.err.splitlines())
    assert all(
        line.isprintable() for line in (house.root / "out" / "integration_log.txt").read_text("utf-8").split("\n")
    )
    no_text = house.root / os.fsdecode(b"crm_\xff.csv")
    no_text.write_text("customer_id,full_name\n1,Ann Lee\n", encoding="utf-8")
    house.drop()
    refused = house.run("integrate", no_text.name, house.inbox / ECOM, "--outbox", "out")
    assert refused.code == 2
    assert "not UTF-8" in refused.err


# ----------------------------------------------------------------------------------------- personal data in names


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=40))
def test_law_a_suffix_is_shown_only_where_it_is_a_date_or_a_number(suffix: str) -> None:
    shown = shown_name(f"crm_customers_{suffix}.csv", SOURCES)
    letters = [char for char in suffix.casefold() if char.isalpha() and char not in "crm_customers.csv"]
    assert shown.isprintable()
    assert all(char not in shown for char in letters if char not in "abcdef")


@pytest.mark.parametrize("suffix", ["", "_2024-01-15", "_20240115", "-17", " 3"])
def test_a_date_or_a_number_is_shown(suffix: str) -> None:
    assert shown_name(f"CRM_customers{suffix}.CSV", SOURCES) == f"CRM_customers{suffix}.CSV"


def test_the_exports_of_one_suffix_are_shown_with_the_same_digits() -> None:
    one, other = (shown_name(name, SOURCES) for name in (f"crm_customers_{PERSON}.csv", f"{ECOM[:-5]}_{PERSON}.json"))
    assert one.partition("#")[2][:6] == other.partition("#")[2][:6]


def test_no_personal_data_of_a_file_name_reaches_stdout_and_health(house: House) -> None:
    for name in (f"crm_customers_{PERSON}.csv", f"{PERSON}.pdf", f"{ECOM[:-5]}_{PERSON} 2.json", f"{PERSON}.{PERSON}"):
        (house.inbox / f"crm_customers_{PERSON} (1).csv").write_text("x\n", encoding="utf-8")
        (house.inbox / name).write_text("x\n", encoding="utf-8")
    run = house.run("watch", "--once", settle_seconds="0.2", partner_warning_minutes="0.001")
    waiting = (house.state / "health.json").read_text("utf-8")
    (house.inbox / f"{ECOM[:-5]}_{PERSON}.json").write_text("{", encoding="utf-8")
    wrong = house.run("watch", "--once", settle_seconds="0.2")
    assert len(house.quarantine()) == 1
    for text in (run.out, run.err, waiting, wrong.out, wrong.err, (house.state / "health.json").read_text("utf-8")):
        assert "Mustermann" not in text
    assert PERSON in json.dumps(house.reason()["inputs"])
    assert PERSON in (house.quarantine()[0] / "integration_log.txt").read_text("utf-8")


# ------------------------------------------------------------------------------------------------------- the engine


@pytest.mark.large
def test_a_folder_named_like_a_column_replaces_no_column(tmp_path: Path) -> None:
    odd = tmp_path / "c0=evil" / "cell_0=evil" / "record_key=evil" / "customer=7"
    odd.mkdir(parents=True)
    house = House(odd / "house")
    house.drop()
    assert house.run("watch", "--once", settle_seconds="0.2").code == 0
    ragged = (house.root / "archive.csv", (house.inbox / "archive" / house.batches()[0] / CRM).read_text("utf-8"))
    (house.inbox / CRM).write_text(f"{ragged[1].rstrip()},one cell too many\n", encoding="utf-8")
    (house.inbox / ECOM).write_text((house.inbox / "archive" / house.batches()[0] / ECOM).read_text("utf-8"), "utf-8")
    assert house.run("watch", "--once", settle_seconds="0.2").code == 0
    first, second = house.batches()
    crosswalk = (house.outbox / "batches" / first / "crosswalk.csv").read_text("utf-8")
    assert "evil" not in crosswalk + house.read("customer_master.csv")
    assert "CUST001" in house.read("customer_master.csv")
    changes = (house.outbox / "batches" / second / "id_changes.csv").read_text("utf-8")
    assert "created" not in changes, "the register was read as it was written"


@pytest.mark.parametrize(
    "statement",
    [
        *("select * from read_text('{secret}')", "select * from read_csv('{secret}')", "from glob('{parent}/*')"),
        *("copy (select 1) to '{secret}'", "attach '{secret}'", "copy (select 1) to '{work}/../secret.csv'"),
        *("select * from read_text('{work}/link')", "copy (select 1) to '{work}/link'"),
    ],
)
def test_no_statement_reaches_a_file_outside_of_our_folders(tmp_path: Path, statement: str) -> None:
    secret, work = tmp_path / "secret.csv", tmp_path / "work"
    secret.write_text("secret", encoding="utf-8")
    work.mkdir()
    (work / "link").symlink_to(secret)
    with open_embedded(work, memory_limit_mb=200) as engine, pytest.raises(TransientError):
        assert not engine.run(statement.format(secret=secret, work=work, parent=tmp_path))
        raise TransientError("nothing was found", hint="")
    assert secret.read_text(encoding="utf-8") == "secret"


@pytest.mark.parametrize(
    "setting", ["enable_external_access = true", "allowed_directories = ['/']", "temp_directory = '/'"]
)
def test_no_statement_changes_the_configuration(tmp_path: Path, setting: str) -> None:
    with open_embedded(tmp_path, memory_limit_mb=200) as engine, pytest.raises(Exception, match="locked"):
        engine.run(f"set {setting}")


# ------------------------------------------------------------------------------------------------------------ marks

MARKS = ("a" + "\u0301\u0316" * 4999, "\u0327\u0301" * 4999 + "b", "\u0344" * 5000, "e" + "\u0f77" * 3000)


@pytest.mark.parametrize("text", MARKS, ids=["above and below", "no letter", "two in one", "decomposed"])
@pytest.mark.parametrize("rule", [norm_name, norm_email, norm_phone, word_of])
def test_endless_marks_cost_no_time(text: str, rule: object) -> None:
    assert callable(rule)
    began = time.process_time()
    rule(*([text] if rule in (norm_name, norm_email, word_of) else [text, "US"]))
    assert time.process_time() - began < 0.05


@pytest.mark.parametrize(
    "text", ["'" * 9_990, "(" * 9_990, "<" * 9_990, "a é@" + "“" * 9_900, "a" + " " * 9_800 + "b@x.org" + "”" * 98]
)
def test_endless_marks_round_an_address_cost_no_time(text: str) -> None:
    began = time.process_time()
    assert norm_email(text) is None
    assert time.process_time() - began < 1


def test_no_combining_mark_is_part_of_a_word() -> None:
    marks = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(char)]
    assert [mark for mark in marks if re.match(r"\w", mark)] == []


@given(st.text(st.sampled_from("aé\u0301\u0316 ") | st.characters(), max_size=200))
def test_law_bounded_keeps_every_text_whose_runs_are_short(text: str) -> None:
    runs = "".join("m" if unicodedata.combining(char) else " " for char in text).split()
    kept = bounded(text)
    assert bounded(kept) == kept
    assert (kept == text) is (max(map(len, runs), default=0) <= LONGEST_RUN or len(text) <= LONGEST_RUN)


# ---------------------------------------------------------------------------------------------------------- rejects


@pytest.mark.large
@pytest.mark.parametrize("rejected", [REJECTS_IN_MEMORY, 5 * REJECTS_IN_MEMORY])
def test_many_rejects_take_no_memory_and_all_are_reported(tmp_path: Path, rejected: int) -> None:
    (tmp_path / "work").mkdir()
    rows = [f"C{number},Ann Lee\n" for number in range(100)] + [f"C{number},a,b\n" for number in range(rejected)]
    file = delivered_file(SOURCES[0], tmp_path / CRM, "customer_id,full_name\n" + "".join(rows))
    with open_embedded(tmp_path / "work", memory_limit_mb=500) as engine:
        tracemalloc.start()
        table, report = engine.read(file)
        listed = rejects_table({"CRM": report}, engine)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (table.count(), len(report.rejects), listed.count()) == (100, rejected, rejected)
        numbers = listed.rows("select row_number::bigint as row_number from this order by row_number")
    assert [number for (number,) in numbers] == list(range(101, 101 + rejected))
    assert [reject.row_number for reject in report.rejects[:3]] == [101, 102, 103]
    assert peak < 12 << 20, "as objects they take 235 bytes each"


# ---------------------------------------------------------------------------------------------------------- secrets


def test_a_secret_is_a_regular_file_of_at_most_64_kb(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    environment = {"SERVICE_API_KEY_FILE": str(path)}
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="SERVICE_API_KEY_FILE"):
        from_files(["api_key"], environment)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(SettingsError):
        from_files(["api_key"], environment)
    path.unlink()
    (tmp_path / "mounted").write_text("key\n" + " " * ((64 << 10) - 4), encoding="utf-8")
    path.symlink_to("mounted")
    assert from_files(["api_key"], environment) == {"api_key": "key"}
    with open(tmp_path / "mounted", "a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(SettingsError):
        from_files(["api_key"], environment)
