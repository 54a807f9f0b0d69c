"""Every setting of the service in one frozen class, read from the environment and ``service.toml``.

Environment variables win over the file. ``SERVICE_X_FILE`` names a file that holds the value of ``SERVICE_X`` (for
secrets). A misspelt variable stops the start, with a suggestion: pydantic-settings alone would ignore it silently, and
the service would run with a default that no user chose.

The defaults of what the pipeline gets are those of its values (``Rules``, ``Guards``, ``AnalyticsRules``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableVariable

from service.analytics_rules import AnalyticsRules, AnalyticsTables
from service.available_memory import LEAST_MB, limit_for_a_batch_mb
from service.complaints import closest, complaint, plain_message
from service.errors import SettingsError
from service.model import DateOrder, Guards, Rules
from service.raw_settings import DEFAULT_STALL_MINUTES, DEFAULT_STATE, PREFIX, TOML_FILE, from_files, from_toml
from service.setting_types import (
    ApiUrl,
    ComparedMatcher,
    EngineName,
    HeaderSecret,
    MatcherName,
    NotifyUrls,
    PageUrl,
    ProxyUrl,
    SparkMaster,
    Token,
)
from service.sources import Region, SourceSettings, sources_of

_KEY_IN_CLEAR = (
    "SERVICE_API_URL is http:// and the key would go unencrypted: use https://, or set SERVICE_API_ALLOW_HTTP=true"
)
_SAFE_ON_SPARK = "{}=safe compares all records in one process, and SERVICE_ENGINE=spark works on many: set only one"
_SAFE_TWICE = (
    "SERVICE_COMPARE_MATCHING=safe compares the set with what SERVICE_MATCHING=safe makes, and that is in force: "
    "set only one"
)
_PAGES: Mapping[str, str] = {"sources": "docs/sources.md", "analytics": "docs/analytics.md"}
"""Setting that is a table -> the page that describes it."""
_POSIX_ZONE = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d{1,2}(?::\d{2}){0,2}(?:[A-Za-z<].*)?")
"""Such as ``UTC0`` or ``CET-1CEST,M3.5.0,M10.5.0/3``."""


class Settings(BaseSettings):
    """Every setting; the descriptions are the table of docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    inbox: Path = Field(Path("inbox"), description="folder users drop exports into")
    outbox: Path = Field(Path("outbox"), description="folder results are published in")
    state: Path = Field(DEFAULT_STATE, description="folder of the identity register and health; keep it")

    sources: tuple[SourceSettings, ...] = Field(
        (), description="further sources, or changes of CRM and ECOM: `[[sources]]` in `service.toml`, docs/sources.md"
    )
    default_region: Region = Field(Rules.default_region, description="region of phone numbers without a country code")
    date_order: DateOrder = Field(
        Rules.date_order, description="order of `01/02/2024` if the other dates of its column do not show it"
    )
    matching: MatcherName = Field(
        Rules.matching,
        description="rule for the same customer; `literal`: same email, phone or name; `safe`: evidence is weighed",
    )
    compare_matching: ComparedMatcher = Field(
        Rules.compare_matching,
        description="`safe`: also report, in `literal_cost.csv`, which customers `safe` would part and which it would "
        "join; the set stays that of `SERVICE_MATCHING`",
    )
    survivorship: Literal["fill", "record"] = Field(
        Rules.survivorship,
        description="`fill`: gaps of the kept record are filled from the others; `record`: kept unchanged",
    )
    max_reject_percent: float = Field(
        Guards.max_reject_percent,
        ge=0,
        le=100,
        description="a source with a larger share of rejects (and at least 100) fails the batch",
    )
    volume_guard_rows: int = Field(
        Guards.volume_guard_rows, ge=0, description="the volume guard applies to sources that had this many rows"
    )
    min_volume_percent: float = Field(
        Guards.min_volume_percent,
        ge=0,
        le=100,
        description="a guarded source with a smaller share of its previous rows fails the batch",
    )
    csv_formula_escape: bool = Field(
        Rules.formula_escape, description="prefix cells that a spreadsheet would run as a formula with `'`"
    )
    csv_bom: bool = Field(Rules.csv_bom, description="begin the CSV files for people with a byte order mark, for Excel")

    active_days: int = Field(
        AnalyticsRules.active_days,
        ge=1,
        le=36_500,
        description="analytics: a customer seen within this many days is active",
    )
    analytics: AnalyticsTables | None = Field(
        None, description="analytics: thresholds and words, `[analytics]` in `service.toml`, docs/analytics.md"
    )

    rescan_seconds: float = Field(2, gt=0, le=30, description="the inbox is scanned at least this often")
    settle_seconds: float = Field(5, gt=0, description="a file without a better proof must be unchanged for this long")
    partner_warning_minutes: float = Field(60, gt=0, description="warn after an export has waited this long for others")
    max_partner_gap_hours: float = Field(24, gt=0, description="warn when the exports of a batch arrived further apart")
    stuck_pair_minutes: float = Field(
        60, gt=0, description="later pairs wait this long for an earlier export that is not ready or cannot be read"
    )
    retry_seconds: float = Field(5, gt=0, description="first pause after a transient error; doubles each time")
    min_free_mb: int = Field(512, ge=0, description="with less free disk space than this, health is degraded")
    keep_batches: int = Field(30, ge=0, description="published sets and archives to keep for each job; 0 = all")
    stop_seconds: float = Field(8, gt=0, description="time to finish or abandon work after a stop signal")
    stall_minutes: float = Field(
        DEFAULT_STALL_MINUTES, gt=0, description="health fails after this long in a stage of a batch without a row done"
    )

    api_url: ApiUrl | None = Field(None, description="collection of the customers API that `sync` reads: `https://…`")
    api_key: HeaderSecret | None = Field(
        None, description="API key, sent as `x-api-key`; prefer `SERVICE_API_KEY_FILE`"
    )
    api_per_page: int = Field(100, ge=1, description="customers requested per page; the API may return fewer")
    api_concurrency: int = Field(4, ge=1, le=64, description="concurrent requests")
    api_requests_per_second: float = Field(10, ge=0, description="maximum requests per second; 0 = no limit")
    api_request_seconds: float = Field(30, gt=0, description="total time limit of a request")
    api_retry_jitter_seconds: float = Field(0, ge=0, description="random seconds added to each wait before a retry")
    api_longest_wait_seconds: float = Field(
        120, ge=0, description="if the API asks for a longer pause, the run ends and reports when to try again"
    )
    api_max_response_mb: int = Field(32, ge=1, description="maximum size of a response")
    api_max_pages: int = Field(100_000, ge=1, description="the run fails if the API has more pages")
    api_total_is_exact: bool = Field(True, description="fail if the API gives fewer customers than its total")
    api_proxy: ProxyUrl | None = Field(None, description="proxy for the API; proxies of the environment are ignored")
    api_ca_file: Path | None = Field(
        None, description="certificates (PEM) to trust besides the system's, for an API with a private authority"
    )
    api_allow_http: bool = Field(False, description="allow the key to be sent unencrypted to another machine")
    sync_every_minutes: float = Field(0, ge=0, description="`watch` syncs at this interval; 0 = only `sync` by hand")
    sync_minutes: float = Field(60, gt=0, description="a longer run stops; the next one continues it")
    sync_resume_hours: float = Field(1, ge=0, description="a run that began longer ago than this is not resumed")

    http_host: str = Field("127.0.0.1", min_length=1, description="address that the dashboard listens on")
    http_port: int = Field(8080, ge=0, le=65_535, description="port that the dashboard listens on; 0 = a free one")
    http_names: tuple[str, ...] = Field(
        (), description='host names that reach the dashboard, besides addresses and `localhost`: `["dash.example"]`'
    )
    page_url: PageUrl | None = Field(
        None, description="address of the page for people, where a proxy or container publishes it under another one"
    )
    token: Token | None = Field(
        None,
        description="token of the dashboard, needed except on loopback outside of a container; one is made if unset",
    )
    upload_limit_mb: int = Field(1024, ge=1, description="maximum size of a file that is uploaded on the dashboard")
    notify_urls: NotifyUrls | None = Field(
        None, description="where `notify` sends: URLs of Apprise, separated by commas or line breaks"
    )
    notify_after_seconds: float = Field(
        60, ge=0, description="notify of a service that fails or is silent for this long"
    )
    notify_repeat_minutes: float = Field(
        15, ge=0, description="notify at most once in this time of a cause that comes and goes"
    )

    command: str | None = Field(
        None, min_length=1, description="how hints begin commands; unset: as the program was started, by its Python"
    )
    memory_limit_mb: int = Field(
        0,
        ge=0,
        description="memory of the process that works on a batch, from 256 on; larger data is worked on disk; "
        "0 = half of what the cgroup or the machine has",
    )
    threads: int = Field(
        0,
        ge=0,
        description="threads of the engine, and its worker processes (with Spark, of the driver);"
        " 0 = one for each core, as memory allows",
    )
    engine: EngineName = Field(
        "embedded", description="what works on a batch: `embedded`, this process; `spark`, a cluster: the extra `spark`"
    )
    spark_master: SparkMaster = Field(
        "local[*]", description="with `SERVICE_ENGINE=spark`, the master: `local[*]`, `spark://…`, `k8s://…`, `yarn`"
    )

    @field_validator("sources")
    @classmethod
    def _sources_go_together(cls, tables: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        sources_of(tables)
        return tables

    @field_validator("memory_limit_mb")
    @classmethod
    def _memory_suffices(cls, limit_mb: int) -> int:
        if 0 < limit_mb < LEAST_MB:
            raise ValueError(f"is too small for any batch: set at least {LEAST_MB}, or 0 for half of the memory")
        return limit_mb

    @model_validator(mode="after")
    def _go_together(self) -> Settings:
        _refuse_contradictions(self)
        _refuse_shared(inbox=self.inbox.absolute(), outbox=self.outbox.absolute(), state=self.state.absolute())
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
        """The environment first, then the values that ``load`` passes; no dotenv file, no secrets folder."""
        return (env_settings, init_settings)

    @property
    def memory_mb(self) -> int:
        """The memory of the process that works on a batch, now: the limit of a container may change."""
        return self.memory_limit_mb or limit_for_a_batch_mb()

    @property
    def master_of_engine(self) -> str:
        """The master of Spark; empty where the embedded engine works."""
        return self.spark_master if self.engine == "spark" else ""

    def guards(self) -> Guards:
        """The limits that hold back a batch of any job."""
        return Guards(self.max_reject_percent, self.volume_guard_rows, self.min_volume_percent)


def _refuse_contradictions(settings: Settings) -> None:
    """Raises: ValueError where one setting asks for what another rules out."""
    if settings.engine == "spark":
        for name, matching in (("MATCHING", settings.matching), ("COMPARE_MATCHING", settings.compare_matching)):
            if matching == "safe":
                raise ValueError(_SAFE_ON_SPARK.format(f"{PREFIX}{name}"))
    if settings.matching == settings.compare_matching == "safe":
        raise ValueError(_SAFE_TWICE)
    if _sends_key_in_clear(settings):
        raise ValueError(_KEY_IN_CLEAR)
    if settings.sync_every_minutes and settings.api_url is None:
        raise ValueError("SERVICE_SYNC_EVERY_MINUTES is set, but SERVICE_API_URL is not")


def _sends_key_in_clear(settings: Settings) -> bool:
    """Whether the API's key would go over a network unencrypted, which the user has not allowed."""
    parts = urlsplit(settings.api_url or "")
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1") and settings.api_proxy is None
    return parts.scheme == "http" and bool(settings.api_key) and not is_local and not settings.api_allow_http


def _refuse_shared(**folders: Path) -> None:
    """Raises: ValueError where one of the folders lies in another that it must not share."""
    for one, other in (("inbox", "outbox"), ("outbox", "inbox"), ("state", "inbox"), ("inbox", "state")):
        if folders[one].is_relative_to(folders[other]):
            raise ValueError(f"{one} is inside {other}: each needs a folder of its own")
    if folders["state"] == folders["outbox"]:
        raise ValueError("state and outbox are the same folder: each needs its own")


def load(folder: Path = Path()) -> tuple[Settings, list[str]]:
    """Read the settings; ``folder`` may hold ``service.toml``.

    Returns: the settings, and the names of unknown ``SERVICE_*`` variables (platforms inject such names; the caller
    warns about them).
    Raises: SettingsError for a misspelt name, an impossible value, an unreadable file.
    """
    unknown = _unknown_variables(os.environ)
    _refuse_unknown_zone(os.environ.get("TZ", ""))
    values = _known_names(from_toml(folder / TOML_FILE)) | from_files(Settings.model_fields, os.environ)
    try:
        return Settings(**values), unknown
    except ValidationError as error:
        names = {str(it["loc"][0]) for it in error.errors() if it["loc"]}
        pages = [page for name, page in _PAGES.items() if name in names]
        hint = f"see {' and '.join(pages) or 'docs/settings.md'}"
        raise SettingsError("; ".join(_complaints(error, values)), hint=hint) from None
    except UnreadableVariable:
        raise SettingsError(
            f"{PREFIX}SOURCES is not JSON", hint="write [[sources]] in service.toml instead: docs/sources.md"
        ) from None


def _refuse_unknown_zone(name: str) -> None:
    """Raises: SettingsError for a time zone that does not exist: the C library would take it for UTC, silently."""
    zone = name.removeprefix(":")
    if not zone or _POSIX_ZONE.fullmatch(zone) or Path("/etc", zone).is_file():  # absolute paths are themselves
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        if not known:
            return  # there is no list of time zones on this machine
        close = closest(zone, known)
        hint = f"did you mean {close}?" if close else "use a name such as Europe/Berlin, or leave TZ out for UTC"
        raise SettingsError("TZ names no time zone", hint=hint) from None


def _complaints(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    """One message for each wrong setting; never the value, which may be a secret."""
    for found in error.errors():
        match found["loc"]:
            case ("sources", int(number), *rest):
                keys = SourceSettings.model_fields
                yield f"[[sources]] {_table_name(values, number)}: {complaint(found, rest, keys)}"
            case ("sources",) if found["type"] != "value_error":
                yield "sources are written as [[sources]], in two brackets"
            case ("analytics", str(table), *rest) if table in AnalyticsTables.model_fields:
                yield f"[analytics.{table}]: {complaint(found, rest, _keys_of(table))}"
            case ("analytics", *rest) if rest:
                yield f"[analytics]: {complaint(found, rest, AnalyticsTables.model_fields)}"
            case ("analytics",):
                yield "analytics is written as tables: [analytics.channels], [analytics.plans], …"
            case ("sources",) | ():
                yield plain_message(found)
            case location:
                yield f"{PREFIX}{'_'.join(map(str, location)).upper()} {plain_message(found)}"


def _keys_of(table: str) -> Iterable[str]:
    """The keys that a table in ``[analytics]`` may have; none for a table of words, which may have any."""
    model = AnalyticsTables.model_fields[table].annotation
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _table_name(values: Mapping[str, Any], number: int) -> str:
    try:
        return str(values["sources"][number]["name"])
    except (KeyError, IndexError, TypeError):
        return f"number {number + 1}"


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    for name in unknown:
        if close := closest(name, known, cutoff=0.85):
            raise SettingsError(f"there is no setting {name}", hint=f"did you mean {close}?")
    return unknown


def _known_names(values: dict[str, Any]) -> dict[str, Any]:
    """The contents of ``service.toml``. Raises: SettingsError for a name that is no setting."""
    for name in values:
        if name not in Settings.model_fields:
            close = closest(name.lower().removeprefix(PREFIX.lower()), Settings.model_fields)
            hint = f"did you mean {close}?" if close else "see docs/settings.md"
            raise SettingsError(f"{TOML_FILE} has no setting {name!r}", hint=hint)
    return values
