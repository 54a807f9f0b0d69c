"""Documents are read with care: their form, what lies at their path, former versions, and no value in a message."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service import documents
from service.documents import Claim, ClaimedFile, HealthReport, IgnoredEntry, MalformedDocument, Manifest, Reason
from service.fingerprint import Fingerprint
from tests.small_documents import batch, manifest, reason

FORMER = Path(__file__).with_name("former") / "documents"
KINDS: dict[str, type[Any]] = {"manifest": Manifest, "reason": Reason, "claim": Claim, "health": HealthReport}
FINGERPRINT = Fingerprint(device=1, inode=2, size_bytes=3, mtime_ns=4, ctime_ns=5)
CLAIM = Claim(
    batch_id=batch(1),
    claimed_at="2024-01-15T12:01:00+00:00",
    suffix="1",
    files={
        "crm_customers.csv": ClaimedFile(source="CRM", sha256="a" * 64, fingerprint=FINGERPRINT, settle_proof="lease")
    },
)
DOCUMENTS: dict[str, Any] = {
    "manifest": manifest(batch(1), None),
    "reason": reason(batch(1), "b" * 64, log_sha256="c" * 64),
    "claim": CLAIM,
    "health": HealthReport(ignored=(IgnoredEntry(file_name="n\udcfc.txt", why="not an export"),)),
}


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0."), min_size=1, max_size=60)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "document.json"


def members_of(kind: str) -> dict[str, Any]:
    """The members of an example, as JSON has them."""
    members: dict[str, Any] = json.loads(documents.to_text(DOCUMENTS[kind]))
    return members


def read_members(path: Path, kind: str, members: Any) -> Any:
    path.write_text(json.dumps(members), encoding="utf-8")
    return documents.read(path, KINDS[kind])


def replaced(members: Any, keys: tuple[str | int, ...], value: Any) -> Any:
    """A copy of ``members`` with another value at ``keys``."""
    if not keys:
        return value
    changed: Any = copy.copy(members)
    changed[keys[0]] = replaced(changed[keys[0]], keys[1:], value)
    return changed


# ------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_again(path: Path, kind: str) -> None:
    documents.write(path, DOCUMENTS[kind])
    found, sha256 = documents.read_hashed(path, KINDS[kind])
    assert (found, sha256) == (DOCUMENTS[kind], hashlib.sha256(path.read_bytes()).hexdigest())
    assert members_of(kind)["format"] == 1


@pytest.mark.parametrize("kind", ["manifest", "reason"])
def test_no_former_outcome_and_no_link_are_different(path: Path, kind: str) -> None:
    """The first document of a chain states null; one outside the chain does not have the member."""
    for former in (None, UNSET):
        document = msgspec.structs.replace(DOCUMENTS[kind], former_outcome_sha256=former)
        documents.write(path, document)
        assert documents.read(path, KINDS[kind]).former_outcome_sha256 is former


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(message=TEXT, names=st.sets(NAME, max_size=4))
def test_any_text_survives_the_round_trip(path: Path, message: str, names: set[str]) -> None:
    document = reason(batch(1), None, message=message, inputs={name: "a" * 64 for name in names})
    documents.write(path, document, durable=False)
    assert documents.read(path, Reason) == document


def test_a_document_is_replaced_as_a_whole(path: Path) -> None:
    documents.write(path, DOCUMENTS["manifest"])
    inode = path.stat().st_ino
    documents.write(path, DOCUMENTS["manifest"])
    assert path.stat().st_ino != inode
    assert [found.name for found in path.parent.iterdir()] == [path.name]


# ------------------------------------------------------------------------------------------------ former versions


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_without_format_is_read(kind: str) -> None:
    former = FORMER / f"{kind}.json"
    members = json.loads(former.read_bytes())
    assert "format" not in members
    found = documents.read(former, KINDS[kind])
    added: dict[str, object] = {}
    if kind == "health":
        added = {"progress": None, "notes": [], "codes": [], "has_heartbeat": False}
    assert json.loads(documents.to_text(found)) == members | {"format": 1} | added


@pytest.mark.parametrize("kind", ["manifest", "reason"])
def test_a_document_without_a_job_is_of_the_integration(path: Path, kind: str) -> None:
    members = json.loads((FORMER / f"{kind}.json").read_bytes())
    del members["job"]
    assert read_members(path, kind, members).job == "integration"


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_member_of_a_later_version_is_ignored(path: Path, kind: str) -> None:
    members = members_of(kind) | {"added_later": {"any": ["thing"]}}
    assert read_members(path, kind, members) == DOCUMENTS[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format_", [0, 2, "1", None, 1.5])
def test_another_format_is_malformed(path: Path, kind: str, format_: object) -> None:
    with pytest.raises(MalformedDocument, match="format"):
        read_members(path, kind, members_of(kind) | {"format": format_})


# ------------------------------------------------------------------------------------------------------- the form


FILE = ("files", "crm_customers.csv")
WRONG: list[tuple[str, tuple[str | int, ...], Any]] = [
    ("manifest", ("batch_id",), "b1"),
    ("manifest", ("batch_id",), "20240115T120000Z-aaaaaa\n"),
    ("manifest", ("batch_id",), "20240115T120000Z-AAAAAA"),
    ("manifest", ("batch_id",), "20240115T120000Z-aaaaaa-0"),
    ("manifest", ("batch_id",), "２0240115T120000Z-aaaaaa"),
    ("manifest", ("batch_id",), "../20240115T120000Z-aaaaaa"),
    ("manifest", ("job",), "forecast"),
    ("manifest", ("inputs",), {}),
    ("manifest", ("inputs", 0, "file_name"), "../x"),
    ("manifest", ("inputs", 0, "file_name"), ".."),
    ("manifest", ("inputs", 0, "file_name"), "."),
    ("manifest", ("inputs", 0, "file_name"), ""),
    ("manifest", ("inputs", 0, "file_name"), "a\0b"),
    ("manifest", ("inputs", 0, "file_name"), "x" * 256),
    ("manifest", ("inputs", 0, "sha256"), "a" * 63),
    ("manifest", ("inputs", 0, "sha256"), "a" * 64 + "\n"),
    ("manifest", ("rows",), None),
    ("manifest", ("rows", "records"), -1),
    ("manifest", ("rows", "records"), 1 << 63),
    ("manifest", ("rows", "records"), 10**400),
    ("manifest", ("rows", "records"), 1.5),
    ("manifest", ("rows", "records"), "8"),
    ("manifest", ("files",), {"a/b": {"size_bytes": 1, "sha256": "a" * 64}}),
    ("reason", ("inputs",), {"/etc/passwd": "a" * 64}),
    ("reason", ("inputs",), {"crm.csv": "../../x"}),
    ("reason", ("error",), None),
    ("reason", ("message",), "\ud800"),
    ("reason", ("log_sha256",), None),
    ("claim", ("files",), {"..": members_of("claim")["files"]["crm_customers.csv"]}),
    ("claim", (*FILE, "fingerprint"), [1, 2, 3, 4, 5]),
    ("claim", (*FILE, "fingerprint", "inode"), "2"),
    ("claim", ("starts",), True),
    ("claim", ("warnings",), "none"),
    ("health", ("state",), "excellent"),
    ("health", ("pid",), "1"),
    ("health", ("waiting",), [{"file_name": "x"}]),
]


@pytest.mark.parametrize(("kind", "keys", "value"), WRONG, ids=lambda part: str(part)[:40])
def test_a_member_of_another_form_is_malformed(path: Path, kind: str, keys: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises(MalformedDocument):
        read_members(path, kind, replaced(members_of(kind), keys, value))


@pytest.mark.parametrize("kind", ["manifest", "reason", "claim"])
def test_a_missing_member_is_malformed(path: Path, kind: str) -> None:
    optional = {"format", "job", "former_outcome_sha256", "log_sha256", "accepted", "warnings", "starts", "faults"}
    for name in members_of(kind).keys() - optional:
        members = members_of(kind)
        del members[name]
        with pytest.raises(MalformedDocument, match=name):
            read_members(path, kind, members)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, b"{}{}", b"NaN"],
    ids=lambda content: repr(content[:8]),
)
def test_a_file_that_is_not_a_json_object_is_malformed(path: Path, kind: str, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(MalformedDocument):
        documents.read(path, KINDS[kind])


SECRET = "Jane Doe"


def secrets(members: Any) -> list[Any]:
    """Every variant of a document with a customer's name instead of one value or one key."""
    found: list[Any] = [SECRET, [SECRET], {SECRET: SECRET}]
    if isinstance(members, dict):
        for name, member in members.items():
            found += [members | {name: variant} for variant in secrets(member)]
            found.append({key: value for key, value in members.items() if key != name} | {SECRET: member})
    elif isinstance(members, list):
        found += [[variant, *members[1:]] for member in members[:1] for variant in secrets(member)]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_message_contains_a_value(path: Path, kind: str) -> None:
    refused = 0
    for members in secrets(members_of(kind)):
        try:
            read_members(path, kind, members)
        except MalformedDocument as error:
            refused += 1
            assert "Jane" not in str(error)
            assert error.__cause__ is None
            assert str(error).startswith("document.json: ")
    assert refused >= 10


@pytest.mark.parametrize("text", ['{"Jane Doe', '{"batch_id": "Jane Doe"', "Jane Doe", '{"batch_id": Jane}'])
def test_no_message_about_broken_json_contains_a_value(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    for kind in KINDS.values():
        with pytest.raises(MalformedDocument) as raised:
            documents.read(path, kind)
        assert "Jane" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("20240115T120000Z-aaaaaa", True),
        ("20240115T120000Z-aaaaaa-2", True),
        ("20240115T120000Z-aaaaaa-10", True),
        ("20240115T120000Z-aaaaaa-02", False),
        ("20240115T120000Z-aaaaaa\n", False),
        ("20240115T120000Z-aaaaaa/..", False),
        ("20240115T120000Z-aaaaa", False),
        ("", False),
    ],
)
def test_the_form_of_a_batch_id(text: str, is_one: bool) -> None:
    assert documents.is_batch_id(text) == is_one


# ---------------------------------------------------------------------------------------- what lies at the path


def make_link(path: Path) -> None:
    target = path.with_name("target.json")
    documents.write(target, DOCUMENTS["manifest"])
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


OTHERS: dict[str, tuple[Callable[[Path], object], int]] = {
    "link": (make_link, errno.ELOOP),
    "broken link": (lambda path: path.symlink_to("nowhere"), errno.ELOOP),
    "FIFO": (os.mkfifo, errno.EINVAL),
    "folder": (os.mkdir, errno.EINVAL),
    "socket": (make_socket, errno.ENXIO),
    "nothing": (lambda path: None, errno.ENOENT),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", OTHERS)
def test_only_a_regular_file_is_read_and_nothing_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, other: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make, number = OTHERS[other]
    path = Path("document.json")
    make(path)
    with pytest.raises(OSError, match=r"document\.json") as raised:
        documents.read(path, KINDS[kind])
    assert raised.value.errno == number


def test_a_device_is_not_read() -> None:
    with pytest.raises(OSError, match="not a regular file"):
        documents.read(Path("/dev/zero"), Manifest)


def test_a_document_may_have_the_most_bytes_and_not_one_more(path: Path) -> None:
    text = documents.to_text(DOCUMENTS["manifest"])
    path.write_text(text + " " * (documents.MOST_BYTES - len(text)), encoding="utf-8")
    assert documents.read(path, Manifest) == DOCUMENTS["manifest"]
    with path.open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(OSError, match="larger than") as raised:
        documents.read(path, Manifest)
    assert raised.value.errno == errno.EFBIG


def test_a_file_of_any_size_is_refused_without_reading_all_of_it(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: nothing is stored
    with pytest.raises(OSError, match="larger than"):
        documents.read(path, Manifest)
