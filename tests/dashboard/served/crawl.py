"""All addresses of the dashboard that its own pages lead to: links are followed, forms are read.

Which endpoint an address belongs to is asked of the application's own map of URLs, so that a new page is covered by
every test of this folder as soon as a link leads to it.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec
from flask import Flask
from werkzeug.exceptions import HTTPException

from service.dashboard.pages import PAGES
from service.dashboard.routes import PageRoute
from service.dashboard.sample import MOUNTED_AT
from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.settings import Settings
from tests.worlds import local_now

MOST_FOR_AN_ENDPOINT = 4
"""So many addresses of one endpoint are visited: other ids, filters, pages of a table."""
_SECONDS = 30.0


@dataclass(frozen=True)
class Form:
    """A form of a page."""

    page: str
    """The address on which it was found."""
    action: str
    method: str
    fields: dict[str, str]
    """Name -> value as the page fills it in."""


@dataclass(frozen=True)
class Answer:
    """An answer of the dashboard."""

    status: int
    headers: dict[str, str]
    """By lower-case name; equal names are joined with a comma."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")


class _Reader(HTMLParser):
    """The links and forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "hx-get") if name in given]
        if tag == "form":
            self.forms.append(Form("", given.get("action", ""), given.get("method", "get").lower(), {}))
        if tag in ("input", "button", "select", "textarea") and given.get("name") and self.forms:
            self.forms[-1].fields[given["name"]] = given.get("value", "")


@dataclass
class Crawl:
    """What was found, from the overview on."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    """Path and query -> the answer to GET."""
    endpoints: dict[str, list[str]] = field(default_factory=dict)
    """Endpoint -> its addresses, the first one found first."""
    forms: dict[str, Form] = field(default_factory=dict)
    """``METHOD path`` -> the form."""
    links: set[str] = field(default_factory=set)
    """Every link, also those that were not followed."""

    def address(self, endpoint: str) -> str:
        """The first address of an endpoint. Raises: AssertionError where no page leads to it."""
        assert endpoint in self.endpoints, f"no page has a link to {endpoint}"
        return self.endpoints[endpoint][0]


def application(root: Path) -> Flask:
    """The application over the service in ``root``, for its map of URLs."""
    folders = {name: root / name for name in ("inbox", "outbox", "state")}
    return create_app(Site(Settings(**folders), local_now))  # type: ignore[arg-type]  # pydantic takes paths


def ask(url: str, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
    """One request in a connection of its own; ``headers`` have underscores for dashes."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, named)
        answer = connection.getresponse()
        found: dict[str, str] = {}
        for name, value in answer.getheaders():
            found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def submitted(url: str, form: Form, **fields: str) -> Answer:
    """What a browser gets that fills in ``fields`` and submits the form."""
    content = urlencode(form.fields | fields).encode()
    return ask(url, form.action, "POST", content, Content_Type="application/x-www-form-urlencoded")


def needs_nothing(page: PageRoute[Any, Any]) -> bool:
    """Whether a page can be opened without an id or another parameter."""
    needed = [field.name for field in msgspec.structs.fields(page.parameters) if field.required]
    return page.method == "GET" and "<" not in page.path and not needed


def crawled(url: str, app: Flask) -> Crawl:
    """Visit what the pages without parameters lead to, and what that leads to, a few addresses of each endpoint."""
    crawl, waiting = Crawl(url), [page.path for page in PAGES if needs_nothing(page)]
    routes = app.url_map.bind("localhost")
    while waiting:
        address = waiting.pop(0)
        try:
            endpoint, _ = routes.match(urlsplit(address).path, "GET")
        except HTTPException as error:
            raise AssertionError(f"a page has a link to {address}, which is nothing") from error
        known = crawl.endpoints.setdefault(endpoint, [])
        if address in crawl.answers or (endpoint != "static" and len(known) >= MOST_FOR_AN_ENDPOINT):
            continue
        known.append(address)
        answer = crawl.answers[address] = ask(url, address)
        if answer.headers.get("content-type", "").startswith("text/html"):
            waiting += _followed(crawl, address, answer)
    return crawl


def _followed(crawl: Crawl, address: str, answer: Answer) -> list[str]:
    reader = _Reader()
    reader.feed(answer.text)
    for form in reader.forms:
        action = urljoin(address, form.action)
        crawl.forms.setdefault(f"{form.method.upper()} {action}", Form(address, action, form.method, form.fields))
    crawl.links.update(reader.links)
    # The sample has the same routes.
    local = [urljoin(address, link).partition("#")[0] for link in reader.links if not urlsplit(link).scheme]
    return [link for link in local if link and not link.startswith(f"{MOUNTED_AT}/")]
