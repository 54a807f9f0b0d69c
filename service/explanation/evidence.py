"""Weighed evidence: how much speaks for one customer and how much against, as a set states it of a link."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

_FIELDS = {
    "first": "first name",
    "last": "last name",
    "email": "e-mail",
    "birth_date": "date of birth",
    "names_alone": "names alone",
}
_AGREEMENTS = {"variant": "a variant", "near": "alike"}
LEGEND = (
    "bits: log2 of the odds that the two are one customer; prior: of any two records; relatives: what people of one"
    " household or firm share counts for less; names alone: what is taken off where nothing else is compared"
)


class EvidencePart(Struct, frozen=True, kw_only=True):
    """A part of a weight."""

    name: str
    """A field as evidence compares it, such as ``first``; ``prior``, ``relatives`` or ``names_alone``."""
    agreement: str
    """``same``, ``variant``, ``near``, ``different`` or ``contradicts``; empty for what is no field."""
    bits: float


class WeighedEvidence(Struct, frozen=True, kw_only=True):
    """The weight of two records, and its parts, the weightiest first."""

    weight: float
    """log2 of the odds that the two are one customer."""
    parts: tuple[EvidencePart, ...]


def evidence_of(weight: float | None, parts: str | None) -> WeighedEvidence | None:
    """What a set states of a link; None where it states no weight.

    >>> evidence_of(3.1, "email same 15.20, prior -12.10").parts[0]
    EvidencePart(name='email', agreement='same', bits=15.2)
    """
    if weight is None:
        return None
    return WeighedEvidence(weight=weight, parts=tuple(map(_part, parts.split(", "))) if parts else ())


def _part(text: str) -> EvidencePart:
    *words, bits = text.split(" ")
    return EvidencePart(name=words[0], agreement=" ".join(words[1:]), bits=float(bits))


def evidence_in_words(evidence: WeighedEvidence) -> str:
    """``3.10 bits; for: e-mail same 15.20; against: prior -12.10``."""
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
    return ", ".join(f"{part_in_words(it)} {it.bits:.2f}" for it in parts)


def part_in_words(part: EvidencePart) -> str:
    """``e-mail a variant``."""
    words = (_FIELDS.get(part.name, part.name), _AGREEMENTS.get(part.agreement, part.agreement))
    return " ".join(word for word in words if word)


def fields_in_words(text: str) -> str:
    """Fields and how far they agree, as the review queue lists them: ``first name same, e-mail a variant``."""
    parts = (it.split(" ") for it in text.split(", ") if it)
    return ", ".join(part_in_words(EvidencePart(name=it[0], agreement=" ".join(it[1:]), bits=0)) for it in parts)
