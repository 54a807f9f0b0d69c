"""Every page and action of the dashboard; a new one is a module and its line here."""

from __future__ import annotations

from typing import Any

from service.dashboard.pages import (
    analytics,
    answers,
    batch,
    batches,
    customer,
    customers,
    duplicates,
    live,
    overview,
    quarantine,
    review,
    runbook,
    sample,
    settings,
    upload,
)
from service.dashboard.routes import ActionRoute, FileRoute, PageRoute, UploadRoute

PAGES: tuple[PageRoute[Any, Any], ...] = (
    *overview.PAGES,
    *live.PAGES,
    *batches.PAGES,
    *batch.PAGES,
    *customers.PAGES,
    *customer.PAGES,
    *duplicates.PAGES,
    *review.PAGES,
    *quarantine.PAGES,
    *analytics.PAGES,
    *settings.PAGES,
    *runbook.PAGES,
)
ACTIONS: tuple[ActionRoute[Any, Any], ...] = (
    *batch.ACTIONS,
    *answers.ACTIONS,
    *quarantine.ACTIONS,
    *sample.ACTIONS,
)
FILES: tuple[FileRoute[Any], ...] = (*batch.FILES, *answers.FILES, *quarantine.FILES)
UPLOADS: tuple[UploadRoute[Any, Any], ...] = (*upload.UPLOADS, *answers.UPLOADS)
