"""The scenarios of the simulated API: every fault is data, decided by the seed and the request alone.

Three kinds: faults of one answer (the next attempt may succeed), lists with wrong rows or totals, and slow answers.
Whether an answer fails is a pure function of (seed, scenario, page, number of earlier requests for that page), so that
a client with ten connections meets the same faults as one with a single connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeGuard

from service.errors import UsageError
from service.simulator.customers import Customer, Dice, World
from service.simulator.wire import Answer

SCENARIOS: dict[str, str] = {
    "flaky": "one request in five is answered with 500 or 503",
    "rate-limit-seconds": "one request in five is answered with 429 and Retry-After: 1",
    "rate-limit-date": "the same with an HTTP date, one to two seconds ahead",
    "rate-limit-far": "the same with a day",
    "rate-limit-junk": "the same with a value that is neither: 1m0s",
    "html-200": "15 % of the answers are 200 with an HTML error page, sometimes labelled JSON, or with an empty body",
    "truncated": "15 % of the bodies end halfway: shorter than Content-Length, or chunked without an end",
    "drip": "15 % of the bodies are sent at one byte every 0.2 s, for ten seconds; then the connection is closed",
    "reset": "15 % of the connections are reset, before the answer or in the middle of it",
    "slow": "every answer takes up to 0.3 s longer",
    "redirect": "every page is answered with 302 to another host",
    "loop": "from the middle page on, every page shows the rows of that page, under its own number, without end",
    "clamp": "a page beyond the last shows the rows and the number of the last page",
    "clamp-echo": "a page beyond the last shows the rows of the last page, under the requested number",
    "shift": "while the list is read, a customer of the last pages moves to the front, three times",
    "churn": "while the list is read, one customer joins at its front, one of the first leaves, one more joins",
    "lying-total": "total and total_pages are too low; the pages beyond exist",
    "lying-total-high": "total and total_pages are too high; the pages beyond are empty",
    "dup-across-pages": "the last customer of a page is repeated as an additional first row of the next page",
    "malformed-records": "every sixth row is no object, has no id, or has null, absent or wrongly typed members",
}
"""Every scenario with its description; they can be combined."""


def parse(text: str) -> tuple[str, ...]:
    """The names in a list such as ``flaky,loop``, each once. Raises: UsageError for an unknown one."""
    names = tuple(dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name))
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise UsageError(
            f'there is no scenario "{unknown[0]}"',
            hint="choose from these, separated by commas: " + ", ".join(SCENARIOS),
        )
    return names


@dataclass(frozen=True)
class Mix:
    """The active scenarios, in order."""

    names: tuple[str, ...]
    seed: int

    def fault(self, page: int, earlier: int, scene: Scene) -> Answer | None:
        """The answer that is sent instead of a page; None: the page is sent.

        ``earlier``: how often the page was requested before. In an answer without a body the page is sent, in the send
        mode of that answer.
        """
        name = next(self.failing(page, earlier), None)
        return _FAULTS[name](Dice(self.seed, name, "how", page, earlier), scene) if name else None

    def failing(self, page: int, earlier: int) -> Iterator[str]:
        """The scenarios in which this request fails."""
        random_faults = [name for name in self.names if name in _PERCENT]
        for number, name in enumerate(random_faults, start=1):
            # With few pages a scenario might never show: the first one always fails the first request for page 1, the
            # second one that for page 2, and so on.
            is_certain = page == number and earlier == 0
            if is_certain or Dice(self.seed, name, page, earlier).happens(_PERCENT[name]):
                yield name

    def delay_seconds(self, page: int, earlier: int) -> float:
        """Additional seconds that this answer takes."""
        return Dice(self.seed, "slow", page, earlier).below(300) / 1000 if "slow" in self.names else 0.0


@dataclass(frozen=True)
class Scene:
    """What a faulty answer may contain."""

    now: datetime
    target: str
    """Path and query of the request."""
    elsewhere: str
    """Another host."""


_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>We'll be back soon</h1></body></html>"


def _flaky(dice: Dice, scene: Scene) -> Answer:
    return dice.pick((Answer.error(500, "Internal Server Error"), Answer.error(503, "Service Unavailable")))


def _rate_limited(retry_after: Callable[[datetime], str]) -> Callable[[Dice, Scene], Answer]:
    return lambda dice, scene: Answer.error(
        429, "Too Many Requests", headers=(("Retry-After", retry_after(scene.now)),)
    )


def _http_date(now: datetime) -> str:
    return format_datetime(now.astimezone(UTC) + timedelta(seconds=2), usegmt=True)


def _html(dice: Dice, scene: Scene) -> Answer:
    html = (("Content-Type", "text/html; charset=utf-8"),)
    return dice.pick((Answer(200, _HTML, html), Answer(200, _HTML, html), Answer(200, _HTML), Answer(200, b"")))


def _redirected(dice: Dice, scene: Scene) -> Answer:
    return Answer(302, b"", (("Location", scene.elsewhere + scene.target),))


_FAULTS: dict[str, Callable[[Dice, Scene], Answer]] = {
    "flaky": _flaky,
    "rate-limit-seconds": _rate_limited(lambda now: "1"),
    "rate-limit-date": _rate_limited(_http_date),
    "rate-limit-far": _rate_limited(lambda now: "86400"),
    "rate-limit-junk": _rate_limited(lambda now: "1m0s"),
    "html-200": _html,
    "redirect": _redirected,
    "truncated": lambda dice, scene: Answer(200, None, send_mode=dice.pick(("cut", "unended"))),
    "drip": lambda dice, scene: Answer(200, None, send_mode="dripped"),
    "reset": lambda dice, scene: Answer(200, None, send_mode=dice.pick(("reset", "reset_amid"))),
}
_PERCENT: dict[str, float] = {
    **dict.fromkeys(("flaky", "rate-limit-seconds", "rate-limit-date", "rate-limit-far", "rate-limit-junk"), 20.0),
    **dict.fromkeys(("html-200", "truncated", "drip", "reset"), 15.0),
    "redirect": 100.0,
}
_CHANGES = 3
"""How often the list changes in ``shift`` and ``churn``; after that a client that reads again gets the whole list."""


@dataclass(frozen=True)
class Order:
    """Which customers are in the list, and in which order: some at the front, then the others by their number."""

    customers: int
    front: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    """Customers who moved to the front or left, ascending."""

    def __len__(self) -> int:
        return self.customers - len(self.absent) + len(self.front)

    def at(self, position: int) -> int:
        """The customer at a position from 0."""
        if position < len(self.front):
            return self.front[position]
        number = position - len(self.front)
        for absent in self.absent:
            number += absent <= number
        return number

    def moved(self, position: int) -> Order:
        """The list after the customer at this position has moved to the front."""
        return self.without(position).joined(self.at(position))

    def joined(self, customer: int) -> Order:
        """The list with one more customer, at the front."""
        return Order(self.customers, (customer, *self.front), self.absent)

    def without(self, position: int) -> Order:
        """The list after the customer at this position has left."""
        customer = self.at(position)
        if position < len(self.front):
            return Order(self.customers, tuple(c for c in self.front if c != customer), self.absent)
        return Order(self.customers, self.front, tuple(sorted((*self.absent, customer))))


@dataclass(frozen=True)
class CustomerList:
    """The contents of the pages: a pure function of page, page size, and number of changes so far."""

    world: World
    names: tuple[str, ...]

    def envelope(self, page: int, per_page: int, changes: int) -> dict[str, Any]:
        """The JSON object of one page, without its member ``support``."""
        order = self.order(changes)
        last = _pages(len(order), per_page)
        shown, stated_number = self._shown(page, per_page, len(order)), page
        if shown > last > 0 and {"clamp", "clamp-echo"} & set(self.names):
            shown, stated_number = last, page if "clamp-echo" in self.names else last
        total, total_pages = self._stated_totals(page, per_page, len(order))
        return {
            "page": stated_number,
            "per_page": per_page,
            "total": total,
            "total_pages": total_pages,
            "data": self._rows(order, (shown - 1) * per_page, per_page),
        }

    def _shown(self, page: int, per_page: int, total: int) -> int:
        """The page whose rows are in the answer."""
        return min(page, max(1, (_pages(total, per_page) + 1) // 2)) if "loop" in self.names else page

    def _stated_totals(self, page: int, per_page: int, total: int) -> tuple[int, int]:
        """The stated numbers of customers and of pages."""
        pages = _pages(total, per_page)
        difference = max(1, pages // 3)
        if "loop" in self.names:
            return max(total, (page + 1) * per_page), max(pages, page + 1)
        if "lying-total" in self.names:
            stated_pages = max(1, pages - difference)
            return max(0, min(total - 1, stated_pages * per_page)), stated_pages
        if "lying-total-high" in self.names:
            return total + difference * per_page, pages + difference
        return total, pages

    def _rows(self, order: Order, begin: int, per_page: int) -> list[object]:
        if begin and begin < len(order) and "dup-across-pages" in self.names:
            begin, per_page = begin - 1, per_page + 1
        return [self.row(order.at(position)) for position in range(begin, min(begin + per_page, len(order)))]

    def row(self, index: int) -> object:
        """The row of one customer as it is sent."""
        row = self.world.customer(index)
        if "malformed-records" in self.names and (index - self.world.seed) % 6 == 3:
            return _MALFORMED[(index // 6 + self.world.seed) % len(_MALFORMED)](row)
        return row

    def changes(self, answered: int, per_page: int) -> int:
        """How often the list has changed once ``answered`` pages were sent."""
        if not {"shift", "churn"} & set(self.names):
            return 0
        return min(_CHANGES, answered // max(1, _pages(self.world.customers, per_page) // (_CHANGES + 1)))

    def order(self, changes: int) -> Order:
        """The list after this many changes."""
        order = Order(self.world.customers)
        for number in range(changes):
            dice = Dice(self.world.seed, "change", number)
            third = max(1, len(order) // 3)
            if "shift" in self.names and len(order):
                order = order.moved(len(order) - 1 - dice.below(third))
            if "churn" in self.names:
                leaving = len(order.front) + dice.below(third)
                if number % 2 == 0:
                    order = order.joined(order.customers + number // 2)
                elif leaving < len(order):
                    order = order.without(leaving)
        return order

    def truth(self, changes: int, per_page: int) -> list[Customer]:
        """The customer rows that a perfect client ends with.

        Where some are never shown, the client has to report that it is incomplete.
        """
        if "redirect" in self.names:
            return []
        order = self.order(changes)
        shown = self._shown(len(order), per_page, len(order)) * per_page
        rows = [self.row(order.at(position)) for position in range(min(shown, len(order)))]
        return [row for row in rows if is_customer(row)]

    def departed(self, changes: int) -> list[Customer]:
        """Rows of the customers who have left; a client may have received them or not."""
        order = self.order(changes)
        rows = [self.row(index) for index in order.absent if index not in order.front]
        return [row for row in rows if is_customer(row)]


def is_customer(row: object) -> TypeGuard[Customer]:
    """Whether a row is a customer: an object with an id, a name or an e-mail address."""
    return isinstance(row, dict) and any(row.get(name) for name in ("id", "email", "first_name", "last_name"))


def _pages(total: int, per_page: int) -> int:
    return -(-total // per_page)


_MALFORMED: tuple[Callable[[Customer], object], ...] = (
    lambda row: None,
    lambda row: {name: value for name, value in row.items() if name != "id"},
    lambda row: row | {"id": str(row["id"])},
    lambda row: row | {"first_name": None, "last_name": None, "email": None},
    lambda row: "see page 1",
    lambda row: {"id": row["id"], "email": row.get("email")},
    lambda row: row | {"email": 17, "first_name": ["Eve"], "avatar": {}, "engagement_score": "very", "plan": True},
    lambda row: row | {"last_active_at": 1700000000, "total_spent": "1,200.50", "country": 49},
    lambda row: {},
    lambda row: row | {"id": None},
    lambda row: [row["id"], row.get("email")],
    lambda row: 404,
)
