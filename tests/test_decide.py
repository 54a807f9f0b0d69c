"""``decide`` and ``decisions`` as users call them, on the inbox and on an outbox that was filled by hand."""

from __future__ import annotations

import csv
import json
import random
import re
import shlex
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service import cli
from service.decisions import DecidedRecord, DecisionStore, Proposal
from service.decisions.store import RefusedDecision
from service.documents import Counts
from service.verify.contents import check_master_set
from tests.sizes import examples
from tests.small_batches import crm_text, ecom_text
from tests.test_laws import a_pair
from tests.worlds import CRM, ECOM, Works

HEADER = "customer_id,full_name,email,phone,signup_date,status\n"
ANN = "C1,Ann Lee,ann.lee@x.org,,2023-01-01,active\n"
MOE = "C2,Ann Moe,ann.moe@x.org,,2023-02-01,active\n"
BOB = "C3,Bob Ray,bob@x.org,555-0103,2023-03-01,active\n"
SON = "C4,Bob Ray,ray@x.org,555-0103,2023-04-01,active\n"
UNNAMED = ",Cy Poe,cy@x.org,,2023-05-01,active\n"
ROWS = ANN + MOE + BOB + SON + UNNAMED
PERSONAL = ("Ann", "Lee", "Moe", "Bob", "Ray", "Cy", "x.org", "555", "0103")
SETS = ("customer_master.csv", "duplicate_report.csv", "crosswalk.csv", "match_evidence.csv", "decisions.csv")


class Office(Works):
    """A world with published customers, and a person who decides about them."""

    def publish(self, rows: str = ROWS) -> str:
        """Publish a batch with these rows of the CRM; returns its id."""
        before = set(self.batches())
        self.drop(crm=HEADER + rows, ecom='{"customers": []}')
        result = self.once()
        assert (result.published, result.quarantined) == (1, 0)
        (published,) = set(self.batches()) - before
        return published

    def run(self, *arguments: str) -> int:
        """The exit code of a verb."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("inbox", "outbox", "state"):
                patch.setenv(f"SERVICE_{name.upper()}", str(self.root / name))
            patch.setenv("SERVICE_COMMAND", "service")
            patch.setenv("SERVICE_THREADS", "1")
            return cli.main([*arguments])

    def decided(self) -> list[tuple[int, str]]:
        """Number and kind of the decisions in force."""
        return [(it.number, it.kind) for it in DecisionStore(self.state).in_force()]

    def customers(self) -> list[list[str]]:
        """The ids of the records of each customer of the newest set."""
        groups: dict[str, list[str]] = {}
        for row in self.rows("crosswalk.csv", self.manifest()["batch_id"]):
            groups.setdefault(row["unified_id"], []).append(row["source_id"])
        return sorted(map(sorted, groups.values()))

    def contents(self, batch: str) -> dict[str, bytes]:
        """The files of a set that depend on nothing but inputs, state and decisions."""
        return {name: (self.outbox / "batches" / batch / name).read_bytes() for name in SETS}


Says = Callable[[], str]


@pytest.fixture
def office(works: Works) -> Office:
    office = Office(works.root)
    office.publish()
    return office


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    """What was printed on both streams since the last call."""

    def read() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    capsys.readouterr()
    return read


def hinted_command(text: str) -> list[str]:
    """The words of the command that a hint ends with."""
    (command,) = re.findall(r"undo first: service (.*)$", text, re.MULTILINE)
    return shlex.split(command)


# --------------------------------------------------------------------------------------------------- decide


def test_a_decision_counts_from_the_next_batch_on_and_the_words_printed_bring_one(office: Office, says: Says) -> None:
    before = office.contents(office.manifest()["batch_id"])
    assert office.run("decide", "same", "CRM:C1", "CRM:C2", "--note", "married", "--by", "Kim") == 0
    printed = says()
    assert "decision 1: CRM:C1 and CRM:C2 are the same customer" in printed
    assert office.contents(office.manifest()["batch_id"]) == before, "nothing changes before the next batch"
    (again,) = re.findall(r"again: cp (\S+)/\* (\S+)/$", printed, re.MULTILINE)
    for path in Path(again[0]).iterdir():
        shutil.copy(path, again[1])
    assert office.once().published == 1
    assert ["C1", "C2"] in office.customers()
    assert office.rows("duplicate_report.csv")[0]["match_reason"] == "decision"
    (row,) = office.rows("decisions.csv", office.manifest()["batch_id"])
    assert (row["number"], row["decision"], row["outcome"]) == ("1", "same", "applied")
    assert (row["decided_by"], row["note"]) == ("Kim", "married")
    assert office.verified().findings == []


def test_without_a_name_the_decision_is_of_the_user_who_is_logged_in(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "kim")
    assert office.run("decide", "same", "CRM:C1", "CRM:C2") == 0
    assert DecisionStore(office.state).all()[0].decided_by == "kim"


def test_a_unified_id_stands_for_its_kept_record_and_an_alias_for_the_customer_it_became(office: Office) -> None:
    assert office.run("decide", "different", "crm:C4", "CRM:C3") == 0, "the case of a source does not count"
    assert office.run("decide", "same", "CUST001", "CUST002") == 0
    assert [it.keys for it in DecisionStore(office.state).all()] == [
        ("CRM id:C3", "CRM id:C4"),
        ("CRM id:C1", "CRM id:C2"),
    ]
    office.publish()
    assert office.customers() == [["C1", "C2"], ["C3"], ["C4"], ["CRM-ROW5"]]
    assert office.run("decide", "same", "CUST2", "CUST4") == 0, "CUST002 is an alias of CUST001 now"
    kept, other = DecisionStore(office.state).all()[-1].keys
    assert kept.startswith("CRM content:") and other == "CRM id:C1"


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("CRM:C1", "CRM:C9", "B: no record of CRM in batch"),
        ("SHOP:C1", "CRM:C1", "A: batch .* has no such source, only CRM, ECOM"),
        ("CUST009", "CRM:C1", "A: there is no customer CUST009"),
        ("CRM:C1", "ann.lee@x.org", "B is neither SOURCE:ID nor a unified id"),
        ("CRM:ann.lee@x.org", "CRM:C1", "A: no record of CRM in batch .* has this id"),
        ("CRM:C1", "CUST001", "both are the same record"),
    ],
)
def test_a_record_that_cannot_be_decided_about_is_a_usage_error(
    office: Office, says: Says, one: str, other: str, message: str
) -> None:
    assert office.run("decide", "same", one, other) == cli.USAGE
    printed = says()
    assert re.search(message, printed)
    assert "hint" in printed
    assert not any(value in printed for value in PERSONAL)
    assert office.decided() == []


@pytest.mark.large
def test_an_id_of_any_length_can_be_decided_about(office: Office, says: Says) -> None:
    long = "L" * 200_000  # the default of Python's reader of CSV is 131,072
    office.publish(ROWS + f"{long},Di Fox,di@x.org,,2023-06-01,active\n")
    assert office.run("decide", "same", "CRM:C1", "CUST005") == 0
    assert office.publish(ROWS + f"{long},Di Fox,di@x.org,,2023-06-01,active\n")
    assert ["C1", long] in office.customers()
    assert office.verified().findings == []


@pytest.mark.large
def test_a_customer_without_records_cannot_be_decided_about(office: Office, says: Says) -> None:
    office.publish(MOE + BOB)
    says()
    assert office.run("decide", "same", "CUST001", "CUST002") == cli.USAGE
    assert "A: customer CUST001 is retired" in says()


def test_before_the_first_set_there_is_nothing_to_decide_about(works: Works, says: Says) -> None:
    office = Office(works.root)
    assert office.run("decide", "same", "CUST001", "CUST002") == cli.USAGE
    assert "no customer master is published yet" in says()
    assert office.run("decisions", "list") == 0
    assert says() == "no decisions\n"
    assert not (office.state / "decisions.sqlite").exists()


def test_a_set_that_was_removed_is_named(office: Office, says: Says) -> None:
    shutil.rmtree(office.outbox / "batches")
    assert office.run("decide", "same", "CUST001", "CUST002") == cli.USAGE
    assert "is not in the outbox any more" in says()


def test_a_contradiction_names_the_decisions_and_its_command_makes_room(office: Office, says: Says) -> None:
    assert office.run("decide", "same", "CRM:C1", "CRM:C2") == 0
    assert office.run("decide", "same", "CRM:C2", "CRM:C3") == 0
    says()
    assert office.run("decide", "different", "CRM:C1", "CRM:C3") == cli.USAGE
    printed = says()
    assert "this contradicts decisions 1 and 2" in printed
    assert office.run(*hinted_command(printed)) == 0
    assert office.run("decide", "different", "CRM:C1", "CRM:C3") == 0
    says()
    assert office.run("decide", "same", "CRM:C2", "CRM:C3") == cli.USAGE
    printed = says()
    assert "this contradicts decisions 1 and 3" in printed
    assert office.run(*hinted_command(printed)) == 0
    assert office.run("decide", "same", "CRM:C2", "CRM:C3") == 0
    assert office.decided() == [(1, "same"), (4, "same")]


def test_a_decision_made_again_changes_nothing(office: Office, says: Says) -> None:
    assert office.run("decide", "same", "CRM:C1", "CRM:C2") == 0
    says()
    assert office.run("decide", "same", "CRM:C2", "CRM:C1") == 0
    assert "decision 1 says so already" in says()
    assert office.decided() == [(1, "same")]


@pytest.mark.large
def test_an_outbox_that_was_filled_by_hand_has_decisions_of_its_own(
    bare: Path, says: Says, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVICE_COMMAND", "service")
    (bare / CRM).write_text(HEADER + ROWS)
    (bare / ECOM).write_text('{"customers": []}')
    integrate = ["integrate", CRM, ECOM, "--outbox", "out"]
    assert cli.main(integrate) == 0
    assert cli.main(["decide", "same", "CRM:C1", "CRM:C2", "--outbox", "out"]) == 0
    says()
    assert cli.main(["decide", "different", "CRM:C1", "CRM:C2", "--outbox", "out"]) == cli.USAGE
    command = hinted_command(says())
    assert command[-2:] == ["--outbox", "out"]
    assert cli.main(command) == 0
    assert cli.main(["decide", "different", "CRM:C3", "CRM:C4", "--outbox", "out"]) == 0
    assert cli.main(integrate) == 0
    with open("out/customer_master.csv", encoding="utf-8") as file:
        assert [row["unified_id"] for row in csv.DictReader(file)] == [
            "CUST001",
            "CUST002",
            "CUST003",
            "CUST004",
            "CUST005",
        ]


# ------------------------------------------------------------------------------------------ list, undo, files


def test_the_list_shows_what_was_undone_by_whom(office: Office, says: Says) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2", "--by", "Kim", "--note", "married\nin May")
    office.run("decisions", "undo", "1", "--by", "Lou")
    says()
    assert office.run("decisions", "list") == 0
    header, line = says().splitlines()
    assert header.split() == ["number", "decision", "left", "right", "by", "at", "state", "note"]
    assert re.search(r"^1 +same +CRM:C1 +CRM:C2 +Kim +\S+Z +undone by Lou at \S+Z +married\\nin May$", line)
    assert office.run("decisions", "list", "--json") == 0
    (found,) = json.loads(says())["decisions"]
    assert (found["number"], found["kind"], found["undone_by"]) == (1, "same", "Lou")
    assert found["left"] == {"key": "CRM id:C1", "source": "CRM", "source_id": "C1"}


@pytest.mark.parametrize(("numbers", "message"), [(("1", "7"), "no decision 7"), (("1", "2"), "decision 2 is undone")])
def test_several_are_undone_all_or_none(office: Office, says: Says, numbers: tuple[str, ...], message: str) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    office.run("decide", "same", "CRM:C1", "CRM:C3")
    office.run("decisions", "undo", "2")
    assert office.run("decisions", "undo", *numbers) == cli.USAGE
    assert message in says()
    assert office.decided() == [(1, "same")]


def test_what_was_exported_can_be_imported_elsewhere_and_again(office: Office, says: Says, tmp_path: Path) -> None:
    file, rest = str(tmp_path / "exported.csv"), str(tmp_path / "again.csv")
    office.run("decide", "same", "CRM:C1", "CRM:C2", "--by", "Kim", "--note", 'a "note", with\nall')
    office.run("decide", "same", "CRM:C2", "CRM:C3")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    office.run("decisions", "undo", "2")
    assert office.run("decisions", "export", file) == 0
    (office.state / "decisions.sqlite").unlink()
    says()
    assert office.run("decisions", "import", file, "--by", "Lou") == 0
    assert "decisions made: 2" in says()
    assert office.run("decisions", "import", file) == 0
    assert "decisions made: 0; in force already: 2" in says()
    office.run("decisions", "export", rest)
    assert Path(rest).read_text() == Path(file).read_text().replace("\n3,different", "\n2,different")


def test_an_export_replaces_no_file_of_something_else_and_no_decisions_by_none(
    office: Office, says: Says, tmp_path: Path
) -> None:
    master = office.outbox / "customer_master.csv"
    before = master.read_bytes()
    assert office.run("decisions", "export", str(master)) == cli.USAGE
    assert "holds something else than decisions" in says()
    assert master.read_bytes() == before
    assert office.run("decisions", "export", str(tmp_path / "none" / "kept.csv")) == cli.USAGE
    assert f"Folder not found: {tmp_path / 'none'}" in says()
    kept = tmp_path / "kept.csv"
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    assert office.run("decisions", "export", str(kept)) == office.run("decisions", "export", str(kept)) == 0
    exported = kept.read_bytes()
    (office.state / "decisions.sqlite").unlink()
    says()
    assert office.run("decisions", "export", str(kept)) == cli.USAGE
    assert "the file holds 1 decision: it is not replaced" in says()
    assert kept.read_bytes() == exported


def test_where_the_state_was_lost_the_hint_is_to_adopt_the_outbox(office: Office, says: Says) -> None:
    shutil.rmtree(office.state)
    assert office.run("decide", "same", "CRM:C1", "CRM:C2") == cli.USAGE
    assert "`service adopt` takes them over" in says()
    assert office.run("explain", "CUST001") == cli.USAGE
    assert "`service adopt` takes them over" in says()


def test_two_processes_that_make_the_first_decisions_both_succeed(tmp_path: Path) -> None:
    """Each opens a store of its own, as a process does. SQLite refuses one of two that prepare a new file."""
    for number in range(20):
        state = tmp_path / str(number)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda it, state=state: DecisionStore(state).add([_proposal(it)]), range(4)))
        assert len(DecisionStore(state).in_force()) == 4


def _proposal(number: int) -> Proposal:
    one, other = (DecidedRecord(f"CRM id:{it}", "CRM", str(it)) for it in (number, number + 100))
    return Proposal("same", (one, other), "Kim", "2026-01-01T00:00:00Z")


def test_a_name_is_one_printable_line(office: Office, says: Says, tmp_path: Path) -> None:
    strange, shown = " Kim\nLou\x1b[2J\u202e ", "Kim\\nLou\\x1b[2J\\u202e"
    office.run("decide", "same", "CRM:C1", "CRM:C2", "--by", strange)
    office.run("decisions", "undo", "1", "--by", strange)
    file = tmp_path / "mine.csv"
    rows = [("CRM", "C1", "CRM", "C2", "same", strange), ("CRM", "C3", "CRM", "C4", "different", "  ")]
    with file.open("w", encoding="utf-8", newline="") as out:
        header = ("left_source", "left_id", "right_source", "right_id", "decision", "decided_by")
        csv.writer(out).writerows([header, *rows])
    assert office.run("decisions", "import", str(file), "--by", strange + "!") == 0
    decisions = DecisionStore(office.state).all()
    assert [it.decided_by for it in decisions] == [shown, shown, f"{shown} !"], "a blank name is none"
    assert decisions[0].undone_by == shown
    says()
    office.run("decisions", "list")
    assert len(says().splitlines()) == 1 + len(decisions)


def test_a_file_may_name_records_as_users_do(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("left_source,left_id,right_source,right_id,decision\nCRM,C1,CRM,C2,same\nCRM,C3,CRM,C4,different\n")
    assert office.run("decisions", "import", str(file)) == 0
    assert [it.keys for it in DecisionStore(office.state).all()] == [
        ("CRM id:C1", "CRM id:C2"),
        ("CRM id:C3", "CRM id:C4"),
    ]


GOOD = "CRM,C1,CRM,C2,same\n"


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (GOOD + "CRM,C3,CRM,C4,maybe\n", 3, "decision must be same or different"),
        (GOOD + "CRM,C3,CRM,,same\n", 3, "right_id is empty"),
        (GOOD + "CRM,C3,CRM,C3,same\n", 3, "both are the same record"),
        (GOOD + "CRM,C3,CRM,C9,same\n", 3, "line 3, right: no record of CRM"),
        (GOOD + "CRM,C3,CRM,C4,same,more\n", 3, "more cells than the header"),
        (GOOD + "CRM,C2,CRM,C3,same\nCRM,C3,CRM,C1,different\n", 4, "this line contradicts lines 2 and 3"),
        ("CRM,C4,CRM,C3,same\n", 2, "this line contradicts decision 1"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_imported(
    office: Office, says: Says, tmp_path: Path, lines: str, line: int, message: str
) -> None:
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    file = tmp_path / "wrong.csv"
    file.write_text("left_source,left_id,right_source,right_id,decision\n" + lines)
    says()
    assert office.run("decisions", "import", str(file)) == cli.USAGE
    printed = says()
    assert message in printed
    assert f"line {line}" in printed
    assert office.decided() == [(1, "different")]


KEYED = "decision,left_source,left_id,left_key,right_source,right_id,right_key,decided_at\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("same,CRM,C3,CRM id:C1,CRM,C2,CRM id:C2,", "left_key is not the key of the record"),
        ("same,CRM,C1,CRM id:C1,CRM,C2,ECOM id:C2,", "right_key is not the key of the record"),
        ("same,CRM,C1,CRM id:C1,CRM,C2,42,", "right_key is not the key of the record"),
        ("same,CRM,C1,,CRM,C2,,yesterday", "decided_at is not in UTC"),
        ("same,CRM,C1,,CRM,C2,,2026-02-30T00:00:00Z", "decided_at is not in UTC"),
    ],
)
def test_a_line_that_was_edited_in_part_is_refused(
    office: Office, says: Says, tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "edited.csv").write_text(KEYED + line)
    assert office.run("decisions", "import", str(tmp_path / "edited.csv")) == cli.USAGE
    printed = says()
    assert message in printed
    assert "edited.csv, line 2" in printed
    assert office.decided() == []


@pytest.mark.large
def test_the_key_of_an_exported_record_is_its_own_whatever_its_id(office: Office, says: Says, tmp_path: Path) -> None:
    ids = ["0035g00000aBcDeAAK", '"a,""b"', "=1+1", "C:9", "Zo\u00eb"]
    office.publish(UNNAMED + "".join(f"{id_},N{at} Fox,n{at}@x.org,,,\n" for at, id_ in enumerate(ids)))
    for number in range(5, 10):
        assert office.run("decide", "different", "CUST004", f"CUST{number:03}") == 0
    before = DecisionStore(office.state).in_force()
    shown = {it.right.source_id for it in before}
    assert shown == {"0035g00000aBcDeAAK", 'a,"b', "=1+1", "C:9", "Zo\u00eb"}
    office.run("decisions", "export", str(tmp_path / "exported.csv"))
    (office.state / "decisions.sqlite").unlink()
    assert office.run("decisions", "import", str(tmp_path / "exported.csv")) == 0
    assert DecisionStore(office.state).in_force() == before


def test_a_file_that_does_not_exist_is_a_usage_error(office: Office, says: Says) -> None:
    assert office.run("decisions", "import", "none.csv") == cli.USAGE
    assert "File not found: none.csv" in says()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("decision;left_source;left_id;right_source;right_id\n", "the cells are not separated by commas"),
        ("decision,decision,left_source,left_id,right_source,right_id\n", "the file has two columns decision"),
    ],
)
def test_a_header_that_can_be_read_in_two_ways_is_refused(
    office: Office, says: Says, tmp_path: Path, header: str, message: str
) -> None:
    (tmp_path / "other.csv").write_text(header)
    assert office.run("decisions", "import", str(tmp_path / "other.csv")) == cli.USAGE
    assert message in says()


def test_no_command_is_printed_for_exports_that_are_no_longer_in_the_archive(office: Office, says: Says) -> None:
    shutil.rmtree(office.inbox / "archive")
    assert office.run("decide", "same", "CRM:C1", "CRM:C2", "--by", " ") == 0
    assert says().splitlines()[-1] == "it counts from the next batch on: drop both exports"
    assert DecisionStore(office.state).all()[0].decided_by, "a name of blanks is none"


@pytest.mark.parametrize("content", [b"number,decision\n", b"", b"\xff\xfe\x00a", b'left_source,"\n'])
def test_a_file_of_another_kind_is_refused(office: Office, says: Says, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.csv").write_bytes(content)
    assert office.run("decisions", "import", str(tmp_path / "other.csv")) == cli.USAGE
    assert "decisions export writes a file of the right form" in says()


def test_no_log_line_quotes_a_customer(office: Office, says: Says, tmp_path: Path) -> None:
    says()
    office.run("decide", "same", "CRM:CRM-ROW5", "CRM:C2", "--note", "Cy Poe is Ann Moe", "--by", "Kim")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    office.run("decisions", "undo", "2")
    office.run("decide", "different", "CRM:C4", "CRM:C3")
    office.publish()
    events = [json.loads(line) for line in says().splitlines() if line.startswith("{")]
    assert {"decision.made", "decisions.undone", "decisions.applied"} <= {event["event"] for event in events}
    for event in events:
        # Digits of a time may be those of a phone.
        text = json.dumps({key: it for key, it in event.items() if key not in ("timestamp", "batch_id", "seconds")})
        assert not [value for value in (*PERSONAL, "C3", "C4") if value in text], event


# ------------------------------------------------------------------------------------------------------ batches


@pytest.mark.large
def test_different_then_undone_gives_the_former_master_to_the_byte(office: Office) -> None:
    before = office.read("customer_master.csv")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    office.publish()
    assert office.customers() == [["C1"], ["C2"], ["C3"], ["C4"], ["CRM-ROW5"]]
    assert office.read("customer_master.csv") != before
    office.run("decisions", "undo", "1")
    office.publish()
    assert office.read("customer_master.csv") == before


def test_same_then_undone_gives_the_former_master_to_the_byte(office: Office) -> None:
    before = office.read("customer_master.csv")
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    office.publish()
    assert office.customers() == [["C1", "C2"], ["C3", "C4"], ["CRM-ROW5"]]
    office.run("decisions", "undo", "1")
    batch = office.publish(MOE + ANN + BOB + SON + UNNAMED)
    assert office.read("customer_master.csv") == before
    assert [(row["change"], row["from_ids"], row["to_ids"]) for row in office.rows("id_changes.csv", batch)] == [
        ("split", "CUST001", "CUST001,CUST002"),
        ("revived", "CUST002", "CUST002"),
    ]


@pytest.mark.large
def test_decisions_outlive_other_rows_order_and_values(office: Office) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    office.publish(
        UNNAMED + SON + ANN.replace("Ann Lee", "Anna Leeds") + BOB + MOE + "C9,Al Fox,al@x.org,,2023-01-01,active\n"
    )
    assert office.customers() == [["C1", "C2"], ["C3"], ["C4"], ["C9"], ["CRM-ROW1"]]


@pytest.mark.large
def test_the_same_inputs_state_and_decisions_give_the_same_bytes(office: Office, tmp_path: Path) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    twin = Office(tmp_path / "twin")
    for folder in ("outbox", "state"):
        shutil.copytree(office.root / folder, twin.root / folder)
    assert office.contents(office.publish()) == twin.contents(twin.publish())


@pytest.mark.large
@pytest.mark.parametrize("seed", range(examples(16)))
def test_over_random_exports_every_decision_holds_and_the_files_agree(works: Works, seed: int) -> None:
    r = random.Random(seed)
    crm, ecom = a_pair(r, 25)
    office = Office(works.root)
    store = DecisionStore(office.state)
    for _ in range(2):
        names = [f"CRM id:C{i}" for i in range(25)] + [f"ECOM id:E{i}" for i in range(12)] + ["CRM id:gone"]
        for _ in range(12):
            one, other = r.sample(names, 2)
            if office.batches():
                propose(store, r.choice(["same", "different"]), one, other)
        office.drop(crm=crm_text(crm), ecom=ecom_text(ecom))
        assert office.once().published == 1
        r.shuffle(crm)
        r.shuffle(ecom)
    batch = office.manifest()["batch_id"]
    customer_of = {row["record_key"]: row["unified_id"] for row in office.rows("crosswalk.csv", batch)}
    decisions = office.rows("decisions.csv", batch)
    assert [int(row["number"]) for row in decisions] == [it.number for it in store.in_force()]
    for row in decisions:
        left, right = customer_of.get(row["left_key"]), customer_of.get(row["right_key"])
        assert row["outcome"] == ("applied" if left and right else "unattached")
        if left and right:
            assert (left == right) == (row["decision"] == "same")
    assert office.verified().findings == []


def propose(store: DecisionStore, kind: Any, one: str, other: str) -> None:
    """Make a decision, unless it contradicts others."""
    left, right = (DecidedRecord(key, key.partition(" ")[0], key.partition(":")[2]) for key in (one, other))
    with suppress(RefusedDecision):
        store.add([Proposal(kind, (left, right), "Kim", "2024-01-15T12:00:00Z")])


# --------------------------------------------------------------------------------------------- verify and adopt


def counts_of(office: Office, batch: str) -> Counts:
    rows: dict[str, int] = json.loads((office.outbox / "batches" / batch / "manifest.json").read_bytes())["rows"]
    return Counts(**rows)


@pytest.mark.large
@pytest.mark.parametrize(
    ("before", "after", "finding"),
    [
        ("1,same", "1,different", "crosswalk.csv does not follow decision 1"),
        ("2,different", "2,same", "crosswalk.csv does not follow decision 2"),
        ("applied\n", "unattached\n", "states that decision 1 is unattached, which it is not"),
        ("CRM id:C4", "CRM id:C8", "states that decision 2 is applied, which it is not"),
    ],
)
def test_verify_finds_a_set_that_does_not_follow_its_decisions(
    office: Office, tmp_path: Path, before: str, after: str, finding: str
) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    batch = office.publish()
    copy = tmp_path / "set"
    shutil.copytree(office.outbox / "batches" / batch, copy)
    assert list(check_master_set(copy, "set", counts_of(office, batch))) == []
    text = (copy / "decisions.csv").read_text()
    (copy / "decisions.csv").unlink()
    (copy / "decisions.csv").write_text(text.replace(before, after, 1))
    (found,) = check_master_set(copy, "set", counts_of(office, batch))
    assert finding in found


@pytest.mark.large
def test_adopt_restores_the_decisions_that_the_newest_set_followed(office: Office, says: Says) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2", "--by", "Kim")
    office.run("decide", "same", "CRM:C1", "CRM:C3")
    office.run("decide", "different", "CRM:C3", "CRM:C4")
    office.run("decisions", "undo", "2")
    office.publish()
    before = DecisionStore(office.state).in_force()
    shutil.rmtree(office.state)
    says()
    assert office.run("adopt") == 0
    assert "adopted 4 customers of batch" in (printed := says())
    assert "and 2 decisions" in printed
    assert DecisionStore(office.state).in_force() == before
    office.publish()
    assert office.customers() == [["C1", "C2"], ["C3"], ["C4"], ["CRM-ROW5"]]


@pytest.mark.large
def test_a_damaged_store_of_decisions_stops_batches_and_loses_none(office: Office) -> None:
    office.run("decide", "same", "CRM:C1", "CRM:C2")
    path = office.state / "decisions.sqlite"
    whole = path.read_bytes()
    path.write_bytes(b"x" * len(whole))
    office.drop(crm=HEADER + ROWS, ecom='{"customers": []}')
    assert office.once().published == 0, "no set is published without the decisions"
    assert len(office.claim_files()) == 1, "the batch waits"
    path.write_bytes(whole)
    assert office.once().published == 1
    assert ["C1", "C2"] in office.customers()
