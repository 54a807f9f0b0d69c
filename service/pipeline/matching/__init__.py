"""Matching: which records are the same customer.

A matcher finds links between records; ``cluster`` closes them to groups. ``MATCHERS`` makes every matcher, by the
name that ``SERVICE_MATCHING`` accepts (``model.Matching``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from service.engine.contract import Engine, Table
from service.model import Matching, Rules
from service.pipeline.matching.compared import Compared
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.matching.weighed import WeighedMatcher


class Matcher(Protocol):
    """Decides which pairs of records are linked, by named rules."""

    rules: tuple[str, ...]
    """The names of its rules, strongest first; a published reason lists them in this order."""

    def with_rule(self, rule: str) -> Matcher:
        """This matcher with one rule more, the last, whose column of KEYS ``compare`` does not make."""

    def compare(self, records: Table, engine: Engine) -> Compared:
        """KEYS of ``records`` (RECORD): what the rules compare, as numbers; questions to people, and how pairs are
        weighed, if the matcher has them.
        """

    def links(self, keys: Table, engine: Engine) -> Table:
        """LINKS, enough for ``cluster`` to connect every group; no record with itself."""

    def within_groups(self, keys: Table, groups: Table) -> Table:
        """KEYS in which no two groups (ordinal · group_id, by all links) share a number."""

    def agreement(self, pairs: Table, keys: Table) -> Table:
        """EVIDENCE of those ``pairs`` (ordinal · via) of which the two records are linked."""

    def shared_values(self, keys: Table) -> Table:
        """ordinal · rule · value: two records with the same rule and value, both numbers, are linked directly."""


MATCHERS: Mapping[Matching, Callable[[Rules, Sequence[str]], Matcher]] = {
    "literal": lambda _, __: LiteralMatcher(),
    "safe": lambda rules, evidence: WeighedMatcher(evidence, rules.date_order),
}
"""Name -> makes the matcher, see ``matcher_of``."""


def matcher_of(rules: Rules, evidence: Sequence[str]) -> Matcher:
    """The user's matcher; ``evidence``: the columns of the records that only ``safe`` reads."""
    return MATCHERS[rules.matching](rules, evidence)
