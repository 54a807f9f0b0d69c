"""The overview: whether the service works, what waits, what runs, and what came out last."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.dashboard.page_frame import PillState, service_state
from service.dashboard.routes import NoParameters, PageRoute
from service.dashboard.site import Site
from service.documents import HealthReport


class Overview(Struct, frozen=True, kw_only=True):
    """The condition of the service."""

    state: PillState
    sentence: str
    health: HealthReport | None


def _overview(site: Site, _: NoParameters) -> Overview:
    found = service_state(site)
    return Overview(state=found.state, sentence=found.sentence, health=found.report)


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("overview", "/", "the condition of the service", NoParameters, Overview, _overview),
)
