"""A set with customers of every kind, integrated by hand, and the dashboard over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.small_batches import crm_text, ecom_text, integrate_pair, published, rows_of, write_pair
from tests.worlds import local_now

MARKUP = "<b>X</b>"
"""The id of a record in its source."""
OFFICE = "+1-212-555-0199"
"""A phone that forty people share."""
_CRM = (
    ("CRM001", "Ann Lee", "ann@one.example", "+1-212-555-0101", None, None),
    # Of the shop's record the golden one takes the date, and of this one the status.
    ("CRM002", "Bea Ray", None, "+1-212-555-0102", None, "inactive"),
    # A chain: each record is linked with the one before it only.
    ("CRM401", "Chain One", "one@chain.example", "+1-212-555-0111", "2023-01-01", "active"),
    ("CRM402", "Chain Two", "one@chain.example", "+1-212-555-0112", None, "inactive"),
    ("CRM403", "Chain Three", "three@chain.example", "+1-212-555-0112", None, None),
    ("CRM404", "Chain Three", None, "+1-212-555-0113", None, None),
    # A name alone; accents; a letter that is two without them.
    ("CRM501", "Zoë García", "zoe@a.example", None, None, "active"),
    ("CRM502", "ZOË GARCÍA", None, "+1-212-555-0155", "2023-02-02", "active"),
    ("CRM503", "Søren Weiß-O’Brien", "søren@b.example", "+44 20 7946 0958", None, "on hold"),
    ("CRM504", "No Mail", None, "+1-212-555-0154", "2023-02-03", "active"),
    # Three rows with one id.
    ("CRM600", "Ida Same", "ida@same.example", None, None, "active"),
    ("CRM600", "Ida Other", None, "+1-212-555-0160", None, "active"),
    ("CRM600", "Ida Third", None, "+1-212-555-0161", None, None),
    # The same number that cannot be read.
    ("CRM700", "Una Read", None, "999 888 777 666 123", None, None),
    ("CRM701", "Una Readable", "una@read.example", "999888777666123", None, None),
    (MARKUP, "محمد العلي", "m@rtl.example", "+1-212-555-0170", None, None),
    *((f"CRM8{n:02}", f"Clerk {chr(65 + n)}", f"clerk{n}@office.example", OFFICE, None, "active") for n in range(24)),
)
_ECOM = (
    ("EC1001", "Ann", "Leigh", "ANN@one.example", None, "2023-05-01T10:00:00Z"),
    ("EC1002", "Bea", "Ray", "bea@two.example", "2125550102", "2023-05-02T10:00:00Z"),
    ("EC1003", "Solo", None, "solo@three.example", None, None),
    (MARKUP, "Twin", "Markup", "m@rtl.example", None, None),
    *((f"EC8{n:02}", "Guest", chr(65 + n), f"guest{n}@office.example", OFFICE, None) for n in range(16)),
)


@dataclass(frozen=True)
class Crowd:
    """The set, in the outbox below ``root``."""

    root: Path

    @property
    def outbox(self) -> Path:
        """Filled by hand, with its state."""
        return self.root / "out"

    @property
    def set(self) -> Path:
        """The folder of the set."""
        return published(self.outbox)

    def site(self, **others: Any) -> Site:
        """What the pages read; ``others`` are settings."""
        folders = {"inbox": self.root / "inbox", "outbox": self.outbox, "state": self.outbox / ".state"}
        given: dict[str, Any] = folders | others
        return Site(Settings(**given), local_now)

    def client(self, **others: Any) -> FlaskClient:
        """A browser."""
        return create_app(self.site(**others)).test_client()

    def rows(self, name: str) -> list[dict[str, str]]:
        """A CSV file of the set."""
        return rows_of(self.set / name)

    def of_record(self, source_id: str) -> str:
        """The unified id of the customer that an input record belongs to."""
        return next(row["unified_id"] for row in self.rows("crosswalk.csv") if row["source_id"] == source_id)


def build_crowd(root: Path) -> Crowd:
    """Integrate the records above into ``root/out``."""
    integrate_pair(write_pair(root / "pair", crm_text(_CRM), ecom_text(_ECOM)), root / "out")
    return Crowd(root)
