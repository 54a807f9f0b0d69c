"""A small service with a past, made by the real watcher, and the dashboard over it.

Two customer masters (the second with hostile values and two rejects), an analytics export, and a quarantined pair.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.small_batches import crm_text, ecom_text
from tests.worlds import QUICK, Works, local_now

SCRIPT = "<script>alert(1)</script>"
FORMULA = "=cmd()|' /C calc'!A0"
LONG = "Wolfeschlegelsteinhausenbergerdorff-" * 2 + "Johnson"
RIGHT_TO_LEFT = "محمد العلي"
HOSTILE_NAMES = (SCRIPT, FORMULA, LONG, RIGHT_TO_LEFT)
"""Full names of customers in the second export."""
PUBLISHED_NAMES = ("<Script>Alert(1)</Script>", "=Cmd()|' /C Calc'!A0", LONG, RIGHT_TO_LEFT)
"""The same in the second master, without the quote before a formula."""
BROKEN_LINE = f'  {{"id": "EC9", "name": {{"first": "{SCRIPT}", "last": "Quarantined"}}'
"""The last line of the shop export in quarantine, which ends in the middle of an object."""

_SECOND_CRM = (
    ("CRM001", "John Smith", "john.smith@email.com", "+1-555-0101", "2023-01-15", "active"),
    ("CRM002", "Jane Doe", "JANE.DOE@EMAIL.COM", "555.0102", "2023-02-20", "active"),
    # No longer linked with John Smith; Bob Wilson is gone.
    ("CRM005", "Jon Smythe", "j.smith@email.com", None, "2023-05-12", "active"),
    # Now linked with Mary Johnson of the shop.
    ("CRM004", "Alice Brown", "mary.j@email.com", None, "2023-04-05", "active"),
    *(
        (f"CRM02{number}", name, f"hostile{number}@example.com", f"+1-555-020{number}", "2023-06-01", "active")
        for number, name in enumerate(HOSTILE_NAMES)
    ),
    ("CRM040", SCRIPT, FORMULA, LONG, "2023-06-02", "active", "one cell", "too many"),
    (None, None, None, None, "2023-06-02", "active"),
)
_SECOND_ECOM = (
    ("EC1001", "John", "Smith", "john.smith@email.com", "5550101", "2023-01-15T10:30:00Z"),
    ("EC1002", "Mary", "Johnson", "mary.j@email.com", "5550104", "2023-03-22T14:15:00Z"),
    ("EC1003", "Jane", "Doe", "jane.doe@email.com", "5550102", "2023-02-20T09:00:00Z"),
)


@dataclass(frozen=True)
class DashboardHouse:
    """The service in the folder ``root``: ``inbox``, ``outbox`` and ``state`` below it."""

    root: Path

    @cached_property
    def works(self) -> Works:
        """The watcher of this service, and its folders."""
        return Works(self.root)

    def settings(self, **others: Any) -> Settings:
        """Those of the dashboard."""
        works = self.works
        return Settings(**(QUICK | {"inbox": works.inbox, "outbox": works.outbox, "state": works.state} | others))

    def site(self, **others: Any) -> Site:
        """What the pages read."""
        return Site(self.settings(**others), local_now)

    def client(self, **others: Any) -> FlaskClient:
        """A browser; ``others`` are settings."""
        return create_app(self.site(**others)).test_client()

    @property
    def masters(self) -> list[str]:
        """Ids of the published masters, the oldest first."""
        return self.works.batches_of("integration")

    @property
    def export(self) -> str:
        """Id of the analytics export."""
        return self.works.batches_of("analytics")[-1]

    @property
    def quarantined(self) -> str:
        """Id of the batch in quarantine."""
        return self.works.quarantine()[-1].name

    def set_of(self, batch_id: str) -> Path:
        """The folder of a published set."""
        return self.works.outbox / "batches" / batch_id

    def copy(self, root: Path) -> DashboardHouse:
        """The same service in another folder, for a test that changes it."""
        shutil.copytree(self.root, root, copy_function=shutil.copy2)
        return DashboardHouse(root)


def build_house(root: Path) -> DashboardHouse:
    """Let the watcher make the service of the module's docstring in the new folder ``root``."""
    house = DashboardHouse(root)
    works = house.works
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.inbox.settling.LEASE_STILL_SECONDS", 0.05)
        works.drop("_1")
        works.once()
        works.drop("_2", crm=crm_text(_SECOND_CRM), ecom=ecom_text(_SECOND_ECOM))
        works.drop("_3", ecom=f'{{"customers": [\n{BROKEN_LINE}')
        works.once()
        works.drop_api(4)
        works.once()
    return house


class _Visible(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def text_of(answer: TestResponse) -> str:
    """The text of a page as a person reads it, each run of white space as one blank; its status must be 200."""
    assert answer.status_code == 200, answer.text
    return visible(answer.text)


def data_of(answer: TestResponse) -> Any:
    """The JSON of an answer of the API."""
    return answer.json


def visible(html: str) -> str:
    """The text of HTML, with each run of white space as one blank. What is markup is not part of it."""
    parser = _Visible()
    parser.feed(html)
    return re.sub(r"\s+", " ", " ".join(parser.parts)).strip()


def tags_of(html: str) -> list[str]:
    """The names of all elements of a page, in order."""
    parser = _Visible()
    parser.feed(html)
    return parser.tags
