"""State and outbox belong together: an old or lost state stops the start, and ``adopt`` rebuilds it."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from service import cli
from service.documents import Counts
from service.errors import StateBehindOutbox, UsageError
from service.folders import StateFolders
from service.register.identity_log import IdentityLog
from service.verify.contents import check_master_set
from tests.sizes import REBUILDS, RESTORES
from tests.worlds import CRM, ECOM, House, Works

HEADER = "customer_id,full_name,email,phone,signup_date,status\n"
BERT_OR_DORA = "BD,Person Bert,dora@x.com,,,\n"
"""A row that joins two customers."""
NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Fred", "Gina", "Hugo")


def crm_of(names: Sequence[str]) -> str:
    return HEADER + "".join(f"{name},Person {name},{name.lower()}@x.com,,2024-01-01,active\n" for name in names)


class Restored(Works):
    """A world whose state is backed up and restored without the outbox."""

    def publish(self, *names: str) -> str:
        """Publish a batch with these customers; returns its id."""
        return self.publish_rows("", *names)

    def publish_rows(self, rows: str, *names: str) -> str:
        """Publish a batch with these customers, and with more rows."""
        before = set(self.batches())
        self.drop(crm=crm_of(names) + rows, ecom='{"customers": []}')
        result = self.once()
        assert (result.published, result.quarantined) == (1, 0)
        (published,) = set(self.batches()) - before
        return published

    def back_up(self, name: str) -> None:
        shutil.copytree(self.state, self.root / name)

    def restore(self, name: str) -> None:
        shutil.rmtree(self.state)
        if (self.root / name).exists():
            shutil.copytree(self.root / name, self.state)

    def adopt(self) -> int:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("inbox", "outbox", "state"):
                patch.setenv(f"SERVICE_{name.upper()}", str(self.root / name))
            patch.setenv("SERVICE_THREADS", "1")
            return cli.main(["adopt"])

    def ids(self) -> dict[str, str]:
        """Name of each customer of the master -> unified id."""
        return {row["full_name"].removeprefix("Person "): row["unified_id"] for row in self.rows("customer_master.csv")}

    def tree(self) -> dict[str, bytes]:
        """Every file of inbox and outbox but the lock."""
        paths = [path for folder in (self.inbox, self.outbox) for path in folder.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in paths if path.name != ".lock"}


@pytest.fixture
def world(tmp_path: Path) -> Restored:
    return Restored(tmp_path)


def test_an_old_state_beside_a_newer_outbox_stops_the_start_and_changes_nothing(world: Restored) -> None:
    first = world.publish("Anna", "Bert")
    world.back_up("old")
    last = world.publish("Anna", "Bert", "Carl")
    world.restore("old")
    world.drop(crm=crm_of(["Emil", "Anna"]), ecom='{"customers": []}')
    before = world.tree()
    with pytest.raises(StateBehindOutbox) as refused:
        world.once()
    text = refused.value.explained()
    for named in (str(world.state), str(world.outbox), first, last, "newer backup", "adopt", "empty the outbox"):
        assert named in text
    assert world.tree() == before


def test_after_adopt_a_number_that_was_published_is_not_given_to_another_customer(world: Restored) -> None:
    world.publish("Anna", "Bert")
    world.back_up("old")
    world.publish("Anna", "Bert", "Carl", "Dora")
    world.restore("old")
    assert world.adopt() == 0
    world.publish("Emil", "Anna", "Bert", "Carl", "Dora")
    assert world.ids() == {
        "Anna": "CUST001",
        "Bert": "CUST002",
        "Carl": "CUST003",
        "Dora": "CUST004",
        "Emil": "CUST005",
    }
    assert world.verified().findings == []


@pytest.mark.large
def test_a_lost_state_is_rebuilt_with_its_retired_customers(world: Restored) -> None:
    world.publish("Anna", "Bert")
    world.publish("Bert", "Carl")  # Anna is retired
    world.restore("nothing")
    assert world.adopt() == 0
    world.publish("Dora", "Anna", "Bert", "Carl")
    assert world.ids() == {"Anna": "CUST001", "Bert": "CUST002", "Carl": "CUST003", "Dora": "CUST004"}
    changes = {row["unified_id"]: row["change"] for row in world.rows("id_changes.csv", world.manifest()["batch_id"])}
    assert changes == {"CUST001": "revived", "CUST004": "created"}


Rows = list[tuple[Any, ...]]


def rows_in(path: Path) -> Rows:
    return duckdb.execute(f"from '{path}' order by all").fetchall()


def register_of(state: Path) -> list[Rows]:
    """All that the generation in force holds."""
    register = StateFolders(state).register
    folder = register / (register / "current").read_text().strip()
    note = json.loads((folder / "published.json").read_text())
    tables = [rows_in(folder / f"{name}.parquet") for name in ("records", "customers", "aliases")]
    figures = json.loads((folder / "figures.json").read_text())
    for counts in figures["filled"].values():
        counts.pop("status", None)  # the set does not say which are stated
    return [*tables, [(note["batch_id"], note["suffix"], str(note["source_rows"]), str(figures))]]


def log_of(state: Path) -> list[tuple[str, Rows]]:
    """The events of every batch in the log of identities."""
    return [(it.batch_id, rows_in(it.path)) for it in IdentityLog(state).batches()]


def test_the_rebuilt_register_is_the_one_that_was_lost(world: Restored) -> None:
    world.publish("Anna", "Bert", "Carl")
    world.publish("Bert", "Dora")
    world.publish_rows(BERT_OR_DORA, "Bert", "Dora")
    world.drop(
        "_7",
        crm=HEADER + 'B1,"Bert, ""x""\nLee",bert@x.com,,,\nDora,Person Dora,,,,\n,No Id,,,,\n',
        ecom='{"customers": []}',
    )
    world.once()
    kept = register_of(world.state)
    assert [alias for alias, _ in kept[2]] == [4], "Dora was merged into Bert"
    world.restore("nothing")
    assert world.adopt() == 0
    assert register_of(world.state) == kept


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(REBUILDS))
def test_register_and_log_are_rebuilt_with_the_same_content(tmp_path: Path, seed: int) -> None:
    r, world = random.Random(seed), Restored(tmp_path)
    for step in range(6):
        present = r.sample(NAMES, r.randint(3, 7))
        joins = "".join(f"J{n},Person {n},{r.choice(NAMES).lower()}@x.com,,,\n" for n in r.sample(present, 2))
        world.publish_rows(joins, *present)
        if step == 2:
            world.back_up("old")
    register, log = register_of(world.state), log_of(world.state)
    assert {event for _, rows in log for _, event, *_ in rows} >= {"created", "merged", "retired"}
    for backup in ("nothing", "old"):
        world.restore(backup)
        assert world.adopt() == 0
        assert (register_of(world.state), log_of(world.state)) == (register, log)
    folders = StateFolders(world.state)
    for lost in (folders.register_events, folders.register):
        shutil.rmtree(lost)
        assert world.adopt() == 0
        assert (register_of(world.state), log_of(world.state)) == (register, log)


@pytest.mark.large
def test_the_log_begins_with_what_is_known_in_the_oldest_set(world: Restored) -> None:
    first = world.publish("Anna", "Bert", "Carl")
    second = world.publish_rows(BERT_OR_DORA, "Anna", "Bert", "Dora")
    third = world.publish("Anna", "Bert")
    last = log_of(world.state)[2]
    shutil.rmtree(world.outbox / "batches" / first)
    world.restore("nothing")
    assert world.adopt() == 0
    oldest, other = log_of(world.state)
    assert (oldest[0], other) == (second, last)
    assert third == last[0]
    assert [(number, event, into) for number, event, into, *_ in oldest[1]] == [
        (1, "known", None),
        (2, "known", None),
        (3, "known", None),
    ]


@pytest.mark.large
def test_a_set_that_cannot_be_read_is_left_out_of_the_log(
    world: Restored, events: Callable[[], list[dict[str, Any]]]
) -> None:
    first = world.publish("Anna")
    damaged = world.publish("Anna", "Bert")
    last = world.publish("Anna", "Bert", "Carl")
    whole = log_of(world.state)
    with open(world.outbox / "batches" / damaged / "crosswalk.csv", "a", encoding="utf-8") as file:
        file.write("CUST009,CRM,X,CRM id:X\n")
    world.restore("nothing")
    events()
    assert world.adopt() == 0
    assert [it["batch_id"] for it in events() if it["event"] == "set.skipped"] == [damaged]
    rebuilt = log_of(world.state)
    assert [batch_id for batch_id, _ in rebuilt] == [first, last]
    assert rebuilt[0] == whole[0]
    assert [(number, event) for number, event, *_ in rebuilt[1][1]] == [(2, "created"), (3, "created")]


@pytest.mark.large
@pytest.mark.parametrize("lost_after", ["the merge", "the return", None])
def test_a_merge_that_goes_away_gives_the_former_master_and_adopt_changes_nothing(
    world: Restored, lost_after: str | None
) -> None:
    def adopt_after(step: str) -> None:
        if step == lost_after:
            world.restore("nothing")
            assert world.adopt() == 0

    world.publish("Anna", "Bert", "Carl", "Dora")
    before = world.read("customer_master.csv")
    for _ in range(2):
        world.publish_rows(BERT_OR_DORA, "Anna", "Bert", "Carl", "Dora")
        assert len(world.ids()) == 3
        adopt_after("the merge")
        last = world.publish("Dora", "Anna", "Bert", "Carl")
        assert world.read("customer_master.csv") == before
        changes = [(row["change"], row["from_ids"], row["to_ids"]) for row in world.rows("id_changes.csv", last)]
        assert changes == [("split", "CUST002", "CUST002,CUST004"), ("revived", "CUST004", "CUST004")]
        adopt_after("the return")
    assert world.verified().findings == []


def as_an_older_program_wrote_it(folder: Path) -> None:
    """Remove from a set what the register knows of aliases."""
    (folder / "register_aliases.csv").unlink()
    manifest = folder / "manifest.json"
    manifest.chmod(0o644)
    document = json.loads(manifest.read_text())
    del document["files"]["register_aliases.csv"]
    manifest.write_text(json.dumps(document))


@pytest.mark.large
def test_verify_finds_records_of_an_alias_that_is_none(world: Restored, tmp_path: Path) -> None:
    world.publish("Bert", "Dora")
    merged = world.publish_rows(BERT_OR_DORA, "Bert", "Dora")
    copy = tmp_path / "set"
    shutil.copytree(world.outbox / "batches" / merged, copy)
    counts = Counts(**world.manifest()["rows"])
    assert list(check_master_set(copy, "set", counts)) == []
    (copy / "register_aliases.csv").unlink()
    (copy / "register_aliases.csv").write_text("number,record_key\n1,CRM id:Bert\n2,CRM id:Dora\n")
    (found,) = check_master_set(copy, "set", counts)
    assert found == "set/register_aliases.csv has records of customers that are not merged: 1"


@pytest.mark.large
def test_a_set_that_does_not_say_what_aliases_had_is_adopted(world: Restored) -> None:
    world.publish("Bert", "Dora")
    merged = world.publish_rows(BERT_OR_DORA, "Bert", "Dora")
    as_an_older_program_wrote_it(world.outbox / "batches" / merged)
    world.restore("nothing")
    assert world.adopt() == 0
    world.publish("Bert", "Dora")
    assert world.ids() == {"Bert": "CUST001", "Dora": "CUST003"}, "an alias of which nothing is known stays an alias"


@pytest.mark.large
def test_a_register_that_does_not_say_what_aliases_had_is_opened_and_learns_it(world: Restored) -> None:
    world.publish("Bert", "Dora")
    merged = world.publish_rows(BERT_OR_DORA, "Bert", "Dora")
    (StateFolders(world.state).register / merged / "aliases.parquet").unlink()
    world.publish("Bert", "Dora")
    assert world.ids() == {"Bert": "CUST001", "Dora": "CUST003"}
    world.publish_rows(BERT_OR_DORA, "Bert", "Dora")
    world.publish("Bert", "Dora")
    assert world.ids() == {"Bert": "CUST001", "Dora": "CUST003"}, "a merge since then can be undone"


@pytest.mark.large
def test_an_empty_pruned_or_older_outbox_is_no_error(world: Restored) -> None:
    world.publish("Anna")
    shutil.copytree(world.outbox, world.root / "older")
    world.publish("Anna", "Bert")
    shutil.rmtree(world.outbox)
    assert world.once().published == 0
    world.publish("Anna", "Bert")
    shutil.rmtree(world.outbox)
    shutil.copytree(world.root / "older", world.outbox)
    assert world.once().published == 0
    world.publish("Carl", "Anna", "Bert")
    assert world.ids() == {"Anna": "CUST001", "Bert": "CUST002", "Carl": "CUST003"}


@pytest.mark.large
def test_a_lost_ledger_alone_stops_nothing(world: Restored) -> None:
    world.publish("Anna")
    world.drop("_x", crm="broken", ecom="{")
    assert world.once().quarantined == 1
    shutil.rmtree(world.quarantine()[0])
    world.publish("Anna", "Bert")
    for path in world.state.glob("ledger*"):
        path.unlink()
    assert world.once().published == 0
    assert [row["change"] for row in world.rows("id_changes.csv", world.manifest()["batch_id"])] == ["created"]
    world.publish("Carl", "Anna", "Bert")
    assert world.ids()["Carl"] == "CUST003"


def test_a_start_that_was_refused_leaves_the_inbox_without_an_owner(world: Restored) -> None:
    world.publish("Anna")
    world.back_up("good")
    world.restore("nothing")
    (world.inbox / ".lock").write_text("")
    with pytest.raises(StateBehindOutbox, match="the state has no customers"):
        world.once()
    world.restore("good")
    assert world.once().published == 0, "the backup may take the inbox again"


def test_with_an_emptied_outbox_and_lock_ids_begin_again_as_the_hint_states(world: Restored) -> None:
    world.publish("Anna", "Bert")
    world.restore("nothing")
    with pytest.raises((StateBehindOutbox, UsageError), match=r"belongs to another state|has no customers"):
        world.once()
    shutil.rmtree(world.outbox)
    (world.inbox / ".lock").write_text("")
    world.publish("Carl")
    assert world.ids() == {"Carl": "CUST001"}


def test_adopt_has_nothing_to_do_beside_the_state_that_published_the_set(
    world: Restored, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id = world.publish("Anna")
    assert world.adopt() == 0
    assert f"the state knows {batch_id}" in capsys.readouterr().err


def test_adopt_refuses_a_set_that_was_changed_and_one_without_a_register(
    world: Restored, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id = world.publish("Anna")
    world.restore("nothing")
    folder = world.outbox / "batches" / batch_id
    crosswalk = folder / "crosswalk.csv"
    crosswalk.chmod(0o644)
    crosswalk.write_text(crosswalk.read_text() + "CUST009,CRM,Eve,CRM id:Eve\n")
    assert world.adopt() == 2
    assert "crosswalk.csv is not as its manifest states" in capsys.readouterr().err
    manifest = folder / "manifest.json"
    manifest.chmod(0o644)
    document = json.loads(manifest.read_text())
    del document["next_number"]
    manifest.write_text(json.dumps(document))
    assert world.adopt() == 2
    assert "a version that did not store the register" in capsys.readouterr().err


@pytest.mark.large
def test_an_outbox_that_was_filled_by_hand_is_compared_and_adopted_too(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.drop()
    crm, ecom = house.inbox / CRM, house.inbox / ECOM
    out = tmp_path / "out"
    assert house.run("integrate", crm, ecom, "--outbox", out).code == 0
    shutil.rmtree(out / ".state")
    refused = house.run("integrate", crm, ecom, "--outbox", out)
    assert (refused.code, "StateBehindOutbox" in refused.err) == (2, True)
    _, _, printed = refused.err.partition("python -m service ")
    command = shlex.split(printed.partition(",")[0])
    assert command == ["adopt", "--outbox", str(out)]
    assert house.run(*command).code == 0
    assert house.run("integrate", crm, ecom, "--outbox", out).code == 0
    last = max(
        (out / "batches").iterdir(), key=lambda path: json.loads((path / "manifest.json").read_text())["sequence"]
    )
    assert (last / "id_changes.csv").read_text().splitlines()[1:] == []


@pytest.mark.large
@pytest.mark.parametrize("seed", range(RESTORES))
def test_no_number_is_given_twice_over_any_restore_of_the_state_alone(tmp_path: Path, seed: int) -> None:
    """Batches, backups and restores of the state in any order: a number stays with its customer."""
    r = random.Random(seed)
    world = Restored(tmp_path)
    owners: dict[str, str] = {}
    backups = ["nothing"]
    for step in range(6):
        world.publish(*r.sample(NAMES, r.randint(1, 5)))
        for name, unified_id in world.ids().items():
            assert owners.setdefault(unified_id, name) == name, f"{unified_id} was {owners[unified_id]}, now {name}"
        if r.random() < 0.5:
            world.back_up(f"backup{step}")
            backups.append(f"backup{step}")
        if r.random() < 0.6:
            world.restore(r.choice(backups))
            try:
                world.once()
            except (StateBehindOutbox, UsageError):  # the inbox may belong to the state before the last one
                assert world.adopt() == 0
    assert world.verified().findings == []
