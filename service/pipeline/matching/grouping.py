"""Grouping: the records of a batch as groups, by the links of a matcher and the decisions of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.decisions import Decision
from service.decisions.decision_file import Outcome
from service.engine.contract import Engine, Table
from service.pipeline.matching import Matcher
from service.pipeline.matching.apart import KeptApart, Regrouped, keep_apart
from service.pipeline.matching.cluster import cluster
from service.pipeline.matching.compared import Weigh
from service.pipeline.matching.decided import DECISION, Attached, attached, with_same


@dataclass(frozen=True)
class Followed:
    """The decisions in force, and what became of them in a batch."""

    decisions: Sequence[Decision] = ()
    attached: Sequence[Attached] = ()
    kept_apart: Sequence[KeptApart] = ()

    @property
    def outcomes(self) -> Mapping[int, Outcome]:
        """Number -> whether both records were there."""
        applied = {it.decision.number for it in self.attached}
        return {it.number: "applied" if it.number in applied else "unattached" for it in self.decisions}


@dataclass(frozen=True)
class Grouping:
    """The records of a batch in groups.

    matcher  with the rule ``decision`` where decisions link records
    values   KEYS, as the records are
    keys     the same, but a value that groups which are kept apart share has a number for each of them
    groups   ordinal · group_id
    questions  QUESTION, if the matcher asks any
    weigh      ordinals of pairs -> for each pair its weight and its parts, as texts; None: the matcher weighs nothing
    """

    matcher: Matcher
    values: Table
    keys: Table
    groups: Table
    followed: Followed = field(default_factory=Followed)
    questions: Table | None = None
    weigh: Weigh | None = None


def group(records: Table, matcher: Matcher, decisions: Sequence[Decision], engine: Engine) -> Grouping:
    """Group the records (RECORD) by the closure of all links; decisions come before every rule.

    Source: docs/specification.md section 5
    """
    found = attached(decisions, records, engine) if decisions else []
    values, questions, weigh = matcher.compare(records, engine)
    if same := [it for it in found if it.decision.kind == "same"]:
        matcher = matcher.with_rule(DECISION)
        values = with_same(values, same, engine)
    groups = cluster(matcher.links(values, engine), records.count(), engine)
    keys = matcher.within_groups(values, groups)
    different = [it for it in found if it.decision.kind == "different"]
    made = keep_apart(keys, groups, matcher, different, engine) if different else Regrouped(groups, keys)
    followed = Followed(decisions, found, made.kept_apart)
    return Grouping(matcher, values, made.keys, made.groups, followed, questions, weigh)
