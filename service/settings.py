"""Every setting of the service in one frozen class, read from the environment and ``service.toml``.

Environment variables win over the file. ``SERVICE_X_FILE`` names a file that holds the value of
``SERVICE_X`` (for secrets). A misspelt variable stops the start, with a suggestion: pydantic-settings alone
would ignore it in silence, and the service would run with a default nobody chose.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from service.errors import SettingsError
from service.model import Guards, Rules
from service.sources import DateOrder, Region, SourceSettings, complaint_of, sources_of
from service.vocabulary import AnalyticsRules, AnalyticsSettings
from service.vocabulary import complaint_of as complaint_of_analytics

PREFIX = "SERVICE_"
TOML_FILE = "service.toml"
_PAGES: Mapping[str, str] = {"sources": "docs/sources.md", "analytics": "docs/analytics.md"}
"""Settings that are tables -> where these are described."""


class Settings(BaseSettings):
    """What can be set; the descriptions below are the settings table of the README."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, allow_inf_nan=False
    )

    inbox: Path = Field(Path("inbox"), description="folder users drop exports into")
    outbox: Path = Field(Path("outbox"), description="folder results are published in")
    state: Path = Field(Path("state"), description="folder of the identity register and health; keep it")

    sources: tuple[SourceSettings, ...] = Field(
        (), description="further sources, or changes of CRM and ECOM: `[[sources]]` in `service.toml`, docs/sources.md"
    )
    default_region: Region = Field("US", description="region whose phone rules apply to numbers without a country")
    date_order: DateOrder = Field("MDY", description="how `01/02/2024` is read where its column does not tell")
    matching: Literal["literal"] = Field("literal", description="who is the same customer: same email, phone or name")
    survivorship: Literal["fill", "record"] = Field(
        "fill",
        description="`fill`: gaps of the kept record are filled from the others; `record`: kept as it is",
    )
    max_reject_percent: float = Field(
        10,
        ge=0,
        le=100,
        description="a source with more rejects than this (and at least 100) fails the batch",
    )
    volume_guard_rows: int = Field(
        1000, ge=0, description="the volume guard applies to sources that had this many rows"
    )
    min_volume_percent: float = Field(
        50,
        ge=0,
        le=100,
        description="a guarded source with fewer of its former rows than this fails the batch",
    )
    csv_formula_escape: bool = Field(True, description="prefix cells a spreadsheet would run as a formula with `'`")
    csv_bom: bool = Field(False, description="begin the CSV files for people with a byte order mark, for Excel")

    active_days: int = Field(
        90, ge=1, le=36_500, description="analytics: a customer seen within this many days is active"
    )
    analytics: AnalyticsSettings | None = Field(
        None, description="analytics: thresholds and words, `[analytics]` in `service.toml`, docs/analytics.md"
    )

    rescan_seconds: float = Field(2, gt=0, le=30, description="the inbox is looked at this often, events or not")
    settle_seconds: float = Field(5, gt=0, description="a file without a better proof must stand still this long")
    partner_warning_minutes: float = Field(60, gt=0, description="warn when half of a pair has waited this long")
    max_partner_gap_hours: float = Field(24, gt=0, description="warn when the halves arrived further apart than this")
    retry_seconds: float = Field(5, gt=0, description="first pause after a fault of the world; doubles each time")
    min_free_mb: int = Field(512, ge=0, description="with less free disk space than this, health is degraded")
    keep_batches: int = Field(
        30, ge=0, description="how many published sets and archives are kept of each job; 0 = all"
    )
    stop_seconds: float = Field(8, gt=0, description="time to finish or abandon work when asked to stop")
    stall_minutes: float = Field(30, gt=0, description="a batch that long in one stage makes health fail")

    api_url: str | None = Field(None, description="collection of the customers API that `sync` reads: `https://…`")
    api_key: SecretStr | None = Field(None, description="its key, sent as `x-api-key`; better `SERVICE_API_KEY_FILE`")
    api_per_page: int = Field(100, ge=1, description="customers to ask for in one request; the API may give fewer")
    api_concurrency: int = Field(4, ge=1, le=64, description="requests under way at the same time")
    api_requests_per_second: float = Field(10, ge=0, description="most requests in a second; 0 = as fast as they come")
    api_request_seconds: float = Field(30, gt=0, description="a request that takes longer, all in all, has failed")
    api_retry_jitter_seconds: float = Field(0, ge=0, description="random seconds on top of each wait before a retry")
    api_longest_wait_seconds: float = Field(
        120, ge=0, description="if the API asks for a longer pause than this, the run ends and tells when to try again"
    )
    api_max_response_mb: int = Field(32, ge=1, description="a larger answer has failed")
    api_max_pages: int = Field(100_000, ge=1, description="an API with more pages has no end")
    api_total_is_exact: bool = Field(True, description="never deliver fewer customers than the API says it has")
    api_proxy: SecretStr | None = Field(
        None, description="proxy to reach the API through; those of the environment do not count"
    )
    api_allow_http: bool = Field(False, description="let the key go unencrypted to another machine")
    sync_every_minutes: float = Field(
        0, ge=0, description="`watch` syncs this often by itself; 0 = only `sync` by hand"
    )
    sync_minutes: float = Field(60, gt=0, description="a run that takes longer ends, and goes on with the next one")
    sync_resume_hours: float = Field(1, ge=0, description="a run that was broken off longer ago is begun anew")

    memory_limit_mb: int = Field(1024, ge=128, description="memory of the engine; beyond it works on disk")
    threads: int = Field(0, ge=0, description="threads of the engine; 0 = one for each core")

    @field_validator("sources")
    @classmethod
    def _sources_go_together(cls, tables: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        sources_of(tables)
        return tables

    @field_validator("api_url")
    @classmethod
    def _is_collection(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with https:// (or http://) and name a host")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold neither user, query nor fragment; a key belongs into SERVICE_API_KEY")
        _ = parts.port  # raises, where it is none
        return url

    @field_validator("api_proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(proxy.get_secret_value() if proxy else "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must begin with http:// (or https://) and name a host")
        _ = parts.port  # raises, where it is none
        return proxy

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else ""
        if not (text.isascii() and text.isprintable()):
            raise ValueError("holds what no header may: letters beyond ASCII, or a line break")
        return SecretStr(text.strip()) if key else None

    @model_validator(mode="after")
    def _key_is_safe(self) -> Settings:
        parts = urlsplit(self.api_url or "")
        is_here = parts.hostname in ("localhost", "127.0.0.1", "::1") and self.api_proxy is None
        if parts.scheme == "http" and self.api_key and not is_here and not self.api_allow_http:
            raise ValueError(
                "SERVICE_API_URL is http:// and the key would go unencrypted: use https://,"
                " or set SERVICE_API_ALLOW_HTTP=true"
            )
        if self.sync_every_minutes and self.api_url is None:
            raise ValueError("SERVICE_SYNC_EVERY_MINUTES is set, but SERVICE_API_URL is not")
        return self

    @model_validator(mode="after")
    def _folders_are_apart(self) -> Settings:
        folders = {name: getattr(self, name).absolute() for name in ("inbox", "outbox", "state")}
        for one, other in (("inbox", "outbox"), ("outbox", "inbox"), ("state", "inbox"), ("inbox", "state")):
            if folders[one].is_relative_to(folders[other]):
                raise ValueError(f"{one} lies in {other}: each needs a folder of its own")
        if folders["state"] == folders["outbox"]:
            raise ValueError("state and outbox are one folder: each needs its own")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what ``load`` hands in and the environment count; dotenv and secrets folders do not."""
        return (env_settings, init_settings)

    def _guards(self) -> Guards:
        return Guards(self.max_reject_percent, self.volume_guard_rows, self.min_volume_percent)

    def rules(self) -> Rules:
        """The part that the pipeline goes by."""
        return Rules(
            sources=sources_of(self.sources),
            default_region=self.default_region,
            date_order=self.date_order,
            survivorship=self.survivorship,
            guards=self._guards(),
            formula_escape=self.csv_formula_escape,
            csv_bom=self.csv_bom,
        )

    def analytics_rules(self) -> AnalyticsRules:
        """The part that the analytics export goes by."""
        return replace(
            (self.analytics or AnalyticsSettings()).rules(),
            default_region=self.default_region,
            date_order=self.date_order,
            guards=self._guards(),
            active_days=self.active_days,
        )


def load(folder: Path = Path()) -> tuple[Settings, list[str]]:
    """Read the settings; ``folder`` is where ``service.toml`` may lie.

    Returns: the settings, and the names of ``SERVICE_*`` variables that mean nothing to us (platforms
    inject such names; the caller warns of them).
    Raises: SettingsError for a misspelt name, an impossible value, an unreadable file.
    """
    strangers = _unknown_variables(os.environ)
    values = _from_toml(folder / TOML_FILE) | _from_files(os.environ)
    try:
        return Settings(**values), strangers
    except ValidationError as error:
        about = {str(it["loc"][0]) for it in error.errors() if it["loc"]}
        pages = [page for name, page in _PAGES.items() if name in about]
        hint = f"see {' and '.join(pages) or 'the settings table in README.md'}"
        raise SettingsError("; ".join(_complaints(error, values)), hint=hint) from None
    except UnreadableVariable:
        raise SettingsError(
            f"{PREFIX}SOURCES is no JSON", hint="write [[sources]] in service.toml instead: docs/sources.md"
        ) from None


def _complaints(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with each setting; never the value, it may be a secret."""
    for found in error.errors():
        what = found["msg"].removeprefix("Value error, ")
        match found["loc"]:
            case ("sources", int(number), *rest):
                yield f"[[sources]] {_table_name(values, number)}: {complaint_of(rest, found['type'], what)}"
            case ("sources",):
                yield what if found["type"] == "value_error" else "sources are written as [[sources]], in two brackets"
            case ("analytics", *rest) if rest:
                yield complaint_of_analytics(rest, found["type"], what)
            case ("analytics",):
                yield "analytics is written as tables: [analytics.channels], [analytics.plans], …"
            case location:
                yield f"{PREFIX}{'_'.join(map(str, location)).upper()} {what}" if location else what


def _table_name(values: Mapping[str, Any], number: int) -> str:
    try:
        return str(values["sources"][number]["name"])
    except (KeyError, IndexError, TypeError):
        return f"number {number + 1}"


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    strangers = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    for stranger in strangers:
        if close := get_close_matches(stranger, sorted(known), n=1, cutoff=0.85):
            raise SettingsError(f"there is no setting {stranger}", hint=f"did you mean {close[0]}?")
    return strangers


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path.name} cannot be read: {error}", hint="mend the file or remove it") from None
    for name in values:
        if name not in Settings.model_fields:
            plain = name.lower().removeprefix(PREFIX.lower())
            close = get_close_matches(plain, list(Settings.model_fields), n=1)
            hint = f"did you mean {close[0]}?" if close else "see the settings table in README.md"
            raise SettingsError(f"{path.name} has no setting {name!r}", hint=hint)
    return values


def _from_files(environment: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = f"{PREFIX}{name.upper()}"
        path = environment.get(f"{variable}_FILE")
        if not path or environment.get(variable):
            continue
        try:
            values[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"{variable}_FILE names a file that cannot be read", hint=f"check the path in {variable}_FILE"
            ) from None
    return values
