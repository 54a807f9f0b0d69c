"""Outcomes: how far the values of two records agree, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA, JaroWinkler
from rapidfuzz.process import cpdist

from service.pipeline.matching.safe.folding import digits_of, folded
from service.pipeline.matching.safe.lexicon import are_variants, known_names, words
from service.pipeline.matching.safe.person_names import is_east_asian
from service.pipeline.matching.safe.prepared import IDENTIFIER, Column, Floats, Ints, PreparedRecords, column

MISSING, SAME, VARIANT, NEAR, INITIAL, DIFFERENT, CONTRARY = range(7)
"""MISSING, then the outcomes by falling agreement; the order counts in comparisons and slices. INITIAL: a name beside
its first letter, or the same letter twice. Two names that are DIFFERENT and both known as names are CONTRARY."""
OUTCOMES = 7
Outcomes = npt.NDArray[np.uint8]
_WELL_KNOWN = 2
"""A name that this many records have is a known name."""
_ALIKE = 0.77
"""Names with this similarity are near, by Jaro and Winkler."""
_MOST_EDITS = 0.25
"""Mailboxes with more edits for each letter are not near."""
_DIGITS_OF_A_YEAR = 4
"""In longer numbers of mailboxes a digit may be wrong; years of birth that differ are two people."""
_AT_ONCE = 200_000


def blocks(count: int) -> Iterator[slice]:
    """Slices of ``count`` pairs: blocks bound the memory, which grows with pairs and fields."""
    return (slice(begin, begin + _AT_ONCE) for begin in range(0, count, _AT_ONCE))


@dataclass(frozen=True)
class FieldComparison:
    """Compares the records of ``prepared``."""

    prepared: PreparedRecords

    @property
    def fields(self) -> list[str]:
        """The fields, in the order of the columns of ``of``."""
        return list(self.prepared.columns)

    def of(self, ones: Ints, others: Ints) -> Outcomes:
        """Pairs by fields: outcomes."""
        found = np.empty((len(ones), len(self.fields)), np.uint8)
        for block in blocks(len(ones)):
            found[block] = self._of_block(ones[block], others[block])
        return found

    def _of_block(self, ones: Ints, others: Ints) -> Outcomes:
        found = np.zeros((len(ones), len(self.fields)), np.uint8)
        for number, (name, values) in enumerate(self.prepared.columns.items()):
            found[:, number] = self._of_field(name, values, ones, others)
        if "generation" in self.fields:
            self._set_one_generation(found, ones, others)
        if {"first", "last"} <= set(self.fields):
            self._set_firm(found, ones, others)
            self._set_numbered(found, ones, others)
            self._set_transposed(found, ones, others)
            if "email" in self.fields:
                self._set_mailbox_of_name(found, ones, others)
        return found

    def _of_field(self, name: str, values: Column, ones: Ints, others: Ints) -> Outcomes:
        a, b = values.codes[ones], values.codes[others]
        found = np.where((a < 0) | (b < 0), MISSING, SAME).astype(np.uint8)
        if name in _WEAK:
            outcome, _ = _WEAK[name]
            found[(found == SAME) & self._is_weak[name][a]] = outcome
        unequal = np.flatnonzero((found != MISSING) & (a != b))
        if len(unequal):
            low, high = np.minimum(a[unequal], b[unequal]), np.maximum(a[unequal], b[unequal])
            pairs, back = np.unique(low * len(values.texts) + high, return_inverse=True)
            low, high = pairs // len(values.texts), pairs % len(values.texts)
            left, right = [values.texts[it] for it in low], [values.texts[it] for it in high]
            outcomes = _comparison_of(name)(left, right)
            if name in ("first", "last"):
                known = self._is_known[name]
                outcomes[(outcomes == DIFFERENT) & known[low] & known[high]] = CONTRARY
            found[unequal] = outcomes[back.ravel()]
        return found

    @cached_property
    def _is_weak(self) -> Mapping[str, npt.NDArray[np.bool_]]:
        weak = {name: _WEAK[name][1] for name in self.fields if name in _WEAK}
        return {
            name: np.array([is_weak(text) for text in self.prepared.columns[name].texts], bool)
            for name, is_weak in weak.items()
        }

    @cached_property
    def _is_known(self) -> Mapping[str, npt.NDArray[np.bool_]]:
        columns = self.prepared.columns
        return {name: _known(columns[name]) for name in ("first", "last") if name in columns}

    @cached_property
    def _either_name(self) -> tuple[Ints, Ints]:
        """First and last name of each record, equal texts with equal numbers.

        A last name that is an initial counts as missing: it is often the initial of the other name by chance. A missing
        first name is -1, a missing last name -2, so that the two are never equal.
        """
        first, last = (self.prepared.columns[it] for it in ("first", "last"))
        both = column((*first.texts, *last.texts)).codes
        as_first = np.append(both[: len(first.texts)], -1)[first.codes]
        is_name = np.array([not _is_initial(it) for it in last.texts], bool)
        return as_first, np.append(np.where(is_name, both[len(first.texts) :], -2), -2)[last.codes]

    @cached_property
    def _numbers(self) -> Ints:
        """The digits in each last name, equal ones with equal numbers; -1 where there are none."""
        last = self.prepared.columns["last"]
        return np.append(column(map(digits_of, last.texts)).codes, -1)[last.codes]

    def _set_mailbox_of_name(self, found: Outcomes, ones: Ints, others: Ints) -> None:
        """Set MISSING where two mailboxes at other domains have one local part that only repeats the name."""
        number, emails = self.fields.index("email"), self.prepared.columns["email"]
        is_named = self._has_mailbox_of_name[ones] & self._has_mailbox_of_name[others]
        pairs = np.flatnonzero(is_named & (found[:, number] == VARIANT))
        domains = [[emails.texts[it].partition("@")[2] for it in emails.codes[side[pairs]]] for side in (ones, others)]
        # One edit is an error in one domain.
        found[pairs[_edits(*domains) > 1], number] = MISSING

    @cached_property
    def _has_mailbox_of_name(self) -> npt.NDArray[np.bool_]:
        """Whether the local part of the e-mail address has the last name of the record, and no number."""
        emails, last = self.prepared.columns["email"], self.prepared.columns["last"]
        boxes = [folded(_mailbox(it)).replace(" ", "") for it in emails.texts]
        names = [it.replace(" ", "") for it in last.texts]
        return np.array(
            [
                min(email, name) >= 0
                and len(names[name]) > 2
                and names[name] in boxes[email]
                and boxes[email].isalpha()
                for email, name in zip(emails.codes.tolist(), last.codes.tolist(), strict=True)
            ],
            bool,
        )

    def _set_firm(self, found: Outcomes, ones: Ints, others: Ints) -> None:
        """Set CONTRARY in both names where a firm is compared with another firm, or a person who is not that firm."""
        is_firm = self.prepared.is_firm
        one, other = (self.fields.index(it) for it in ("first", "last"))
        is_mixed = is_firm[ones] != is_firm[others]
        firms, people = np.where(is_firm[ones], ones, others), np.where(is_firm[ones], others, ones)
        is_unlike = (is_firm[ones] | is_firm[others]) & (found[:, other] >= DIFFERENT)
        for pair in np.flatnonzero(is_mixed & ~is_unlike).tolist():
            is_unlike[pair] = self._is_contact(int(firms[pair]), int(people[pair]))
        found[is_unlike, one] = found[is_unlike, other] = CONTRARY

    def _is_contact(self, firm: int, person: int) -> bool:
        """Whether the person has a given name that is no part of the firm's name: "Hans Acme" of "Acme GmbH"."""
        first, last = self.prepared.columns["first"], self.prepared.columns["last"]
        given = first.texts[first.codes[person]] if first.codes[person] >= 0 else ""
        return given in known_names() and given not in last.texts[last.codes[firm]].split()

    def _set_numbered(self, found: Outcomes, ones: Ints, others: Ints) -> None:
        """Set CONTRARY in both names where the last names have other numbers, as those of branches have."""
        a, b = self._numbers[ones], self._numbers[others]
        is_other = (a >= 0) & (b >= 0) & (a != b)
        one, other = (self.fields.index(it) for it in ("first", "last"))
        found[np.ix_(is_other, [one, other])] = CONTRARY

    def _set_one_generation(self, found: Outcomes, ones: Ints, others: Ints) -> None:
        """Set NEAR where only one of the two names has a generation (Jr., Sr.)."""
        codes = self.prepared.columns["generation"].codes
        found[(codes[ones] < 0) != (codes[others] < 0), self.fields.index("generation")] = NEAR

    def _set_transposed(self, found: Outcomes, ones: Ints, others: Ints) -> None:
        """Set VARIANT in both names where a first name is the last name of the other record."""
        as_first, as_last = self._either_name
        crossed = (as_first[ones] == as_last[others]) | (as_last[ones] == as_first[others])
        one, other = self.fields.index("first"), self.fields.index("last")
        weak = crossed & (found[:, one] >= NEAR) & (found[:, other] >= NEAR)
        found[np.ix_(weak, [one, other])] = VARIANT


def _known(names: Column) -> npt.NDArray[np.bool_]:
    """Whether each value is the name of several records, or of the lists, or is built like such names."""
    lexicon, counts = known_names(), names.counts()
    known = [text for text, count in zip(names.texts, counts, strict=True) if count >= _WELL_KNOWN or text in lexicon]
    grams = {gram for text in (*known, *lexicon) for gram in _trigrams(text)}
    sure = set(known)

    def is_name(text: str) -> bool:
        if is_east_asian(text):
            return True
        if len(text) < 3 or not text.replace(" ", "").isalpha():
            return False
        built = _trigrams(text)
        return text in sure or sum(it in grams for it in built) >= 0.85 * len(built)

    return np.array([is_name(text) for text in names.texts], bool)


def _trigrams(text: str) -> list[str]:
    text = f"_{text}_"
    return [text[it : it + 3] for it in range(len(text) - 2)]


# ------------------------------------------------------------------------------------------- one field


def _alike(left: Sequence[str], right: Sequence[str]) -> Floats:
    return np.asarray(cpdist(left, right, scorer=JaroWinkler.similarity, dtype=np.float64))


def _edits(left: Sequence[str], right: Sequence[str]) -> Floats:
    return np.asarray(cpdist(left, right, scorer=OSA.distance, dtype=np.float64))


def _lengths(left: Sequence[str], right: Sequence[str]) -> Ints:
    return np.array([min(len(a), len(b)) for a, b in zip(left, right, strict=True)], np.int64)


def _begins(name: str, beginning: str) -> bool:
    return name.startswith(beginning) and not is_east_asian(name)


def _is_initial(name: str) -> bool:
    return len(name) == 1 and not is_east_asian(name)


def _name(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    alike, edits, shorter = _alike(left, right), _edits(left, right), _lengths(left, right)
    begins = np.array([_begins(a, b) or _begins(b, a) for a, b in zip(left, right, strict=True)], bool)
    found = np.where((alike >= _ALIKE) | begins, NEAR, DIFFERENT).astype(np.uint8)
    found[begins & (shorter == 1)] = INITIAL
    found[((alike >= 0.9) & (shorter >= 4)) | ((edits <= 1) & (shorter >= 3))] = VARIANT
    numbers = [[digits_of(text) for text in side] for side in (left, right)]
    # Names that are numbered, as those of branches and test accounts are, are others with another number.
    found[[bool(a and b and a != b) for a, b in zip(*numbers, strict=True)]] = CONTRARY
    return found


def _first(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    found = _name(left, right)
    known = known_names()
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if are_variants(a, b):
            found[number] = VARIANT
        elif found[number] <= NEAR and a in known and b in known:
            found[number] = DIFFERENT
    return found


def _last(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    found = _name(left, right)
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        one, other = {*a.split()}, {*b.split()}
        if found[number] != CONTRARY and len(one) + len(other) > 2 and one & other:
            found[number] = VARIANT if _are_compatible(one - other, other - one) else DIFFERENT
    return found


def _are_compatible(one: Set[str], other: Set[str]) -> bool:
    """Whether words that only one of two names has may be of one person: "carlos" and "c", not "pablo"."""
    left, right = " ".join(sorted(one)), " ".join(sorted(other))
    return min(len(left), len(right)) <= 1 or JaroWinkler.similarity(left, right) >= _ALIKE


def _generation(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    return np.full(len(left), CONTRARY, np.uint8)


def _different(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    return np.full(len(left), DIFFERENT, np.uint8)


def _email(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    boxes = [[_mailbox(text) for text in side] for side in (left, right)]
    edits, shorter = _edits(left, right), _lengths(left, right)
    is_near = (_alike(*boxes) >= 0.9) & (_edits(*boxes) <= _MOST_EDITS * _lengths(*boxes))
    found = np.where(is_near, NEAR, DIFFERENT).astype(np.uint8)
    for number, (a, b) in enumerate(zip(*boxes, strict=True)):
        one, other = digits_of(a), digits_of(b)
        is_typo = edits[number] <= 1 and shorter[number] >= 9
        if one == other:
            found[number] = VARIANT if is_typo else NEAR if len(one) >= 4 else found[number]
        elif min(len(one), len(other)) > _DIGITS_OF_A_YEAR and OSA.distance(one, other) <= 1:
            found[number] = NEAR if is_typo else found[number]
        else:
            # A mailbox has a number because another person has the name: what is alike is the name only.
            found[number] = DIFFERENT
        if a == b and len(a) > 4:
            found[number] = VARIANT
    return found


def _mailbox(email: str) -> str:
    """The local part without dots, and without what follows a plus sign."""
    return email.rpartition("@")[0].partition("+")[0].replace(".", "")


def _phone(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    plain = [[text.replace("x", "") for text in side] for side in (left, right)]
    edits, shorter = _edits(*plain), _lengths(*plain)
    found = np.full(len(left), DIFFERENT, np.uint8)
    found[(edits <= 2) & (shorter >= 10)] = NEAR
    found[(edits <= 1) & (shorter >= 9)] = VARIANT
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        (one, _, inner), (other, _, deeper) = a.partition("x"), b.partition("x")
        if one == other:
            found[number] = NEAR if inner and deeper else VARIANT
        elif plain[0][number] == plain[1][number]:
            found[number] = SAME
    return found


def _day(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    edits = _edits(left, right)
    found = np.full(len(left), DIFFERENT, np.uint8)
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        if len(a) == 8 == len(b):
            parts, others = (a[:4], a[4:6], a[6:]), (b[:4], b[4:6], b[6:])
            if sum(map(str.__eq__, parts, others)) == 2:
                found[number] = NEAR
            if parts == (others[0], others[2], others[1]):
                found[number] = VARIANT
    found[edits <= 1] = VARIANT
    return found


def _address(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    most = np.array([max(len(a), len(b)) for a, b in zip(left, right, strict=True)], np.float64)
    alike = 1 - _edits(left, right) / most
    words_of = [[{*text.split()} for text in side] for side in (left, right)]
    shared = [len(a & b) / min(len(a), len(b)) for a, b in zip(*words_of, strict=True)]
    best = np.maximum(alike, np.array(shared) * 0.9)
    found = np.full(len(left), DIFFERENT, np.uint8)
    found[best >= 0.55] = NEAR
    found[best >= 0.8] = VARIANT
    numbers = [[digits_of(text) for text in side] for side in (left, right)]
    houses = np.array([bool(a and b and a != b) for a, b in zip(*numbers, strict=True)], bool)
    found[houses & (found == VARIANT)] = NEAR
    return found


def _city(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    alike = _alike(left, right)
    found = np.where(alike >= 0.75, NEAR, DIFFERENT).astype(np.uint8)
    found[alike >= 0.88] = VARIANT
    return found


def _code(left: Sequence[str], right: Sequence[str]) -> Outcomes:
    edits, shorter = _edits(left, right), _lengths(left, right)
    found = np.full(len(left), DIFFERENT, np.uint8)
    found[(edits <= 2) & (shorter >= 7)] = NEAR
    found[(edits <= 1) & (shorter >= 4)] = VARIANT
    return found


_WEAK: Mapping[str, tuple[int, Callable[[str], bool]]] = {
    "first": (INITIAL, _is_initial),
    "last": (INITIAL, _is_initial),
    "email": (NEAR, lambda text: text.partition("@")[0] in words("role_mailboxes")),
}
"""Values that many have, and the outcome of two records with the same one."""
_Comparison = Callable[[Sequence[str], Sequence[str]], Outcomes]
_COMPARISONS: Mapping[str, _Comparison] = {
    "first": _first,
    "last": _last,
    "generation": _generation,
    "email": _email,
    "phone": _phone,
    "birth_date": _day,
    "address": _address,
    "city": _city,
    "postcode": _code,
    "state": _different,
}


def _comparison_of(name: str) -> _Comparison:
    return _code if name.startswith(IDENTIFIER) else _COMPARISONS[name]
