"""Settings: every value with its origin, the version, and the checks of readiness."""

from __future__ import annotations

import platform
from datetime import UTC
from typing import Any

from msgspec import Struct

from service import __version__, health
from service.dashboard.routes import NoParameters, PageRoute
from service.dashboard.site import Site
from service.effective import EffectiveSetting, effective_settings


class CheckResult(Struct, frozen=True, kw_only=True):
    """One check of readiness."""

    name: str
    is_ok: bool
    sentence: str


class SettingsView(Struct, frozen=True, kw_only=True):
    """The dashboard's own settings; the watcher has the same where both were started alike."""

    version: str
    python: str
    checks: tuple[CheckResult, ...]
    settings: tuple[EffectiveSetting, ...]


def checks_of(site: Site) -> tuple[CheckResult, ...]:
    """The checks whether the watcher is ready to work, as ``/readyz`` answers them."""
    settings = site.settings
    found = health.readiness(
        site.folders,
        site.now().astimezone(UTC),
        stall_minutes=settings.stall_minutes,
        min_free_mb=settings.min_free_mb,
    )
    return tuple(CheckResult(name=it.name, is_ok=it.is_ok, sentence=it.sentence) for it in found)


def _settings(site: Site, _: NoParameters) -> SettingsView:
    return SettingsView(
        version=__version__,
        python=platform.python_version(),
        checks=checks_of(site),
        settings=effective_settings(site.settings),
    )


PAGES: tuple[PageRoute[Any, Any], ...] = (
    PageRoute("settings_page", "/settings", "settings, version and readiness", NoParameters, SettingsView, _settings),
)
