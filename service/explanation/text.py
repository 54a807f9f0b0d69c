"""Explanations as plain text, for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from service.explanation.customer import Explained, ExplainedRecord, Explanation, SplitCause
from service.explanation.evidence import (
    LEGEND,
    WeighedEvidence,
    evidence_in_words,
    outcomes_in_words,
)
from service.explanation.golden import GoldenCell
from service.explanation.pair import NearEvidence, PairExplanation, Step
from service.explanation.records import RecordName
from service.explanation.ties import Tie
from service.explanation.touching import TouchingDecision
from service.explanation.weighed_customer import RECORDS_NOT_SAID
from service.explanation.weighed_pair import WeighedPair, WeighedPairExplanation
from service.explanation.words import (
    FIELD_TITLES,
    in_one_list,
    rule_in_words,
    rules_in_words,
    weighed_reason_in_words,
)
from service.jobs.id_history import event_in_words
from service.pipeline.matching.safe.matcher import AUTOMATIC

MOST_LINES = 200
"""Of records; ``--json`` has all."""
MOST_CAUSES_SHOWN = 10
MOST_EVENTS = 20
"""Of the history of an id, the last ones; ``history`` has all."""
_KINDS = {"same": "the same customer", "different": "different customers"}
_STANDINGS = {
    "followed": "",
    "undone": "; undone since, which counts from the next batch on",
    "new": "; made since, counts from the next batch on",
}


def customer_text(found: Explanation) -> str:
    """The explanation of one customer."""
    return "\n".join(_customer_lines(found))


def pair_text(found: PairExplanation) -> str:
    """The explanation of two records."""
    return "\n".join(_pair_lines(found))


# --------------------------------------------------------------------------------------------------- one customer


def _customer_lines(found: Explanation) -> Iterator[str]:
    if found.is_alias:
        yield f"{found.asked_for} was merged into {found.unified_id}, and stays an alias of it."
    elif found.asked_for != found.unified_id:
        yield f"{found.asked_for} belongs to {found.unified_id}."
    explained = found.explained
    if explained is None:
        yield f"{found.unified_id} is retired: batch {found.batch_id} has no record of it."
        yield "Its id is given to no other customer. It comes back if its records do."
        yield from _history_lines(found)
        return
    yield f"{found.unified_id}: {_summary(found, explained)}"
    yield f"set of batch {found.batch_id}"
    yield from ("", "Golden record", *_table(_golden_row(cell, explained) for cell in explained.golden))
    if explained.alternates:
        yield from ("", "Values that were not kept")
        rows = ((FIELD_TITLES[it.field], it.value, _names(it.held_by, it.holders)) for it in explained.alternates)
        yield from _table(rows)
    yield from ("", "Records", *_tree_lines(explained.records))
    if any(it.evidence for it in explained.records):
        yield f"  ({LEGEND})"
    if found.record_count > 1:
        yield from ("", "What would split it", *_cause_lines(explained))
    if found.decisions:
        yield from ("", "Decisions", *(f"  {_decision(it)}" for it in found.decisions))
    yield from _history_lines(found)


def _history_lines(found: Explanation) -> Iterator[str]:
    if found.history:
        shown = found.history[-MOST_EVENTS:]
        yield from ("", "History", *(f"  {it.batch_id}  {event_in_words(it)}" for it in shown))


def _summary(found: Explanation, explained: Explained) -> str:
    if found.record_count == 1:
        return "one record; nothing was merged"
    if explained.weighed is None:
        because = f"because of the same {rules_in_words(found.match_reason)}"
    else:
        because = weighed_reason_in_words(explained.weighed.held_by, found.match_reason)
    return f"{found.record_count:,} records, one customer {because}"


def _golden_row(cell: GoldenCell, found: Explained) -> tuple[str, str, str]:
    taken_from = cell.taken_from.shown if cell.taken_from else "another record"
    has_others = any(it.field == cell.field for it in found.alternates)
    words = {
        "kept": f"of the kept record, {taken_from}",
        "filled": f"filled from {taken_from}, because the kept record has none",
        "stated": f"stated by {taken_from}; that of the kept record is a default",
        "missing": "the kept record has none, and gaps are not filled" if has_others else "no record has one",
    }[cell.origin]
    others = [name for name in cell.held_by if name != cell.taken_from]
    also = f"; also in {_names(others, cell.holders - 1)}" if others else ""
    return FIELD_TITLES[cell.field], cell.value or "-", words + also


def _names(names: Sequence[RecordName], count: int) -> str:
    """``CRM:1, CRM:2 and 3 more``."""
    shown = ", ".join(name.shown for name in names)
    return f"{shown} and {count - len(names):,} more" if count > len(names) else shown


def _table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    listed = list(rows)
    first, second = (max((len(row[column]) for row in listed), default=0) for column in (0, 1))
    for title, value, rest in listed:
        yield f"  {title.ljust(first)}  {value.ljust(min(second, 40))}  {rest}"


def _tree_lines(records: Sequence[ExplainedRecord]) -> Iterator[str]:
    """The records as a tree; of a link the values, too. ``records`` are in the order of the tree."""
    shown = records[:MOST_LINES]
    following: dict[int, int | None] = {}  # for each record, the next one with the same parent
    last: dict[int | None, int] = {}
    for it in shown:
        before = last.get(it.via_ordinal)
        if before is not None:
            following[before] = it.ordinal
        last[it.via_ordinal] = it.ordinal
    indents: dict[int, str] = {}
    for it in shown:
        if it.via_ordinal is None:
            indents[it.ordinal] = ""
            yield f"  {it.name.shown}  {_root_words(it)}"
            continue
        has_next = it.ordinal in following
        indent = indents[it.via_ordinal]
        yield f"  {indent}{'├─' if has_next else '└─'} {it.name.shown}  {_link_words(it)}"
        indents[it.ordinal] = f"{indent}{'│' if has_next else ' '}  "
    if len(records) > len(shown):
        yield f"  and {len(records) - len(shown):,} more; --json has all"


def _root_words(record: ExplainedRecord) -> str:
    if record.via is None:
        return "kept: it has the fewest missing values"
    return f"same {rules_in_words(record.rules)} as {record.via.shown}, as published; its values do not say so"


def _link_words(record: ExplainedRecord) -> str:
    stated = [tie for tie in record.ties if tie.is_listed]
    missing = [rule for rule in record.rules.split("+") if rule not in {tie.rule for tie in stated}]
    words = [*map(tie_in_words, stated), *(_rule_alone(rule) for rule in missing)]
    elsewhere = [f"{_shared_words(it.tie)} with {it.name.shown}" for it in record.shares_with_others]
    also = f"; it shares {in_one_list(elsewhere)}" if elsewhere else ""
    return in_one_list(words) + _weight_words(record.evidence) + also


def _shared_words(tie: Tie) -> str:
    return tie_in_words(tie).removeprefix("same ")


def _rule_alone(rule: str) -> str:
    """Of a rule without a value."""
    return rule_in_words(rule) if rule == "weighed" else f"same {rule_in_words(rule)}"


def _weight_words(evidence: WeighedEvidence | None) -> str:
    """What weighed evidence says of a link; empty where it says nothing."""
    if evidence is None:
        return ""
    # A weight has two decimals: one that is shown as the limit may lie above it.
    is_below = evidence.weight < AUTOMATIC
    joint = "; this pair is below the limit, the mean of its group is above it" if is_below else ""
    return f", {evidence_in_words(evidence)}{joint}"


def tie_in_words(tie: Tie) -> str:
    """``same e-mail ann@x.org``; where the two are written in other ways, both and what is compared."""
    if tie.rule == "decision":
        return f"decision {tie.value}"
    text = f"same {rule_in_words(tie.rule)} {tie.value}"
    if tie.other is not None:
        return f"{text} (there {tie.other}, compared as {tie.compared})"
    return f"{text} (digits as written; they are no number)" if tie.compared else text


def _cause_lines(found: Explained) -> Iterator[str]:
    not_said = found.weighed.not_said if found.weighed else ()
    if not found.split_causes and found.weighed is None:
        yield "  no single value and no single record: each link has another beside it"
    elif not found.split_causes and not not_said:
        yield f"  no single id and no single decision; {RECORDS_NOT_SAID}"
    for cause in found.split_causes[:MOST_CAUSES_SHOWN]:
        yield f"  without {cause_in_words(cause)}: {_parts(cause)}"
    if found.split_causes_in_all > MOST_CAUSES_SHOWN:
        yield f"  and {found.split_causes_in_all - MOST_CAUSES_SHOWN:,} others that would part fewer records or as many"
    yield from (f"  {it}" for it in not_said)


def cause_in_words(cause: SplitCause) -> str:
    """``e-mail ann@x.org``, ``decision 3``, ``record CRM:1001``."""
    return f"record {cause.record.shown}" if cause.record else f"{rule_in_words(cause.rule)} {cause.value}"


def _parts(cause: SplitCause) -> str:
    sizes = in_one_list([f"{size:,}" for size in cause.sizes[:5]])
    more = f" and {len(cause.sizes) - 5:,} more" if len(cause.sizes) > 5 else ""
    return f"parts of {sizes}{more}; apart: {_names(cause.apart, sum(cause.sizes[1:]))}"


def _decision(it: TouchingDecision) -> str:
    note = f": {it.note}" if it.note else ""
    return (
        f"decision {it.number}: {it.left.shown} and {it.right.shown} are {_KINDS[it.kind]},"
        f" by {it.decided_by} at {it.decided_at}{note}{_STANDINGS[it.standing]}"
    )


# ----------------------------------------------------------------------------------------------------- two records


def _pair_lines(found: PairExplanation) -> Iterator[str]:
    one, other = found.one.shown, found.other.shown
    weighed = found.weighed if isinstance(found, WeighedPairExplanation) else None
    if found.is_one:
        yield f"{one} and {other} are one customer, {found.one_of}."
        yield from ("", "Why", *(f"  {_step(step)}" for step in found.steps))
        if weighed is not None:
            yield from _weighed_path_lines(found.steps, weighed)
        elif not found.steps:
            yield "  the set says so; their values do not: another version made it"
        elif len(found.steps) > 1:
            yield f"  they share nothing directly; {len(found.steps)} links are the shortest way between them"
        yield from ("", "What would part these two", *_parting_lines(found, weighed))
    else:
        yield f"{one} of {found.one_of} and {other} of {found.other_of} are different customers."
        if weighed is not None:
            yield from ("", "What evidence says", *_question_lines(weighed))
        yield from ("", "What comes nearest", *_near_lines(found))
    if found.against:
        yield from ("", "In what they differ")
        yield from _table((FIELD_TITLES[it.field], it.value, it.other_value) for it in found.against)
    if found.decisions:
        yield from ("", "Decisions", *(f"  {_decision(it)}" for it in found.decisions))


def _step(step: Step) -> str:
    words = [tie_in_words(tie) for tie in step.ties if tie.is_listed] or list(map(_rule_alone, step.rules.split("+")))
    return f"{step.one.shown} - {step.other.shown}: {in_one_list(words)}{_weight_words(step.evidence)}"


def _weighed_path_lines(steps: Sequence[Step], weighed: WeighedPair) -> Iterator[str]:
    if len(steps) > 1:
        yield f"  these {len(steps)} links of the set lead from the one to the other"
        if weighed.shared:
            shared = in_one_list([tie_in_words(tie) for tie in weighed.shared if tie.is_listed])
            yield f"  the two themselves: {shared}"
    if weighed.is_one_by_weight:
        yield "  weighed evidence makes both one customer, by the mean of all pairs of their group"
    if any(step.evidence for step in steps):
        yield f"  ({LEGEND})"


def _question_lines(weighed: WeighedPair) -> Iterator[str]:
    if weighed.is_kept_apart:
        yield "  links lead from the one customer to the other; decisions keep them apart"
    asked = weighed.question
    if asked:
        yield f"  the review queue asks about {asked.left.shown} and {asked.right.shown}: a person should decide"
        yield f"  mean of the pairs of their groups, without decisions: {asked.weight:.2f} bits"
        yield f"  evidence for one customer, of these two records: {outcomes_in_words(asked.evidence) or 'nothing'}"
        yield f"  against: {outcomes_in_words(asked.against) or 'nothing'}"
    yield from (f"  {it}" for it in weighed.not_said)


def _parting_lines(found: PairExplanation, weighed: WeighedPair | None) -> Iterator[str]:
    not_said = weighed.not_said if weighed else ()
    if not found.parted_by and weighed is None:
        yield "  no single value and no single other record"
    elif not found.parted_by and not not_said:
        yield f"  no single id and no single decision; {RECORDS_NOT_SAID}"
    for cause in found.parted_by[:MOST_CAUSES_SHOWN]:
        yield f"  without {cause_in_words(cause)}"
    yield from (f"  {it}" for it in not_said)


def _near_lines(found: PairExplanation) -> Iterator[str]:
    if not found.near:
        yield "  nothing: they share no e-mail, phone or name, and none is almost the same"
    for it in found.near:
        yield f"  {_near(it)}"


def _near(it: NearEvidence) -> str:
    title = FIELD_TITLES[it.field]
    if it.why == "shared but kept apart":
        return f"{title}: {it.value} in both {it.one.shown} and {it.other.shown}; a decision keeps them apart"
    if it.why == "shared, but one piece of evidence":
        return f"{title}: {it.value} in both {it.one.shown} and {it.other.shown}, which alone is no proof"
    if it.why == "almost the same":
        return f"{title}: {it.value} ({it.one.shown}), {it.other_value} ({it.other.shown}): {it.likeness}"
    return f"{title}: {it.value} in both {it.one.shown} and {it.other.shown}, but it is no evidence"
