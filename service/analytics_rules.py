"""The user's decisions about the analytics export: thresholds and words, ``[analytics]`` in ``service.toml``.

The tables of ``service.toml`` are the values that the pipeline gets, so each default is stated once. See
docs/analytics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from service.complaints import suggestion
from service.model import DateOrder, Guards, Rules
from service.vocabulary import CHANNELS, PLANS, REGIONS, UNITED_STATES, Channel, Segment, Tier, word_of


def _extended(built_in: Mapping[str, str], meanings: Sequence[str], table: Any) -> dict[str, str]:
    """The built-in words, extended and changed by a user's table of words and meanings.

    Raises: ValueError if the table gives a word no known meaning, or two meanings.
    """
    if not isinstance(table, Mapping):
        raise ValueError("is a table of words and their meanings")  # noqa: TRY004  # pydantic reports ValueErrors only
    spelling_of: dict[str, str] = {}
    for written, meaning in table.items():
        word = word_of(str(written))
        if not word:
            raise ValueError("has a word without letters")
        first = spelling_of.setdefault(word, written)
        if table[first] != meaning:
            raise ValueError(f"has {first!r} and {written!r}, which are the same word, with different meanings")
        if meaning not in meanings:
            raise ValueError(f"maps {written!r} to none of {', '.join(meanings)}{suggestion(str(meaning), meanings)}")
    return {**built_in, **{word: table[written] for word, written in spelling_of.items()}}


ChannelWords = Annotated[Mapping[str, str], BeforeValidator(partial(_extended, CHANNELS, get_args(Channel)))]
PlanWords = Annotated[Mapping[str, str], BeforeValidator(partial(_extended, PLANS, get_args(Tier)))]
RegionWords = Annotated[
    Mapping[str, str], BeforeValidator(partial(_extended, REGIONS, (*get_args(Segment), UNITED_STATES)))
]


class _Thresholds(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _are_in_order(self) -> _Thresholds:
        (lower, low), (higher, high) = ((name, getattr(self, name)) for name in type(self).model_fields)
        if not low < high:
            raise ValueError(f"needs {higher} above {lower}")
        return self


class EngagementThresholds(_Thresholds):
    """The lowest ``engagement_score`` of each level."""

    medium: float = Field(default=40, ge=0, le=100)
    high: float = Field(default=70, ge=0, le=100)


class OrdersThresholds(_Thresholds):
    """The fewest orders of each engagement level, for customers without a score."""

    medium: int = Field(default=2, ge=1)
    high: int = Field(default=5, ge=1)


class SpentThresholds(_Thresholds):
    """The lowest ``total_spent`` of each tier, for customers without a plan."""

    premium: float = Field(default=1_000, ge=0)
    enterprise: float = Field(default=10_000, ge=0)


class AnalyticsTables(BaseModel):
    """The table ``[analytics]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engagement: EngagementThresholds = EngagementThresholds()
    orders: OrdersThresholds = OrdersThresholds()
    spent: SpentThresholds = SpentThresholds()
    channels: ChannelWords = CHANNELS
    """Word -> meaning, the built-in words included; a word that means ``unknown`` has no meaning."""
    plans: PlanWords = PLANS
    regions: RegionWords = REGIONS


@dataclass(frozen=True)
class AnalyticsRules:
    """All of the user's decisions about the analytics export."""

    default_region: str = Rules.default_region
    date_order: DateOrder = Rules.date_order
    guards: Guards = field(default_factory=Guards)
    active_days: int = 90
    """A customer seen within this many days before the export is active."""
    tables: AnalyticsTables = field(default_factory=AnalyticsTables, hash=False)
