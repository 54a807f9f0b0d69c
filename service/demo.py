"""The whole story on a small sample, in a folder of its own, in seconds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from service.daemon import build
from service.settings import Settings

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
_SHOWN = ("customer_master.csv", "duplicate_report.csv", "integration_log.txt")


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """Drop the sample into an inbox, let the watcher process it, and show what it left in the outbox.

    Nothing of the real folders is touched.
    """
    house = Path(tempfile.mkdtemp(prefix="customer-integration-demo-"))
    try:
        return _show(house, settings, say)
    finally:
        shutil.rmtree(house)


def _show(house: Path, settings: Settings, say: Callable[[str], None]) -> int:
    inbox, outbox = house / "inbox", house / "outbox"
    inbox.mkdir()
    (inbox / "crm_customers.csv").write_text(_CRM, encoding="utf-8")
    (inbox / "ecommerce_customers.json").write_text(_ECOM, encoding="utf-8")
    say("Dropped into inbox/: crm_customers.csv (5 customers), ecommerce_customers.json (3 customers)\n")
    here = settings.model_copy(update={"inbox": inbox, "outbox": outbox, "state": house / "state"})
    outcome = build(here, lambda: datetime.now(UTC).astimezone()).run(once=True)
    for name in _SHOWN:
        say(f"\noutbox/{name}:\n")
        say((outbox / name).read_text(encoding="utf-8"))
    say("The inputs lie in inbox/archive/ now, and every set ever published in outbox/batches/.")
    return 0 if outcome.published == 1 else 1
