"""What goes wrong with the simulated API: every fault is data, and decided by the seed and the request alone.

Three kinds: faults that strike one answer (the next try may succeed), lists that hold or tell something odd, and slow
answers. A strike is a pure function of (seed, scenario, page, how often that page was asked before), so that clients
with ten connections meet the same faults as those with one.
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
    "rate-limit-junk": "the same with something that is neither: 1m0s",
    "html-200": "15 % of the answers are 200 with an HTML error page, now and then called JSON, or with nothing",
    "truncated": "15 % of the bodies end halfway: shorter than Content-Length, or chunked without an end",
    "drip": "15 % of the bodies come at a byte every 0.2 s, for ten seconds; then the connection is closed",
    "reset": "15 % of the connections are reset, before the answer or in the midst of it",
    "slow": "every answer takes up to 0.3 s longer",
    "redirect": "every page is answered with 302 to another host",
    "loop": "from the middle page on every page shows the rows of that one, under its own number and without end",
    "clamp": "a page beyond the last shows the last, under the last one's number",
    "clamp-echo": "a page beyond the last shows the last, under the number that was asked for",
    "shift": "three times a customer of the last pages moves to the front while the list is read",
    "churn": "while the list is read one customer joins at its front, one of the first leaves, one more joins",
    "lying-total": "total and total_pages are too low; the pages beyond are there",
    "lying-total-high": "total and total_pages are too high; the pages beyond are empty",
    "dup-across-pages": "the last customer of a page stands again, as one row more, at the head of the next",
    "malformed-records": "every sixth row is no object, lacks its id, or has members that are null, absent or odd",
}
"""What may be asked for, alone or mixed, each in one line."""


def parse(text: str) -> tuple[str, ...]:
    """The names in ``flaky,loop``; raises ``UsageError`` for one nobody knows."""
    names = tuple(dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name))
    strangers = [name for name in names if name not in SCENARIOS]
    if strangers:
        raise UsageError(
            f'there is no scenario "{strangers[0]}"',
            hint="choose among these, joined by commas: " + ", ".join(SCENARIOS),
        )
    return names


@dataclass(frozen=True)
class Mix:
    """The scenarios that are played, in order."""

    names: tuple[str, ...]
    seed: int

    def fault(self, page: int, times: int, scene: Scene) -> Answer | None:
        """What is answered instead of a page that was asked for ``times`` times before; None = the page itself.

        An answer without a body is the way in which the page is sent.
        """
        name = next(self.struck(page, times), None)
        return _FAULTS[name](Dice(self.seed, name, "how", page, times), scene) if name else None

    def struck(self, page: int, times: int) -> Iterator[str]:
        """The scenarios that strike this try."""
        striking = [name for name in self.names if name in _PERCENT]
        for place, name in enumerate(striking, start=1):
            # Whoever plays a scenario on two pages wants to see it: the first one strikes page 1 for certain, the
            # second page 2, …, once.
            is_certain = page == place and times == 0
            if is_certain or Dice(self.seed, name, page, times).happens(_PERCENT[name]):
                yield name

    def delay_seconds(self, page: int, times: int) -> float:
        """How much longer this answer takes."""
        return Dice(self.seed, "slow", page, times).below(300) / 1000 if "slow" in self.names else 0.0


@dataclass(frozen=True)
class Scene:
    """What a fault may speak of."""

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
"""How often the list changes in ``shift`` and ``churn``; then it stands still, so that a patient client ends."""


@dataclass(frozen=True)
class Order:
    """Which customers stand in the list, and in which order: some at the front, then the others by their number."""

    customers: int
    front: tuple[int, ...] = ()
    absent: tuple[int, ...] = ()
    """Who is not at the place of his number any more, ascending: he moved to the front, or left."""

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
        """The customer at the position is the first now."""
        return self.without(position).joined(self.at(position))

    def joined(self, customer: int) -> Order:
        """With one more customer at the front."""
        return Order(self.customers, (customer, *self.front), self.absent)

    def without(self, position: int) -> Order:
        """The customer at the position left."""
        customer = self.at(position)
        if position < len(self.front):
            return Order(self.customers, tuple(c for c in self.front if c != customer), self.absent)
        return Order(self.customers, self.front, tuple(sorted((*self.absent, customer))))


@dataclass(frozen=True)
class CustomerList:
    """What the pages hold and tell, a pure function of page, size of the pages, and number of changes so far."""

    world: World
    names: tuple[str, ...]

    def envelope(self, page: int, per_page: int, changes: int) -> dict[str, Any]:
        """The JSON object of one page, but for what it says of the sponsor."""
        order = self.order(changes)
        last = _pages(len(order), per_page)
        shown, called = self._shown(page, per_page, len(order)), page
        if shown > last > 0 and {"clamp", "clamp-echo"} & set(self.names):
            shown, called = last, page if "clamp-echo" in self.names else last
        total, total_pages = self._told(page, per_page, len(order))
        return {
            "page": called,
            "per_page": per_page,
            "total": total,
            "total_pages": total_pages,
            "data": self._rows(order, (shown - 1) * per_page, per_page),
        }

    def _shown(self, page: int, per_page: int, total: int) -> int:
        """The page whose rows are shown."""
        return min(page, max(1, (_pages(total, per_page) + 1) // 2)) if "loop" in self.names else page

    def _told(self, page: int, per_page: int, total: int) -> tuple[int, int]:
        """What is said of the number of customers and of pages."""
        pages = _pages(total, per_page)
        amiss = max(1, pages // 3)
        if "loop" in self.names:
            return max(total, (page + 1) * per_page), max(pages, page + 1)
        if "lying-total" in self.names:
            told = max(1, pages - amiss)
            return max(0, min(total - 1, told * per_page)), told
        if "lying-total-high" in self.names:
            return total + amiss * per_page, pages + amiss
        return total, pages

    def _rows(self, order: Order, begin: int, per_page: int) -> list[object]:
        if begin and begin < len(order) and "dup-across-pages" in self.names:
            begin, per_page = begin - 1, per_page + 1
        return [self.row(order.at(position)) for position in range(begin, min(begin + per_page, len(order)))]

    def row(self, index: int) -> object:
        """The row of one customer, as it is sent."""
        row = self.world.customer(index)
        if "malformed-records" in self.names and (index - self.world.seed) % 6 == 3:
            return _MALFORMED[(index // 6 + self.world.seed) % len(_MALFORMED)](row)
        return row

    def changes(self, answered: int, per_page: int) -> int:
        """How often the list has changed after so many pages were given."""
        if not {"shift", "churn"} & set(self.names):
            return 0
        return min(_CHANGES, answered // max(1, _pages(self.world.customers, per_page) // (_CHANGES + 1)))

    def order(self, changes: int) -> Order:
        """The list after so many changes."""
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
        """The customer rows a perfect client ends with; where some are never shown it must say that it has not all."""
        if "redirect" in self.names:
            return []
        order = self.order(changes)
        shown = self._shown(len(order), per_page, len(order)) * per_page
        rows = [self.row(order.at(position)) for position in range(min(shown, len(order)))]
        return [row for row in rows if is_customer(row)]

    def departed(self, changes: int) -> list[Customer]:
        """Rows of those who left meanwhile; a client may have met them or not."""
        order = self.order(changes)
        rows = [self.row(index) for index in order.absent if index not in order.front]
        return [row for row in rows if is_customer(row)]


def is_customer(row: object) -> TypeGuard[Customer]:
    """Whether a row tells of a customer: an object that says an id, a name or an address."""
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
