"""The promises of ``integrate``, to the byte: files, log, exit codes, and no customer's value in any log."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service import cli
from service.logs import EVENTS
from service.model import SOURCES
from service.pipeline.fields.missing import is_missing
from service.presets import PRESETS
from service.settings import Settings
from tests.case_runs import CaseRun, case_names, settings_of
from tests.small_batches import exports_in, rows_of
from tests.worlds import CASES, CRM, ECOM, Finished, House

SAMPLE = CASES / "the_sample"
COLUMNS = {path.lower() for layout in (*PRESETS, *(source.own for source in SOURCES)) for path in layout.paths}
FLAT = ("customer_master.csv", "duplicate_report.csv", "integration_log.txt", "integration_log.jsonl", "manifest.json")
IN_BATCH = (
    *FLAT,
    *("crosswalk.csv", "customer_orders.csv", "decisions.csv", "id_changes.csv", "literal_cost.csv"),
    *("match_evidence.csv", "quality_report.json", "register_aliases.csv", "register_customers.csv", "rejects.csv"),
    *("customer_master.parquet", "records.parquet"),
)
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - (INFO|WARNING|ERROR) - (.+)")


def integrate(house: House, crm: Path, ecom: Path, **settings: str) -> Finished:
    return house.run("integrate", crm, ecom, "--outbox", house.outbox, **settings)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines_of(text: str) -> list[tuple[str, str]]:
    """Level and message of each line of a text log; every line must have the promised form."""
    matches = [LINE.fullmatch(line) for line in text.splitlines()]
    assert all(matches), text
    return [(match[1], match[2]) for match in matches if match]


@pytest.fixture(scope="module")
def integrated_sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """An outbox into which the sample was integrated, and how that ended."""
    house = House(tmp_path_factory.mktemp("sample") / "house")
    return house.outbox, integrate(house, SAMPLE / CRM, SAMPLE / ECOM)


@pytest.fixture
def sample(house: House, integrated_sample: tuple[Path, Finished]) -> Finished:
    """The sample, integrated into the outbox of the house."""
    outbox, done = integrated_sample
    shutil.copytree(outbox, house.outbox)
    return done


# ------------------------------------------------------------------------------------------------- the sample


def test_the_sample_is_published_byte_for_byte_and_its_log_word_for_word(house: House, sample: Finished) -> None:
    assert sample.code == 0
    for name in ("customer_master.csv", "duplicate_report.csv"):
        assert (house.outbox / name).read_bytes() == (SAMPLE / "expected" / name).read_bytes()
    expected = (SAMPLE / "expected" / "integration_log.txt").read_text(encoding="utf-8")
    assert lines_of(house.read("integration_log.txt")) == lines_of(expected)
    assert not (house.outbox / "integration_log.txt").read_bytes().startswith(b"\xef\xbb\xbf")


def test_a_set_is_published_under_both_names(house: House, sample: Finished) -> None:
    [batch_id] = house.batches()
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", batch_id)
    folder = house.outbox / "batches" / batch_id
    assert sorted(path.name for path in folder.iterdir()) == sorted(IN_BATCH)
    assert sorted(path.name for path in house.outbox.iterdir() if path.is_file()) == sorted(FLAT)
    for name in FLAT:
        assert (house.outbox / name).read_bytes() == (folder / name).read_bytes()


def test_a_published_set_is_immutable_and_the_flat_files_are_copies_of_their_own(
    house: House, sample: Finished
) -> None:
    folder = house.outbox / "batches" / house.batches()[0]
    for name in IN_BATCH:
        assert (folder / name).stat().st_mode & 0o777 == 0o444
        assert (folder / name).stat().st_nlink == 1
    for name in FLAT:
        flat = house.outbox / name
        assert flat.stat().st_ino != (folder / name).stat().st_ino
        assert flat.stat().st_mode & 0o777 == 0o644
    (house.outbox / "customer_master.csv").write_text("spoilt")
    assert "CUST001" in (folder / "customer_master.csv").read_text(encoding="utf-8")


def test_manifests_name_inputs_and_files_and_are_chained(house: House, sample: Finished) -> None:
    former = None
    for turn in range(3):
        if turn:
            assert integrate(house, SAMPLE / CRM, SAMPLE / ECOM).code == 0
        manifest = house.manifest()
        folder = house.outbox / "batches" / manifest["batch_id"]
        assert manifest["former_manifest_sha256"] == former
        assert {name: entry["sha256"] for name, entry in manifest["files"].items()} == {
            path.name: sha256(path) for path in folder.iterdir() if path.name != "manifest.json"
        }
        assert all(entry["size_bytes"] == (folder / name).stat().st_size for name, entry in manifest["files"].items())
        assert [(it["file_name"], it["sha256"], it["rows"], it["settle_proof"]) for it in manifest["inputs"]] == [
            (CRM, sha256(SAMPLE / CRM), 5, "given"),
            (ECOM, sha256(SAMPLE / ECOM), 3, "given"),
        ]
        assert manifest["rows"] == {"records": 8, "rejects": 0, "duplicates": 3, "customers": 5}
        former = sha256(folder / "manifest.json")
    assert len(house.batches()) == 3


def test_a_trial_keeps_its_state_with_its_results(house: House, sample: Finished) -> None:
    assert (house.outbox / ".state" / "register").is_dir()
    assert not house.state.exists()
    other = house.root / "elsewhere"
    apart = house.root / "apart"
    # Another export, because the same two files in the same second are the same batch.
    crm = house.root / CRM
    crm.write_bytes(b"".join((SAMPLE / CRM).read_bytes().splitlines(keepends=True)[:-1]))
    assert house.run("integrate", crm, SAMPLE / ECOM, "--outbox", apart, state=str(other)).code == 0
    assert (other / "register").is_dir()
    refused = integrate(house, SAMPLE / CRM, SAMPLE / ECOM, state=str(other))
    assert refused.code == 2, "another outbox with sets is not that of this state"


def test_the_exports_stay_where_they_are(house: House, sample: Finished, tmp_path: Path) -> None:
    for name in (CRM, ECOM):
        (tmp_path / name).symlink_to(SAMPLE / name)
    assert integrate(house, tmp_path / CRM, tmp_path / ECOM).code == 0
    assert (tmp_path / CRM).is_symlink()
    assert (SAMPLE / CRM).is_file()


def test_the_log_is_in_local_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = []
    for zone in ("UTC", "XYZ-09:00"):
        monkeypatch.setenv("TZ", zone)
        integrate(house, SAMPLE / CRM, SAMPLE / ECOM)
        hours.append(int(house.read("integration_log.txt")[11:13]))
    assert (hours[1] - hours[0]) % 24 in (9, 10)


# --------------------------------------------------------------------------------------------------- failures


def test_a_missing_file_is_a_usage_error_with_a_hint(house: House) -> None:
    done = integrate(house, house.root / CRM, SAMPLE / ECOM)
    assert done.code == 2
    assert "File not found: crm_customers.csv" in done.err
    assert "hint:" in done.err
    assert "Traceback" not in done.err
    log = lines_of(house.read("integration_log.txt"))
    assert log[-2:] == [("ERROR", "File not found: crm_customers.csv"), ("ERROR", "Pipeline failed")]
    assert not (house.outbox / "manifest.json").exists()


@pytest.mark.parametrize(
    ("crm", "ecom", "code", "message"),
    [
        (SAMPLE / CRM, SAMPLE / "no.json", 2, "File not found: no.json"),
        (SAMPLE, SAMPLE / ECOM, 2, "File not found: the_sample"),
        (CASES / "empty_file" / CRM, SAMPLE / ECOM, 1, "crm_customers.csv: the file is empty (zero bytes)"),
    ],
)
def test_a_failure_leaves_a_published_set_alone(
    house: House, sample: Finished, crm: Path, ecom: Path, code: int, message: str
) -> None:
    before = {name: (house.outbox / name).read_bytes() for name in FLAT}
    assert integrate(house, crm, ecom).code == code
    assert {name: (house.outbox / name).read_bytes() for name in FLAT} == before
    assert len(house.batches()) == 1
    [log] = (house.outbox / "failed").glob("*/integration_log.txt")
    assert lines_of(log.read_text(encoding="utf-8"))[-2:] == [("ERROR", message), ("ERROR", "Pipeline failed")]
    # The next good run publishes the same as before.
    assert integrate(house, SAMPLE / CRM, SAMPLE / ECOM).code == 0
    assert (house.outbox / "customer_master.csv").read_bytes() == before["customer_master.csv"]


@pytest.mark.parametrize("arguments", [(), ("integrate",), ("integrate", "a", "b"), ("integrat",)])
def test_a_wrong_command_is_a_usage_error(house: House, arguments: tuple[str, ...]) -> None:
    done = house.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "usage:" in done.err


# --------------------------------------------------------------------------------------------------- privacy


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A working folder and an environment without settings, for verbs run in this process."""
    for name in [name for name in os.environ if name.startswith("SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield


def personal(case: Path) -> set[str]:
    """Every name, e-mail and phone of a case's inputs, as written, trimmed and in lower case; phones also bare."""
    texts: set[str] = set()
    for path in exports_in(case, Settings(**settings_of(case))):
        text = _text_of(path)
        texts |= _texts_of_json(text) if text.lstrip("\ufeff \r\n")[:1] in ("{", "[") else _texts_of_csv(text)
    found: set[str] = set()
    for text in texts:
        plain = text.strip().lower()
        digits = re.sub(r"\D", "", plain)
        is_date = re.match(r"\d{4}-\d\d-\d\d|\d\d?[/.]\d\d?[/.]\d{4}", plain)
        is_name = re.fullmatch(r"[^\W\d_][\w '’.,-]*", plain) and " " in plain
        if "@" in plain or (len(digits) > 6 and not is_date) or is_name:
            found |= {plain, digits} if len(digits) > 6 else {plain}
    return {text for text in found if not is_missing(text)}


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        with suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(content)
    is_utf_16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return content.decode("utf-16" if is_utf_16 else "utf-8", errors="replace")


def _texts_of_csv(text: str) -> set[str]:
    # A NUL byte and an unclosed quote are there on purpose.
    rows = [line for line in csv.reader(io.StringIO(text.replace("\0", ""), newline="")) if line]
    split = [row if len(row) != 1 else re.split("[;\t|]", row[0]) for row in rows]
    header = next((row for row in split if COLUMNS & {cell.strip("\ufeff ").lower() for cell in row}), [])
    return {cell for row in split for cell in row} - set(header)


def _texts_of_json(text: str) -> set[str]:
    # Not parsed: some of these documents are broken on purpose.
    return set(re.findall(r'"((?:[^"\\]|\\.)*)"', text)) | set(re.findall(r"\b\d{7,}\b", text))


def test_the_search_finds_personal_values() -> None:
    found = personal(SAMPLE)
    assert {"john smith", "jane.doe@email.com", "+1-555-0101", "15550101", "5550102", "mary.j@email.com"} <= found
    assert {"john smith", "bob.wilson@email.com", "+1-555-0103"} <= personal(CASES / "no_header")


@pytest.mark.parametrize("name", case_names())
def test_no_output_contains_personal_data(name: str, case_run: Callable[[str], CaseRun]) -> None:
    secrets = personal(CASES / name)
    run = case_run(name)
    outbox, out, err = run.outbox, run.out, run.err
    assert (run.code == 1) == (CASES / name / "expected" / "error.txt").exists()
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["event"] for event in events} <= EVENTS.keys()
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", event["event"]) for event in events)
    logged: dict[str, str] = {"stdout": out, "stderr": err}
    for path in outbox.rglob("integration_log.*"):
        logged[str(path.relative_to(outbox))] = path.read_text(encoding="utf-8")
    for path in outbox.rglob("quality_report.json"):
        logged[str(path.relative_to(outbox))] = path.read_text(encoding="utf-8")
    # The text log names records by the ids of their sources; no other file does.
    ids = {row["source_id"].lower() for path in outbox.rglob("crosswalk.csv") for row in rows_of(path)}
    ids |= {re.sub(r"\D", "", text) for text in ids}
    for where, text in logged.items():
        allowed = ids if where.endswith(".txt") else set()
        assert [(where, secret) for secret in secrets - allowed if secret in text.lower()] == []


@pytest.mark.usefixtures("alone")
def test_the_structured_log_of_a_batch_is_beside_its_text_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["integrate", str(SAMPLE / CRM), str(SAMPLE / ECOM), "--outbox", str(tmp_path / "out")]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kept = [json.loads(line) for line in (tmp_path / "out" / "integration_log.jsonl").read_text().splitlines()]

    def facts(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in event.items() if k not in ("timestamp", "level", "seconds")} for event in events]

    assert [event for event in facts(printed) if event["event"] != "batch.published"] == facts(kept)
    assert [event["event"] for event in kept] == [
        "source.extracted",
        "source.extracted",
        "records.normalised",
        "records.deduplicated",
        "customers.identified",
    ]
    assert kept[0] == {**kept[0], "source": "CRM", "rows": 5, "rejects": 0}
