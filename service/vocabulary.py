"""The vocabulary of the analytics export: the values of its fields, and the built-in words that mean one of them.

``[analytics]`` in ``service.toml`` adds words or changes their meaning: ``service/analytics_rules.py``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

from service.data import read_toml
from service.printable import bounded

Engagement = Literal["high", "medium", "low", "unknown"]
Activity = Literal["active", "inactive", "unknown"]
Channel = Literal["website", "mobile", "email", "unknown"]
Segment = Literal["US-West", "US-East", "EU", "APAC", "other", "unknown"]
Tier = Literal["basic", "premium", "enterprise", "unknown"]

UNKNOWN = "unknown"
"""The value of a field without evidence. As the meaning of a word it removes the word."""
UNITED_STATES = "US"
"""What a region or country may mean besides a segment: other evidence decides between US-West and US-East."""

_REMOVED = re.compile("[.'’]")
_SEPARATORS = re.compile(r"[^\w]+|_+")


def word_of(text: str) -> str:
    """The form in which words are compared: no case, no accents, one blank between words.

    >>> [word_of(text) for text in ("Google_Ads", " U.S.A. ", "Côte d’Ivoire", "America/New_York")]
    ['google ads', 'usa', 'cote divoire', 'america new york']
    """
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", bounded(text)) if not unicodedata.combining(c))
    return _SEPARATORS.sub(" ", _REMOVED.sub("", text.casefold())).strip()


_BUILT_IN: Mapping[str, Mapping[str, str]] = read_toml("words.toml")["analytics"]

CHANNELS, PLANS, REGIONS = (_BUILT_IN[table] for table in ("channels", "plans", "regions"))
"""Word, as ``word_of`` returns it -> its meaning."""
