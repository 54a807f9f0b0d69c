"""The rate that an API permits, learned from the requests that it refuses: arithmetic over times that are passed in.

An API that refuses a request and does not state a pause leaves its limit to be found. Requests are then sent one at a
time. The time between two of them begins as that between the pages of the last ten seconds, is narrowed between the
longest that was refused and the shortest that was permitted, and becomes ten per cent shorter after each ten pages.
"""

from __future__ import annotations

import math
from collections import deque

_WINDOW_SECONDS = 10.0
_FIRST_GUESS_SECONDS = 1.0
_SHORTEST_SECONDS = 0.25
"""Doubled for the second refusal in a row, and so on."""
_LONGEST_PAUSE_SECONDS = 60.0
_LEAST_SPACING_SECONDS = 0.005
_PAGES_BEFORE_MORE = 10
_OVERLOADS_OF_A_LIMIT = 1.5
"""Two answers with 503 and at most one page between them: a server that limits, not one that failed once."""
_MOST_OVERLOADS = 4
"""An API that answers with 503 so often in a row, in spite of the pauses, is down rather than limiting."""
_MORE = 1.1
"""How much faster after so many pages."""
_NEAR = 1.1
"""The search ends when the permitted time is at most this many times the refused one."""
_LESS = 1.25
"""How much slower after what was permitted is refused."""
_AS_FAR = 0.99
"""Requests this share of a time apart count as that far apart: a clock is never exact."""


class LearnedRate:
    """How far apart requests are sent, and how many may be in progress; nothing is limited before the first refusal."""

    def __init__(self) -> None:
        self.spacing = 0.0
        """Seconds between the starts of two requests."""
        self.width: int | None = None
        """How many requests may be in progress at the same time; None: any number."""
        self.refusals = 0
        """Since the last page that arrived; requests refused together count once."""
        self._arrivals: deque[float] = deque()
        self._last_sent = -math.inf
        """When the last page that arrived was requested."""
        self._refused_at = -math.inf
        self._permitted = math.inf
        """The spacing at which a page arrived last."""
        self._too_short = 0.0
        """The longest spacing that was refused, as far as it is shorter than the permitted one."""
        self._is_searching = False
        self._streak = 0
        """Pages since the last refusal, or since the rate rose."""
        self._overloads = 0.0
        """Answers with 503, less one for every two pages that arrived."""

    def is_counted(self, sent_at: float) -> bool:
        """Whether a refusal of the request sent at this time is already counted: it was under way at the last one."""
        return sent_at <= self._refused_at

    def refused(self, sent_at: float, now: float, *, is_stated: bool) -> float:
        """Count a refusal; returns the seconds to wait. ``is_stated``: the API states the pause itself."""
        apart = sent_at - self._last_sent
        self._refused_at, self._streak = now, 0
        self.refusals += 1
        if self.width is None:
            self.spacing = self._measured(now, _WINDOW_SECONDS) or (0.0 if is_stated else _FIRST_GUESS_SECONDS)
            self._too_short, self._is_searching = min(apart, self.spacing), not is_stated
        elif self.refusals == 1 and apart < self._permitted * _AS_FAR:
            self._too_short, self.spacing = max(self._too_short, apart), self._permitted
        elif self.refusals == 1:  # what was permitted is refused now: a burst is used up, or others send as well
            self.spacing = self._permitted = max(self.spacing, self._permitted) * _LESS
            self._too_short, self._is_searching = 0.0, True
        if self.width is not None and self.width > 1:
            self._is_searching = False
        self.width = max((self.width or 1) - 1, 1)
        base = self.spacing or _FIRST_GUESS_SECONDS
        if self.refusals > 1:
            base = max(base, _SHORTEST_SECONDS)
        return min(base * 2.0 ** (self.refusals - 1), _LONGEST_PAUSE_SECONDS)

    def arrived(self, sent_at: float, now: float) -> None:
        """Count a page that arrived."""
        apart, self._last_sent = sent_at - self._last_sent, sent_at
        self._arrivals.append(now)
        if self.width is not None:
            if self.refusals > 1:  # pages come in bursts, or rarely: their average over the pause counts
                self.spacing = self._measured(now, max(_WINDOW_SECONDS, 2 * apart)) or self.spacing
                if self._too_short >= self.spacing:
                    self._too_short, self._is_searching = 0.0, False
            self._permitted = self.spacing if self.refusals else apart
            self._streak += 1
            if self._is_searching and now - sent_at > self.spacing * self.width:
                self.width += 1
            elif self._is_searching:
                self._narrow()
            elif self._streak >= _PAGES_BEFORE_MORE:
                self._rise(now - sent_at)
        self.refusals = 0
        self._overloads = max(self._overloads - 0.5, 0.0)

    def count_overload(self, now: float, *, is_first: bool) -> bool:
        """Count a 503 without a pause; returns whether it is a refusal, too: some servers limit the rate like that.

        It is one if pages arrived just now, and many requests get this answer, or a limit is known. ``is_first``: the
        page was not requested before; a page that fails again and again says nothing about the others.
        """
        self._overloads += is_first
        is_alive = bool(self._arrivals) and now - self._arrivals[-1] <= _WINDOW_SECONDS
        is_likely = self.width is not None or (is_first and self._overloads >= _OVERLOADS_OF_A_LIMIT)
        return is_alive and is_likely and self.refusals < _MOST_OVERLOADS

    def _narrow(self) -> None:
        """Try a spacing between the refused and the permitted one, at least a third of the latter."""
        if self._permitted <= self._too_short * _NEAR:
            self._is_searching = False
        else:
            narrower = max(self._permitted / 3, math.sqrt(self._permitted * self._too_short))
            self.spacing = max(narrower, _LEAST_SPACING_SECONDS)

    def _rise(self, answer_seconds: float) -> None:
        self._streak = 0
        self.spacing /= _MORE
        if self.width is not None and answer_seconds > self.spacing * self.width:
            self.width += 1  # one more at a time, because the time of an answer is what limits the rate

    def _measured(self, now: float, seconds: float) -> float | None:
        """Seconds between pages, on average over these last seconds; None with fewer than two pages."""
        recent = [at for at in self._arrivals if at >= now - seconds]
        if len(recent) < 2:
            return None
        return max(recent[-1] - recent[0], _FIRST_GUESS_SECONDS) / (len(recent) - 1)
