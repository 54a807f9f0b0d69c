"""Numbering plans, as libphonenumber has them: which numbers are possible and which exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

_NOTHING = re.compile(r"(?!)")
"""Matches no text."""
_LONGEST_PATTERN = 1000  # a longer one costs each query more than it saves
_KINDS = (
    *("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail"),
    *("fixed_line", "mobile"),
)
"""The kinds of numbers in libphonenumber; a number exists if it is of one of them."""


class Number(NamedTuple):
    """A number in its international form."""

    calling_code: int
    national: str  # the national significant number, with the leading zeros that belong to it

    @property
    def key(self) -> str:
        """ "+", calling code, national number."""
        return f"+{self.calling_code}{self.national}"


class Plan(NamedTuple):
    """The form of the numbers of one region, or behind one calling code."""

    calling_code: int
    possible_lengths: frozenset[int]  # behind the calling code; also those that can be dialled only locally
    whole_lengths: frozenset[int]  # of the region, without those
    longest: int  # the largest of ``whole_lengths``
    form: re.Pattern[str]  # of the region's numbers; fewer exist
    trunk_prefix: re.Pattern[str]  # what may be dialled before a number within the region
    trunk_rule: str  # what stands for this prefix in the number; mostly nothing
    abroad: re.Pattern[str]  # what may be dialled before the number of another region

    def possible(self, national: str) -> Number | None:
        """The number that these digits are, without a trunk prefix; None if no number has so many digits."""
        national = self.without_trunk_prefix(national)
        return Number(self.calling_code, national) if len(national) in self.possible_lengths else None

    def without_trunk_prefix(self, national: str) -> str:
        """The digits without the trunk prefix.

        All of them where they have none, where only they have the form of a number, or where the rest is too short.
        """
        rest = self._behind_trunk_prefix(national)
        return rest if len(rest) in self.whole_lengths or len(rest) > self.longest else national

    def without_own_code(self, digits: str) -> str | None:
        """The digits behind the region's own calling code; None if they do not begin with it.

        None too if the code belongs to the number: all digits are not too many, and have the form of a number already
        or do not get it without the code.
        """
        code = str(self.calling_code)
        if not digits.startswith(code):
            return None
        rest = self._behind_trunk_prefix(digits.removeprefix(code))
        becomes_whole = self.form.fullmatch(rest) and not self.form.fullmatch(digits)
        return rest if becomes_whole or len(digits) > self.longest else None

    def _behind_trunk_prefix(self, national: str) -> str:
        prefix = self.trunk_prefix.match(national)
        if prefix is None:
            return national
        is_replaced = self.trunk_rule and prefix.groups()[-1] is not None
        rest = (prefix.expand(self.trunk_rule) if is_replaced else "") + national[prefix.end() :]
        return rest if self.form.fullmatch(rest) or not self.form.fullmatch(national) else national


def dialled(digits: str, plan: Plan) -> Number | None:
    """The number that the digits dial within a region; None if no number has so many digits.

    As libphonenumber reads them: behind the prefix for calls abroad, behind the region's own calling code, or as
    they are.
    """
    prefix = plan.abroad.match(digits)
    if prefix is not None and digits[prefix.end() : prefix.end() + 1] != "0":  # with which no calling code begins
        return behind_calling_code(digits[prefix.end() :])
    national = plan.without_own_code(digits)
    if national is None:
        return plan.possible(digits)
    of_code = plan_behind(str(plan.calling_code))
    return of_code.possible(national) if of_code is not None else None


def behind_calling_code(digits: str) -> Number | None:
    """The number that begins with its calling code; None if no number has so many digits."""
    plan = plan_behind(digits[:3])
    return plan.possible(digits[len(str(plan.calling_code)) :]) if plan is not None else None


@cache
def plan_of_region(region: str) -> Plan | None:
    """The plan of a region; None if libphonenumber knows none."""
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.country_code is None:
        return None
    own_code = str(metadata.country_code)
    if (plan := plan_behind(own_code)) is None:
        return None
    return _plan(metadata, plan.possible_lengths, _pattern(metadata.international_prefix))


@cache
def plan_behind(digits: str) -> Plan | None:
    """The plan of the calling code at the beginning of the digits; calling codes have one to three digits."""
    codes = (int(digits[:end]) for end in range(1, len(digits[:3]) + 1) if digits[0] != "0")
    for code in codes:
        main_region = phonenumbers.region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, main_region)
        if metadata is not None and metadata.general_desc is not None:
            general = metadata.general_desc
            lengths = frozenset((*general.possible_length, *general.possible_length_local_only))
            return _plan(metadata, lengths, _NOTHING)
    return None


def _plan(metadata: PhoneMetadata, possible_lengths: frozenset[int], abroad: re.Pattern[str]) -> Plan:
    general = metadata.general_desc
    whole_lengths = general.possible_length if general else ()
    return Plan(
        calling_code=metadata.country_code or 0,
        possible_lengths=possible_lengths,
        whole_lengths=frozenset(whole_lengths),
        longest=max(whole_lengths, default=0),
        form=_pattern(general.national_number_pattern if general else None),
        trunk_prefix=_pattern(metadata.national_prefix_for_parsing),
        trunk_rule=metadata.national_prefix_transform_rule or "",
        abroad=abroad,
    )


def _pattern(text: str | None) -> re.Pattern[str]:
    """The regular expression; one that matches no text if there is none."""
    return re.compile(text) if text else _NOTHING


# --------------------------------------------------------------------------------------------- which numbers exist


class _Region(NamedTuple):
    leading_digits: re.Pattern[str] | None  # they alone show that a number is of this region
    numbers: re.Pattern[str]  # those that exist


def exists(calling_code: int, national: str) -> bool:
    """What ``phonenumbers.is_valid_number`` returns: whether the number exists in the region that it is of."""
    for region in _regions_behind(calling_code):
        if region.leading_digits is None:
            if region.numbers.fullmatch(national):
                return True
        elif region.leading_digits.match(national):
            return region.numbers.fullmatch(national) is not None
    return False


@cache
def _regions_behind(calling_code: int) -> tuple[_Region, ...]:
    names = COUNTRY_CODE_TO_REGION_CODE[calling_code]
    found = [PhoneMetadata.metadata_for_region_or_calling_code(calling_code, name) for name in names]
    return tuple(_region(it, is_alone=len(names) == 1) for it in found if it is not None)


def _region(metadata: PhoneMetadata, *, is_alone: bool) -> _Region:
    kinds = [
        getattr(metadata, kind)
        for kind in _KINDS
        if kind != "mobile" or not metadata.same_mobile_and_fixed_line_pattern
    ]
    whole, numbers = _forms([metadata.general_desc]), _forms(kinds)
    form = re.compile(rf"(?=(?:{whole[0]})\Z)(?:{'|'.join(numbers)})") if whole and numbers else _NOTHING
    leading = None if is_alone or metadata.leading_digits is None else re.compile(metadata.leading_digits)
    return _Region(leading, form)


def _forms(descriptions: Iterable[PhoneNumberDesc | None]) -> list[str]:
    """A regular expression for each description that has a pattern: that, with its possible lengths."""
    return [
        f"{_of_length(it.possible_length)}(?:{it.national_number_pattern})"
        for it in descriptions
        if it is not None and it.national_number_pattern is not None
    ]


def _of_length(lengths: Sequence[int]) -> str:
    """What looks ahead for so many digits; nothing if any number of them will do."""
    listed = "|".join(f"[0-9]{{{length}}}" for length in lengths if length > 0)  # -1 stands for none
    return rf"(?=(?:{listed or '(?!)'})\Z)" if lengths else ""


# --------------------------------------------------------------------------------------------------------- for SQL


def international_shapes() -> tuple[str, str]:
    """Two regular expressions for the digits behind a "+", for SQL.

    The first matches, as a whole, the numbers that are possible behind their calling code; the second, at the
    beginning, those that may hold a trunk prefix. libphonenumber removes nothing from the others.
    """
    by_lengths: dict[str, list[str]] = {}
    by_prefix: dict[str, list[str]] = {}
    for code in map(str, sorted(COUNTRY_CODE_TO_REGION_CODE)):
        plan = plan_behind(code)
        assert plan is not None, "libphonenumber lists no calling code without a plan"
        lengths = "|".join(f"[0-9]{{{length}}}" for length in sorted(plan.possible_lengths))
        by_lengths.setdefault(lengths, []).append(code)
        if plan.trunk_prefix is not _NOTHING:
            by_prefix.setdefault(plan.trunk_prefix.pattern, []).append(code)
    return _behind_codes(by_lengths), _behind_codes(by_prefix)


def mobiles_that_exist() -> str:
    """Regular expression for SQL: the digits behind a "+" of mobiles that exist.

    Of the main region of each calling code; whether any other number exists, the definition decides.
    """
    plans: dict[str, list[str]] = {}
    for code, (main_region, *_) in sorted(COUNTRY_CODE_TO_REGION_CODE.items()):
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, main_region)
        if metadata is None or metadata.leading_digits or code == 1:
            continue
        pattern = (metadata.mobile and metadata.mobile.national_number_pattern) or ""
        if 0 < len(pattern) < _LONGEST_PATTERN:
            plans.setdefault(pattern, []).append(str(code))
    return _behind_codes(plans)


def _behind_codes(codes_of: dict[str, list[str]]) -> str:
    return "|".join(f"(?:{'|'.join(codes)})(?:{rest})" for rest, codes in codes_of.items())
