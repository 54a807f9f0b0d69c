"""Every page and action of the dashboard; a new one is a module and its line here."""

from __future__ import annotations

from typing import Any

from service.dashboard.pages import analytics, overview, runbook, settings
from service.dashboard.routes import ActionRoute, PageRoute

PAGES: tuple[PageRoute[Any, Any], ...] = (*overview.PAGES, *analytics.PAGES, *settings.PAGES, *runbook.PAGES)
ACTIONS: tuple[ActionRoute[Any, Any], ...] = ()
