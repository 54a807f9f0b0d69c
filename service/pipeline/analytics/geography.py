"""The market segment of a country, a state, a time zone, a phone number or a country domain.

The data is in ``service/data``; calling codes and area codes are those of the package phonenumbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

import phonenumbers
from phonenumbers.tzdata import TIMEZONE_DATA

from service.data import read_csv
from service.vocabulary import UNITED_STATES, UNKNOWN, word_of

Segments = Mapping[str, str]

_OTHER = "other"
_NORTH_AMERICAN_PREFIX = len("1212555")  # country code, area code, exchange
_AREA_PREFIX = len("1212")
_CLOUD_REGION = re.compile(r"(?P<base>[a-z]+)(?:(?P<number>[0-9]{1,2})[a-z]?)?", re.ASCII)
_DIGIT = re.compile("[0-9]")


@cache
def _segment_of_alpha_2() -> Segments:
    return {row["alpha_2"]: row["segment"] for row in read_csv("countries.csv")}


def segment_of_country(alpha_2: str) -> str:
    """The segment of a country; for the US ``US``, because other evidence decides its side.

    >>> [segment_of_country(country) for country in ("DE", "GB", "IN", "IR", "US")]
    ['EU', 'other', 'APAC', 'other', 'US']
    """
    return _segment_of_alpha_2().get(alpha_2, _OTHER)


@cache
def countries() -> Segments:
    """Code or English name of a country, in the form of ``word_of`` -> its segment."""
    rows = read_csv("countries.csv")
    names = {word_of(row["name"]): row["alpha_2"] for row in rows}
    further = {word_of(row["name"]): row["alpha_2"] for row in read_csv("country_names.csv")}
    codes = {row[code].lower(): row["alpha_2"] for row in rows for code in ("alpha_2", "alpha_3")}
    return {word: segment_of_country(country) for word, country in {**names, **further, **codes}.items()}


@cache
def states() -> Segments:
    """Code or name of a US state, in the form of ``word_of`` -> its side."""
    return {
        word_of(written): row["segment"]
        for row in read_csv("states.csv")
        for written in (row["code"], f"US-{row['code']}", row["name"])
    }


@cache
def zones() -> Segments:
    """Time zone, in the form of ``word_of`` -> its segment."""
    return {word_of(row["zone"]): row["segment"] for row in read_csv("zones.csv")}


@cache
def domains() -> Segments:
    """Country domain -> its segment. The US is left out, because its domain shows no side."""
    national = {
        row["alpha_2"].lower(): row["segment"] for row in read_csv("countries.csv") if row["is_generic_domain"] == "no"
    }
    del national["us"]
    return {**national, "uk": segment_of_country("GB"), "eu": "EU"}


@cache
def worldwide_hosts() -> frozenset[str]:
    """Hosts that people of every country use: their country domain is no evidence, nor is that of hosts below them."""
    return frozenset(row["host"] for row in read_csv("worldwide_hosts.csv"))


def segment_of_cloud_region(written: str) -> str | None:
    """The segment of a region as clouds write it; None for other text.

    >>> [segment_of_cloud_region(text) for text in ("us-west-2", "EU-Central", "ap-southeast-1a", "europe-west2", "EU")]
    ['US-West', 'EU', 'APAC', 'other', None]
    """
    word = word_of(written)
    if " " in word and word == written.casefold().strip() and not _DIGIT.search(word):
        return None  # words of a person: West Europe is a region of a cloud as well
    numbered = _CLOUD_REGION.fullmatch(word.replace(" ", ""))
    if numbered is None:
        return None
    base, number = numbered["base"], int(numbered["number"] or 0)
    return _cloud_regions().get(f"{base}{number}") or _cloud_regions().get(base)


@cache
def _cloud_regions() -> Segments:
    return {word_of(row["region"]).replace(" ", ""): row["segment"] for row in read_csv("cloud_regions.csv")}


@cache
def regions() -> Segments:
    """Names of a region besides the words of the rules: the full names of countries and states -> segment.

    Codes of states count with ``US`` only (us ny), other codes not at all: CA and DE are states and countries. So is
    Georgia, which is left out.
    """
    names = {word: segment for word, segment in {**countries(), **states()}.items() if len(word) > 3}
    return {word: segment for word, segment in names.items() if word not in countries() or word not in states()}


@cache
def calling_codes() -> Segments:
    """The first three digits of an international number -> the segment of the country with that calling code.

    A code that several countries share counts for the main one. Codes without a country and code 1 are left out.
    """
    prefixes = (f"{number:03}" for number in range(200, 1000))
    return {prefix: segment for prefix in prefixes if (segment := _segment_of_calling_code(prefix))}


@cache
def area_codes() -> Segments:
    """1 and an area code, or 1, area code and exchange -> segment; the longer prefix counts.

    Toll-free codes are left out. The value of an area on both sides of the US is ``unknown``.
    """
    return {prefix: segment for area in range(200, 1000) for prefix, segment in _segments_in_area(f"1{area}")}


def _segment_of_calling_code(prefix: str) -> str | None:
    for end in range(1, len(prefix) + 1):
        if regions_of_code := phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(prefix[:end])):
            main = regions_of_code[0]
            return segment_of_country(main) if main.isalpha() else None  # 001 is not a country
    return None


def _segments_in_area(area: str) -> Iterator[tuple[str, str]]:
    country = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{area}5552368"))
    if country == UNITED_STATES:
        # A longer prefix comes later and overrules the shorter ones.
        for prefix in sorted((it for it in _zone_prefixes() if it.startswith(area)), key=len):
            yield from ((whole, _side_of(TIMEZONE_DATA[prefix])) for whole in _whole_prefixes(prefix))
    elif country is not None and country in _segment_of_alpha_2():
        yield area, segment_of_country(country)


@cache
def _zone_prefixes() -> tuple[str, ...]:
    return tuple(prefix for prefix in TIMEZONE_DATA if prefix.startswith("1") and len(prefix) >= _AREA_PREFIX)


def _whole_prefixes(prefix: str) -> Iterator[str]:
    """The prefix itself if it is an area code; otherwise every prefix with a whole exchange that begins with it."""
    missing_digits = 0 if len(prefix) == _AREA_PREFIX else _NORTH_AMERICAN_PREFIX - len(prefix)
    yield from (prefix + "".join(rest) for rest in product("0123456789", repeat=missing_digits))


def _side_of(zone_names: tuple[str, ...]) -> str:
    sides = {zones().get(word_of(zone), UNKNOWN) for zone in zone_names}
    return sides.pop() if len(sides) == 1 else UNKNOWN
