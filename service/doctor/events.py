"""The check of file events and leases, by the watcher's own code: how files will prove that their writers are done."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from pathlib import Path

from service.container import is_image, is_user_namespace
from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, passed, warned
from service.doctor.probes import probe_file
from service.files import fingerprint_of
from service.inbox.settling import CLOSE_EVENT_STILL_SECONDS, Settling, is_being_written
from service.watch.file_events import FileEvents

_EVENT_SECONDS = 3.0
_LIMITS = {"instances": 512, "watches": 65_536}
"""The limits of the kernel on file events, and values that are enough."""
_CLOSE_WRITE = 8  # linux/inotify.h


def check_events(it: Examined) -> Finding:
    """A real file is seen by its event, and proves by a lease that it is complete."""
    inbox = it.settings.inbox
    if not inbox.is_dir():
        return passed(f"{inbox} is not there yet")
    events = FileEvents(inbox)
    try:
        is_watching = events.ensure_watching() is None
        with probe_file(inbox) as path:
            has_event = is_watching and _has_event(events, path)
            proof = _proof(path, it.settings.settle_seconds, has_event=has_event)
            is_refused = _is_refused_to_writers(path)
    finally:
        events.stop()
    others = "close_event" if has_event else "stillness"
    proofs = f"files prove by {proof} that they are complete"
    if proof != others and os.geteuid() != 0:
        proofs += f", those of other users by {others}"
    if not has_event:
        limit = _limit_reached(inbox)
        why = f" (the limit of inotify {limit} is reached)" if limit else ""
        found = f"no file events arrive{why}: the inbox is only scanned; {proofs}"
        return warned(found, _more_events(limit, it.settings.rescan_seconds))
    if proof == "lease" and not is_refused:
        return warned(
            f"file events arrive, but a lease is granted while a file is being written in {inbox}",
            Advice("let writers write under another name, and rename the file when it is complete"),
        )
    return passed(f"file events arrive; {proofs}")


def _has_event(events: FileEvents, path: Path) -> bool:
    """Whether the end of writing a file is noticed."""
    with open(path, "ab") as file:
        file.write(b"\n")
    deadline = time.monotonic() + _EVENT_SECONDS
    while path not in events.closed():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        events.wait(min(left, 0.1))
    return True


def _proof(path: Path, settle_seconds: float, *, has_event: bool) -> str:
    """The proof that a file gets if it does not change; the clock is made up, the lease is real."""
    settling, state = Settling(settle_seconds), fingerprint_of(path)
    settling.see(path, state, 0.0)
    if has_event:
        settling.closed(path, 0.0)
    return settling.proof(path, state, CLOSE_EVENT_STILL_SECONDS) or "stillness"


def _is_refused_to_writers(path: Path) -> bool:
    with open(path, "ab"):
        return is_being_written(path, path.stat().st_dev)


def _limit_reached(folder: Path) -> str | None:
    """Which limit of the kernel keeps file events away, if one does."""
    kernel = ctypes.CDLL(None, use_errno=True)
    instance = kernel.inotify_init1(os.O_CLOEXEC)
    if instance < 0:
        return "instances" if ctypes.get_errno() == errno.EMFILE else None
    try:
        watch = kernel.inotify_add_watch(instance, os.fsencode(folder), _CLOSE_WRITE)
        return "watches" if watch < 0 and ctypes.get_errno() == errno.ENOSPC else None
    finally:
        os.close(instance)


def _more_events(limit: str | None, rescan_seconds: float) -> Advice:
    if limit is None:
        hint = f"nothing is lost: files are found every {rescan_seconds:g} s; for events, put the inbox on a local disk"
        return Advice(hint)
    # In a user namespace both limits count, and only its own can be raised from within.
    name = f"{'user.max_inotify' if is_user_namespace() else 'fs.inotify.max_user'}_{limit}"
    hint = f"raise the limit {name}{' on the host' if is_image() else ''}, and keep it in /etc/sysctl.d"
    return advice.shell(hint, "sysctl", "-w", f"{name}={_LIMITS[limit]}", as_root=True)
