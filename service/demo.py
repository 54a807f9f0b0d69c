"""``demo``: both jobs on a small sample, in a folder of its own, in seconds."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from service.api.clock import SystemClock
from service.errors import UsageError
from service.jobs.sync import sync
from service.settings import Settings
from service.simulator.customers import World
from service.simulator.server import Simulator, running
from service.watch.daemon import build

_CRM = """\
customer_id,full_name,email,phone,signup_date,status
CRM001,John Smith,john.smith@email.com,+1-555-0101,2023-01-15,active
CRM002,Jane Doe,JANE.DOE@EMAIL.COM,555.0102,2023-02-20,active
CRM003,Bob Wilson,bob.wilson@email.com,+1-555-0103,2023-03-10,inactive
CRM004,Alice Brown,alice.b@email.com,,2023-04-05,active
CRM005,john smith,j.smith@email.com,+1-555-0101,2023-05-12,active
"""
_ECOM = """\
{
  "customers": [
    {
      "id": "EC1001",
      "name": {"first": "John", "last": "Smith"},
      "contact": {"email": "john.smith@email.com", "phone": "5550101"},
      "registered": "2023-01-15T10:30:00Z",
      "orders_count": 5
    },
    {
      "id": "EC1002",
      "name": {"first": "Mary", "last": "Johnson"},
      "contact": {"email": "mary.j@email.com", "phone": "5550104"},
      "registered": "2023-03-22T14:15:00Z",
      "orders_count": 3
    },
    {
      "id": "EC1003",
      "name": {"first": "Jane", "last": "Doe"},
      "contact": {"email": "jane.doe@email.com", "phone": "5550102"},
      "registered": "2023-02-20T09:00:00Z",
      "orders_count": 8
    }
  ]
}
"""
_KEPT_SETTINGS = frozenset({"command", "memory_limit_mb", "threads"})
_SHOWN = ("customer_master.csv", "duplicate_report.csv", "integration_log.txt")


def run(settings: Settings, say: Callable[[str], None], keep: Path | None = None) -> int:
    """Let the watcher process the sample, then an export that a sync fetches from a simulated API; show the results.

    Everything is in a temporary folder, or stays in the new folder ``keep``; the configured folders are not used, nor
    any setting that would change the results. Returns the exit code.

    Raises: UsageError where ``keep`` exists.
    """
    root = _new_folder(keep) if keep is not None else Path(tempfile.mkdtemp(prefix="customer-integration-demo-"))
    here = _settings_in(root, settings)
    try:
        published = _show_integration(here, say) + _show_sync(here, say)
    finally:
        if keep is None:
            shutil.rmtree(root)
    return 0 if published == 2 else 1


def _new_folder(path: Path) -> Path:
    try:
        path.mkdir()
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="name a new folder for the sample") from None
    return path


def _settings_in(root: Path, settings: Settings) -> Settings:
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name not in _KEPT_SETTINGS}
    folders = {"inbox": root / "inbox", "outbox": root / "outbox", "state": root / "state"}
    return settings.model_copy(update=defaults | folders)


def _show_integration(here: Settings, say: Callable[[str], None]) -> int:
    """The integration job; returns the number of published sets."""
    here.inbox.mkdir()
    (here.inbox / "crm_customers.csv").write_text(_CRM, encoding="utf-8")
    (here.inbox / "ecommerce_customers.json").write_text(_ECOM, encoding="utf-8")
    say("Dropped into inbox/: crm_customers.csv (5 customers), ecommerce_customers.json (3 customers)\n")
    result = build(here, _now).run(once=True)
    for name in _SHOWN:
        say(f"\noutbox/{name}:\n")
        say((here.outbox / name).read_text(encoding="utf-8"))
    say("The inputs are in inbox/archive/ now, and every published set is in outbox/batches/.\n")
    return result.published


def _show_sync(here: Settings, say: Callable[[str], None]) -> int:
    """A sync, and the analytics job; returns the number of published sets."""
    say("A simulated API of 12 customers, some of whose answers fail, is synced into the inbox:\n")
    simulator = Simulator(World(_now().date()), ("flaky",), now=_now)
    with running(simulator) as url:
        api = {"api_url": url, "api_key": SecretStr(simulator.terms.api_key), "api_per_page": 6}
        synced = asyncio.run(sync(here.model_copy(update=api), SystemClock(_now)))
    say(f"\n{synced.customers} customers on {synced.pages} pages, {synced.figures.retries} requests retried\n")
    result = build(here, _now).run(once=True)
    head, _, customers = (here.outbox / "sample_output.json").read_text(encoding="utf-8").partition("[\n")
    first = next(block for block in customers.split("    },\n") if '"customer_id": 1,' in block)
    say(f"\noutbox/sample_output.json, with the first customer only:\n\n{head}[\n    …\n{first}    }},\n    …")
    return result.published


def _now() -> datetime:
    return datetime.now(UTC).astimezone()
