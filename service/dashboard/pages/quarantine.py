"""The quarantine: which batches are in it, why, the lines at fault, and how they come back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service import documents
from service.dashboard.pages.batch import BatchIdText, entry_of
from service.dashboard.pages.batches import BatchSummary, summary_of
from service.dashboard.routes import ActionRoute, FileRoute, PageRoute, ServedFile
from service.dashboard.sets.preview import Preview, location_of, preview
from service.dashboard.site import Site
from service.documents import MalformedDocument, Reason, is_batch_id
from service.errors import UsageError
from service.files import is_own_folder, is_regular, open_file
from service.folders import TEXT_LOG
from service.job_name import JobName
from service.ledger import Entry
from service.masters.missing import MissingThing
from service.masters.set_files import why_unreadable
from service.printable import printable, printable_lines
from service.state import State

ROWS = 50
_MOST_FOLDERS = 10_000
_MOST_LOG_BYTES = 1 << 16
_MOST_LOG_LINES = 60
_one_at_a_time = threading.Lock()
"""Of two that move the same batch back each would find half of its files."""
_ACCEPTABLE = "--accept"
"""In the hint of every error that a user may let pass."""

Condition = Literal["waiting", "emptied", "damaged", "removed", "retried"]
"""Of a quarantined batch. ``waiting``: its files are there. ``emptied``: they are not, but its reason is. ``damaged``:
its reason cannot be read. ``removed``: its folder is not there. ``retried``: it was moved back into the inbox.
"""


class WhyQuarantined(Struct, frozen=True, kw_only=True):
    """``reason.json``; every text is printable."""

    error: str
    message: str
    where: str
    found: str
    hint: str
    retry: str
    """The command that moves the batch back."""


class QuarantinedSummary(Struct, frozen=True, kw_only=True):
    """One batch in the list."""

    batch_id: str
    job: JobName
    condition: Condition
    quarantined_at: str | None
    why: WhyQuarantined | None
    """Null where the reason is gone or damaged."""
    file_names: tuple[str, ...]


class QuarantineParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page."""

    before: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None
    """``next_before`` of the former page."""


class QuarantineView(Struct, frozen=True, kw_only=True):
    """The batches in quarantine, the latest first."""

    batches: tuple[QuarantinedSummary, ...]
    waiting: int
    """Folders in the quarantine, on all pages."""
    next_before: int | None


class QuarantinedFile(Struct, frozen=True, kw_only=True):
    """One export of a quarantined batch."""

    number: int
    """From 1; names it in URLs, because a file name may be personal."""
    file_name: str
    size_bytes: int | None
    """Null where it is not there any more."""


class QuarantinedParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batch."""

    batch_id: BatchIdText


class QuarantinedView(Struct, frozen=True, kw_only=True):
    """One quarantined batch."""

    batch: QuarantinedSummary
    folder: str
    """Where its files are: absolute; in the image where compose mounts it from the host."""
    file_at_fault: str
    """The name of the file that the reason names; empty where it names none."""
    files: tuple[QuarantinedFile, ...]
    preview: Preview | None
    """Lines around the place that the reason names; null where it names none. They may hold personal data."""
    log: tuple[str, ...]
    can_accept: bool
    """Whether a guard holds it back, which a user may let pass."""
    became: BatchSummary | None
    """The next batch with the same files, after a retry; else the next one with files of the same names."""
    is_became_unchanged: bool
    """Whether its files are the same."""
    is_watched: bool
    """Whether the watcher is running, which takes the files after a retry."""


class AcceptParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batch, and that it is understood what is skipped."""

    batch_id: BatchIdText
    is_understood: bool = False


class QuarantinedFileParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file of which batch."""

    batch_id: BatchIdText
    number: Annotated[int, Meta(ge=1, le=1000)]


class RetryResult(Struct, frozen=True, kw_only=True):
    """What was moved back into the inbox."""

    message: str
    batch_id: str
    file_names: tuple[str, ...]
    left: tuple[str, ...]
    """Other files in its folder, which stay there."""
    is_in_ledger: bool
    """Whether the batch still has a page."""


# ------------------------------------------------------------------------------------------------------ list


def _quarantine(site: Site, chosen: QuarantineParameters) -> QuarantineView:
    page = site.history.quarantined(chosen.before, ROWS)
    folders = _folders(site)
    known = [_summary(site, details.entry.outcome.batch_id, details.entry) for details in page.batches]
    # Versions that were set aside while they were claimed are no outcomes, so the ledger does not know them.
    unknown = [] if chosen.before else sorted(set(folders) - site.history.known(folders), reverse=True)
    others = [_summary(site, batch_id, None) for batch_id in unknown[:ROWS]]
    return QuarantineView(batches=(*others, *known), waiting=len(folders), next_before=page.before)


def _folders(site: Site) -> list[str]:
    try:
        with os.scandir(site.inbox.quarantine) as found:
            names = (it.name for _, it in zip(range(_MOST_FOLDERS), found, strict=False) if it.is_dir())
            return [name for name in names if is_batch_id(name)]
    except FileNotFoundError:
        return []


def _summary(site: Site, batch_id: str, entry: Entry | None) -> QuarantinedSummary:
    reason, condition = _reason(site, batch_id, entry)
    names = tuple(reason.inputs) if reason else tuple(it.file_name for it in entry.outcome.inputs) if entry else ()
    return QuarantinedSummary(
        batch_id=batch_id,
        job=reason.job if reason else entry.outcome.job if entry else "integration",
        condition=condition,
        quarantined_at=reason.quarantined_at if reason else entry.outcome.ended_at if entry else None,
        why=_why(reason) if reason else None,
        file_names=tuple(map(printable, sorted(names))),
    )


def _reason(site: Site, batch_id: str, entry: Entry | None) -> tuple[Reason | None, Condition]:
    folder = site.inbox.quarantine / batch_id
    if entry is not None and entry.removed == "retried":
        return None, "retried"
    if not is_own_folder(folder):
        return None, "removed"
    try:
        reason = documents.read(site.inbox.reason_of(batch_id), Reason)
    except (OSError, MalformedDocument):
        return None, "damaged"
    return reason, "waiting" if any(is_regular(folder / name) for name in reason.inputs) else "emptied"


def _why(reason: Reason) -> WhyQuarantined:
    texts = {name: printable(getattr(reason, name)) for name in WhyQuarantined.__struct_fields__}
    return WhyQuarantined(**texts)


# ----------------------------------------------------------------------------------------------------- batch


def _quarantined(site: Site, parameters: QuarantinedParameters) -> QuarantinedView:
    batch_id, entry = _known(site, parameters.batch_id)
    reason, _ = _reason(site, batch_id, entry)
    summary = _summary(site, batch_id, entry)
    folder = site.inbox.quarantine / batch_id
    location = location_of(reason) if reason else None
    repeated = site.history.repeated(entry) if entry and summary.condition == "retried" else None
    became = repeated or (site.history.of_same_names(entry) if entry and summary.condition == "retried" else None)
    return QuarantinedView(
        batch=summary,
        folder=site.place_of(folder),
        file_at_fault=printable(location.file_name) if location else "",
        files=tuple(_files(folder, reason)),
        preview=preview(folder, location) if location and summary.condition == "waiting" else None,
        log=_log(folder / TEXT_LOG),
        can_accept=reason is not None and _ACCEPTABLE in reason.hint,
        became=summary_of(became) if became else None,
        is_became_unchanged=repeated is not None,
        is_watched=State(site.settings.state).is_taken(),
    )


def _known(site: Site, batch_id: str) -> tuple[str, Entry | None]:
    """The id of a quarantined batch and its entry, which only an accepted one has. Raises: MissingThing."""
    if is_batch_id(batch_id) and not site.history.known([batch_id]) and is_own_folder(site.inbox.quarantine / batch_id):
        return batch_id, None
    entry = entry_of(site, batch_id)
    if entry.outcome.kind != "quarantined":
        raise MissingThing("this batch is not in quarantine", "its own page, under Batches, says what became of it")
    return entry.outcome.batch_id, entry


def _files(folder: Path, reason: Reason | None) -> Iterator[QuarantinedFile]:
    for number, name in enumerate(sorted(reason.inputs) if reason else (), 1):
        path = folder / name
        size = path.lstat().st_size if is_regular(path) else None
        yield QuarantinedFile(number=number, file_name=printable(name), size_bytes=size)


def _log(path: Path) -> tuple[str, ...]:
    """The last lines of the batch's log; none where it cannot be read."""
    try:
        with open_file(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_LOG_BYTES))
            text = file.read(_MOST_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(printable_lines(text).splitlines()[-_MOST_LOG_LINES:])


# --------------------------------------------------------------------------------------------------- actions


def _retry(site: Site, parameters: QuarantinedParameters) -> RetryResult:
    return _moved_back(site, parameters.batch_id, accept=False)


def _accept(site: Site, parameters: AcceptParameters) -> RetryResult:
    if not parameters.is_understood:
        raise UsageError(
            "nothing was done: accepting skips the guards, which must be confirmed",
            hint="tick the box beside the button, or send is_understood=true",
        )
    return _moved_back(site, parameters.batch_id, accept=True)


def _moved_back(site: Site, batch_id: str, *, accept: bool) -> RetryResult:
    # Loaded by the first retry: the jobs bring the whole pipeline with them.
    from service.jobs.retry import retry

    with _one_at_a_time:
        batch_id, entry = _known(site, batch_id)
        moved = retry(batch_id, site.settings, accept=accept)
    names, left = tuple(map(printable, moved.names)), tuple(map(printable, moved.left))
    is_watched = State(site.settings.state).is_taken()
    following = (
        "The watcher takes them within seconds." if is_watched else "They wait there: the watcher is not running."
    )
    accepted = " They pass the guards once." if accept else ""
    message = f"Moved back into the inbox: {', '.join(names)}.{accepted} {following}"
    return RetryResult(message=message, batch_id=batch_id, file_names=names, left=left, is_in_ledger=entry is not None)


def _to_batch(_: QuarantinedParameters | AcceptParameters, done: RetryResult) -> tuple[str, dict[str, Any]]:
    return ("quarantined_batch", {"batch_id": done.batch_id}) if done.is_in_ledger else ("quarantine", {})


# ----------------------------------------------------------------------------------------------------- files


def _file(site: Site, parameters: QuarantinedFileParameters) -> ServedFile:
    batch_id, entry = _known(site, parameters.batch_id)
    reason, _ = _reason(site, batch_id, entry)
    names = sorted(reason.inputs) if reason else []
    if parameters.number > len(names):
        raise MissingThing("the batch has no file of this number", "its page lists its files")
    name = names[parameters.number - 1]
    path = site.inbox.quarantine / batch_id / name
    try:
        return ServedFile(open_file(path), name)
    except FileNotFoundError:
        raise MissingThing("the file is not in quarantine any more", "it was moved back or removed") from None
    except OSError as error:
        raise UsageError(why_unreadable(path, error), hint="look at it in the quarantine folder") from None


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute(
        "quarantine", "/quarantine", "the batches in quarantine", QuarantineParameters, QuarantineView, _quarantine
    ),
    PageRoute(
        "quarantined_batch",
        "/quarantine/<batch_id>",
        "one quarantined batch",
        QuarantinedParameters,
        QuarantinedView,
        _quarantined,
    ),
)
ACTIONS: tuple[ActionRoute[Any, Any], ...] = (
    ActionRoute(
        "retry_batch",
        "/quarantine/<batch_id>/retry",
        "move a quarantined batch back into the inbox",
        QuarantinedParameters,
        RetryResult,
        _retry,
        _to_batch,
    ),
    ActionRoute(
        "accept_batch",
        "/quarantine/<batch_id>/accept",
        "move a quarantined batch back and let it pass the guards, once",
        AcceptParameters,
        RetryResult,
        _accept,
        _to_batch,
    ),
)
FILES: tuple[FileRoute[Any], ...] = (
    FileRoute(
        "quarantined_file",
        "/quarantine/<batch_id>/files/<number>",
        "a file of a quarantined batch",
        QuarantinedFileParameters,
        _file,
    ),
)
