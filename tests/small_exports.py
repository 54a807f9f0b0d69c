"""Analytics batches for tests: an API file and a published master, run through the real analytics job."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from service import logs
from service.analytics_rules import AnalyticsRules
from service.folders import MANIFEST, Folders, OutboxFolders, StateFolders
from service.jobs import JOBS
from service.jobs.analytics import analyse
from service.journal import Journal
from service.model import API, Batch, InputFile, Summary
from service.pipeline.analytics.export import EXPORT, Export
from service.publication import PastBatches, Publication
from tests.small_batches import NOON, delivered_file, small_engine

Record = dict[str, Any]
FETCHED_AT = "2024-01-15T11:00:00Z"


def api_text(records: Sequence[Any], **beside: Any) -> str:
    """The text of a file as ``sync`` writes it; ``fetched_at=None`` leaves that member out."""
    members = {"fetched_at": FETCHED_AT, "complete": True, "total": len(records), "pages": 1} | beside
    return json.dumps({name: value for name, value in members.items() if value is not None} | {"data": records})


def analysed(
    folder: Path,
    content: str | bytes,
    *,
    master: Path | None = None,
    file_name: str = API.file_name,
    rules: AnalyticsRules | None = None,
) -> tuple[Summary, Path]:
    """Run the job in this process, in a new folder, with a fixed clock; returns the summary and the published set."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=folder))
    return analysed_file(folder, delivered_file(API, folder / file_name, content), master=master, rules=rules)


def analysed_file(
    folder: Path,
    file: InputFile,
    *,
    master: Path | None = None,
    rules: AnalyticsRules | None = None,
    now: datetime = NOON,
) -> tuple[Summary, Path]:
    """Like ``analysed``, for a file that exists."""
    logs.configure()
    folders = Folders(None, folder / "outbox", folder / "state")
    publication = Publication(PastBatches(folders), JOBS)
    publication.recover()
    if master is not None:
        _publish_master(master, folders)
    batch = Batch("the_batch", now, (file,))
    with small_engine(folder / "engine") as engine:
        journal = Journal(batch.id, lambda: now)
        summary = analyse(batch, rules or AnalyticsRules(), engine, publication, journal)
    return summary, folder / "outbox" / "batches" / batch.id


def _publish_master(master: Path, folders: Folders) -> None:
    """Make the files in ``master`` the published set of that name; if there are none, the set is gone."""
    if master.exists():
        published = OutboxFolders(folders.outbox).set_of(master.name)
        shutil.copytree(master, published)
        (published / MANIFEST).touch()
    generation = StateFolders(folders.state).register / master.name
    generation.mkdir()
    (generation / "published.json").write_text(json.dumps({"batch_id": master.name}), encoding="utf-8")
    (generation.parent / "current").write_text(f"{master.name}\n", encoding="utf-8")


def customers_of(published: Path) -> list[Record]:
    """The customers of an export, after a check against its schema."""
    text = (published / EXPORT).read_text(encoding="utf-8")
    export = Export.model_validate_json(text, strict=True)
    assert export.metadata.total_customers == len(export.customers)
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    customers: list[Record] = json.loads(text)["customers"]
    return customers


def write_master(folder: Path, rows: Sequence[Sequence[str]], orders: Sequence[Sequence[Any]] | None = ()) -> Path:
    """Write a published set: rows of (unified_id, full_name, email, phone, source_system, status), and of orders."""
    folder.mkdir(parents=True, exist_ok=True)
    header = "unified_id,full_name,email,phone,signup_date,source_system,status\n"
    lines = (f"{i},{name},{email},{phone},N/A,{system},{status}\n" for i, name, email, phone, system, status in rows)
    (folder / "customer_master.csv").write_text(header + "".join(lines), encoding="utf-8")
    if orders is not None:
        lines = (f"{unified_id},{count}\n" for unified_id, count in orders)
        (folder / "customer_orders.csv").write_text("unified_id,orders_count\n" + "".join(lines), encoding="utf-8")
    return folder
