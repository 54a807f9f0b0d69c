"""``verify --proof``: every published set proves itself, and no altered cell that something rests on survives."""

from __future__ import annotations

import csv
import json
import random
import shutil
import string
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service import cli, documents
from service.decisions.rows import csv_rows
from service.documents import Manifest, ManifestFile
from service.files import sha256_of
from service.folders import MANIFEST
from service.jobs.integration import rules_of
from service.model import Rules
from service.pipeline.fields.email import email_key, norm_email
from service.pipeline.fields.name import name_key, norm_name
from service.pipeline.fields.phone import compared_phone
from service.settings import Settings
from service.verify.findings import Proof
from service.verify.proof import Prover
from service.verify.replay import grouped
from tests.case_runs import CaseRun, batches_of, case_names, settings_of
from tests.sizes import LAWS_RECORDS, examples
from tests.small_batches import (
    NOON,
    crm_text,
    ecom_text,
    integrate_pair,
    parquet_of,
    published,
    rows_of,
    write_pair,
)
from tests.test_laws import a_pair
from tests.worlds import CASES, CRM, ECOM, ROOT, House

Value = str | None
FIELDS = ("full_name", "email", "phone", "signup_date", "status")


def proof_of(folder: Path, archive: Path | None, rules: Rules | None = None) -> Proof:
    """The proof of the set in ``folder``, with the inputs in ``archive``."""
    manifest = documents.read(folder / MANIFEST, Manifest)
    prover = Prover(rules or rules_with(), memory_limit_mb=512, threads=1)
    return prover.prove(folder, "the set", manifest, archive)


def rules_with(**given: Any) -> Rules:
    """The rules of these settings."""
    return rules_of(Settings(**given))


# ------------------------------------------------------------------------------------------------ sets as they are


def inputs_of(folder: Path, case: Path) -> Path | None:
    """The folder of a case with the inputs of this set."""
    stated = {it.file_name: it.sha256 for it in documents.read(folder / MANIFEST, Manifest).inputs}
    for exports in batches_of(case):
        if all((exports / name).is_file() and sha256_of(exports / name) == sha for name, sha in stated.items()):
            return exports
    return None


@pytest.mark.parametrize("name", case_names())
def test_the_sets_of_a_case_prove_themselves(name: str, case_run: Callable[[str], CaseRun]) -> None:
    rules = rules_with(**settings_of(CASES / name))
    for folder in sorted((case_run(name).outbox / "batches").glob("*")):
        assert proof_of(folder, inputs_of(folder, CASES / name), rules) == Proof(), folder.name


@dataclass(frozen=True)
class Made:
    """A published set, its inputs and its rules."""

    folder: Path
    pair: Path
    rules: Rules

    def proof(self, folder: Path | None = None, *, archive: Path | None = None, is_alone: bool = False) -> Proof:
        """Its proof; ``is_alone``: without the inputs."""
        return proof_of(folder or self.folder, None if is_alone else archive or self.pair, self.rules)


def chained(r: random.Random, length: int) -> list[list[Value]]:
    """Rows each of which agrees with the next alone, by address and number in turn, in any order."""
    rows: list[list[Value]] = [
        [f"H{i}", f"{word(i)} Hop", f"hop{(i + 1) // 2}@x.org", f"212-777-{i // 2:04}", "2023-03-03", "active"]
        for i in range(length)
    ]
    r.shuffle(rows)
    return rows


def word(number: int) -> str:
    return "".join(string.ascii_lowercase[number // 26**power % 26] for power in range(3)).title()


def made(folder: Path, seed: int, size: int = 40, *, decisions: int = 6, survivorship: str = "fill") -> Made:
    """A set of random exports with chains, gaps, rows that repeat an id, and digits that are no number."""
    r = random.Random(seed)
    crm, ecom = a_pair(r, size)
    crm += [[f"C{r.randrange(size)}", *row[1:]] for row in crm[: size // 8]]
    crm += [[f"U{i}", None, f"u{i % 2}@x.org", "123 456 789 01", None, None] for i in range(3)]
    crm += [[None, f"{word(i)} Nil", f"e{i}@x.org", None, None, None] for i in range(3)]
    pair = write_pair(folder / "in", crm_text(crm + chained(r, 9)), ecom_text(ecom))
    outbox = folder / "out"
    integrate_pair(pair, outbox, survivorship=survivorship)
    if decisions:
        decide(outbox, r, decisions)
        integrate_pair(pair, outbox, NOON + timedelta(hours=1), survivorship=survivorship)
    return Made(published(outbox), pair, rules_with(survivorship=survivorship))


def decide(outbox: Path, r: random.Random, count: int) -> None:
    """Decisions about records of one customer and of several; those that contradict others are refused."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows_of(published(outbox) / "crosswalk.csv"):
        groups[row["unified_id"]].append(f"{row['source_system']}:{row['source_id']}")
    large = [group for group in groups.values() if len(set(group)) > 2]
    alone = [group[0] for group in groups.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_local_now", lambda: NOON)
        for number in range(count):
            kind, among = ("different", r.choice(large)) if number % 3 else ("same", alone)
            cli.main(["decide", kind, *r.sample(sorted(set(among)), 2), "--outbox", str(outbox)])


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("survivorship", ["fill", "record"])
def test_sets_of_random_exports_prove_themselves(tmp_path: Path, bare: Path, survivorship: str) -> None:
    del bare
    for seed in range(examples(16)):
        found = made(tmp_path / str(seed), seed, decisions=6 * (seed % 2), survivorship=survivorship)
        assert found.proof() == Proof()
        assert found.proof(is_alone=True).findings == []


@pytest.mark.large
@pytest.mark.slow
def test_a_chain_of_records_proves_itself(tmp_path: Path) -> None:
    rows = chained(random.Random(3), LAWS_RECORDS)
    pair = write_pair(tmp_path / "in", crm_text(rows), ecom_text([]))
    integrate_pair(pair, tmp_path / "out")
    folder = published(tmp_path / "out")
    assert len(rows_of(folder / "customer_master.csv")) == 1
    assert proof_of(folder, pair) == Proof()
    altered = altered_parquet(folder, tmp_path / "altered", "records.parquet", "rules", 0, "id", "not is_kept")
    (finding,) = proof_of(altered, pair).findings
    assert "does not agree with the record before it as its rules state" in finding


# ------------------------------------------------------------------------------------------------- altered cells


def altered_parquet(
    folder: Path, target: Path, name: str, column: str, row: int, value: Any, where: str = "true"
) -> Path:
    """A copy of a set with another value in one cell of a Parquet file; ``row`` counts those that are ``where``."""
    if target != folder:
        shutil.copytree(folder, target)
    path = target / name
    with duckdb.connect() as connection:
        connection.execute("create table rows as select * from read_parquet(?)", [str(path)])
        (changed,) = connection.execute(
            f"update rows set {column} = ? where rowid = (select rowid from rows where {where} offset {row} limit 1)",
            [value],
        ).fetchone() or (0,)
        assert changed == 1
        path.unlink()
        connection.execute("copy (select * from rows order by rowid) to ? (format parquet)", [str(path)])
    return target


def altered_csv(path: Path, column: str, row: int, value: str) -> None:
    """Rewrite a CSV file with one cell changed."""
    with open(path, encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    rows[row][header.index(column)] = value
    path.unlink()
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def altered_text(r: random.Random, text: str) -> str:
    """The text with one letter or digit changed, so that it is no other spelling of the same."""
    at = r.choice([at for at, character in enumerate(text) if character.isalnum()])
    kind = string.digits if text[at].isdigit() else string.ascii_lowercase
    other = r.choice([it for it in kind if it != text[at].lower()])
    return text[:at] + other + text[at + 1 :]


def altered_value(r: random.Random, value: Any, column: str) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + r.choice((-1, 1))
    if isinstance(value, list):
        return value[:-1] or (["ECOM"] if value == ["CRM"] else ["CRM"])
    if value is None or value == "N/A":
        return {"via_ordinal": 0, "signup_date": "2020-02-02", "source_system": ["CRM"]}.get(column, "5550199")
    if column == "signup_date":
        return str(value)[:-1] + ("1" if str(value)[-1] != "1" else "2")
    return None if r.random() < 0.2 else altered_text(r, str(value))


PERSONAL = ("@x.org", "Doe", "212", "777", "Hop", "5550199")
FILES = (
    *("records.parquet", "customer_master.parquet", "customer_master.csv"),
    *("match_evidence.csv", "duplicate_report.csv", "crosswalk.csv"),
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Made]]:
    """Sets with and without decisions, filled and as they are kept."""
    base = tmp_path_factory.mktemp("sets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        yield [
            made(base / f"{decisions}{survivorship}", decisions, decisions=decisions, survivorship=survivorship)
            for decisions in (0, 9)
            for survivorship in ("fill", "record")
        ]


@pytest.mark.large
@pytest.mark.slow
def test_no_altered_cell_of_a_set_survives(sets: list[Made], tmp_path: Path) -> None:
    r = random.Random(11)
    for number in range(examples(160)):
        set_, name, target = r.choice(sets), r.choice(FILES), tmp_path / str(number)
        rows = parquet_of(set_.folder / name)[1] if name.endswith("parquet") else rows_of(set_.folder / name)
        row, column = r.randrange(len(rows)), r.choice(list(rows[0]))
        value = altered_value(r, rows[row][column], column)
        if name.endswith("parquet"):
            altered_parquet(set_.folder, target, name, column, row, value)
        else:
            shutil.copytree(set_.folder, target)
            altered_csv(target / name, column, row, "" if value is None else str(value))
        findings = set_.proof(target).findings
        assert findings, f"{name}, row {row}, {column}: {rows[row][column]} -> {value}"
        assert not [it for it in PERSONAL if it in "".join(findings)], findings
        assert all(it.startswith("the set") for it in findings)
        shutil.rmtree(target)


# ------------------------------------------------------------------------ without the inputs: what rests on a value


@dataclass(frozen=True)
class Literal:
    """Section 5 by definition, pair by pair, over the records that a set states and the decisions in it."""

    rows: Sequence[Mapping[str, Any]]
    same: Sequence[tuple[int, int]]
    different: Sequence[tuple[int, int]]

    @cached_property
    def values(self) -> list[dict[str, Any]]:
        """Of each record what the rules compare."""
        label = {i: i for i in range(len(self.rows))}
        for _ in self.rows:
            for a, b in self.same:
                label[a] = label[b] = min(label[a], label[b])
        decided = {i for pair in self.same for i in pair}
        return [
            {
                "decision": label[i] if i in decided else None,
                "id": row["record_key"],
                "email": row["email"] and email_key(row["email"]),
                "phone": row["phone_key"] or row["phone"],
                "name": row["full_name"] and name_key(row["full_name"]),
            }
            for i, row in enumerate(self.rows)
        ]

    @cached_property
    def groups(self) -> list[int]:
        """The smallest record of the group of each: links one by one, those left out that join a pair kept apart."""
        group, values = list(range(len(self.rows))), self.values
        for rule in ("decision", "id", "email", "phone", "name"):
            for a, b in combinations(range(len(group)), 2):
                if values[a][rule] is None or values[a][rule] != values[b][rule] or group[a] == group[b]:
                    continue
                if not any({group[x], group[y]} == {group[a], group[b]} for x, y in self.different):
                    least, most = sorted((group[a], group[b]))
                    group = [least if it == most else it for it in group]
        return group

    def evidence(self, kept: int) -> dict[int, tuple[int, str]]:
        """For each record of a group the one before it on the way from the kept one, and the rules of that step."""
        values, group = self.values, self.groups

        def rules(a: int, b: int) -> str:
            equal = [it for it in values[a] if values[a][it] is not None and values[a][it] == values[b][it]]
            order = ("id", "email", "phone", "name", "decision")
            weak = {"name"} if {"email", "phone"} <= set(equal) else set()
            return "+".join(it for it in order if it in equal and it not in weak)

        found: dict[int, tuple[int, str]] = {}
        left = {i for i, it in enumerate(group) if it == group[kept]} - {kept}
        level = [kept]
        while level:
            reached: dict[int, tuple[int, str]] = {}
            for record in level:
                near = [other for other in left - set(reached) if rules(other, record)]
                reached |= {other: (record, rules(other, record)) for other in near}
            found |= reached
            left -= set(reached)
            level = sorted(reached)
        return found

    def kept(self) -> dict[int, int]:
        """Group -> its record with the fewest gaps, of these the first."""
        members: dict[int, list[int]] = defaultdict(list)
        for i, it in enumerate(self.groups):
            members[it].append(i)
        gaps = [sum(row[field] is None for field in FIELDS) for row in self.rows]
        return {it: min(found, key=lambda i: (gaps[i], i)) for it, found in members.items()}


def literal_of(folder: Path) -> Literal:
    """What a set states, by ordinal, and the decisions whose records are in it."""
    rows = sorted(parquet_of(folder / "records.parquet")[1], key=lambda row: row["ordinal"])
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        first.setdefault(row["record_key"], i)
    with csv_rows(folder / "decisions.csv") as decisions:
        pairs = [(it["decision"], first.get(it["left_key"]), first.get(it["right_key"])) for it in decisions]
    same, different = (
        [(a, b) for kind, a, b in pairs if kind == wanted and a is not None and b is not None]
        for wanted in ("same", "different")
    )
    return Literal(rows, same, different)


def follows_the_rules(folder: Path) -> bool:
    """Whether groups, kept records and evidence of a set are those of the definition."""
    literal = literal_of(folder)
    rows, group, kept = literal.rows, literal.groups, literal.kept()
    smallest: dict[str, int] = {}
    for i, row in enumerate(rows):
        smallest.setdefault(row["unified_id"], i)
    if [smallest[row["unified_id"]] for row in rows] != group:
        return False
    if {i for i, row in enumerate(rows) if row["is_kept"]} != set(kept.values()):
        return False
    evidence = {i: step for it in kept.values() for i, step in literal.evidence(it).items()}
    return all((row["via_ordinal"], row["rules"]) == evidence.get(i, (None, None)) for i, row in enumerate(rows))


def other_key(row: dict[str, Any], phone: str | None) -> str | None:
    """How an altered phone of a row is compared, behind the same calling code."""
    if phone is None or row["phone_key"] is None:
        return None
    return str(row["phone_key"]).removesuffix(row["phone"]) + phone


@pytest.mark.large
@pytest.mark.slow
def test_an_altered_value_is_found_without_the_inputs_if_a_merge_rests_on_it(sets: list[Made], tmp_path: Path) -> None:
    """Nothing is compared with the inputs or with other files: only the merges, as the definition decides."""
    r = random.Random(12)
    survived = 0
    for number in range(examples(120)):
        set_, target = r.choice(sets), tmp_path / str(number)
        rows = parquet_of(set_.folder / "records.parquet")[1]
        column = r.choice(("full_name", "email", "phone", "phone", "rules", "via_ordinal", "unified_id"))
        row = r.randrange(len(rows))
        donor = r.choice(rows)  # another record's value may join what is apart
        is_taken = r.random() < 0.5 or column == "unified_id" or rows[row][column] is None
        value = donor[column] if is_taken else altered_value(r, rows[row][column], column)
        altered_parquet(set_.folder, target, "records.parquet", column, row, value)
        if column == "phone":
            key = donor["phone_key"] if is_taken else other_key(rows[row], value)
            altered_parquet(target, target, "records.parquet", "phone_key", row, key)
        if follows_the_rules(target):
            survived += 1
            findings = set_.proof(target, is_alone=True).findings
            of_records = [it for it in findings if it.startswith("the set/records.parquet")]
            assert of_records == [], f"row {row}, {column}: equivalent, but {of_records}"
        else:
            findings = set_.proof(target, is_alone=True).findings
            assert findings, f"row {row}, {column}: {rows[row][column]} -> {value}"
        shutil.rmtree(target)
    assert survived, "some values are cited by nothing"


# ----------------------------------------------------------------------------------------------- altered inputs


def is_same_value(column: str, one: str, other: str) -> bool:
    """Whether two cells of an export are one value by the definition of their field."""
    read: Mapping[str, Callable[[str], Any]] = {
        "full_name": norm_name,
        "email": norm_email,
        "phone": lambda text: compared_phone(text, "US"),
        "status": str.lower,
    }
    return bool(read.get(column, str)(one) == read.get(column, str)(other))


@pytest.mark.large
@pytest.mark.slow
def test_an_altered_cell_of_an_archived_input_is_found(sets: list[Made], tmp_path: Path) -> None:
    r = random.Random(13)
    for number in range(examples(60)):
        set_, target = r.choice(sets), tmp_path / str(number)
        shutil.copytree(set_.pair, target)
        rows = rows_of(target / CRM)
        row, column = r.choice(
            [(i, it) for i, cells in enumerate(rows) for it, cell in cells.items() if cell not in ("", "N/A")]
        )
        value = altered_text(r, rows[row][column])
        altered_csv(target / CRM, column, row, value)
        findings = set_.proof(archive=target).findings
        if not is_same_value(column, rows[row][column], value):
            assert any("is not what the archived input gives" in it for it in findings), f"row {row}, {column}"


@pytest.mark.large
def test_an_archived_input_that_cannot_be_read_is_a_finding(sets: list[Made], tmp_path: Path) -> None:
    shutil.copytree(sets[0].pair, tmp_path / "in")
    (tmp_path / "in" / ECOM).write_text('{"customers": [', encoding="utf-8")
    (finding,) = sets[0].proof(archive=tmp_path / "in").findings
    assert finding == "the set: the archived inputs cannot be read any more: UnreadableFile"


# ------------------------------------------------------------------------------------------------------ decisions


@pytest.mark.large
@pytest.mark.slow
def test_a_decision_that_was_removed_or_turned_is_found(sets: list[Made], tmp_path: Path) -> None:
    set_ = sets[2]
    decisions = rows_of(set_.folder / "decisions.csv")
    literal = literal_of(set_.folder)
    for row, decision in enumerate(decisions):
        target = tmp_path / str(row)
        shutil.copytree(set_.folder, target)
        altered_csv(target / "decisions.csv", "left_key", row, "CRM id:none")
        assert bool(set_.proof(target).findings) != follows_the_rules(target), decision["number"]
    assert literal.same, "a decision makes two records one"
    assert literal.different, "a decision keeps two records apart"


@given(
    values=st.lists(st.tuples(*[st.integers(-1, 4)] * 5), min_size=1, max_size=12),
    pairs=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=4),
)
@settings(max_examples=examples(400))
def test_groups_made_again_are_those_of_the_definition(
    values: list[tuple[int, ...]], pairs: list[tuple[int, int]]
) -> None:
    ordinals = range(len(values))
    different = [(a, b) for a, b in pairs if a != b and max(a, b) < len(values)]
    columns = [{i: values[i][rule] for i in ordinals} for rule in range(5)]
    group = list(ordinals)
    for value_of in columns:
        for a, b in combinations(ordinals, 2):
            is_link = value_of[a] == value_of[b] >= 0 and group[a] != group[b]
            if is_link and not any({group[x], group[y]} == {group[a], group[b]} for x, y in different):
                least, most = sorted((group[a], group[b]))
                group = [least if it == most else it for it in group]
    assert grouped(ordinals, columns, different) == dict(enumerate(group))


# ---------------------------------------------------------------------------- other programs, settings and forgers


@pytest.mark.large
@pytest.mark.slow
def test_a_set_of_a_former_program_is_proved_as_far_as_it_can_be(sets: list[Made], tmp_path: Path) -> None:
    for number, set_ in enumerate(sets):
        target = tmp_path / str(number)
        shutil.copytree(set_.folder, target)
        as_formerly(target)
        proof = set_.proof(target)
        assert proof.findings == []
        assert "made by a former program" in proof.notes[0]
        assert "another version or with other settings" in proof.notes[-1]
        altered_parquet(target, target, "records.parquet", "email", 0, "other@x.org", "rules = 'email'")
        assert "does not agree with the record before it" in set_.proof(target).findings[0]


def as_formerly(folder: Path) -> None:
    """Make a set what it was before the last columns of ``records.parquet`` and the hash of the rules."""
    path = folder / "records.parquet"
    with duckdb.connect() as connection:
        columns = "* exclude (via_ordinal, phone_key, status_stated)"
        connection.execute(f"create table rows as select {columns} from read_parquet(?)", [str(path)])
        path.unlink()
        connection.execute("copy rows to ? (format parquet)", [str(path)])
    with_manifest(folder, rules_sha256=UNSET)


def with_manifest(folder: Path, **members: Any) -> None:
    """Write other members into the manifest of a set."""
    manifest = msgspec.structs.replace(documents.read(folder / MANIFEST, Manifest), **members)
    (folder / MANIFEST).unlink()
    documents.write(folder / MANIFEST, manifest, durable=False)


@pytest.mark.large
def test_a_set_without_typed_records_is_not_proved(sets: list[Made], tmp_path: Path) -> None:
    shutil.copytree(sets[0].folder, tmp_path / "set")
    (tmp_path / "set" / "records.parquet").unlink()
    proof = sets[0].proof(tmp_path / "set")
    assert (proof.findings, proof.is_unproved) == ([], True)
    assert "is not proved" in proof.notes[0]


@pytest.mark.large
def test_values_are_not_read_again_with_other_settings(sets: list[Made]) -> None:
    for set_ in sets:
        proof = proof_of(set_.folder, set_.pair, Rules(default_region="GB"))
        assert proof.findings == []
        assert "with other settings" in proof.notes[0]


def test_the_hash_of_rules_is_that_of_every_process_and_changes_with_each_rule() -> None:
    statement = "from service.model import Rules; print(Rules().sha256)"
    printed = subprocess.run(
        [sys.executable, "-c", statement],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == Rules().sha256
    assert len({it.sha256 for it in (Rules(), Rules(survivorship="record"), Rules(default_region="GB"))}) == 3


@pytest.mark.large
def test_the_checker_loads_nothing_that_made_the_groups() -> None:
    statement = "import service.verify.proof, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", statement], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "service.verify.merges" in loaded
    assert [
        name for name in loaded if name.startswith(("service.pipeline.matching", "service.pipeline.evidence"))
    ] == []


def forge(house: House, name: str, column: str, value: str, where: str) -> None:
    """Alter a cell of the newest set, and all hashes that would show it, as one would who has every right."""
    folder = house.outbox / "batches" / house.batches()[-1]
    altered_parquet(folder, folder, name, column, 0, value, where)
    files = documents.read(folder / MANIFEST, Manifest).files
    path = folder / name
    with_manifest(folder, files=files | {name: ManifestFile(size_bytes=path.stat().st_size, sha256=sha256_of(path))})
    shutil.copyfile(folder / MANIFEST, house.outbox / MANIFEST)
    (house.state / "ledger.sqlite").unlink()


@pytest.mark.large
@pytest.mark.slow
def test_a_forged_set_is_found_though_every_hash_is_right(house: House) -> None:
    house.drop()
    assert house.run("watch", "--once", settle_seconds="0.3").code == 0
    assert house.run("verify", "--proof").out == "ok: 1 set, 1 proved, 2 inputs, 0 quarantined\n"
    forge(house, "records.parquet", "email", "someone.else@x.org", "rules = 'email+phone'")
    assert house.run("verify").code == 0
    done = house.run("verify", "--proof")
    shown = f"outbox/batches/{house.batches()[-1]}/records.parquet"
    assert done.code == 1
    assert "does not agree with the record before it as its rules state; rules that hold: phone" in done.out
    assert done.out.count(shown) == len(done.out.splitlines())
    assert "someone.else" not in done.out


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"PAR1" + content[100:], lambda content: content[: len(content) // 2], lambda content: b"x" * 500],
    ids=["moved", "cut off", "overwritten"],
)
def test_a_damaged_parquet_file_is_a_finding(
    sets: list[Made], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(sets[0].folder, tmp_path / "set")
    path = tmp_path / "set" / "records.parquet"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(damage(content))
    (finding,) = sets[0].proof(tmp_path / "set").findings
    assert finding.startswith("the set cannot be proved, a file in it is damaged: ")


def test_a_set_that_states_no_ids_is_found_and_nothing_of_it_is_printed(sets: list[Made], tmp_path: Path) -> None:
    target = altered_parquet(sets[0].folder, tmp_path / "set", "records.parquet", "unified_id", 0, "Ann Lee")
    findings = sets[0].proof(target).findings
    assert findings[0] == "the set/records.parquet: record 0 has a unified_id of another form"
    assert "Ann" not in "".join(findings)


def test_a_manifest_names_the_rules_of_its_set(sets: list[Made]) -> None:
    stated = json.loads((sets[0].folder / MANIFEST).read_text(encoding="utf-8"))
    assert stated["rules_sha256"] == sets[0].rules.sha256
