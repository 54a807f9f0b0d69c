"""Weighed evidence: how much speaks for one customer and how much against, as a set states it of a link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

_FIELDS = {
    "first": "first name",
    "last": "last name",
    "generation": "Jr. or Sr.",
    "email": "e-mail",
    "phone_extension": "extension",
    "birth_date": "date of birth",
}
_OUTCOMES = {"same": "the same", "variant": "a variant", "near": "nearly the same", "initial": "the same initial"}
LEGEND = (
    "bits: log2 of the odds that the two are one customer; prior: of any two records; relatives: what people of one"
    " household or firm share counts for less; names alone: what is taken off where only names and places are compared"
)


class FieldOutcome(Struct, frozen=True, kw_only=True):
    """How far two records agree in a field."""

    field: str
    """As evidence compares it, such as ``first`` or ``identifier.tax``."""
    outcome: str
    """``same``, ``variant``, ``near``, ``initial``, ``different`` or ``contradicts``."""


class EvidencePart(Struct, frozen=True, kw_only=True):
    """A part of a weight."""

    name: str
    """A field, as in ``FieldOutcome``; or ``prior``, ``relatives`` or ``names_alone``."""
    outcome: str
    """As in ``FieldOutcome``; empty for what is no field."""
    bits: float


class WeighedEvidence(Struct, frozen=True, kw_only=True):
    """The weight of two records, and its parts, the weightiest first."""

    weight: float
    """log2 of the odds that the two are one customer."""
    parts: tuple[EvidencePart, ...]


def evidence_of(weight: float | None, parts: str | None) -> WeighedEvidence | None:
    """What a set states of a link; None where it states no weight.

    >>> evidence_of(3.1, "email same 15.20, prior -12.10").parts[0]
    EvidencePart(name='email', outcome='same', bits=15.2)
    """
    if weight is None:
        return None
    return WeighedEvidence(weight=weight, parts=tuple(map(_part, parts.split(", "))) if parts else ())


def _part(text: str) -> EvidencePart:
    what, _, bits = text.rpartition(" ")
    field, _, outcome = what.rpartition(" ")
    return EvidencePart(name=field or outcome, outcome=outcome if field else "", bits=float(bits))


def outcomes_of(text: str) -> Iterator[FieldOutcome]:
    """Fields and their outcomes, as the review queue lists them: ``first same, email variant``."""
    for part in text.split(", ") if text else ():
        field, _, outcome = part.rpartition(" ")
        yield FieldOutcome(field=field, outcome=outcome)


def evidence_in_words(evidence: WeighedEvidence) -> str:
    """``3.10 bits; for: e-mail the same 15.20; against: prior -12.10``."""
    supporting = [it for it in evidence.parts if it.bits > 0]
    against = [it for it in evidence.parts if it.bits <= 0]
    return "; ".join(
        [
            f"{evidence.weight:.2f} bits",
            *([f"for: {_listed(supporting)}"] if supporting else []),
            *([f"against: {_listed(against)}"] if against else []),
        ]
    )


def _listed(parts: Iterable[EvidencePart]) -> str:
    return ", ".join(f"{outcome_in_words(it.name, it.outcome)} {it.bits:.2f}" for it in parts)


def outcomes_in_words(text: str) -> str:
    """The list of a review queue in words: ``first name the same, e-mail a variant``."""
    return ", ".join(outcome_in_words(it.field, it.outcome) for it in outcomes_of(text))


def outcome_in_words(field: str, outcome: str) -> str:
    """``e-mail a variant``."""
    return f"{field_in_words(field)} {_OUTCOMES.get(outcome, outcome)}".rstrip()


def field_in_words(field: str) -> str:
    """A field as it is called: ``date of birth``, or ``tax`` for ``identifier.tax``."""
    return _FIELDS.get(field, field.removeprefix("identifier.").replace("_", " "))
