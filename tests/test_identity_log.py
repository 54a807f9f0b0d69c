"""The log of identities: what happened to each customer in each batch, against a model, over crashes and losses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service import cli
from service.engine import open_reader
from service.errors import UsageError
from service.folders import StateFolders
from service.model import PublishedMaster
from service.register import IdentityEvent, Register, history_of
from service.register.identity_log import IdentityLog
from tests.sizes import examples
from tests.small_batches import AnyEngine
from tests.test_register import Batches, Groups, Model, resolved, walk
from tests.worlds import Works

Row = tuple[str, str, str, str | None, int | None, int, int]
"""batch_id, unified_id, change, other, moved, before, after."""


def shown(number: int) -> str:
    return f"CUST{number:03}"


def row_of(event: IdentityEvent) -> Row:
    return (
        *(event.batch_id, event.unified_id, event.change),
        *(event.other, event.moved, event.before, event.after),
    )


def modelled(model: Model, groups: Groups, batch_id: str) -> list[Row]:
    """The events of a batch as the specification has them; the model advances to its next state."""
    state, customer_of = dict(model.state), dict(model.customer_of)
    numbers, _ = model.identify(groups)
    members = {number: set(keys) for number, keys in zip(numbers, groups, strict=True)}
    before = {
        number: sum(last == (number, True) for last in customer_of.values()) if state[number] == "live" else 0
        for number in state
    }
    after = {number: len(members.get(number, ())) for number in model.state}
    found: list[Row] = []

    def add(number: int, change: str, other: int | None = None, moved: int | None = None) -> None:
        into = None if other is None else shown(other)
        found.append((batch_id, shown(number), change, into, moved, before.get(number, 0), after[number]))

    for number, became in model.state.items():
        was = state.get(number)
        if was != "live" and became == "live":
            add(number, "revived" if was else "created")
        elif was == "live" and became == "retired":
            add(number, "retired")
        elif was == became == "live" and before[number] != after[number]:
            add(number, "grew" if after[number] > before[number] else "shrank")
    for number in (number for number in state if state[number] != "merged"):
        had = {key for key, last in customer_of.items() if last == (number, True)}
        went = {other: len(had & keys) for other, keys in members.items() if other != number and had & keys}
        into = min(went, key=lambda other: (-went[other], other), default=None)
        for other, moved in went.items():
            if model.state[number] == "merged" and other == into:
                add(number, "merged", other, moved)
            else:
                add(number, "moved" if state.get(other) == "live" else "split", other, moved)
    return found


@pytest.mark.large
@pytest.mark.parametrize("seed", range(examples(8)))
def test_over_a_random_history_the_log_agrees_with_the_model(engine: AnyEngine, tmp_path: Path, seed: int) -> None:
    batches, model = Batches(engine, tmp_path), Model()
    expected: list[Row] = []
    stood_for: dict[str, dict[int, int | None]] = {}
    for groups in walk(seed, 10):
        batches.next(groups)
        batch_id = f"batch{batches.given}"
        expected += modelled(model, groups, batch_id)
        customers = batches.customers()
        stood_for[batch_id] = {number: resolved(customers, number) for number in customers}
    with open_reader([IdentityLog(tmp_path).folder]) as reader:
        for number in model.state:
            found = history_of(shown(number), tmp_path, reader=reader)
            mine = [it for it in expected if shown(number) in (it[1], it[3])]
            assert sorted(map(row_of, found.events), key=repr) == sorted(mine, key=repr)
            order = [event.batch_id for event in found.events]
            assert order == sorted(order, key=lambda batch_id: int(batch_id.removeprefix("batch")))
        for batch_id, numbers in stood_for.items():
            for number, live in numbers.items():
                at_that_time = history_of(shown(number), tmp_path, batch_id, reader)
                assert at_that_time.stands_for == (None if live is None else shown(live))


@pytest.mark.large
def test_the_history_of_an_id_is_its_whole_life(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    for groups in ([["A"], ["B"]], [["A", "B"]], [["A"], ["B", "C"]], [["A", "B", "C"]], [["A"]]):
        batches.next(groups)
    found = history_of("CUST002", tmp_path)
    assert [(it.batch_id, it.unified_id, it.change, it.other, it.before, it.after) for it in found.events] == [
        ("batch1", "CUST002", "created", None, 0, 1),
        ("batch2", "CUST002", "merged", "CUST001", 1, 0),
        ("batch3", "CUST002", "revived", None, 0, 2),
        ("batch3", "CUST001", "split", "CUST002", 2, 1),
        ("batch4", "CUST002", "grew", None, 2, 3),
        ("batch4", "CUST001", "merged", "CUST002", 1, 0),
        ("batch5", "CUST002", "shrank", None, 3, 1),
    ]


# ------------------------------------------------------------------------------------------- crashes and losses


def changes_of(state: Path, unified_id: str) -> list[tuple[str, str]]:
    return [(it.batch_id, it.change) for it in history_of(unified_id, state).events]


def test_a_batch_that_is_not_committed_leaves_no_event(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    batches.next([["A"]])
    batches.register.stage(batches.identify([["A"], ["B"]]), PublishedMaster("killed"))
    with pytest.raises(UsageError, match="there is no customer CUST002"):
        history_of("CUST002", tmp_path)
    Register(tmp_path).recover(lambda batch_id: False)
    batches.next([["A"], ["B"]])
    assert changes_of(tmp_path, "CUST002") == [("batch2", "created")]


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_batch_that_is_committed_and_killed_has_its_events_once(
    engine: AnyEngine, tmp_path: Path, *, is_taken: bool
) -> None:
    batches = Batches(engine, tmp_path)
    batches.next([["A"]])
    batches.register.stage(batches.identify([["A"], ["B"]]), PublishedMaster("killed"))
    if is_taken:
        IdentityLog(tmp_path).take_from(tmp_path / "register" / "killed")
    for _ in range(2):
        Register(tmp_path).recover(lambda batch_id: batch_id == "killed")
        Register(tmp_path).advance("killed")
    batches.next([["A"], ["B"]])
    assert changes_of(tmp_path, "CUST002") == [("killed", "created")]
    assert [it.position for it in IdentityLog(tmp_path).batches()] == [1, 2, 3]


def test_a_batch_that_is_integrated_again_keeps_what_happened_the_first_time(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    batches.next([["A"]])
    batches.register.stage(batches.identify([["A"]]), PublishedMaster("batch1"))
    batches.register.advance("batch1")
    assert changes_of(tmp_path, "CUST001") == [("batch1", "created")]
    assert history_of("CUST001", tmp_path, "batch1").is_live


@pytest.mark.large
def test_a_log_that_was_lost_begins_again_with_what_is_known(engine: AnyEngine, tmp_path: Path) -> None:
    batches = Batches(engine, tmp_path)
    for groups in ([["A", "X"], ["B"], ["C"]], [["A", "X", "B"]]):
        batches.next(groups)
    shutil.rmtree(StateFolders(tmp_path).register_events)
    with pytest.raises(UsageError, match="no batch is in the log"):
        history_of("CUST001", tmp_path)
    batches.next([["A"]])
    assert list(map(row_of, history_of("CUST001", tmp_path).events)) == [
        ("batch3", "CUST001", "known", None, None, 3, 3),
        ("batch3", "CUST001", "shrank", None, None, 3, 1),
    ]
    assert history_of("CUST002", tmp_path).stands_for == "CUST001"
    assert history_of("CUST003", tmp_path).stands_for is None
    batches.next([["A"]])
    assert changes_of(tmp_path, "CUST002") == [("batch3", "known")], "it begins once"


# -------------------------------------------------------------------------------------------- the command line


def history(works: Works, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``history``."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("inbox", "outbox", "state"):
            patch.setenv(f"SERVICE_{name.upper()}", str(works.root / name))
        capsys.readouterr()
        code = cli.main(["history", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def publish(works: Works, *names: str) -> str:
    """Publish a batch with one row for each name; returns its id."""
    before = set(works.batches())
    rows = "".join(f"C{number},{name},,,,\n" for number, name in enumerate(names))
    works.drop(crm=f"customer_id,full_name,email,phone,signup_date,status\n{rows}", ecom='{"customers": []}')
    assert works.once().published == 1
    (published,) = set(works.batches()) - before
    return published


@pytest.mark.large
def test_the_verb_prints_what_happened_and_for_whom_an_id_stands(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish(works, "Ann Lee", "Bob Ray")
    second = publish(works, "Ann Lee", "Ann Lee")
    third = publish(works, "Ann Lee", "Bob Ray")
    assert history(works, capsys, "CUST00002") == (
        0,
        f"{first}  CUST002 is new (records: 0, then 1)\n"
        f"{second}  CUST002 was merged into CUST001 with 1 of its records (records: 1, then 0)\n"
        f"{third}  CUST002 came back (records: 0, then 1)\n"
        f"{third}  CUST001 was split: 1 of its records became CUST002 (records: 2, then 1)\n"
        f"after {third}: CUST002 is live\n",
        "",
    )
    code, out, _ = history(works, capsys, "cust2", "--as-of", second)
    assert (code, out.splitlines()[-1]) == (0, f"after {second}: CUST002 stands for CUST001, which is live")
    code, out, _ = history(works, capsys, "CUST002", "--as-of", second, "--json")
    found: dict[str, Any] = json.loads(out)
    assert (code, found["as_of"], found["stands_for"], found["chain"]) == (0, second, "CUST001", ["CUST002", "CUST001"])
    assert [event["change"] for event in found["events"]] == ["created", "merged"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("CUST007",), "there is no customer CUST007 after batch "),
        (("Ann",), "this is no unified id"),
        (("CUST001", "--as-of", "20200101T000000Z-abcdef"), "is not in the log of identities"),
    ],
)
def test_what_the_log_does_not_have_is_a_usage_error(
    works: Works, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    publish(works, "Ann Lee")
    code, out, err = history(works, capsys, *arguments)
    assert (code, out) == (cli.USAGE, "")
    assert message in err
    assert "Ann" not in err, "what is no id may be a name"
