"""Places: which market segment a word, a phone number or a country domain tells of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

import phonenumbers
from phonenumbers.tzdata import TIMEZONE_DATA

from service.pipeline.analytics.gazetteer import (
    ALPHA_3,
    APAC,
    ENGLISH_NAMES,
    EU,
    FURTHER_NAMES,
    GENERIC_DOMAINS,
    STATES,
    ZONES,
)
from service.vocabulary import UNITED_STATES, word_of

NOTHING = "unknown"
Words = Mapping[str, str]

_EU, _APAC, _GENERIC = (frozenset(codes.split()) for codes in (EU, APAC, GENERIC_DOMAINS))
_COUNTRIES: Mapping[str, str] = dict(pair.split(":") for pair in ALPHA_3.split())
_NORTH_AMERICAN_HEAD = 7  # 1, the area code, the exchange


def segment_of_country(alpha_2: str) -> str:
    """The segment of a country; of the US the country itself, whose side something else must tell.

    >>> [segment_of_country(country) for country in ("DE", "GB", "IN", "IR", "US")]
    ['EU', 'other', 'APAC', 'other', 'US']
    """
    if alpha_2 == "US":
        return UNITED_STATES
    return "EU" if alpha_2 in _EU else "APAC" if alpha_2 in _APAC else "other"


@cache
def countries() -> Words:
    """Code or English name of a country, as ``word_of`` has it -> its segment."""
    written = (entry.split(maxsplit=1) for entry in ENGLISH_NAMES.split(";"))
    named = {word_of(name): country for country, name in written}
    codes = {code.lower(): country for pair in _COUNTRIES.items() for code in pair for country in pair[:1]}
    return {word: segment_of_country(country) for word, country in {**named, **FURTHER_NAMES, **codes}.items()}


@cache
def states() -> Words:
    """Code or name of a state of the US -> its side."""
    return {
        word_of(written): segment
        for segment, names in STATES.items()
        for code, _, name in (state.partition(" ") for state in names.split(", "))
        for written in (code, f"US-{code}", name)
    }


@cache
def zones() -> Words:
    """Time zone -> segment."""
    return {
        word_of(f"{area}/{city}"): segment
        for segment, areas in ZONES.items()
        for area, cities in areas.items()
        for city in cities.split()
    }


@cache
def domains() -> Words:
    """Country domain -> segment; of the US nothing, for it does not tell a side."""
    codes = {country.lower(): country for country in _COUNTRIES} | {"uk": "GB"}
    told = {code: segment_of_country(it) for code, it in codes.items() if code not in _GENERIC and it != "US"}
    return {**told, "eu": "EU"}


@cache
def regions() -> Words:
    """What a region may be called besides the words in the rules: the full names of countries and of states.

    A code is among them only behind the US (us ny): CA is a state and a country, DE too. Georgia is not.
    """
    names = {word: segment for word, segment in {**countries(), **states()}.items() if len(word) > 3}
    return {word: segment for word, segment in names.items() if word not in countries() or word not in states()}


@cache
def calling_codes() -> Words:
    """The first three digits of an international number -> the segment of the country that has its calling code.

    Of a code that several countries share, the main one; nothing of what belongs to no country. Not those with 1.
    """
    heads = (f"{number:03}" for number in range(200, 1000))
    return {head: segment for head in heads if (segment := _segment_of_calling_code(head))}


@cache
def area_codes() -> Words:
    """1 and an area code, or 1, area code and exchange -> segment; the longer one counts.

    A toll-free number has no place; where an area lies on both sides of the US it tells nothing.
    """
    return {head: segment for area in range(200, 1000) for head, segment in _heads_of_area(f"1{area}")}


def _segment_of_calling_code(head: str) -> str | None:
    for end in range(1, len(head) + 1):
        if sharers := phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(head[:end])):
            return segment_of_country(sharers[0]) if sharers[0].isalpha() else None  # 001 is no country
    return None


def _heads_of_area(area: str) -> Iterator[tuple[str, str]]:
    country = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{area}5552368"))
    if country is not None and country in _COUNTRIES and country != "US":
        yield area, segment_of_country(country)
    elif country == "US":
        told = sorted((prefix for prefix in _zone_prefixes() if prefix.startswith(area)), key=len)
        for prefix in told:  # a longer one, which is later, overrules the shorter
            yield from ((head, _side_of(TIMEZONE_DATA[prefix])) for head in _whole_heads(prefix))


@cache
def _zone_prefixes() -> tuple[str, ...]:
    return tuple(prefix for prefix in TIMEZONE_DATA if prefix.startswith("1") and len(prefix) >= len("1212"))


def _whole_heads(prefix: str) -> Iterator[str]:
    """The prefix of an area as it is, a longer one as all the exchanges that begin with it."""
    missing = 0 if len(prefix) == len("1212") else _NORTH_AMERICAN_HEAD - len(prefix)
    yield from (prefix + "".join(rest) for rest in product("0123456789", repeat=missing))


def _side_of(zone_names: tuple[str, ...]) -> str:
    sides = {zones().get(word_of(zone), NOTHING) for zone in zone_names}
    return sides.pop() if len(sides) == 1 else NOTHING
