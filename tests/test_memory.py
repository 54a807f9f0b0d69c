"""The memory of a batch: half of what there is unless it is set, and kept by the whole process, whatever the size."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.generate import write_messy_pair
from benchmarks.processes import run_measured
from service import available_memory
from service.available_memory import limit_for_a_batch_mb, machine_mb
from service.engine import embedded, memory
from service.engine.embedded import EmbeddedEngine, open_embedded
from service.errors import SettingsError, TransientError
from service.settings import load

ROWS_OF_A_LARGE_PAIR = 500_000
"""Without a limit a million take 1.3 GB."""


# ------------------------------------------------------------------------------------------------------- the default


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "2147483648\n"}, 1024),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1073741824\n"}, 512),
        ("0::/a/b\n", {"a/b/memory.max": "4294967296\n", "a/memory.max": "2147483648\n"}, 1024),
        ("4:memory:/docker/12\n", {"memory/memory.limit_in_bytes": "2147483648\n"}, 1024),
        ("0::/\n", {"memory.max": "268435456\n"}, 256),
    ],
    ids=["version 2", "a parent", "the smaller of two", "version 1", "never less than a process needs"],
)
def test_half_of_the_memory_of_the_cgroup_is_for_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, files: Mapping[str, str], expected: int
) -> None:
    monkeypatch.setattr(available_memory, "machine_mb", lambda: 65_536)
    write_group(tmp_path, groups, files)
    assert limit_for_a_batch_mb(tmp_path) == expected


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("", {}),
        ("0::/\n", {"memory.max": "max\n"}),
        ("4:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("0::/\n", {"memory.max": f"{1 << 50}\n"}),
    ],
    ids=["no cgroup", "no limit", "no limit in version 1", "more than the machine has"],
)
def test_elsewhere_half_of_the_memory_of_the_machine_is_for_a_batch(
    tmp_path: Path, groups: str, files: Mapping[str, str]
) -> None:
    write_group(tmp_path, groups, files)
    assert limit_for_a_batch_mb(tmp_path) == machine_mb() // 2


def write_group(root: Path, groups: str, files: Mapping[str, str]) -> None:
    """The kernel's files about cgroups, below ``root``."""
    for name, text in ({f"sys/fs/cgroup/{name}": text for name, text in files.items()} | {
        "proc/self/cgroup": groups
    }).items():  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")


@pytest.mark.usefixtures("bare")
def test_a_limit_that_is_set_holds_whatever_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load()[0].memory_mb == limit_for_a_batch_mb()
    monkeypatch.setenv("SERVICE_MEMORY_LIMIT_MB", "700")
    assert load()[0].memory_mb == 700


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("limit", ["1", "255", "-1"])
def test_a_limit_that_no_batch_gets_along_with_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("SERVICE_MEMORY_LIMIT_MB", limit)
    with pytest.raises(SettingsError) as caught:
        load()
    assert "SERVICE_MEMORY_LIMIT_MB" in caught.value.message
    if limit != "-1":
        expected = "SERVICE_MEMORY_LIMIT_MB is too small for any batch: set at least 256, or 0 for half of the memory"
        assert caught.value.message == expected


# ----------------------------------------------------------------------------------------------- the limit of a batch


@pytest.mark.slow
@pytest.mark.large
def test_a_large_batch_stays_within_its_limit(tmp_path: Path) -> None:
    pair = write_messy_pair(tmp_path, ROWS_OF_A_LARGE_PAIR)
    outbox = tmp_path / "out"
    command = [sys.executable, "-m", "service", "integrate", *map(str, pair), "--outbox", str(outbox)]
    ran = run_measured(command, {"SERVICE_MEMORY_LIMIT_MB": "512"})
    assert ran.peak_mb <= 1.1 * 512
    assert (outbox / "manifest.json").exists()
    assert not list(outbox.rglob("work/*")), "what was spilled is removed"


def test_the_engine_gets_what_the_process_leaves_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "resident_mb", lambda: 80)
    assert [memory.engine_mb(limit) for limit in (256, 512, 1024, 12_000)] == [128, 295, 689, 9_141]


def test_a_thread_needs_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert [memory.threads_for(mb) for mb in (100, 295, 689, 9_141)] == [1, 2, 5, 16]


def test_what_arrays_need_is_taken_from_the_engine_and_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "resident_mb", lambda: 100)
    with open_embedded(tmp_path, memory_limit_mb=1100) as engine:
        before = _limit_mb(engine)
        with engine.lending(200 << 20):
            assert _limit_mb(engine) == pytest.approx(before - 200, abs=1)
            with engine.lending(1 << 60):
                assert _limit_mb(engine) == pytest.approx(memory.LEAST_MB, abs=1)
            assert _limit_mb(engine) == pytest.approx(before - 200, abs=1)
        with engine.lending(1000):
            assert _limit_mb(engine) == before, "so little is not worth a statement"
        with pytest.raises(ZeroDivisionError), engine.lending(200 << 20):
            raise ZeroDivisionError
        assert _limit_mb(engine) == before


def _limit_mb(engine: EmbeddedEngine) -> float:
    text = engine.run("select current_setting('memory_limit')")[0][0]
    number, unit = text.split()
    return float(number) * {"MiB": 1, "GiB": 1024}[unit]


MANY_ROWS = "select range as n, md5(range::varchar) as text from range(4000000)"


@pytest.mark.large
def test_a_disk_that_is_too_small_for_what_is_spilled_fails_the_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_spilled_bytes", lambda folder: 10 << 20)
    with open_embedded(tmp_path, memory_limit_mb=256) as engine:
        with pytest.raises(TransientError) as caught:
            engine.materialise(MANY_ROWS)
        assert engine.run("select 1") == [(1,)], "the engine works on"
    assert caught.value.message.endswith("does not fit on the disk of the work folder, either")
    assert caught.value.hint == "free space on the disk of SERVICE_STATE, or raise SERVICE_MEMORY_LIMIT_MB"


def test_what_is_spilled_leaves_room_on_the_disk(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with open_embedded(tmp_path, memory_limit_mb=256) as engine:
        number, unit = engine.run("select current_setting('max_temp_directory_size')")[0][0].split()
    assert 0.8 * free < float(number) * {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit] < 0.95 * free
