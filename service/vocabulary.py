"""What the analytics export may say, and by which thresholds and words: ``[analytics]`` in ``service.toml``.

A table there extends the words below or changes what one of them means; ``unknown`` as a meaning takes a word away.
See docs/analytics.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.model import Guards

Engagement = Literal["high", "medium", "low", "unknown"]
Activity = Literal["active", "inactive", "unknown"]
Channel = Literal["website", "mobile", "email", "unknown"]
Segment = Literal["US-West", "US-East", "EU", "APAC", "other", "unknown"]
Tier = Literal["basic", "premium", "enterprise", "unknown"]

UNITED_STATES = "US"
"""What a region may say besides a segment: the country, whose side something else must tell."""

_DROPPED = re.compile("[.'’]")
_BETWEEN = re.compile(r"[^\w]+|_+")


def word_of(text: str) -> str:
    """What two ways to write the same word have in common: no case, no accents, one blank for all between words.

    >>> [word_of(text) for text in ("Google_Ads", " U.S.A. ", "Côte d’Ivoire", "America/New_York")]
    ['google ads', 'usa', 'cote divoire', 'america new york']
    """
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _BETWEEN.sub(" ", _DROPPED.sub("", text.casefold())).strip()


def _mean(meaning: str, words: str) -> dict[str, str]:
    return dict.fromkeys(words.split(", "), meaning)


CHANNELS: Mapping[str, str] = {
    **_mean("website", "website, web, web site, site, online, webshop, web shop, shop, store, landing page, desktop"),
    **_mean("website", "browser, organic, organic search, search, seo, google, bing, direct"),
    **_mean("mobile", "mobile, mobile app, mobile web, app, in app, ios, ios app, iphone, ipad, android, android app"),
    **_mean("mobile", "app store, google play, play store, sms"),
    **_mean("email", "email, e mail, mail, newsletter, email campaign, email marketing, mailing, mailing list"),
}
PLANS: Mapping[str, str] = {
    **_mean("basic", "basic, free, trial, starter, standard, lite, bronze, personal"),
    **_mean("premium", "premium, pro, professional, plus, gold, silver, team, business"),
    **_mean("enterprise", "enterprise, corporate, platinum, ultimate, unlimited"),
}
REGIONS: Mapping[str, str] = {
    **_mean("US-West", "us west, uswest, west coast, us west coast, western us, us pacific"),
    **_mean("US-East", "us east, useast, east coast, us east coast, eastern us, us eastern"),
    **_mean("EU", "eu, european union"),
    **_mean("APAC", "apac, asia pacific, asia and pacific, oceania, south east asia, southeast asia"),
    **_mean("other", "latam, latin america, south america, africa, middle east, mena"),
    **_mean(UNITED_STATES, "us, usa, united states, united states of america"),
}
"""Europe and EMEA are missing on purpose: neither says whether a customer lives in the EU."""


@dataclass(frozen=True)
class AnalyticsRules:
    """What a user can decide about the analytics export; handed into the pipeline as a value."""

    default_region: str = "US"
    date_order: str = "MDY"
    guards: Guards = field(default_factory=Guards)
    active_days: int = 90
    engagement_high: float = 70
    engagement_medium: float = 40
    orders_high: int = 5
    orders_medium: int = 2
    spent_premium: float = 1_000
    spent_enterprise: float = 10_000
    channels: Mapping[str, str] = field(default_factory=lambda: CHANNELS, hash=False)
    """Word -> what it means; so the next two. A meaning ``unknown`` is none."""
    plans: Mapping[str, str] = field(default_factory=lambda: PLANS, hash=False)
    regions: Mapping[str, str] = field(default_factory=lambda: REGIONS, hash=False)


def _words(table: Any, meanings: Sequence[str]) -> Any:
    if not isinstance(table, dict):
        raise ValueError("is a table of words and what they mean")  # noqa: TRY004  # pydantic makes a complaint of no other
    spelt: dict[str, str] = {}
    for written, meaning in table.items():
        word = word_of(str(written))
        if not word:
            raise ValueError("has a word without letters")
        if table[spelt.setdefault(word, written)] != meaning:
            raise ValueError(f"has {spelt[word]!r} and {written!r}, which are one word, and gives it two meanings")
        if meaning not in meanings:
            known = [it for it in meanings if it.casefold() == str(meaning).casefold()]
            close = known or get_close_matches(str(meaning), meanings, n=1)
            suggestion = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"maps {written!r} to none of {', '.join(meanings)}{suggestion}")
    return {word_of(str(written)): meaning for written, meaning in table.items()}


ChannelWords = Annotated[dict[str, str], BeforeValidator(lambda table: _words(table, get_args(Channel)))]
PlanWords = Annotated[dict[str, str], BeforeValidator(lambda table: _words(table, get_args(Tier)))]
RegionWords = Annotated[
    dict[str, str], BeforeValidator(lambda table: _words(table, (*get_args(Segment), UNITED_STATES)))
]


class _Thresholds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _higher_is_higher(self) -> _Thresholds:
        (lower, low), (higher, high) = ((name, getattr(self, name)) for name in type(self).model_fields)
        if not low < high:
            raise ValueError(f"needs {higher} above {lower}")
        return self


class EngagementThresholds(_Thresholds):
    """From which ``engagement_score`` on a customer is so engaged."""

    medium: float = Field(default=40, ge=0, le=100)
    high: float = Field(default=70, ge=0, le=100)


class OrdersThresholds(_Thresholds):
    """From how many orders on, where there is no score."""

    medium: int = Field(default=2, ge=1)
    high: int = Field(default=5, ge=1)


class SpentThresholds(_Thresholds):
    """From which ``total_spent`` on a customer is in that tier, where there is no plan."""

    premium: float = Field(default=1_000, ge=0)
    enterprise: float = Field(default=10_000, ge=0)


class AnalyticsSettings(BaseModel):
    """The table ``[analytics]``; what is left out is as built in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engagement: EngagementThresholds = EngagementThresholds()
    orders: OrdersThresholds = OrdersThresholds()
    spent: SpentThresholds = SpentThresholds()
    channels: ChannelWords = Field(default_factory=dict)
    plans: PlanWords = Field(default_factory=dict)
    regions: RegionWords = Field(default_factory=dict)

    def rules(self) -> AnalyticsRules:
        """The rules these tables make; the other settings are at their defaults."""
        return AnalyticsRules(
            engagement_high=self.engagement.high,
            engagement_medium=self.engagement.medium,
            orders_high=self.orders.high,
            orders_medium=self.orders.medium,
            spent_premium=self.spent.premium,
            spent_enterprise=self.spent.enterprise,
            channels={**CHANNELS, **self.channels},
            plans={**PLANS, **self.plans},
            regions={**REGIONS, **self.regions},
        )


def complaint_of(location: Sequence[int | str], kind: str, what: str) -> str:
    """What is wrong at a place of ``[analytics]``, in words for whoever wrote it."""
    table, *rest = map(str, location)
    if kind == "extra_forbidden":
        tables = AnalyticsSettings.model_fields
        model = tables[table].annotation if rest else AnalyticsSettings
        known = list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
        close = get_close_matches(rest[0] if rest else table, known, n=1)
        suggestion = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
        return f"[analytics{f'.{table}' if rest else ''}]: there is no {(rest or [table])[0]!r}{suggestion}"
    return f"[analytics.{table}]: {' '.join([*rest[:1], what])}"
