"""Every page and action of the dashboard; a new one is a module and its line here."""

from __future__ import annotations

from typing import Any

from service.dashboard.pages import live, overview, sample, upload
from service.dashboard.routes import ActionRoute, PageRoute, UploadRoute

PAGES: tuple[PageRoute[Any, Any], ...] = (*overview.PAGES, *live.PAGES)
ACTIONS: tuple[ActionRoute[Any, Any], ...] = (*sample.ACTIONS,)
UPLOADS: tuple[UploadRoute[Any, Any], ...] = upload.UPLOADS
