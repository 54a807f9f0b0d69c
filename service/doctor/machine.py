"""Checks of the machine: versions, memory, open files, clock."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from service import __version__
from service.container import is_image
from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, failed, passed, warned
from service.engine import open_engine
from service.history import History

_ENGINE_MB = 128
_MB = 20
_BESIDE_ENGINE_MB = 256
"""What the process needs beside the engine's memory."""
_NO_LIMIT = 1 << 60
"""A cgroup of version 1 without a limit has a larger number than this."""
_ENOUGH_FILES, _FEWEST_FILES = 1024, 256
_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""The program was written later than this."""
_LAST_YEAR = 2100
_CLOCK_TOLERANCE = timedelta(seconds=60)


def check_versions() -> Finding:
    """The versions, and whether the engine starts and answers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(Path(folder), memory_limit_mb=_ENGINE_MB, threads=1) as engine,
    ):
        engine.text_table(("it",), [("works",)]).count()
    return passed(f"program {__version__}, Python {platform.python_version()}, duckdb {metadata.version('duckdb')}")


def check_memory(it: Examined) -> Finding:
    """The engine's memory fits into what the machine, or the cgroup of the container, gives."""
    engine_mb = it.settings.memory_limit_mb
    machine_mb = (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) >> _MB
    group = memory_limit_bytes()
    limit_mb = machine_mb if group is None else min(machine_mb, group >> _MB)
    of = "the machine has" if limit_mb == machine_mb else "its cgroup allows"
    found = f"SERVICE_MEMORY_LIMIT_MB={engine_mb}, {of} {limit_mb:,} MB"
    if limit_mb < _ENGINE_MB + _BESIDE_ENGINE_MB:
        least = 2 * (_ENGINE_MB + _BESIDE_ENGINE_MB)
        where = "MEMORY_LIMIT in .env" if is_image() else "the limit of its cgroup"
        return failed(f"{found}: too little for any batch", Advice(f"raise {where} to {least} MB or more"))
    fitting = advice.set_setting("memory_limit_mb", max(_ENGINE_MB, limit_mb // 2))
    if engine_mb + _BESIDE_ENGINE_MB > limit_mb:
        return failed(f"{found}: the kernel may kill the service in a large batch", fitting)
    if engine_mb > limit_mb * 2 // 3:
        return warned(f"{found}: little is left for other programs", fitting)
    return passed(found)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The memory limit of the cgroup of this process, or of the ones above it; None where there is none."""
    limits: list[int] = []
    for path in _limit_files(root):
        with suppress(OSError, ValueError):  # absent, or "max"
            limits.append(int(path.read_text(encoding="ascii")))
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """The files that may hold a limit. In a container the group may be named as on the host: then its root counts."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, name = line.split(":", 2)
        own = Path(name.lstrip("/"))
        for folder in (own, *own.parents):
            if not controllers:
                yield groups / folder / "memory.max"
            elif "memory" in controllers.split(","):
                yield groups / "memory" / folder / "memory.limit_in_bytes"


def check_open_files(it: Examined) -> Finding:
    """The process may open enough files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = "any number of" if soft == resource.RLIM_INFINITY else f"{soft:,}"
    if soft == resource.RLIM_INFINITY or soft >= _ENOUGH_FILES:
        return passed(f"{count} open files are allowed")
    if is_image() or (hard != resource.RLIM_INFINITY and hard < _ENOUGH_FILES):
        more = Advice(f"raise the limit of open files to {_ENOUGH_FILES}: LimitNOFILE of the unit, ulimits in compose")
    else:
        more = Advice("raise the limit of this shell, in which the service is started", f"ulimit -n {_ENOUGH_FILES}")
    finding = failed if soft < _FEWEST_FILES else warned
    return finding(f"only {count} open files are allowed, {_ENOUGH_FILES} are enough", more)


def check_clock(it: Examined) -> Finding:
    """The clock is possible, and not before the last outcome."""
    offset = it.now.strftime("%z")
    shown = f"{it.now:%Y-%m-%d %H:%M:%S} {it.now.tzname() or ''} (UTC{offset[:3]}:{offset[3:5]})"
    follow = advice.shell(
        f"set the clock{' of the host' if is_image() else ''}, and let it follow a time server",
        *("timedatectl", "set-ntp", "true"),
        as_root=True,
    )
    if it.now < _WRITTEN or it.now.year >= _LAST_YEAR:
        return failed(f"the clock is wrong: it says {shown}", follow)
    last = _last_outcome(it)
    if last is not None and it.now < last - _CLOCK_TOLERANCE:
        return warned(
            f"the clock says {shown}, and the last batch ended at {last:%Y-%m-%d %H:%M:%S %Z}:"
            " it is wrong now, or was wrong then",
            follow,
        )
    return passed(f"{shown}{'' if last is None else ', after the last batch'}")


def _last_outcome(it: Examined) -> datetime | None:
    """When the last batch ended; None where there is none, or that is not known."""
    for entry in History(it.folders).batches(limit=1).entries:
        with suppress(ValueError):
            found = datetime.fromisoformat(entry.outcome.ended_at or entry.outcome.claimed_at or "")
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None
