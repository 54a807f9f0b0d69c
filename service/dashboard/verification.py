"""Verification of single batches from the page: in a thread, one at a time, the last results are kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from msgspec import Struct, structs

from service import logs
from service.errors import ServiceError, UsageError, safe_text
from service.folders import Folders
from service.phrases import counted

_MOST_KEPT = 50
_MOST_FINDINGS = 200


class Verification(Struct, frozen=True, kw_only=True):
    """The verification of one batch: every byte of its files is read."""

    batch_id: str
    state: Literal["running", "passed", "found", "failed"] = "running"
    """``found``: there are findings. ``failed``: it could not be carried out."""
    sentence: str = "every file of the batch is being read"
    findings: tuple[str, ...] = ()
    """At most 200."""
    notes: tuple[str, ...] = ()
    began_at: str
    ended_at: str | None = None


class Verifier:
    """Runs the verifications of one service; ``now`` is the clock."""

    def __init__(self, folders: Folders, now: Callable[[], datetime]) -> None:
        self._folders, self._now = folders, now
        self._lock = threading.Lock()
        self._results: OrderedDict[str, Verification] = OrderedDict()
        self._thread: threading.Thread | None = None

    def last(self, batch_id: str) -> Verification | None:
        """The last verification of a batch since this process started."""
        with self._lock:
            return self._results.get(batch_id)

    def verify(self, batch_id: str, wait_seconds: float) -> Verification:
        """Begin, and wait for the end, but no longer than this. Raises: UsageError while another batch is verified."""
        with self._lock:
            running = next((it.batch_id for it in self._results.values() if it.state == "running"), None)
            if running not in (None, batch_id):
                raise UsageError(f"batch {running} is being verified", hint="wait until that has ended, then try again")
            if running is None:
                self._keep(Verification(batch_id=batch_id, began_at=self._now().isoformat()))
                self._thread = threading.Thread(target=self._run, args=(batch_id,), daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(wait_seconds)
        with self._lock:
            return self._results[batch_id]

    def _run(self, batch_id: str) -> None:
        found = _verified(self._folders, Verification(batch_id=batch_id, began_at=self._now().isoformat()))
        with self._lock:
            began_at = self._results[batch_id].began_at
            self._keep(structs.replace(found, began_at=began_at, ended_at=self._now().isoformat()))

    def _keep(self, verification: Verification) -> None:
        self._results[verification.batch_id] = verification
        self._results.move_to_end(verification.batch_id)
        while len(self._results) > _MOST_KEPT:
            self._results.popitem(last=False)


def _verified(folders: Folders, begun: Verification) -> Verification:
    # Loaded by the first verification: the jobs bring the whole pipeline with them.
    from service.jobs import JOBS
    from service.verify import verify

    try:
        report = verify(folders, JOBS, begun.batch_id)
    except (ServiceError, OSError) as error:
        return structs.replace(begun, state="failed", sentence=safe_text(error))
    except Exception as error:  # noqa: BLE001  # a bug: logged, and said on the page, which polls until there is a result
        logs.get().error("bug.found", error=error)
        return structs.replace(begun, state="failed", sentence="unexpected error; the log line bug.found says where")
    count = len(report.findings)
    sentence = counted(count, "finding") if count else "every file is as it was published"
    return structs.replace(
        begun,
        state="found" if count else "passed",
        sentence=sentence,
        findings=tuple(report.findings[:_MOST_FINDINGS]),
        notes=tuple(report.notes),
    )
