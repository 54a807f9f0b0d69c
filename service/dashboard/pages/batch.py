"""One batch: what became of its records, what is in its set, what changed, its files, and whether they are intact."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from service.dashboard.formats import sentence
from service.dashboard.pages.analytics import AnalyticsExport, export_of
from service.dashboard.pages.batches import BatchSummary, summary_of
from service.dashboard.routes import ActionRoute, FileRoute, PageRoute, ServedFile
from service.dashboard.sets.scanned_rows import MOST_ROWS, PAGE_ROWS, DamagedSet
from service.dashboard.sets.set_contents import (
    Changes,
    DuplicateReason,
    FieldCounts,
    LogWarnings,
    Rejects,
    SetReader,
    SourceCounts,
)
from service.dashboard.site import Site
from service.dashboard.verification import Verification
from service.documents import MalformedDocument, Manifest
from service.errors import UsageError
from service.files import open_file
from service.folders import MANIFEST
from service.ledger import Entry
from service.masters.missing import MissingThing
from service.masters.set_files import read_manifest, why_unreadable
from service.phrases import counted
from service.printable import printable

_WAIT_SECONDS = 2.0
"""A verification of a usual set has ended by then, and its answer has the result."""
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".txt": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
}
_FILES = {
    "customer_master.csv": "one row for each customer",
    "customer_master.parquet": "the same for programs, with types",
    "records.parquet": "every record, normalised, with the customer it belongs to",
    "duplicate_report.csv": "customers with several records, and why",
    "integration_log.txt": "the log of the run",
    "integration_log.jsonl": "the same as structured events",
    "crosswalk.csv": "every input record and its customer",
    "register_customers.csv": "every customer number so far",
    "register_aliases.csv": "the records that each merged customer had",
    "match_evidence.csv": "for every removed record the rules and the record it is linked through",
    "customer_orders.csv": "number of orders of a customer",
    "id_changes.csv": "customers created, merged, split, retired, revived",
    "literal_cost.csv": "values by which the rule may have merged too much",
    "review_queue.csv": "pairs of records that may be one customer, for a person to decide",
    "decisions.csv": "what people decided about records, and whether it was applied",
    "rejects.csv": "rejected rows, and why",
    "quality_report.json": "completeness and doubts, by source and field",
    "sample_output.json": "the analytics export",
    "analytics_report.json": "counts of the export's values",
    MANIFEST: "hashes of all files and of the inputs",
}
_PROOFS = {
    "lease": "no process had it open for writing",
    "close_event": "its writer closed it",
    "stillness": "it did not change for a while",
    "given": "named on the command line",
}

BatchIdText = Annotated[str, Meta(min_length=1, max_length=64)]
PageNumber = Annotated[int, Meta(ge=1, le=MOST_ROWS // PAGE_ROWS + 1)]


class BatchParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batch, and which part of its tables."""

    batch_id: BatchIdText
    change: Literal["created", "merged", "split", "retired", "revived"] | None = None
    changes_page: PageNumber = 1
    rejects_page: PageNumber = 1


class VerifyParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which batch."""

    batch_id: BatchIdText


class SetFileParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file of which set."""

    batch_id: BatchIdText
    name: Annotated[str, Meta(min_length=1, max_length=255)]


class ShownInput(Struct, frozen=True, kw_only=True):
    """One export that went into the batch."""

    source: str
    file_name: str
    rows: int
    size_bytes: int
    sha256: str
    settled: str
    """How it was known that its writer was done."""


class ShownFile(Struct, frozen=True, kw_only=True):
    """One file of the set, to be saved."""

    name: str
    contents: str
    size_bytes: int | None
    sha256: str


class IntegrationContents(Struct, frozen=True, kw_only=True):
    """What a customer master was made of."""

    sources: tuple[SourceCounts, ...]
    fields: tuple[FieldCounts, ...]
    duplicates: tuple[DuplicateReason, ...]
    changes: Changes


class SetView(Struct, frozen=True, kw_only=True):
    """A published set whose manifest can be read."""

    program_version: str
    inputs: tuple[ShownInput, ...]
    files: tuple[ShownFile, ...]
    rejects: Rejects
    warnings: LogWarnings
    integration: IntegrationContents | None = None
    export: AnalyticsExport | None = None
    """Of an analytics batch."""
    chosen: BatchParameters


class BatchView(Struct, frozen=True, kw_only=True):
    """One batch."""

    batch: BatchSummary
    sentence: str
    former: BatchSummary | None
    """The batch of the same job before it."""
    following: BatchSummary | None
    contents: SetView | None
    """Null where the batch is not published, or its manifest is gone or damaged."""
    troubles: tuple[str, ...]
    """What of it cannot be read."""
    verification: Verification | None


class VerifyResult(Verification, frozen=True, kw_only=True):
    """The verification of a batch, or that it is still running."""

    message: str


def entry_of(site: Site, batch_id: str) -> Entry:
    """The last outcome of the batch of this id. Raises: MissingThing."""
    found = site.history.batch(batch_id)
    if found is None:
        raise MissingThing("there is no batch with this id", "the list of batches has every id")
    return found.entry


def _batch(site: Site, chosen: BatchParameters) -> BatchView:
    entry = entry_of(site, chosen.batch_id)
    former, following = site.history.neighbours(entry)
    contents, troubles = None, []
    if entry.outcome.kind == "published" and not entry.removed:
        try:
            manifest = _manifest_of(site, entry)
            sizes = {name: file.size_bytes for name, file in manifest.files.items()}
            reader = SetReader(site.outbox.set_of(entry.outcome.batch_id), site.scans, sizes)
            contents, troubles = _contents(site, manifest, entry, reader, chosen), reader.troubles
        except DamagedSet as error:
            troubles = [str(error)]
    return BatchView(
        batch=summary_of(entry),
        sentence=_sentence(entry),
        former=summary_of(former) if former else None,
        following=summary_of(following) if following else None,
        contents=contents,
        troubles=tuple(troubles),
        verification=site.verifier.last(entry.outcome.batch_id),
    )


def _manifest_of(site: Site, entry: Entry) -> Manifest:
    """Raises: DamagedSet where it is not the one that the ledger knows."""
    try:
        return read_manifest(site.outbox, entry)
    except OSError as error:
        raise DamagedSet(why_unreadable(site.outbox.manifest_of(entry.outcome.batch_id), error)) from None
    except MalformedDocument:
        raise DamagedSet(f"{MANIFEST} is damaged: it is not as it was written") from None


def _sentence(entry: Entry) -> str:
    counts = entry.outcome.counts
    if counts is None:
        return f"It could not be processed: {entry.outcome.code}" if entry.outcome.code else "Its document is lost"
    kind = "API record" if entry.outcome.job == "analytics" else "record"
    came, left = counted(counts.records, kind), counted(counts.customers, "customer")
    words = {0: "none was a duplicate", 1: "1 was a duplicate"}
    parts = [words.get(counts.duplicates, f"{counts.duplicates:,} were duplicates")]
    if counts.rejects:
        parts.append(f"{counted(counts.rejects, 'row')} {'was' if counts.rejects == 1 else 'were'} rejected")
    return f"{came} became {left}; {', '.join(parts)}"


def _contents(site: Site, manifest: Manifest, entry: Entry, reader: SetReader, chosen: BatchParameters) -> SetView:
    export = integration = None
    if entry.outcome.job == "analytics":
        export = export_of(site, entry)
        if export is None:
            reader.troubles.append("analytics_report.json is missing or damaged")
    else:
        integration = _integration(reader, chosen)
    return SetView(
        program_version=manifest.program_version,
        inputs=tuple(
            ShownInput(
                source=it.source,
                file_name=printable(it.file_name),
                rows=it.rows,
                size_bytes=it.size_bytes,
                sha256=it.sha256,
                settled=_PROOFS.get(it.settle_proof, printable(it.settle_proof)),
            )
            for it in manifest.inputs
        ),
        files=_files(manifest, entry),
        rejects=reader.rejects(chosen.rejects_page),
        warnings=reader.warnings(),
        integration=integration,
        export=export,
        chosen=chosen,
    )


def _integration(reader: SetReader, chosen: BatchParameters) -> IntegrationContents:
    sources, fields = reader.sources()
    return IntegrationContents(
        sources=sources,
        fields=fields,
        duplicates=reader.duplicates(),
        changes=reader.changes(chosen.changes_page, chosen.change),
    )


def _files(manifest: Manifest, entry: Entry) -> tuple[ShownFile, ...]:
    """Those of the manifest in the order of ``_FILES``, then unknown ones, and the manifest itself."""
    order = list(_FILES)
    names = sorted(manifest.files, key=lambda name: (order.index(name) if name in order else len(order), name))
    files: list[tuple[str, int | None, str]] = [
        (name, manifest.files[name].size_bytes, manifest.files[name].sha256) for name in names
    ]
    files.append((MANIFEST, None, entry.outcome.sha256))
    return tuple(
        ShownFile(name=name, contents=_FILES.get(name, ""), size_bytes=size, sha256=sha256)
        for name, size, sha256 in files
    )


# --------------------------------------------------------------------------------------------------- actions


def _verify(site: Site, parameters: VerifyParameters) -> VerifyResult:
    batch_id = entry_of(site, parameters.batch_id).outcome.batch_id
    found = site.verifier.verify(batch_id, _WAIT_SECONDS)
    message = f"{sentence(found.sentence)}."
    return VerifyResult(**structs.asdict(found), message=message)


def _to_verification(parameters: VerifyParameters, _: VerifyResult) -> tuple[str, dict[str, Any]]:
    return "batch", {"batch_id": parameters.batch_id, "_anchor": "verification"}


# ----------------------------------------------------------------------------------------------------- files


def _file(site: Site, parameters: SetFileParameters) -> ServedFile:
    """The file of a set whose manifest lists this name."""
    entry = entry_of(site, parameters.batch_id)
    folder = site.outbox.set_of(entry.outcome.batch_id)
    try:
        manifest = _manifest_of(site, entry)
    except DamagedSet as error:
        raise MissingThing(
            f"this batch has no set that is intact: {error}", "the page of the batch says more"
        ) from None
    if parameters.name == MANIFEST:
        return _opened(folder / MANIFEST, entry.outcome.sha256, None)
    listed = manifest.files.get(parameters.name)
    if listed is None:
        raise MissingThing("the set has no file of this name", "the page of the batch lists its files")
    return _opened(folder / parameters.name, listed.sha256, listed.size_bytes)


def _opened(path: Path, sha256: str, size_bytes: int | None) -> ServedFile:
    """Raises: MissingThing; UsageError where it is not as it was published."""
    name = printable(path.name)
    hint = "verify the batch: it names everything that is not as it was published"
    try:
        file = open_file(path)
    except FileNotFoundError:
        raise MissingThing(f"{name} is not in the set any more", hint) from None
    except OSError as error:
        raise UsageError(why_unreadable(path, error), hint=hint) from None
    if size_bytes not in (None, os.fstat(file.fileno()).st_size):
        file.close()
        raise UsageError(f"{name} has another size than it was published with", hint=hint)
    media_type = _MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    return ServedFile(file, path.name, media_type, sha256)


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("batch", "/batches/<batch_id>", "one batch", BatchParameters, BatchView, _batch),
)
ACTIONS: tuple[ActionRoute[Any, Any], ...] = (
    ActionRoute(
        "verify_batch",
        "/batches/<batch_id>/verify",
        "read every file of a batch and compare it with what was published",
        VerifyParameters,
        VerifyResult,
        _verify,
        _to_verification,
    ),
)
FILES: tuple[FileRoute[Any], ...] = (
    FileRoute("batch_file", "/batches/<batch_id>/files/<name>", "a file of a set", SetFileParameters, _file),
)
