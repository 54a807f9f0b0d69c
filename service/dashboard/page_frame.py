"""The frame of every page: title bar, state of the service, and the pages it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from service import __version__, documents, health
from service.container import is_image
from service.dashboard.site import Site
from service.documents import HealthReport, MalformedDocument
from service.inbox import partner_name
from service.state import State

PillState = Literal["ok", "degraded", "failing"]
_WORDS: dict[PillState, str] = {"ok": "OK", "degraded": "Needs attention", "failing": "Failing"}
NAVIGATION = (
    ("overview", "Overview"),
    ("batches", "Batches"),
    ("customers", "Customers"),
    ("duplicates", "Duplicates"),
    ("review", "Review"),
    ("quarantine", "Quarantine"),
    ("analytics", "Analytics"),
)
"""Endpoint and title of the pages in the title bar."""


@dataclass(frozen=True)
class ServiceState:
    """The state of the watcher, as a person should see it at a glance."""

    state: PillState
    sentence: str
    """Why, in words."""
    report: HealthReport | None
    """What the watcher wrote last; None where it cannot be read."""
    is_silent: bool = False
    """Whether the watcher is dead, stopped or hangs, so that nothing is processed and ``report`` is old."""

    @property
    def word(self) -> str:
        """The state in one or two words."""
        return _WORDS[self.state]


def service_state(site: Site) -> ServiceState:
    """The state of the watcher now, also where it is dead or silent. The sample has none, and needs none."""
    settings = site.settings
    report = _report(site)
    if site.is_sample:
        return ServiceState("ok", "", report)
    if not State(settings.state).is_taken():
        return ServiceState("failing", "the watcher is not running", report, is_silent=True)
    check = health.judge(settings.state, site.now().astimezone(UTC), stall_minutes=settings.stall_minutes)
    if report is not None and (check.is_healthy or check.sentence == f"failing: {'; '.join(report.reasons)}"):
        return ServiceState(report.state, "; ".join(report.reasons), report)
    return ServiceState("failing", check.sentence.removeprefix("failing: "), report, is_silent=True)


def _report(site: Site) -> HealthReport | None:
    try:
        return documents.read(site.state.health, HealthReport)
    except (OSError, MalformedDocument):
        return None


@dataclass(frozen=True)
class Frame:
    """What the frame shows beside the view of a page."""

    service: ServiceState
    version: str
    is_sample: bool
    required_exports: tuple[str, ...]
    """Names of the exports that make a customer master."""
    is_image: bool
    """Whether the dashboard runs in the image, so that its folders are not those of the host."""
    now: str
    """Of the clock by which the times of the page are relative, in ISO 8601."""

    @classmethod
    def of(cls, site: Site) -> Frame:
        """The frame of a page that is built now."""
        names = tuple(partner_name(source, "") for source in site.required_sources)
        return cls(service_state(site), __version__, site.is_sample, names, is_image(), site.now().isoformat())
