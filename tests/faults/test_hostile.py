"""Hostile drops are inert: nothing is followed, nothing blocks, nothing takes the memory, and work goes on.

One daemon run under a limit on its address space meets every hostile content in turn, and then a good pair; what
is no regular file lies beside a good pair under the expected name. The sizes are in ``tests/sizes.py``.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.inbox import shown_name
from service.model import API as API_SOURCE
from service.model import SOURCES
from tests.sizes import HOLE_BYTES, LINE_BYTES
from tests.worlds import CASES, CRM, ECOM, House

SPACE_BYTES = 2 << 30
"""Address space of the daemon: its engine may use half of it."""

SAMPLE = CASES / "the_sample"
HEADER = b"customer_id,full_name,email,phone,signup_date,status\n"
ROW = b"C1,Ann Lee,ann@lee.org,5550101,2024-01-01,active\n"
SHOP = b'{"customers":['
DEEP = 100_000


# -------------------------------------------------------------------------------------------------------- contents


@dataclass(frozen=True)
class Content:
    """A hostile export: its bytes (or a hole between head and tail), and what shall become of its pair."""

    file: str
    head: bytes = b""
    unit: bytes = b""
    tail: bytes = b""
    size_bytes: int = 0
    says: str | None = None
    """A part of the one reason; None: nothing is wrong with it, it is published."""

    def write(self, path: Path) -> None:
        """Units fill the size; without a unit it is a hole."""
        block = self.unit * (1 + (1 << 20) // max(1, len(self.unit)))
        with open(path, "wb") as file:
            file.write(self.head)
            while self.unit and file.seek(0, os.SEEK_CUR) < self.size_bytes:
                file.write(block)
            file.seek(max(file.seek(0, os.SEEK_CUR), self.size_bytes - len(self.tail)))
            file.write(self.tail)
            file.truncate(max(file.seek(0, os.SEEK_CUR), self.size_bytes))


def crm(says: str | None, head: bytes, unit: bytes = b"", tail: bytes = b"\n", size_bytes: int = 0) -> Content:
    return Content(CRM, head, unit, tail, size_bytes, says)


def shop(says: str | None, head: bytes, unit: bytes = b"", tail: bytes = b"\n", size_bytes: int = 0) -> Content:
    return Content(ECOM, head, unit, tail, size_bytes, says)


CONTENTS: dict[str, Content] = {
    "a CSV header of many columns": crm("more than 16384 columns", HEADER[:-1], b",x", b"\nC1\n", 100_000),
    "a CSV that is one hole": crm("NUL bytes", b"", size_bytes=HOLE_BYTES),
    "a CSV with a hole after good rows": crm("NUL bytes", HEADER + ROW * 40_000, size_bytes=HOLE_BYTES),
    "a JSON that is one hole": shop("not a JSON object or array", b"", tail=b"", size_bytes=HOLE_BYTES),
    "a JSON with a hole for customers": shop("malformed", SHOP, tail=b"]}\n", size_bytes=HOLE_BYTES),
    "a CSV header without end": crm("longer than 16 MB", b"", b"customer_id,email,", size_bytes=LINE_BYTES),
    "a CSV cell without end": crm("longer than 16 MB", HEADER + b"C1,", b"abcdefgh", size_bytes=LINE_BYTES),
    "a CSV row of cells without end": crm("longer than 16 MB", HEADER + b"C1", b",", size_bytes=LINE_BYTES),
    "a CSV quote that is never closed": crm("never closed", HEADER + b'"C1', b"abcdefg\n", size_bytes=LINE_BYTES // 4),
    "a JSON text without end": shop("longer than 16 MB", SHOP + b'{"id":"', b"abcdefgh", b'"}]}\n', LINE_BYTES),
    "a JSON number without end": shop("longer than 16 MB", b"[", b"1", b"]\n", LINE_BYTES),
    "a JSON object of members without end": shop('no array "customers"', b"{", b'"a":1,', b'"b":1}\n', LINE_BYTES // 8),
    "a JSON of blanks": shop(None, SHOP, b" ", b"]}\n", LINE_BYTES),
    "a good JSON on one long line": shop(
        None,
        SHOP + b'{"id":"E1","name":"Ann Lee"}',
        # Not a thousand of them: after so many good rows the volume guard refuses the few of the next.
        b',{"id":"E1","name":"Ann Lee","note":"%s"}' % (b"x" * (2 << 20)),
        b"]}\n",
        LINE_BYTES,
    ),
    "JSON arrays 100,000 deep": shop("nested too deeply", b"[" * DEEP + b"]" * DEEP),
    "JSON arrays 100,000 deep for a customer": shop("nested too deeply", SHOP + b"[" * DEEP + b"]" * DEEP + b"]}\n"),
    "JSON objects 100,000 deep for a name": shop(
        "nested too deeply", SHOP + b'{"id":"E1","name":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]}\n"
    ),
    "a NUL byte in a CSV": crm("NUL bytes", HEADER + b"C1,Ann\0Lee,ann@lee.org\n"),
    "a NUL byte far down in a CSV": crm("NUL bytes", HEADER + ROW * 40_000 + b"C2,Bob\0Lee,bob@lee.org\n"),
    "a NUL byte in a JSON text": shop("malformed", SHOP + b'{"id":"E1","name":"Ann\0Lee"}]}\n'),
    "a NUL byte between JSON values": shop("malformed", SHOP + b'{"id":"E1","name":"Ann Lee"},\0{"id":"E2"}]}\n'),
    "a NUL character escaped in a JSON text": shop(None, SHOP + b'{"id":"E1","name":"Ann\\u0000Lee"}]}\n'),
    "a CSV row of quoted lines without end": crm(
        "longer than 16 MB", HEADER + b"C1", b',"a\n"', b"\n", max(LINE_BYTES // 4, 20 << 20)
    ),
}


@dataclass
class Run:
    """A ``watch --once`` under the limit."""

    house: House
    code: int = 0
    seconds: float = 0.0
    peak_bytes: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The events of this kind."""
        return [entry for entry in self.events if entry["event"] == event]


def limited(house: House) -> Run:
    """Run the daemon until nothing waits any more, with so much address space and no more."""
    started = time.monotonic()
    with open(house.root / "run.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "watch", "--once"],
            cwd=house.root,
            env=house.environment(settle_seconds="0.5"),
            stdout=log,
            stderr=log,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (SPACE_BYTES, SPACE_BYTES)),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    lines = (house.root / "run.log").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    return Run(house, process.returncode, time.monotonic() - started, usage.ru_maxrss << 10, events)


def suffixed(name: str, suffix: str) -> str:
    stem, _, kind = name.partition(".")
    return f"{stem}{suffix}.{kind}"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Every hostile content with a good partner, numbered; then a good pair."""
    house = House(tmp_path_factory.mktemp("hostile") / "house")
    for number, content in enumerate(CONTENTS.values(), start=1):
        house.drop(suffix=f"_{number}")
        content.write(house.inbox / suffixed(content.file, f"_{number}"))
    house.drop(suffix="_999")
    yield limited(house)
    shutil.rmtree(house.root)


def folder_of(run: Run, folder: str, number: int) -> Path | None:
    """Where the pair with this number is, if it is in that folder of the inbox."""
    found = list((run.house.inbox / folder).glob(f"*/{suffixed(CRM, f'_{number}')}"))
    assert len(found) < 2
    return found[0].parent if found else None


@pytest.mark.large
@pytest.mark.parametrize("name", CONTENTS)
def test_a_hostile_export_has_one_clear_reason_or_does_no_harm(contents: Run, name: str) -> None:
    number, content = list(CONTENTS).index(name) + 1, CONTENTS[name]
    folder = folder_of(contents, "archive" if content.says is None else "quarantine", number)
    assert folder is not None
    assert (folder / suffixed(content.file, f"_{number}")).stat().st_size >= content.size_bytes
    assert (folder / suffixed(ECOM if content.file == CRM else CRM, f"_{number}")).is_file()
    if content.says is not None:
        reason = json.loads((folder / "reason.json").read_text(encoding="utf-8"))
        assert reason["error"] == "UnreadableFile"
        assert content.says in reason["message"]
        assert suffixed(content.file, f"_{number}") in reason["where"]
        assert len(json.dumps(reason)) < 2000


@pytest.mark.large
def test_hostile_exports_take_no_memory_and_no_second_try(
    contents: Run, record_property: Callable[[str, object], None]
) -> None:
    record_property("hostile contents, peak MB", contents.peak_bytes >> 20)
    record_property("hostile contents, seconds", round(contents.seconds, 1))
    assert contents.logged("batch.postponed") == []
    assert contents.logged("bug.found") == []
    assert len(contents.logged("batch.claimed")) == len(CONTENTS) + 1
    assert contents.peak_bytes < SPACE_BYTES // 2


@pytest.mark.large
def test_the_good_pair_after_them_is_published(contents: Run) -> None:
    assert contents.code == 1  # something was quarantined
    assert folder_of(contents, "archive", 999) is not None
    assert contents.logged("batch.published")[-1]["records"] == 8


# ------------------------------------------------------------------------- no regular files, names of all sorts


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def device(path: Path) -> None:
    """The twin of /dev/zero: a read of it never ends."""
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def link_to_a_good_export(path: Path) -> None:
    target = path.parent.parent / f"target of {path.name}"
    shutil.copyfile(SAMPLE / (CRM if path.suffix == ".csv" else ECOM), target)
    path.symlink_to(target)


def link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.parent.parent / f"target of {path.name}")
    path.symlink_to(f"../target of {path.name}")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()
    shutil.copyfile(SAMPLE / CRM, path / CRM)


KINDS = [fifo, listening_socket, link_to_a_good_export, link_to_a_fifo, link_to_itself, folder]
if os.geteuid() == 0:  # only root makes device nodes
    KINDS.append(device)
WHY: dict[Callable[[Path], None], str] = {make: "a pipe, socket or device" for make in KINDS}
WHY[folder] = "a folder"
for follow in (link_to_a_good_export, link_to_a_fifo, link_to_itself):
    WHY[follow] = "a symbolic link"
# Under each of these names, and under the expected name of the partner of a good export.
STRANGE = [(suffixed(name, f"_{number}"), make) for number, make in enumerate(KINDS) for name in (CRM, ECOM)]
NO_TEXTS = [os.fsdecode(b"crm_customers_\xff.csv"), "crm_customers_a\nb.csv", "crm_customers_\x1b[2J.csv"]
OTHER_LETTERS = ["\uff43rm_customers.csv", "crm_customers\u200b.csv", "\u0441rm_customers.csv"]
LOOK_ALIKES = [
    ("crm_customers_a.csv", "CRM_CUSTOMERS_A.CSV"),
    ("crm_customers_Z\u00fcrich.csv", unicodedata.normalize("NFD", "crm_customers_Z\u00fcrich.csv")),
    ("crm_customers_b.csv", "crm_customer\u017f_b.csv"),  # a long s: the same letter if case is ignored
    ("crm_customers_7.csv", "crm_customers-7.csv"),
]
LONGEST = "_" + "x" * (255 - len(ECOM) - 1)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Everything that is no regular file or has an odd name, in one inbox, and two good pairs."""
    house = House(tmp_path_factory.mktemp("names") / "house")
    for number in range(len(KINDS)):
        house.drop(suffix=f"_{number}")
    for name, make in STRANGE:
        (house.inbox / name).unlink()
        make(house.inbox / name)
    for name in [*NO_TEXTS, *OTHER_LETTERS, *(name for pair in LOOK_ALIKES for name in pair)]:
        shutil.copyfile(SAMPLE / CRM, house.inbox / name)
    for one, _ in LOOK_ALIKES:
        shutil.copyfile(SAMPLE / ECOM, house.inbox / one.replace("crm", "ecommerce").replace("csv", "json"))
    house.drop(suffix=LONGEST)
    shutil.copyfile(SAMPLE / CRM, house.inbox / unicodedata.normalize("NFD", "CRM_CUSTOMERS_K\u00f6ln.CSV"))
    shutil.copyfile(SAMPLE / ECOM, house.inbox / "ecommerce_customers_k\u00f6ln.json")
    yield limited(house)
    shutil.rmtree(house.root)


def ignored(run: Run) -> dict[str, str]:
    """Shown file name -> reason, as in the health report."""
    return {entry["file_name"]: entry["why"] for entry in run.house.health()["ignored"]}


def shown(name: str) -> str:
    """A file name as logs and health show it."""
    return shown_name(name, (*SOURCES, API_SOURCE))


def files_in_events(run: Run, event: str) -> list[str]:
    return [entry["file_name"] for entry in run.logged(event)]


@pytest.mark.large
@pytest.mark.parametrize(("name", "make"), STRANGE, ids=[f"{make.__name__} {name}" for name, make in STRANGE])
def test_what_is_no_regular_file_is_left_alone_and_logged_once(
    names: Run, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    found = (names.house.inbox / name).lstat()
    assert not stat.S_ISREG(found.st_mode)
    assert files_in_events(names, "inbox.file_ignored").count(shown(name)) == 1
    assert ignored(names)[shown(name)].startswith(WHY[make])
    assert not [path for path in names.house.inbox.glob("*/*/*") if path.name == name]


@pytest.mark.large
def test_links_are_not_followed(names: Run) -> None:
    for name, make in STRANGE:
        target = names.house.root / f"target of {name}"
        if make is link_to_a_good_export:
            assert target.read_bytes() == (SAMPLE / (CRM if target.suffix == ".csv" else ECOM)).read_bytes()
            assert target.stat().st_nlink == 1


@pytest.mark.parametrize("name", [*NO_TEXTS, *OTHER_LETTERS])
def test_a_name_that_is_no_text_or_in_other_letters_is_logged_once_and_left_alone(names: Run, name: str) -> None:
    assert files_in_events(names, "inbox.file_ignored").count(shown(name)) == 1
    assert ignored(names)[shown(name)] == "no source has exports of this name"
    assert (names.house.inbox / name).read_bytes() == (SAMPLE / CRM).read_bytes()


@pytest.mark.parametrize("pair", LOOK_ALIKES)
def test_of_two_look_alikes_neither_is_taken_and_both_are_named(names: Run, pair: tuple[str, str]) -> None:
    waiting = {entry["file_name"] for entry in names.house.health()["waiting"]}
    for name in pair:
        assert files_in_events(names, "export.contested").count(shown(name)) == 1
        assert shown(name) in waiting
        assert (names.house.inbox / name).is_file()
    assert (names.house.inbox / pair[0].replace("crm", "ecommerce").replace("csv", "json")).is_file()


def test_good_pairs_among_them_are_published_whatever_the_case_the_normal_form_or_the_length(names: Run) -> None:
    assert names.code == 0
    assert [entry["records"] for entry in names.logged("batch.published")] == [8, 8]
    assert len(names.logged("batch.claimed")) == 2


# ------------------------------------------------------------------------------------------------------ hard links
#
# A hard link is taken. It is a regular file; backup and deduplication tools make such files, and programs that
# create without overwriting do so for a moment. Its danger is the other name, through which what was accepted
# could still be changed. Against a writer the lease helps, which is of the file and not of the name; against
# later changes the claim, which works on a copy of its own.


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", LONGEST])
def test_a_hard_link_is_taken_and_its_other_name_changes_nothing_that_was_accepted(house: House, suffix: str) -> None:
    house.drop(suffix=suffix)
    others = [house.root / "crm", house.root / "shop"]
    for other, name in zip(others, (CRM, ECOM), strict=True):
        other.hardlink_to(house.inbox / suffixed(name, suffix))
    assert limited(house).code == 0
    for other in others:
        other.write_text("something else\n", encoding="utf-8")
    (archived,) = (house.inbox / "archive").iterdir()
    for entry in house.manifest()["inputs"]:
        path = archived / entry["file_name"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
        assert path.stat().st_nlink == 1
    assert list(archived.glob(".*")) == []


@pytest.mark.large
@pytest.mark.slow
def test_a_hard_link_is_not_taken_while_its_other_name_is_being_written(house: House) -> None:
    house.drop()
    other = house.root / "crm"
    other.hardlink_to(house.inbox / CRM)
    with open(other, "ab"):
        run = limited(house)
        assert (run.code, run.logged("batch.claimed")) == (3, [])
    assert limited(house).code == 0
