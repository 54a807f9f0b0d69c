"""Checks of the machine: versions, memory, open files, clock."""

from __future__ import annotations

import platform
import resource
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from service import __version__, available_memory
from service.container import is_image
from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, failed, passed, warned
from service.engine import open_engine
from service.history import History

_ENGINE_MB = 128
_BESIDE_MB = 128
"""What the dashboard needs beside a batch."""
_ENOUGH_MB = 1024
"""Half of it is the least that the limit of a batch is kept from."""
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
    """What a batch may take fits into what the machine, or the cgroup of the container, gives."""
    stated, limit_mb = it.settings.memory_limit_mb, it.settings.memory_mb
    memory_mb = available_memory.available_mb()
    of = "the machine has" if memory_mb == available_memory.machine_mb() else "its cgroup allows"
    found = f"SERVICE_MEMORY_LIMIT_MB={stated}" if stated else f"a batch takes up to {limit_mb:,} MB"
    found = f"{found}, {of} {memory_mb:,} MB"
    if memory_mb < available_memory.LEAST_MB + _BESIDE_MB:
        where = "MEMORY_LIMIT in .env" if is_image() else "the limit of its cgroup"
        return failed(f"{found}: too little for any batch", Advice(f"raise {where} to {_ENOUGH_MB} MB or more"))
    fitting = advice.set_setting("memory_limit_mb", available_memory.limit_for_a_batch_mb())
    if limit_mb + _BESIDE_MB > memory_mb:
        return failed(f"{found}: the kernel may kill the service in a large batch", fitting)
    if limit_mb > memory_mb * 2 // 3:
        return warned(f"{found}: little is left for other programs", fitting)
    return passed(found)


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
    now = it.now
    offset = now.strftime("%z")
    shown = f"{now:%Y-%m-%d %H:%M:%S} {now.tzname() or ''} (UTC{offset[:3]}:{offset[3:5]})"
    follow = advice.shell(
        f"set the clock{' of the host' if is_image() else ''}, and let it follow a time server",
        *("timedatectl", "set-ntp", "true"),
        as_root=True,
    )
    if now < _WRITTEN or now.year >= _LAST_YEAR:
        return failed(f"the clock is wrong: it says {shown}", follow)
    last = _last_outcome(it)
    if last is not None and now < last - _CLOCK_TOLERANCE:
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
