"""The sample below ``/demo``: both jobs on made-up customers, in folders of its own, so that no real id is spent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

from service.commands import command
from service.dashboard.site import Site
from service.errors import TransientError, UsageError
from service.files import make_folder, move, remove_tree
from service.folders import StateFolders

MOUNTED_AT = "/demo"
_MOST_SECONDS = 180
_LIMITS = {"SERVICE_THREADS": "1", "SERVICE_MEMORY_LIMIT_MB": "256"}
_one_at_a_time = threading.Lock()


def sample_of(site: Site) -> Site:
    """The site of the sample of a service, whether it was made or not."""
    folder = StateFolders(site.settings.state).sample
    folders = {"inbox": folder / "inbox", "outbox": folder / "outbox", "state": folder / "state"}
    return Site(site.settings.model_copy(update=folders), site.now, is_sample=True)


def made_at(site: Site) -> datetime | None:
    """When the sample of a service was made; None where there is none."""
    try:
        seconds = StateFolders(site.settings.state).sample.stat().st_mtime
    except OSError:
        return None
    return datetime.fromtimestamp(seconds, UTC).astimezone(site.now().tzinfo)


def make_sample(site: Site) -> None:
    """Make the sample, in place of the former one as a whole; takes seconds.

    In a process of its own: it needs engine, watcher and HTTP client, which the dashboard must not keep in memory.

    Raises: UsageError where it is being made already; TransientError, OSError; then the former one is still there.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise UsageError("the sample is being made already", hint="wait a few seconds, then reload the overview")
    try:
        _make(StateFolders(site.settings.state).sample.absolute())
    finally:
        _one_at_a_time.release()


def _make(folder: Path) -> None:
    make_folder(folder.parent)
    new = folder.with_name(f"{folder.name}.new")
    remove_tree(new)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "service", "demo", "--keep", str(new)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MOST_SECONDS,
            check=False,
        )
        is_made = done.returncode == 0
    except subprocess.TimeoutExpired:
        is_made = False
    if not is_made:
        remove_tree(new)
        raise TransientError("the sample could not be made", hint=f"see why with: {command('demo')}")
    remove_tree(folder)
    move(new, folder)


def _environment() -> dict[str, str]:
    """That of this process, and where it has this program from."""
    found = os.environ | _LIMITS
    paths = (str(Path(__file__).resolve().parents[2]), found.get("PYTHONPATH", ""))
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def remove_sample(site: Site) -> None:
    """Remove the sample; it may be absent. Raises: OSError."""
    remove_tree(StateFolders(site.settings.state).sample)
