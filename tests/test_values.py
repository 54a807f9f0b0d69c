"""The rules of single values (docs/specification.md section 4): tables of results, and laws for every text."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import random
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime
from datetime import time as time_of_day
from itertools import product

import idna
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from service.pipeline import fields
from service.pipeline.fields import email as email_rules
from service.pipeline.fields import name as name_rules
from service.pipeline.fields import phone as phone_rules
from service.pipeline.fields.date import column_of, date_evidence, norm_date, read_date, trouble_date
from service.pipeline.fields.email import email_key, norm_email, read_email, trouble_email
from service.pipeline.fields.missing import MISSING_WORDS, is_missing, is_missing_name
from service.pipeline.fields.name import name_key, norm_name, read_name, trouble_name
from service.pipeline.fields.number_plan import behind_calling_code, exists
from service.pipeline.fields.phone import compared_phone, norm_phone, phone_as_printed, read_phone, trouble_phone
from service.pipeline.fields.status import read_status
from service.pipeline.fields.text import Unusable
from tests.corpus import (
    DATES,
    EMAILS,
    MASKED_EMAILS,
    NAMES,
    NOT_DATES,
    NOT_EMAILS,
    NOT_PHONES,
    PHONES,
    RAW_PHONES,
)
from tests.sizes import EVERY_LETTER, EVERY_READING_REGION

# Everything a text can hold, lone surrogates too, and text that is nearly a value.
ANY_TEXT = st.text(st.characters(), max_size=30)
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
SOME_REGIONS = (
    "US",
    "CA",
    "GB",
    "DE",
    "IT",
    "BR",
    "AR",
    "JP",
    "AU",
    "IM",
    "GG",
    "AG",
    "SM",
    "RU",
    "XX",
    "us",
    "",
)
# The region of the reader times the region of the number: all pairs in the largest size only.
READING_REGIONS = REGIONS[::EVERY_READING_REGION]
# All of Latin, Greek and Cyrillic, where most of the special cases are, and a part of the rest of Unicode.
LETTERS_TRIED = [chr(code) for code in (*range(0x530), *range(0x530, 0x110000, EVERY_LETTER))]
NEARLY_A_PHONE = st.text("0123456789+-./,;() xeE'=\"#orOR\u00a0\uff11\u0661", max_size=30)
NEARLY_A_NAME = st.text("aAbBmMcCdDeEvVnNsS' ’-,.1ßİıŉſΣσςǆǅǄﬁʻʼ\u0301\u0307\u200b\u00a0", max_size=20)
NEARLY_AN_EMAIL = st.text("aB@.<>: mailto:MAILTO?\"'\u200b\uff20İ", max_size=25)
PARTS_OF_AN_EMAIL = st.text("aZéßω漢_1٣²-+%", min_size=1, max_size=4)
NEARLY_A_PLAIN_EMAIL = st.builds(
    lambda local, labels, odd, at: f"{local}@{'.'.join(labels)}"[:at] + odd + f"{local}@{'.'.join(labels)}"[at:],
    PARTS_OF_AN_EMAIL,
    st.lists(PARTS_OF_AN_EMAIL, min_size=1, max_size=3),
    st.sampled_from(["", "", *".·・@ ,;:'>-\u0301*"]),
    st.integers(0, 12),
)
NEARLY_A_DATE = st.text("0123456789-/.:TZ ,+janfebJANAPMth", max_size=25)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(fields.__path__)])
def test_the_examples_in_the_docstrings_of_a_field_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"{fields.__name__}.{name}")).failed == 0


# ------------------------------------------------------------------------------------------- missing, status


@pytest.mark.parametrize(
    "cell", [None, "", "  \t", "\u00a0", *sorted(MISSING_WORDS), " N/A ", "NULL", "NaN", "#N/A", "####"]
)
def test_an_empty_cell_or_a_missing_word_is_missing(cell: str | None) -> None:
    assert is_missing(cell)


@pytest.mark.parametrize(
    "name", [None, "NULL NULL", " , Unknown", "n/a, n/a", "\\N \\N", "Not Provided Unknown", "Na", "- ."]
)
def test_a_name_of_missing_words_alone_is_missing(name: str | None) -> None:
    assert is_missing_name(name)


@pytest.mark.parametrize("name", ["Na Li", "Jennifer Null", "Unknown Soldier", "Nano", "NullNull", "N"])
def test_a_name_with_another_word_is_not_missing(name: str) -> None:
    assert not is_missing_name(name)


@pytest.mark.parametrize("cell", ["0", "Na Li", "N/A N/A", "anyone", "---", "..", "Null Island", "False", "##"])
def test_any_other_cell_is_not_missing(cell: str) -> None:
    assert not is_missing(cell)


@pytest.mark.parametrize(("text", "status"), [(" Active ", "active"), ("ON HOLD", "on hold"), ("", "")])
def test_a_status_is_trimmed_and_in_lower_case(text: str, status: str) -> None:
    assert read_status(text) == status


# ----------------------------------------------------------------------------------------------------- email


@pytest.mark.parametrize(("text", "address"), EMAILS)
def test_an_address_is_read(text: str, address: str) -> None:
    assert read_email(text) == address


@pytest.mark.parametrize("text", NOT_EMAILS)
def test_any_other_text_is_an_invalid_email(text: str) -> None:
    assert (norm_email(text), trouble_email(text)) == (None, "invalid_email")


@given(NEARLY_A_PLAIN_EMAIL)
def test_a_plain_address_is_read_as_one_with_something_round_it(text: str) -> None:
    found = norm_email(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(email_rules, "_PLAIN_ADDRESS", re.compile("(?!)"))
        assert norm_email(text) == found


@pytest.mark.parametrize("text", MASKED_EMAILS)
def test_a_masked_address_is_missing_with_a_reason_of_its_own(text: str) -> None:
    assert (norm_email(text), trouble_email(text)) == (None, "masked_email")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("zoë@bücher.example", "zoë@xn--bcher-kva.example"),
        ("bob@BÜCHER.example", "bob@xn--bcher-kva.example"),
        ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
    ],
)
def test_a_domain_is_compared_in_its_form_for_the_dns(one: str, other: str) -> None:
    assert read_email(one) != read_email(other)
    assert email_key(read_email(one)) == email_key(read_email(other))


@pytest.mark.parametrize("address", ["a@x_y.org", "a@[1.2.3.4]", "a@xn--.org", "a@" + "ü." * 400 + "de", "a@-ü-.de"])
def test_a_domain_that_cannot_exist_is_compared_as_written(address: str) -> None:
    assert email_key(address) == address


# ----------------------------------------------------------------------------------------------------- phone


@pytest.mark.parametrize(("region", "text", "key"), PHONES)
def test_a_number_is_read(region: str, text: str, key: str) -> None:
    assert read_phone(text, region) == key


@pytest.mark.parametrize("text", ["'&#9;2023-01-15 10:30", "'\u20282023-01-15 10:30", "=&#9;20.12.2023 14:30"])
def test_a_date_behind_a_mark_of_a_spreadsheet_and_a_blank_is_no_number(text: str) -> None:
    assert (norm_phone(text, "US"), compared_phone(text, "US")) == (None, None)


@pytest.mark.parametrize(("text", "reason"), NOT_PHONES)
def test_an_unusable_number_has_a_reason(text: str, reason: str) -> None:
    assert (norm_phone(text, "US"), trouble_phone(text, "US")) == (None, reason)


def test_a_national_number_of_an_unknown_region_is_unusable() -> None:
    assert norm_phone("5550101", "XX") is None


@pytest.mark.parametrize(
    ("region", "key", "printed"),
    [
        ("US", "+15550101", "5550101"),
        ("US", "+14165550101", "4165550101"),  # Canada shares the calling code
        ("US", "+442079460958", "442079460958"),
        ("US", "+390612345678", "390612345678"),
        ("IT", "+390612345678", "0612345678"),
        ("GB", "+442079460958", "2079460958"),
        ("GB", "+12125550101", "12125550101"),
        ("XX", "+12125550101", "12125550101"),
    ],
)
def test_a_number_is_printed_without_the_calling_code_of_its_region(region: str, key: str, printed: str) -> None:
    assert phone_as_printed(key, region) == printed


def examples() -> list[tuple[str, PhoneNumber]]:
    """One number of every type of every region, from libphonenumber."""
    found = [
        (region, phonenumbers.example_number_for_type(region, number_type))
        for region in REGIONS
        for number_type in sorted(phonenumbers.supported_types_for_region(region))
    ]
    return [(region, number) for region, number in found if number is not None]


def e164(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def misread(written: Callable[[PhoneNumber], str], reading_region: str | None) -> list[tuple[str, str]]:
    """Region and digits of the examples that are not read as themselves if ``written`` like this."""
    return [
        (region, e164(number)[1:])
        for region, number in examples()
        if norm_phone(written(number), reading_region or region) != e164(number)
    ]


@pytest.mark.parametrize("number_format", [0, 1, 2, 3], ids=["E164", "international", "national", "RFC3966"])
def test_every_format_of_a_number_is_the_same_number_in_its_region(number_format: int) -> None:
    assert len(examples()) > 1000
    assert not misread(lambda number: phonenumbers.format_number(number, number_format), None)


@pytest.mark.large
@pytest.mark.parametrize("number_format", [0, 1, 3], ids=["E164", "international", "RFC3966"])
def test_an_international_number_is_the_same_in_every_region(number_format: int) -> None:
    for region in ("US", "DE", "IT", "JP"):
        assert not misread(lambda number: phonenumbers.format_number(number, number_format), region)


def test_a_number_dialled_from_the_default_region_is_the_same_number() -> None:
    assert not misread(lambda n: phonenumbers.format_out_of_country_calling_number(n, "US"), "US")


def test_a_number_with_00_is_the_same_number_where_00_dials_abroad() -> None:
    # Elsewhere 00 is only the beginning of the prefix for calls abroad: a carrier follows (BR, CO, HK, KH, KR,
    # SG, TH), or is 0011 (AU and its islands), 001 (ID), 009 (NG), 010 (JP), 011 (CA), 0 (WS).
    misread_in = {region for region, _ in misread(lambda number: "00" + e164(number)[1:], None)}
    assert misread_in == set("AU BR CA CC CO CX HK ID JP KH KR NG SG TH WS".split())  # noqa: SIM905
    for region in misread_in:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        assert metadata is not None
        assert metadata.international_prefix != "00"


def possible_in_the_us(digits: str) -> bool:
    return len(digits.removeprefix("1")) in (7, 10) or len(digits) in (7, 10)


def test_a_number_with_00_is_the_same_number_in_the_us_unless_it_is_possible_there() -> None:
    wrong = misread(lambda number: "00" + e164(number)[1:], "US")
    assert all(possible_in_the_us("00" + digits) for _, digits in wrong)
    assert len(wrong) < 30  # twenty-one short numbers of twelve regions, the Cook Islands for one


def test_a_bare_international_number_is_the_same_number_in_the_us_unless_it_is_possible_there() -> None:
    # By the order of the specification ten digits are American before they are Norwegian; only a + decides. Fewer
    # than seven digits are not taken for a foreign number without a +.
    wrong = misread(lambda number: e164(number)[1:], "US")
    assert all(possible_in_the_us(digits) or len(digits) < 7 for _, digits in wrong)


def landline_mobile_and_toll_free() -> list[tuple[str, PhoneNumber]]:
    kinds = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE)
    found = [(region, phonenumbers.example_number_for_type(region, kind)) for region in REGIONS for kind in kinds]
    return [(region, number) for region, number in found if number is not None]


@pytest.mark.slow
@pytest.mark.parametrize("reading_region", READING_REGIONS)
def test_a_number_dialled_from_any_region_is_read_as_itself(reading_region: str) -> None:
    """In the region's own format for calls to every other: 011, 00, 8~10, 0011 …; each is read as itself."""
    assert len(landline_mobile_and_toll_free()) > 600
    for region, number in landline_mobile_and_toll_free():
        written = phonenumbers.format_out_of_country_calling_number(number, reading_region)
        if reading_region == "HK":
            # A call from Hong Kong begins with 00 or, for a carrier, with 001: libphonenumber itself reads
            # 00 1 201 555 0123, which it wrote, as +20 15550123. Only a + decides.
            written = e164(number)
        assert norm_phone(written, reading_region) == e164(number), (region, written)


@pytest.mark.large
@pytest.mark.parametrize("wrapping", ["{}.0", "{}.", "'{}", '="{}"', "={}", "tel:{}", " {}\u00a0", "\u202d{}\u202c"])
def test_what_a_spreadsheet_wraps_around_a_number_does_not_change_it(wrapping: str) -> None:
    def national_digits(number: PhoneNumber) -> str:
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        return wrapping.format("".join(c for c in national if c.isdigit()))

    assert not misread(lambda number: wrapping.format(e164(number)), "US")
    assert not misread(national_digits, None)


def test_a_trunk_prefix_in_brackets_is_removed_from_an_international_number() -> None:
    for region, number in landline_mobile_and_toll_free():
        metadata = PhoneMetadata.metadata_for_region(region, None)
        assert metadata is not None
        national = phonenumbers.national_significant_number(number)
        written = f"+{number.country_code} ({metadata.national_prefix or ''}) {national}"
        # In Colombia the 0 stands only before the digit of a carrier, and libphonenumber knows them all.
        assert norm_phone(written, "US") == e164(number) or region == "CO", written


@pytest.mark.parametrize("before", ["+", "00"])
def test_a_doubled_calling_code_counts_once_unless_the_longer_number_is_possible(before: str) -> None:
    undecided = set()
    for region, number in landline_mobile_and_toll_free():
        code = str(number.country_code)
        doubled = f"+{code}{code}{phonenumbers.national_significant_number(number)}"
        key = norm_phone(before + doubled[1:], "US")
        if key != e164(number):
            # The specification: the first reading counts. Such a number is another one, and equal to none.
            is_a_number = phonenumbers.is_possible_number if before == "+" else phonenumbers.is_valid_number
            assert is_a_number(phonenumbers.parse(doubled)), doubled
            assert key == doubled
            undecided.add(region)
    assert "DE" in undecided  # where numbers have many lengths
    assert not undecided & {"US", "CA", "GB", "FR", "ES", "PL"}


def test_digits_with_the_calling_code_of_their_region_are_the_same_number_unless_possible_without() -> None:
    for region, number in landline_mobile_and_toll_free():
        digits = e164(number)[1:]
        if norm_phone(digits, region) != e164(number):  # nine, of regions where numbers have many lengths
            assert region in {"BR", "DE", "ID", "NL", "SE", "XK"}, digits
            assert phone_rules._national(digits, region) is not None


@given(st.sampled_from(REGIONS), st.text("0123456789", min_size=1, max_size=18), st.booleans())
def test_the_fast_path_gives_the_result_of_libphonenumber(region: str, digits: str, abroad: bool) -> None:
    text = "+" + digits if abroad else digits
    # libphonenumber reads +0… once more as a national number; here + stays international.
    if not text.startswith("+0"):
        found = phone_rules._international(digits) if abroad else phone_rules._national(digits, region)
        assert found == by_libphonenumber(text, region)


def by_libphonenumber(text: str, region: str | None) -> tuple[int, str] | None:
    """Calling code and national number, if the number is possible."""
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return parsed.country_code or 0, phonenumbers.national_significant_number(parsed)


# ------------------------------------------------------------------------------------------------------ name


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_name_is_read(text: str, name: str) -> None:
    assert read_name(text) == name


@pytest.mark.parametrize("name", ["X", "J.", "É", "王", "***", "-", "7", "(É)"])
def test_a_name_of_one_letter_is_shown_but_has_no_key(name: str) -> None:
    assert read_name(name.lower()) == name
    assert name_key(name) is None


@pytest.mark.parametrize("text", ["nu\u200bll", "&quot;NULL&quot;", "un\u200bknown, n/a", "\ufeffNa"])
def test_hidden_missing_words_are_no_name(text: str) -> None:
    assert trouble_name(text) == "invalid_name"


@pytest.mark.parametrize("text", ["", "  ", "\t\n", "\u200b", "\x00\x01", "\u00a0\ufeff"])
def test_a_name_without_visible_characters_is_invalid(text: str) -> None:
    assert (norm_name(text), trouble_name(text)) == (None, "invalid_name")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("DeVito", "DEVITO"),
        ("Ludwig van Beethoven", "LUDWIG VAN BEETHOVEN"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("Ann O’Brien", "ANN O'BRIEN"),
        ("Ann O`Brien", "Ann O´Brien"),
        ("ʻOkina Lee", "'Okina Lee"),
        ("Bob O&#039;Neil", "Bob O’Neil"),
        ("Smith &amp; Sons", "Smith & Sons"),
        ("\ufb01na", "Fina"),
        ("ＪＯＨＮ", "John"),
        ("Ŀuis", "L·uis"),
    ],
)
def test_names_that_differ_only_in_case_width_and_apostrophe_have_one_key(one: str, other: str) -> None:
    assert name_key(read_name(one)) == name_key(read_name(other))


@pytest.mark.slow
def test_every_letter_with_a_second_case_or_form_is_stable() -> None:
    """All of Unicode, because one pass is not always enough: ŉ, ß, İ, final sigma, titlecase digraphs."""
    for letter in LETTERS_TRIED:
        if (
            len(
                {
                    letter,
                    letter.lower(),
                    letter.title(),
                    letter.upper(),
                    unicodedata.normalize("NFKC", letter),
                }
            )
            > 1
        ):
            for text in (letter, letter + "abc", "AB" + letter, "Mc" + letter, "x'" + letter + "\u0301y"):
                name = norm_name(text)
                assert name is None or norm_name(name) == name, ascii(text)
                email = norm_email(f"{text}@x.org")
                assert email is None or norm_email(email) == email, ascii(text)


# ------------------------------------------------------------------------------------------------------ date


@pytest.mark.parametrize("order", ["MDY", "DMY|||unix", "DMY|DMY"])
@pytest.mark.parametrize(("text", "day"), DATES)
def test_a_clear_date_is_read_whatever_the_order_of_its_column(text: str, day: str, order: str) -> None:
    assert read_date(text, order) == day


@pytest.mark.parametrize("text", ["03/04/2023", "3-4-2023", "03.04.2023", "3/4/2023 5:06 PM", "3/4/23"])
def test_an_unclear_date_is_read_by_the_order_of_its_column(text: str) -> None:
    assert (read_date(text, "MDY"), read_date(text, "DMY")) == ("2023-03-04", "2023-04-03")


@pytest.mark.parametrize("text", NOT_DATES)
def test_any_other_text_is_an_invalid_date(text: str) -> None:
    assert (norm_date(text, "MDY"), trouble_date(text, "DMY")) == (None, "invalid_date")


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("15/01/2023", "DMY"),
        ("15.1.2023 10:30", "DMY"),
        ("01/15/2023", "MDY"),
        ("1-15-2023", "MDY"),
        ("30/10/15 12:49", "/30 10 15"),
        ("1/15/23", "/1 15 23"),
        ("15-01-23", "-15 01 23"),
        ("03.04.05", ".03 04 05"),
        ("99-01-15", "-99 01 15"),
        ("03/04/2023", None),
        ("12/12/2023", None),
        ("13/13/2023", None),
        ("99/01/2023", None),
        ("2023-01-15", None),
        ("15 Jan 2023", None),
        ("1673778600", "unix"),
        ("1673778600123", "unix"),
        ("315532800", "unix"),
        ("315532799", None),
        ("2125550101", None),
        ("9673778600123", None),
        ("202301151030", None),
        ("", None),
    ],
)
def test_a_value_shows_what_it_can_about_its_column(text: str, evidence: str | None) -> None:
    assert date_evidence(text) == evidence


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1673778600", "2023-01-15"),
        ("1673778600.0", "2023-01-15"),
        ("1673778600123", "2023-01-15"),
        ("999999999", "2001-09-09"),
        ("315532800", "1980-01-01"),
        ("315532800000", "1980-01-01"),
        ("315532799", None),
        ("100000000000", None),
        ("2125550101", None),
        ("5550101234", None),
        ("202301151030", "2023-01-15"),
        ("20230115103000", "2023-01-15"),
    ],
)
def test_digits_are_a_unix_time_only_in_a_column_of_them(text: str, day: str | None) -> None:
    assert norm_date(text, "MDY|||unix") == day
    assert norm_date(text, "MDY") == (day if text.startswith("2023") else None)


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)), st.times())
def test_a_date_and_time_in_digits_is_that_day(day: date, clock: time_of_day) -> None:
    moment = datetime.combine(day, clock)
    for written in ("%Y%m%d%H%M", "%Y%m%d%H%M%S"):
        for column in ("MDY", "DMY|||unix"):
            assert read_date(moment.strftime(written), column) == moment.date().isoformat()
        assert norm_phone(moment.strftime(written), "US") is None
        assert compared_phone(moment.strftime(written), "US") is None


@pytest.mark.parametrize(
    ("values", "order", "hyphens"),
    [
        (["99-01-15", "23-01-15"], "MDY", "YMD"),
        (["23-01-15", "22-12-31", "21-06-30", "19-11-30"], "MDY", "unclear"),
        (["23-01-15"], "DMY", "unclear"),
        (["01-15-23"], "DMY", "MDY"),
        (["01-15-23", "02-03-23"], "DMY", "MDY"),
        (["15-01-32"], "MDY", "DMY"),
        (["01-02-32"], "MDY", "MDY"),
        (["01-02-32"], "DMY", "DMY"),
        (["01-15-23", "15-01-32"], "MDY", "unclear"),
        (["99-01-15", "15-01-99"], "MDY", "unclear"),
        (["9-12-23", "15-01-23"], "MDY", "DMY"),
        (["01-15-23", "00-00-00"], "MDY", "MDY"),  # no day in any order says nothing about the column
        ([f"2{n % 3}-01-{n + 1:02}" for n in range(20)], "MDY", "YMD"),
        ([f"2{n % 3}-01-{n + 1:02}" for n in range(19)], "MDY", "unclear"),
        ([f"{n + 1:02}-01-2{n % 3}" for n in range(20)], "MDY", "DMY"),
        ([f"{n % 12 + 1:02}-{n + 1:02}-2{n % 3}" for n in range(20)], "DMY", "MDY"),
        ([], "MDY", ""),
    ],
)
def test_short_dates_with_hyphens_have_one_order_or_are_unclear(values: list[str], order: str, hyphens: str) -> None:
    evidence = Counter(filter(None, map(date_evidence, values)))
    column, _ = column_of(evidence, len(values), order)
    assert column.hyphens == hyphens
    for value in values:
        if hyphens == "unclear":
            assert trouble_date(value, column.code) == "unclear_date"


def test_other_short_dates_are_year_first_only_where_a_first_part_is_no_day() -> None:
    for mark in "/.":
        years = Counter(map(str, (date_evidence(f"9{n}{mark}01{mark}15") for n in range(3))))
        column, _ = column_of(years, 3, "MDY")
        assert (column.strokes, read_date(f"95{mark}02{mark}03", column.code)) == ("YMD", "1995-02-03")
        days = Counter(map(str, (date_evidence(f"2{n}{mark}01{mark}15") for n in range(3))))
        column, _ = column_of(days, 3, "MDY")
        assert (column.strokes, column.order) == ("", "DMY")


@given(st.lists(st.dates(min_value=date(1970, 1, 1), max_value=date(2068, 12, 31)), min_size=1, max_size=40))
def test_a_column_of_short_dates_is_read_as_written_or_not_at_all(days: list[date]) -> None:
    """Year first, as the column is written: no value becomes another day."""
    column, _ = column_of(Counter(map(str, (date_evidence(f"{day:%y-%m-%d}") for day in days))), len(days), "MDY")
    for day in days:
        if column.hyphens == "YMD":
            assert read_date(f"{day:%y-%m-%d}", column.code) == day.isoformat()
        elif len(days) < 20:
            assert trouble_date(f"{day:%y-%m-%d}", column.code) == "unclear_date"


@pytest.mark.parametrize(
    ("times", "filled", "unix"), [(2, 3, "unix"), (1, 2, ""), (5, 10, ""), (1, 1, "unix"), (0, 0, "")]
)
def test_a_column_is_one_of_unix_times_if_more_than_half_of_it_is(times: int, filled: int, unix: str) -> None:
    assert column_of({"unix": times}, filled, "MDY")[0].unix == unix


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d %B %Y", "%b %d, %Y", "%d-%b-%Y"]))
def test_every_day_is_read_in_every_clear_format(day: object, written: str) -> None:
    text = format(day, written.replace("%Y", str(day)[:4]))
    assert read_date(text, "MDY") == str(day)


@given(st.dates(), st.sampled_from([("%d{0}%m{0}", "DMY"), ("%m{0}%d{0}", "MDY")]), st.sampled_from("/-."))
def test_every_day_is_read_in_the_order_it_was_written_in(day: object, shape: tuple[str, str], mark: str) -> None:
    pattern, order = shape
    text = format(day, pattern.format(mark) + str(day)[:4])
    assert read_date(text, order) == str(day)
    assert date_evidence(text) in (order, None)


# ------------------------------------------------------------------------------------------------------ laws


def is_stable(norm: Callable[[str], str | None], trouble: Callable[[str], str | None], text: str) -> None:
    """Exactly one of value and reason is None, and the value is normalised to itself."""
    value = norm(text)
    assert (value is None) != (trouble(text) is None)
    if value is not None:
        assert value
        assert norm(value) == value


@given(st.one_of(ANY_TEXT, NEARLY_AN_EMAIL, st.emails(), st.from_regex(r"[^@]*<?[^@]+@[a-z]+\.[^@]+>?")))
def test_every_email_is_stable_or_has_a_reason(text: str) -> None:
    is_stable(norm_email, trouble_email, text)


@given(st.one_of(ANY_TEXT, NEARLY_A_PHONE), st.sampled_from(SOME_REGIONS))
def test_every_phone_is_stable_or_has_a_reason(text: str, region: str) -> None:
    is_stable(lambda it: norm_phone(it, region), lambda it: trouble_phone(it, region), text)


@given(st.text("0123456789", min_size=10, max_size=10), st.text("0123456789", max_size=6), st.integers(0, 6))
def test_a_number_grouped_as_at_home_is_never_a_number_of_another_country(ten: str, extension: str, form: int) -> None:
    shape = ("{}-{}-{}", "({}) {}-{}", "{} {} {}", "{}.{}.{}", "1-{}-{}-{}", "1 ({}) {} {}", "({}){} {}")[form]
    written = shape.format(ten[:3], ten[3:6], ten[6:])
    for region in ("US", "CA", "us"):
        for text in (written, f"{written}-{extension}", f"{written} {extension}", f"{written} ({extension})"):
            key = norm_phone(text, region)
            assert key is None or key.startswith("+1"), text
            # of ten digits that begin like an area code, the extension changes nothing
            if ten[0] >= "2" and ten[3] >= "2":
                assert key == f"+1{ten}", text


@given(
    st.sampled_from(["US", "CA", "GB", "DE", "FR", "ES", "IT", "IN", "JP", "AU", "BR", "HK", "RU", "MX", "NG"]),
    st.one_of(NEARLY_A_PHONE, st.lists(st.text("0123456789", min_size=1, max_size=6), max_size=5).map("-".join)),
)
def test_a_text_without_a_prefix_for_calls_abroad_is_foreign_only_if_the_number_exists(region: str, text: str) -> None:
    key = norm_phone(text, region)
    digits = "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())
    if key is None or "+" in unicodedata.normalize("NFKC", text) or "00" in digits or "011" in digits:
        return
    number = phonenumbers.parse(key)
    if number.country_code != phonenumbers.country_code_for_region(region):
        assert phonenumbers.is_valid_number(number), (text, key)


@given(st.text("0123456789", min_size=7, max_size=17), st.sampled_from(["{}", "{}.0", "'{}", '="{}"', "+{}", "{} x5"]))
def test_equal_digits_that_cannot_be_read_meet(digits: str, shape: str) -> None:
    key, text = compared_phone(shape.format(digits), "US"), shape.format(digits)
    assert key == (norm_phone(text, "US") or key)
    if key is None:
        return
    if key.startswith("raw:"):
        assert key == f"raw:{digits}"
        assert 9 <= len(digits) <= 15
        assert trouble_phone(text, "US")


@pytest.mark.parametrize(("region", "text", "key"), RAW_PHONES)
def test_an_unreadable_number_has_a_key_of_its_digits(region: str, text: str, key: str | None) -> None:
    assert (norm_phone(text, region), compared_phone(text, region)) == (None, key)


@given(st.sampled_from(REGIONS), st.text("0123456789", min_size=4, max_size=17))
def test_a_phone_key_reads_the_same_in_every_region(region: str, digits: str) -> None:
    for text in (digits, "0" + digits, "+" + digits):
        key = norm_phone(text, region)
        assert key is None or key == norm_phone(key, "US") == norm_phone(key, region)
        assert key is None or key[1:].endswith(phone_as_printed(key, region))


@given(st.one_of(ANY_TEXT, NEARLY_A_NAME))
def test_every_name_is_stable_or_has_a_reason(text: str) -> None:
    is_stable(norm_name, trouble_name, text)
    if name := norm_name(text):
        key = name_key(name)
        assert name_key(read_name(name)) == key
        assert key is None or name_key(key) == key


@given(st.text("abcdefghijklmnopqrstuvwxyzäöüéèñçøåß '-.", max_size=30))
def test_the_case_of_a_name_does_not_change_its_key(text: str) -> None:
    for written in (text.upper(), text.title(), text.swapcase()):
        one, other = norm_name(text), norm_name(written)
        assert (one and name_key(one)) == (other and name_key(other))


@given(
    st.one_of(ANY_TEXT, NEARLY_A_DATE),
    st.sampled_from(["MDY", "DMY", "MDY|unclear", "MDY|YMD|YMD", "DMY|DMY||unix", "MDY|MDY"]),
)
def test_every_date_is_stable_or_has_a_reason(text: str, order: str) -> None:
    is_stable(lambda it: norm_date(it, order), lambda it: trouble_date(it, order), text)
    evidence = date_evidence(text)
    assert evidence in ("MDY", "DMY", "unix", None) or evidence[0] in "-/."


@given(st.one_of(NEARLY_AN_EMAIL, st.emails(), st.text("aé@.*;,|<>()[]'\"&#64; 。", max_size=20)))
def test_the_key_of_an_address_is_its_own_key(text: str) -> None:
    if address := norm_email(text):
        assert email_key(email_key(address)) == email_key(address)


# Two different clear values never become equal: a clear value is read as itself (a name: as its own key).


@given(st.from_regex(r"[a-z0-9._%+-]{1,12}@[a-z0-9-]{1,8}(\.[a-z0-9-]{1,5}){1,3}", fullmatch=True))
def test_a_plain_address_in_small_letters_is_read_as_itself(address: str) -> None:
    assert read_email(address) == address


@given(st.sampled_from(REGIONS), st.sampled_from(landline_mobile_and_toll_free()), st.text("0123456789", max_size=6))
def test_a_valid_number_in_full_is_read_as_itself_in_every_region(
    reading_region: str, example: tuple[str, PhoneNumber], ending: str
) -> None:
    text = e164(example[1])
    text = text[: len(text) - len(ending)] + ending
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return
    if phonenumbers.is_valid_number(parsed) and e164(parsed) == text:
        assert read_phone(text, reading_region) == text


@given(st.dates().map(str), st.sampled_from(["", "T10:30:00Z", " 23:59", "T00:00:00.5+13:00"]))
def test_an_iso_date_is_read_as_itself(day: str, clock: str) -> None:
    assert {read_date(day + clock, order) for order in ("MDY", "DMY")} == {day}


# The Turkish i and ours swap; three Greek letters that begin no word lose the order of their marks.
LETTERS = st.characters(categories=["Lu", "Ll", "Lt", "Lo"], exclude_characters="İıᾷῇῷ")


@given(st.text(st.one_of(LETTERS, st.sampled_from("abcdMmc '-.’")), min_size=1, max_size=20))
def test_a_name_keeps_all_its_letters(text: str) -> None:
    if name := norm_name(text):
        assert name_key(name) == name_key(" ".join(text.split()))


@pytest.mark.slow
def test_every_letter_anywhere_in_a_word_keeps_its_key() -> None:
    for letter in LETTERS_TRIED:
        if unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Lo", "Lm") and letter not in "İıᾷῇῷ":
            for text in (letter + "x", "x" + letter, "X" + letter + "X"):
                assert name_key(read_name(text)) == name_key(text)


@given(
    st.integers(0, 31), st.integers(0, 31), st.integers(0, 99), st.sampled_from("/-."), st.sampled_from(["MDY", "DMY"])
)
def test_a_short_year_is_the_same_day_as_its_full_year(a: int, b: int, year: int, mark: str, order: str) -> None:
    short, whole = (
        mark.join((str(a), f"{b:02}", y)) for y in (f"{year:02}", str(year + (1900 if year > 68 else 2000)))
    )
    assert norm_date(short, order) == norm_date(whole, order)


@pytest.mark.parametrize("hostile", ["555010(1" + "a" * 200 + ".0", "5550101" + "a-" * 110 + "!", "1" * 240 + "x" * 9])
def test_letters_behind_a_number_are_read_in_seconds(hostile: str) -> None:
    started = time.perf_counter()
    is_stable(lambda it: norm_phone(it, "US"), lambda it: trouble_phone(it, "US"), hostile)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("hostile", ["\u0301\u0327" * 100_000, "ﷺ" * 9_000, "mc-" * 100_000, "<" * 1_000_000])
def test_a_hostile_cell_is_read_in_seconds(hostile: str) -> None:
    started = time.perf_counter()
    is_stable(norm_email, trouble_email, hostile + "@x.org")
    is_stable(norm_name, trouble_name, hostile)
    is_stable(lambda it: norm_phone(it, "DE"), lambda it: trouble_phone(it, "DE"), "1" + hostile)
    is_stable(lambda it: norm_date(it, "MDY"), lambda it: trouble_date(it, "MDY"), hostile)
    assert time.perf_counter() - started < 5


@given(ANY_TEXT)
def test_every_status_is_stable(text: str) -> None:
    assert read_status(read_status(text)) == read_status(text)


@given(ANY_TEXT)
def test_nothing_but_unusable_is_raised_and_it_never_quotes_the_value(text: str) -> None:
    readings: list[Callable[[], str]] = [
        lambda: read_email(text),
        lambda: read_phone(text, "US"),
        lambda: read_name(text),
        lambda: read_date(text, "MDY"),
    ]
    for read in readings:
        try:
            read()
        except Unusable as unusable:
            assert str(unusable) == unusable.reason
            assert unusable.reason in {"invalid_email", "invalid_name", "invalid_date", "invalid_phone"} | {
                "masked_email",
                "unclear_date",
                "phone_no_digits",
                "phone_too_short",
                "phone_scientific_notation",
            }


def examples_of(code: int) -> Iterator[str]:
    """The national number of an example of each kind in each region behind the calling code."""
    for region, kind in product(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code], PhoneNumberType.values()):
        example = (
            phonenumbers.example_number_for_non_geo_entity(code)
            if region == "001"
            else phonenumbers.example_number_for_type(region, kind)
        )
        if example is not None:
            yield phonenumbers.national_significant_number(example)


def test_a_number_exists_if_libphonenumber_says_so() -> None:
    r = random.Random(1)
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        for national in examples_of(code):
            at = r.randrange(len(national))
            other = national[:at] + r.choice("0123456789") + national[at + 1 :]
            for digits in (national, other, national[:-1]):
                zeros = len(digits[:-1]) - len(digits[:-1].lstrip("0"))
                number = PhoneNumber(
                    country_code=code,
                    national_number=int(digits),
                    italian_leading_zero=zeros > 0 or None,
                    number_of_leading_zeros=zeros if zeros > 1 else None,
                )
                assert exists(code, digits) == phonenumbers.is_valid_number(number), (code, digits)


@pytest.mark.large
def test_a_trunk_prefix_is_removed_as_libphonenumber_does() -> None:
    r = random.Random(5)
    for region in REGIONS:
        code = phonenumbers.country_code_for_region(region)
        for prefix in ("", "0", "1", "8", "06", "9", "15", "0015", str(code)):
            for length in (7, 9, 10):
                digits = prefix + "".join(r.choices("0123456789", k=length))
                assert phone_rules._national(digits, region) == by_libphonenumber(digits, region), (region, digits)
                number = behind_calling_code(f"{code}{digits}")
                assert number == by_libphonenumber(f"+{code}{digits}", None), (region, digits)
                if number is not None:
                    exists = phonenumbers.is_valid_number(phonenumbers.parse(number.key))
                    assert phone_rules._if_valid(number) == (number if exists else None), (region, digits)


@given(ANY_TEXT | st.text("0123456789 ()-+x/.eE", max_size=20))
def test_the_reason_of_an_unusable_phone_is_known_without_reading_it(text: str) -> None:
    reason = trouble_phone(text, "US")
    assert reason is None or phone_rules.reason_of_unusable_phone(text, "US") == reason


def test_the_key_of_a_plain_domain_is_that_of_idna() -> None:
    r = random.Random(7)
    letters = re.findall(r"[^\[\]+]", email_rules._IN_A_LABEL.replace("à-öø-ÿ", "".join(map(chr, range(0xE0, 0x100)))))
    letters = [it for it in letters if it.isalpha() and it not in "÷ß"]
    assert len(letters) > 60
    domains = [f"{letter}.de" for letter in letters] + [f"a{letter}-{letter}9.x.org" for letter in letters]
    for length in (3, 20, 50, 58, 59, 60, 63, 64, 250):
        domains += ["".join(r.choices((*letters, *"abc01"), k=length)) + ".com" for _ in range(20)]
    domains += [".".join(["bücher-laden"] * count) for count in (1, 10, 13, 14, 15, 16, 20)]
    for domain in domains:
        assert email_rules._PLAIN_DOMAIN.fullmatch(domain)
        try:
            expected = idna.encode(domain, uts46=True).decode("ascii")
        except UnicodeError:
            expected = domain
        assert email_key(f"ann@{domain}") == f"ann@{expected}"


@given(st.text("AaBbÉéÞþMc .-IVÿßİ'", max_size=12))
def test_a_name_that_stays_is_what_its_words_make_of_it(name: str) -> None:
    if name_rules._STAYS.fullmatch(name) and "Mc" not in name:
        never = re.compile("(?!)")
        stays, name_rules._STAYS = name_rules._STAYS, never
        try:
            assert name_rules._name_once(name) == name
        finally:
            name_rules._STAYS = stays
