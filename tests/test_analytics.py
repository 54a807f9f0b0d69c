"""The analytics export: its fields, their evidence, and the equality of its SQL and its definition."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.generate import write_messy_pair
from service.analytics_rules import AnalyticsRules
from service.data import read_csv
from service.errors import InputError, MissingColumn, SettingsError, TooManyRejects, TransientError, UnreadableFile
from service.jobs.analytics import rules_of
from service.model import API
from service.pipeline.analytics import geography
from service.pipeline.analytics.export import EXPORT, REPORT, schema
from service.pipeline.analytics.master import no_matches
from service.pipeline.analytics.records import api_id, iso_moment
from service.settings import Settings, load
from service.vocabulary import STATED, word_of
from tests import small_exports
from tests.analytics_definition import Definition, MasterCustomer, cell_of, part, segment_of_phone
from tests.regenerate_analytics import CASES as ANALYTICS_CASES
from tests.regenerate_analytics import case_names, outcome_of, words_table
from tests.sizes import examples
from tests.small_batches import (
    NOON,
    crm_text,
    delivered_file,
    integrate_pair,
    published,
    rows_of,
    write_pair,
)
from tests.small_exports import FETCHED_AT, Record, analysed, analysed_file, api_text, customers_of, write_master
from tests.worlds import ROOT

SECONDS = iso_moment(FETCHED_AT)
assert SECONDS is not None
PRINTED_METADATA = """\
{
  "metadata": {
    "total_customers": 12,
    "export_timestamp": "2025-09-04T18:41:19Z",
    "data_quality_summary": {
      "high_quality": 8,
      "medium_quality": 3,
      "low_quality": 1
    }
  },
  "customers": [
"""
PRINTED_CUSTOMER = """\
    {
      "customer_id": 1,
      "full_name": "George Bluth",
      "email_domain": "reqres.in",
      "engagement_level": "high",
      "activity_status": "active",
      "acquisition_channel": "website",
      "market_segment": "US-West",
      "customer_tier": "premium",
      "data_quality_score": 100
    }"""
"""The text of the requirement."""
LEVELS = ("engagement_level", "activity_status", "acquisition_channel", "market_segment", "customer_tier")


@pytest.fixture(scope="module")
def by_the_engine(engine_name: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """The job works on this engine."""
    with pytest.MonkeyPatch.context() as patch:
        if engine_name == "spark":
            patch.setattr(small_exports, "small_engine", request.getfixturevalue("spark").engine_in)
        yield


def enriched(folder: Path, record: Record, **given: Any) -> Record:
    """The customer of the export that one record becomes."""
    _, found = analysed(folder, api_text([{"id": 1} | record]), **given)
    [customer] = customers_of(found)
    return customer


def values_of(folder: Path, field: str, records: Sequence[Record], **given: Any) -> list[str]:
    """The values of one field of the export, in the order of the records."""
    _, found = analysed(folder, api_text([{"id": at + 1} | it for at, it in enumerate(records)]), **given)
    customers = sorted(customers_of(found), key=lambda customer: customer["customer_id"])
    return [customer[field] for customer in customers]


# ------------------------------------------------------------------------------------- SQL and definition agree

ODD = ["", " ", "N/A", "unknown", "ſ", "ﬁ", "Ünïcode", "a\tb", "\u200b", "é" * 3, "0", "-1", "1e3", "NaN", "true"]
CELLS: dict[str, list[str]] = {
    "id": [
        "1",
        "1",
        "1",
        "2",
        "3",
        "01",
        "-3",
        "1.0",
        "2.00",
        "0.0",
        "-2.0",
        "02.0",
        "1.5",
        "1234567890123456.0",
        "7e2",
        "a-7",
        "0",
        '="5"',
        "123456789012345",
        "1234567890123456",
        "x'y",
    ],
    "first_name": ["Ann", "ann", "Na", "N/A", "-", "JEAN-luc", "Zoë", "o'neil", "null", "x, y", "mcdonald", "1"],
    "last_name": ["Lee", "LEE", "van der Berg", "Na", "Smith, Jr", "İnce", 'quo"te', "back\\slash"],
    "email": [
        "ann@x.de",
        "ann@x.de",
        "ANN@X.DE",
        "bob@shop.io",
        "a@b.co.uk",
        "c@d.eu",
        "e@f.us",
        "bad",
        "g@h.jp",
        "A <a@x.fr>",
    ],
    "phone": [
        *(
            "2125550101",
            "+1 206 555 0101",
            "5550101",
            "212-5550",
            "+44 20 7946 0958",
            "1-800-555-0101",
            "+81 3 1234 5678",
            "911",
        ),
        *("(605) 336-1234", "605 745 4131", "+1 787 555 0101", "416-555-0101", "+49 30 1234567", "+800 1234 5678"),
    ],
    "avatar": ["https://x.org/a.jpg", "HTTP://x", "x.jpg", "https://", "https:///a", "http://é.org", "http://a b"],
    "engagement_score": ["70", "69.9", "40", "39", "100", "101", "-1", "0", "1e1", "5,0", " 80 ", "1e999", "+55"],
    "last_active_at": [
        *(
            "2024-01-15",
            "2024-01-15T12:30:00Z",
            "2024-01-16T11:00:00Z",
            "2024-01-16T11:00:01Z",
            "2024-01-16 12:00+01:00",
        ),
        *("2023-10-17T11:00:00Z", "2023-10-17T10:59:59Z", "2023-10-17T16:29:59+05:30", "2023-10-17", "2024-02-30"),
        *("1705312800", "1705312800000", "170531280", "Jan 15, 2024", "15.01.2024", "01/15/2024", "20240115", "soon"),
        *("2024-01-15T12:30:00.5-0800", "2024-01-15T12:30:00-08", "2024-01-15t12:30:00z", "2024-01-15T24:00:00Z"),
        *("2024-01-15T12:30:60Z", "0999-01-01", "2024-01-15T12:30+14:60"),
    ],
    "signup_source": ["Web", "google_ads", "Mobile-App", "i.O.S", "E-Mail", "Newsletter", "fax", "ＷＥＢ", "partner"],
    "region": [
        *("US-West", "us", "Europe", "EU", "California", "Georgia", "CA", "Germany", "apac", "U.S.A.", "mars"),
        *("us-west-2", "EU-Central", "europe-west2-b", "eastus2", "US East 1", "West Europe", "northeurope", "dach-1"),
    ],
    "country": ["US", "usa", "United States", "DE", "deu", "Côte d’Ivoire", "GB", "UK", "India", "IR", "Georgia", "XX"],
    "state": ["CA", "ny", "US-TX", "New Mexico", "Bavaria", "Georgia", "D.C."],
    "timezone": ["America/New_York", "US/Pacific", "Europe/Berlin", "Asia/Kolkata", "America/Toronto", "UTC", "cet"],
    "plan": ["Pro", "FREE", "enterprise", "custom", "Gold"],
    "engagement_level": ["High", "low", "unknown", "very high"],
    "activity_status": ["active", "INACTIVE", "dormant"],
    "acquisition_channel": ["website", "Mobile", "email", "fax"],
    "market_segment": ["us-west", "US_EAST", "EU", "APAC", "Other", "mars"],
    "customer_tier": ["basic", "Premium", "enterprise", "gold"],
    "total_spent": ["0", "999.99", "1000", "10000", "-5", "1e4", "$5", "10,000", "9999.999", "1e400"],
}
RECORDS = st.fixed_dictionaries({}, optional={name: st.sampled_from([*cells, *ODD]) for name, cells in CELLS.items()})
FULL_RECORDS = st.fixed_dictionaries({name: st.sampled_from(cells) for name, cells in CELLS.items()})
MASTERS = st.lists(
    st.builds(
        MasterCustomer,
        full_name=st.sampled_from([None, "Ann Lee", "Zoë Lee", "Jean-Luc Lee"]),
        email=st.sampled_from([None, "ann@x.de", "ann@x.de", "bob@shop.io", "g@h.jp"]),
        phone=st.sampled_from([None, "2125550101", "442079460958", "5550101", "81312345678"]),
        source_system=st.sampled_from(["CRM", "ECOM", "CRM+ECOM", "ECOMX"]),
        status=st.sampled_from(["active", "inactive", "Active", "pending", "N/A"]),
        orders_count=st.sampled_from([None, 0, 1, 2, 4, 5, 2**70]),
    ),
    max_size=4,
    min_size=1,
)
RULES = AnalyticsRules()


def master_file(folder: Path, customers: Sequence[MasterCustomer]) -> Path:
    rows = [
        (f"CUST{at:03}", it.full_name or "N/A", it.email or "N/A", it.phone or "N/A", it.source_system, it.status)
        for at, it in enumerate(customers)
    ]
    orders = [(f"CUST{at:03}", it.orders_count) for at, it in enumerate(customers) if it.orders_count is not None]
    return write_master(folder, rows, orders)


@pytest.mark.usefixtures("by_the_engine")
@pytest.mark.large
@pytest.mark.slow
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    records=st.lists(st.one_of(RECORDS, FULL_RECORDS), min_size=1, max_size=40),
    customers=MASTERS,
    is_strict=st.booleans(),
)
def test_the_export_equals_its_definition(
    records: list[Record], customers: list[MasterCustomer], is_strict: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("property")
    master = master_file(folder / "master", customers)
    # A member beside the customers that is not a plain value makes the service use its strict reader.
    written = api_text(records, pages_read=[1]) if is_strict else api_text(records)
    identified = [it for it in records if has_identity(it)]
    try:
        _, found = analysed(folder, written, master=master, rules=RULES)
    except UnreadableFile:
        assert not identified
        return
    lower = [replace(it, status=it.status.lower()) for it in customers]
    assert customers_of(found) == Definition(RULES, SECONDS or 0, lower).export(identified)


def has_identity(record: Record) -> bool:
    """Whether a record has an id, e-mail address, first or last name."""
    id_ = cell_of(record, "id")
    names = (part(record, "first_name"), part(record, "last_name"))
    return bool((id_ and api_id(id_)) or cell_of(record, "email") or any(names))


def test_the_side_of_an_area_code_is_that_of_libphonenumber() -> None:
    area_codes = geography.area_codes()
    for area in range(200, 1000):
        for exchange in ("234", "555", "987"):
            key = f"+1{area}{exchange}2368"
            segment = area_codes.get(key[1:8], area_codes.get(key[1:5], ""))
            assert (segment if segment != "unknown" else "") == segment_of_phone(key), key


def test_a_calling_code_is_in_the_segment_of_its_country() -> None:
    codes = [str(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if code != 1]
    segments = {code: geography.calling_codes().get(f"{code}00"[:3], "") for code in codes}
    assert segments == {code: segment_of_phone(f"+{code}12345678") for code in codes}
    prefixes = {prefix for prefix in geography.calling_codes() if prefix.startswith(tuple(codes))}
    assert prefixes == set(geography.calling_codes()), "no other prefix has a segment"


# ------------------------------------------------------------------------------------------------- single rules


SEGMENTS: list[tuple[Record, str]] = [
    ({"country": "US"}, "unknown"),
    ({"country": "US", "state": "CA"}, "US-West"),
    ({"state": "Texas"}, "US-East"),
    ({"country": "Canada", "state": "CA"}, "other"),
    ({"country": "Freedonia", "state": "CA"}, "unknown"),
    ({"country": "US", "timezone": "Europe/Berlin", "email": "a@x.de"}, "unknown"),
    ({"country": "US", "phone": "+1 206 555 0101"}, "US-West"),
    ({"region": "US", "country": "DE", "state": "NY"}, "unknown"),
    ({"region": "US-NY"}, "US-East"),
    ({"region": "US CA", "country": "CA"}, "US-West"),
    ({"region": "CA", "country": "CA"}, "other"),
    ({"region": "Europe", "country": "GB"}, "other"),
    ({"region": "EU", "country": "US"}, "EU"),
    ({"region": "Georgia", "country": "Georgia"}, "other"),
    ({"region": "Georgia", "country": "US", "state": "Georgia"}, "US-East"),
    ({"timezone": "America/Chicago", "phone": "+49 30 1234567"}, "US-East"),
    ({"phone": "5550101", "email": "a@x.fr"}, "EU"),
    ({"phone": "1-800-555-0101"}, "unknown"),
    ({"phone": "212-5550"}, "unknown"),
    ({"phone": "(787) 555-0101"}, "other"),
    ({"email": "a@x.io"}, "unknown"),
    ({"email": "a@x.us"}, "unknown"),
    ({"email": "a@x.eu"}, "EU"),
    ({"email": "a@x.uk"}, "other"),
    ({"country": "Iran"}, "other"),
    ({"country": "IND"}, "APAC"),
    ({"country": "Türkiye"}, "other"),
    ({"email": "a@reqres.in"}, "unknown"),
    ({"email": "a@mail.reqres.in"}, "unknown"),
    ({"email": "a@youtu.be"}, "unknown"),
    ({"email": "a@redd.it"}, "unknown"),
    ({"email": "a@notreqres.in"}, "APAC"),
    ({"email": "a@redd.it.example.in"}, "APAC"),
    ({"region": "us-west-2"}, "US-West"),
    ({"region": "us-east-1a"}, "US-East"),
    ({"region": "EU-Central"}, "EU"),
    ({"region": "eu-west-1"}, "EU"),
    ({"region": "eu-west-2"}, "other"),  # London
    ({"region": "ap-southeast-1"}, "APAC"),
    ({"region": "europe-west4-a"}, "EU"),
    ({"region": "us-central1"}, "US-East"),
    ({"region": "westeurope"}, "EU"),
    ({"region": "West Europe"}, "unknown"),
    ({"region": "westus3"}, "US-West"),
    ({"region": "sa-east-1"}, "other"),
    ({"region": "mars-1"}, "unknown"),
    ({"market_segment": "EU", "region": "us-west-2"}, "EU"),
    ({"market_segment": "Atlantis", "region": "us-west-2"}, "US-West"),
    ({"market_segment": "unknown", "region": "us-west-2"}, "US-West"),
]


@pytest.fixture(scope="module")
def segments(by_the_engine: None, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The segments of ``SEGMENTS``, which are one export."""
    return values_of(tmp_path_factory.mktemp("segments"), "market_segment", [record for record, _ in SEGMENTS])


@pytest.mark.parametrize("number", range(len(SEGMENTS)), ids=[str(record) for record, _ in SEGMENTS])
def test_the_first_evidence_decides_the_segment(number: int, segments: Sequence[str]) -> None:
    assert segments[number] == SEGMENTS[number][1]


def test_a_record_that_states_a_field_in_our_words_keeps_it(tmp_path: Path) -> None:
    record = {
        "engagement_score": 5,
        "last_active_at": "2020-01-01",
        "signup_source": "app",
        "region": "EU",
        "plan": "free",
    }
    stated = dict(zip(LEVELS, ("high", "active", "email", "US-West", "enterprise"), strict=True))
    shouted = {field: f" {value.upper()} " for field, value in stated.items()}
    others = dict.fromkeys(LEVELS, "gold")
    _, found = analysed(
        tmp_path, api_text([{"id": at} | record | more for at, more in enumerate((stated, shouted, others), start=1)])
    )
    assert [[customer[field] for field in LEVELS] for customer in customers_of(found)] == [
        list(stated.values()),
        list(stated.values()),
        ["low", "inactive", "mobile", "EU", "basic"],
    ]


@pytest.mark.large
@pytest.mark.usefixtures("by_the_engine")
@settings(max_examples=examples(20))
@given(st.fixed_dictionaries({field: st.sampled_from(values) for field, values in STATED.items()}))
def test_what_an_export_states_is_kept_when_it_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, stated: Record
) -> None:
    customer = enriched(tmp_path_factory.mktemp("again"), stated)
    assert {field: customer[field] for field in stated} == stated


@pytest.mark.large
def test_the_master_fills_the_fields_that_the_record_lacks(tmp_path: Path) -> None:
    master = write_master(
        tmp_path / "master",
        [
            ("CUST001", "Ann Lee", "ann@x.org", "2065550101", "CRM+ECOM", "inactive"),
            ("CUST002", "Bob Ray", "bob@x.fr", "N/A", "CRM", "pending"),
        ],
        [("CUST001", 5)],
    )
    by_mail = enriched(tmp_path, {"email": "ANN@x.org"}, master=master)
    assert [by_mail[field] for field in LEVELS] == ["high", "inactive", "website", "US-West", "unknown"]
    by_phone = enriched(tmp_path, {"phone": "+1 206 555 0101", "signup_source": "app"}, master=master)
    assert [by_phone[field] for field in LEVELS] == ["high", "inactive", "mobile", "US-West", "unknown"]
    by_name = enriched(tmp_path, {"first_name": "BOB", "last_name": "ray"}, master=master)
    assert [by_name[field] for field in LEVELS] == ["unknown", "unknown", "unknown", "EU", "unknown"]
    one_part = enriched(tmp_path, {"first_name": "Bob Ray"}, master=master)
    assert one_part["market_segment"] == "unknown"


@pytest.mark.large
def test_with_an_invalid_date_the_status_is_unknown_and_the_master_is_ignored(tmp_path: Path) -> None:
    master = write_master(tmp_path / "master", [("CUST001", "N/A", "ann@x.org", "N/A", "CRM", "active")])
    records = [{"email": "ann@x.org"} | it for it in ({"last_active_at": "soon"}, {"last_active_at": "2024-01-17"}, {})]
    assert values_of(tmp_path, "activity_status", records, master=master) == ["unknown", "unknown", "active"]


@pytest.mark.large
def test_a_master_without_a_file_of_orders_is_no_evidence_of_engagement(tmp_path: Path) -> None:
    master = write_master(tmp_path / "master", [("CUST001", "N/A", "a@x.org", "N/A", "ECOM", "active")], orders=None)
    customer = enriched(tmp_path, {"email": "a@x.org"}, master=master)
    assert (customer["engagement_level"], customer["acquisition_channel"]) == ("unknown", "website")


@pytest.mark.parametrize("master", ["none", "gone"])
def test_a_missing_master_is_logged(master: str, tmp_path: Path) -> None:
    folder = tmp_path / "gone" if master == "gone" else None
    _, found = analysed(tmp_path, api_text([{"id": 1}]), master=folder)
    assert "WARNING - there is no customer master in the outbox" in (found / "integration_log.txt").read_text()
    assert json.loads((found / REPORT).read_text())["master"] is None


def test_the_master_of_the_integration_job_is_read(tmp_path: Path) -> None:
    shop = json.dumps(
        {
            "customers": [
                {"id": 1, "name": "Ann Lee", "contact": {"email": "=ann@x.org"}, "orders_count": 3},
                {"id": 1, "name": "Ann Lee", "contact": {"email": "=ann@x.org"}, "orders_count": 3},
                {"id": 2, "name": "Ann Lee", "contact": {"phone": "+44 20 7946 0958"}, "orders_count": 2},
                {"id": 3, "name": "Bob Ray", "orders_count": 0},
                {"id": 4, "name": "Cy Fox"},
                {"id": 5, "name": "Di Low", "orders_count": -1},
            ]
        }
    )
    integrate_pair(write_pair(tmp_path / "in", crm_text([]), shop), tmp_path / "out")
    master = published(tmp_path / "out")
    assert rows_of(master / "customer_orders.csv") == [
        {"unified_id": "CUST001", "orders_count": "5"},
        {"unified_id": "CUST002", "orders_count": "0"},
    ]
    records: list[Record] = [
        {"email": "=ann@x.org"},
        {"phone": "442079460958"},
        {"first_name": "bob", "last_name": "ray"},
    ]
    assert values_of(tmp_path, "engagement_level", records, master=master) == ["high", "high", "low"]


# --------------------------------------------------------------------------------------------------- the export


@pytest.mark.usefixtures("by_the_engine")
def test_of_a_repeated_id_the_best_record_is_kept_and_of_equals_the_last(tmp_path: Path) -> None:
    records = [
        {"id": 1, "first_name": "First"},
        {"id": "1", "first_name": "Better", "last_name": "Known"},
        {"id": 1, "first_name": "Last", "last_name": "Known"},
        {"id": 1, "first_name": "Worse"},
        {"id": 0, "first_name": "Same"},
        {"first_name": "Same"},
    ]
    summary, found = analysed(tmp_path, api_text(records))
    assert [(it["customer_id"], it["full_name"]) for it in customers_of(found)] == [
        (1, "Last Known"),
        (None, "Same"),
        (None, "Same"),
    ]
    assert (summary.records, summary.duplicates, summary.customers) == (6, 3, 3)
    assert summary.source_rows == {"API": 6}


@pytest.mark.large
def test_an_id_with_a_zero_fraction_is_a_whole_number(tmp_path: Path) -> None:
    content = '{"data": [{"id": 2.0, "first_name": "Ann"}, {"id": 2}, {"id": 1234567890123456.0, "first_name": "Bo"}]}'
    for name, text in (("api_customers.json", content), ("api_customers.csv", "id,first_name\n2.0,Ann\n,Bo\n")):
        _, found = analysed(tmp_path, text, file_name=name)
        customers = [(it["customer_id"], it["full_name"]) for it in customers_of(found)]
        assert customers == [(2, "Ann"), (None, "Bo")], "a number that has lost digits is not an id"


def test_two_spellings_of_a_word_may_have_the_same_meaning() -> None:
    given: dict[str, Any] = {"analytics": {"channels": {"Trade Fair": "email", "trade_fair": "email"}}}
    assert rules_of(Settings(**given)).tables.channels["trade fair"] == "email"


@pytest.mark.usefixtures("by_the_engine")
def test_customers_are_ordered_by_name_then_number_then_text(tmp_path: Path) -> None:
    ids = [None, "b", 10, 9, "a", 123456789012345, 1234567890123456, "007"]
    _, found = analysed(tmp_path, api_text([{"id": id_, "first_name": "Ann"} for id_ in ids] + [{"id": 5}]))
    assert [it["customer_id"] for it in customers_of(found)] == [
        *(9, 10, 123456789012345),
        *("007", "1234567890123456", "a", "b", None),
        5,  # unknown is sorted after names with a capital
    ]


@pytest.mark.usefixtures("by_the_engine")
def test_texts_are_escaped_as_json(tmp_path: Path) -> None:
    record = {"id": 'a"b\\c', "first_name": "Zoë", "last_name": 'O"Neil\\ 李'}
    _, found = analysed(tmp_path, api_text([record]))
    [customer] = customers_of(found)
    assert (customer["customer_id"], customer["full_name"]) == ('a"b\\c', 'Zoë O"Neil\\ 李')
    assert "Zoë" in (found / EXPORT).read_text(encoding="utf-8"), "not escaped"


def test_an_export_without_customers_is_valid(tmp_path: Path) -> None:
    summary, found = analysed(tmp_path, api_text([]))
    assert customers_of(found) == []
    assert '"customers": []\n}\n' in (found / EXPORT).read_text()
    assert summary.customers == 0
    assert "the export has no rows" in (found / "integration_log.txt").read_text()


@pytest.mark.usefixtures("by_the_engine")
@pytest.mark.large
def test_the_same_customers_give_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    records = [{"id": 7, "first_name": "Ann", "last_active_at": "2024-01-01"}, {"id": 8, "email": "b@x.de"}]
    lines = "".join(json.dumps(it) + "\n" for it in records)
    table = "id,first_name,email,last_active_at\n7,Ann,,2024-01-01\n8,,b@x.de,\n"
    contents = {
        "api_customers.json": api_text(records).encode(),
        "api_customers.json.gz": gzip.compress(api_text(records).encode()),
        "api_customers.jsonl": lines.encode(),
        "api_customers_2.json": json.dumps(records).encode(),
        "api_customers_3.json": json.dumps({"data": records, "fetched_at": "1999-01-01"}).encode(),
        "api_customers.csv": table.encode(),
    }
    found = {
        name: (analysed(tmp_path / name, content, file_name=name)[1] / EXPORT).read_bytes()
        for name, content in contents.items()
    }
    assert len(set(found.values())) == 1, found.keys()


@pytest.mark.large
@pytest.mark.parametrize(
    ("fetched_at", "status"),
    [
        ("2024-01-15T11:00:00Z", "active"),
        ("2024-04-14T00:00:00Z", "active"),
        ("2024-04-14T00:00:01Z", "inactive"),
        ("2024-04-14T01:00:00+01:00", "active"),
        ("2023-01-01", "unknown"),
        ("soon", "active"),
        (None, "active"),
        (5, "active"),
    ],
)
def test_activity_is_counted_from_the_time_of_the_fetch(fetched_at: Any, status: str, tmp_path: Path) -> None:
    content = api_text([{"id": 1, "last_active_at": "2024-01-15T00:00:00Z"}], fetched_at=fetched_at)
    for name, packed in (("a.json", content.encode()), ("a.json.gz", gzip.compress(content.encode()))):
        _, found = analysed(tmp_path / name, packed, file_name=name)
        assert customers_of(found)[0]["activity_status"] == status


@pytest.mark.parametrize(
    ("content", "is_logged"),
    [
        (api_text([{"id": 1}]), False),
        (api_text([{"id": 1}], fetched_at=None), False),
        (api_text([{"id": 1}], fetched_at="soon"), True),
        (api_text([{"id": 1}], fetched_at=5), True),
        (json.dumps({"data": [{"id": 1}], "fetched_at": "soon"}), False),
    ],
)
def test_an_unreadable_time_of_the_fetch_is_logged(content: str, is_logged: bool, tmp_path: Path) -> None:
    _, found = analysed(tmp_path, content)
    warning = "fetched_at is no ISO date or time: the time of the claim counts instead"
    assert (f" - WARNING - {warning}\n" in (found / "integration_log.txt").read_text()) == is_logged
    events = [json.loads(line) for line in (found / "integration_log.jsonl").read_text().splitlines()]
    warnings = [event["warning"] for event in events if event["event"] == "source.suspected"]
    assert [it for it in warnings if "fetched_at" in it] == [warning] * is_logged


def test_the_export_timestamp_is_the_time_of_the_claim_in_utc(tmp_path: Path) -> None:
    file = delivered_file(API, tmp_path / API.file_name, api_text([{"id": 1}]))
    claimed_at = NOON.astimezone(datetime.now(UTC).astimezone().tzinfo) + timedelta(microseconds=5)
    _, found = analysed_file(tmp_path, file, now=claimed_at)
    assert json.loads((found / EXPORT).read_text())["metadata"]["export_timestamp"] == "2024-01-15T12:00:00Z"


def test_the_report_counts_the_values_of_the_export_and_their_evidence(tmp_path: Path) -> None:
    master = write_master(
        tmp_path / "master", [("CUST001", "N/A", "a@x.org", "N/A", "ECOM", "active")], [("CUST001", 9)]
    )
    records = [
        {"id": 1, "email": "a@x.org", "plan": "pro"},
        {"id": 2, "engagement_score": 50},
        {"id": 2},
        {"avatar": ""},
    ]
    _, found = analysed(tmp_path, api_text(records), master=master)
    report = json.loads((found / REPORT).read_text())
    assert report["matched_in_master"] == {"email": 1, "phone": 0, "name": 0, "nothing": 1}
    assert (report["customers"], report["rejects"], report["repeated_ids_removed"]) == (2, 1, 1)
    assert report["engagement_level"] == {"high": 1, "medium": 1, "low": 0, "unknown": 0}
    assert report["evidence"]["engagement_level"] == {"record": 1, "master": 1, "none": 0}
    assert report["evidence"]["customer_tier"] == {"record": 1, "master": 0, "none": 1}
    assert report["data_quality"] == {"high": 0, "medium": 1, "low": 1}
    assert (report["fetched_at"], report["master"]) == (FETCHED_AT, "master")


def test_the_schema_in_the_docs_is_that_of_the_models() -> None:
    path = ROOT / "docs" / "sample_output.schema.json"
    assert path.read_text(encoding="utf-8") == schema(), "run: python -m tests.regenerate_analytics schema"


def test_the_structured_logs_hold_no_personal_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"id": 1, "first_name": "Xaviera", "last_name": "Quux", "email": "xq@quux.org", "phone": "2125550199"}]
    _, found = analysed(tmp_path, api_text([*records, *records, {"avatar": "quux.png"}]))
    logged = (found / "integration_log.jsonl").read_text() + (found / REPORT).read_text() + capsys.readouterr().out
    assert not [word for word in ("Xaviera", "Quux", "quux", "5550199") if word in logged]


# -------------------------------------------------------------------------------------------------- wrong files


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", UnreadableFile, "the file is empty"),
        ('{"data": [{"id": 1}', UnreadableFile, "the document ends too early"),
        ('{"users": []}', UnreadableFile, 'there is no array "data"'),
        (api_text([{"name": "Ann"}, {"id": 0}]), UnreadableFile, "none of its 2 rows is usable"),
        (api_text([{"id": 1}] * 899 + [{"id": -1}] * 100), TooManyRejects, "100 of 999 rows cannot enter"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_published(
    content: str, error: type[InputError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as raised:
        analysed(tmp_path, content)
    assert raised.value.message.startswith(f"api_customers.json: {message}")
    assert raised.value.where.startswith("batch the_batch, api_customers.json")
    assert not list((tmp_path / "outbox").rglob("*.json"))


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (
            '{"users": [{"id": 1}]}',
            'put them into "data", or into an array, as docs/analytics.md describes, and drop it again',
        ),
        ("mail\na@x.org\n", "add the column or a header line, as docs/analytics.md lists them, and drop it again"),
        ('{"data": [', "export it again and drop it again"),
    ],
)
def test_the_hint_suits_a_file_of_the_api(content: str, hint: str, tmp_path: Path) -> None:
    """It has no partner, and no setting maps its columns."""
    with pytest.raises(InputError) as raised:
        analysed(tmp_path, content, file_name="api_customers.json" if "{" in content else "api_customers.csv")
    assert raised.value.hint == hint


@pytest.mark.large
@pytest.mark.parametrize("there", ["firstName", "profile.first_name", "First_Name_"])
def test_a_hint_about_a_member_of_the_api_leads_to_its_value(there: str, tmp_path: Path) -> None:
    """No setting maps the members of the API: another name helps."""
    record: Record = {"id": 1, "last_name": "Roe", "email": "ann@roe.example"}
    *outer, last = there.split(".")
    written = record | ({outer[0]: {last: "Ann"}} if outer else {last: "Ann"})
    _, found = analysed(tmp_path / "one", api_text([written]))
    log = (found / "integration_log.txt").read_text(encoding="utf-8")
    warning = next(line for line in log.splitlines() if "no value for first_name" in line)
    _, _, hint = warning.partition(f'did you mean "{there}"? Then give it the name ')
    (name,) = re.findall(r'^"([^"]+)", as docs/analytics.md lists it$', hint)
    _, found = analysed(tmp_path / "two", api_text([record | {name: "Ann"}]))
    assert "Ann Roe" in (found / "sample_output.json").read_text(encoding="utf-8")
    assert "first_name" not in (found / "integration_log.txt").read_text(encoding="utf-8")


def test_a_table_without_a_known_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingColumn):
        analysed(tmp_path, "customer,mail\n1,a@x.org\n", file_name="api_customers.csv")


def test_a_record_without_identity_is_a_reject(tmp_path: Path) -> None:
    records = [
        {"id": 1},
        {"id": 0, "phone": "2125550101"},
        {"id": True},
        {"id": 1.5},
        {"id": {"a": 1}},
        7,
        {"email": "x"},
    ]
    summary, found = analysed(tmp_path, api_text(records))
    rows = rows_of(found / "rejects.csv")
    assert [(row["row_number"], row["code"]) for row in rows] == [
        *(("2", "no_identity"), ("3", "no_identity"), ("4", "no_identity"), ("5", "no_identity")),
        ("6", "not_an_object"),
    ]
    assert (summary.rejects, summary.customers) == (5, 2)


def test_a_file_that_is_marked_as_incomplete_is_logged(tmp_path: Path) -> None:
    _, found = analysed(tmp_path, api_text([{"id": 1}], complete=False))
    assert "WARNING - the file states that it is not complete" in (found / "integration_log.txt").read_text()


def test_a_file_that_changes_during_the_job_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = delivered_file(API, tmp_path / API.file_name, api_text([{"id": 1}]))

    def change_the_file(*_: Any) -> Any:
        file.path.write_text(api_text([{"id": 2}]))
        return no_matches(*_)

    monkeypatch.setattr("service.jobs.analytics.no_matches", change_the_file)
    with pytest.raises(TransientError):
        analysed_file(tmp_path, file)
    assert not list((tmp_path / "outbox").rglob("*.json"))


def test_an_unreadable_master_is_a_transient_error(tmp_path: Path) -> None:
    master = write_master(tmp_path / "master", [])
    (master / "customer_master.csv").write_text("no,known,column\n")
    with pytest.raises(TransientError) as raised:
        analysed(tmp_path, api_text([{"id": 1}]), master=master)
    assert "customer_master.csv of the published set" in raised.value.message


@pytest.mark.large
def test_a_master_is_matched_alike_with_and_without_its_typed_file(tmp_path: Path) -> None:
    """Sets of older versions have the CSV file only."""
    write_messy_pair(tmp_path, 3_000, seed=5)
    integrate_pair(tmp_path, tmp_path / "outbox")
    typed = published(tmp_path / "outbox")
    of_csv = tmp_path / "copies" / typed.name
    shutil.copytree(typed, of_csv, ignore=shutil.ignore_patterns("*.parquet"))
    records: list[Record] = []
    for number, customer in enumerate(rows_of(typed / "customer_master.csv")):
        first, _, last = customer["full_name"].partition(" ")
        known = ({"email": customer["email"]}, {"phone": customer["phone"]}, {"first_name": first, "last_name": last})
        records.append({"id": number + 1, **known[number % 3]})
    found = []
    for master in (typed, of_csv):
        _, made = analysed(tmp_path / "runs", api_text(records), master=master)
        found.append([(made / name).read_bytes() for name in (EXPORT, REPORT)])
    assert found[0] == found[1]
    assert all(json.loads(found[0][1])["matched_in_master"][rule] for rule in ("email", "phone", "name"))


def test_a_damaged_typed_master_is_a_transient_error(tmp_path: Path) -> None:
    master = write_master(tmp_path / "master", [])
    (master / "customer_master.parquet").write_bytes(b"PAR1 no Parquet file PAR1")
    with pytest.raises(TransientError) as raised:
        analysed(tmp_path, api_text([{"id": 1}]), master=master)
    assert "customer_master.parquet" in raised.value.where


# -------------------------------------------------------------------------------------------------------- cases


@pytest.mark.parametrize("name", case_names())
def test_the_case_has_the_expected_result(name: str, tmp_path: Path) -> None:
    found = outcome_of(ANALYTICS_CASES / name, tmp_path)
    expected = {path.name: path.read_text(encoding="utf-8") for path in (ANALYTICS_CASES / name / "expected").iterdir()}
    assert EXPORT in expected
    assert {file_name: found.get(file_name) for file_name in expected} == expected


def test_the_export_of_the_requirement_is_reproduced() -> None:
    text = (ANALYTICS_CASES / "the_twelve_of_reqres" / "expected" / EXPORT).read_text(encoding="utf-8")
    assert text.startswith(PRINTED_METADATA)
    assert PRINTED_CUSTOMER in text


# ----------------------------------------------------------------------------------------------------- settings


def test_words_and_thresholds_are_settings(tmp_path: Path) -> None:
    tables: Any = {
        "engagement": {"medium": 10, "high": 20},
        "spent": {"premium": 5},
        "channels": {"Partner": "email", "web": "unknown"},
        "plans": {"Solo": "basic"},
        "regions": {"DACH": "EU", "Germany": "other"},
    }
    set_: dict[str, Any] = {"active_days": 1, "analytics": tables}
    rules = rules_of(Settings(**set_))
    record = {"engagement_score": 20, "last_active_at": "2024-01-13", "signup_source": "PARTNER", "region": "dach"}
    customer = enriched(tmp_path, record | {"total_spent": 5}, rules=rules)
    assert [customer[field] for field in LEVELS] == ["high", "inactive", "email", "EU", "premium"]
    customer = enriched(tmp_path, {"signup_source": "web", "plan": "solo", "region": "germany"}, rules=rules)
    assert [customer[field] for field in LEVELS[2:]] == ["unknown", "other", "basic"]


def test_every_built_in_word_is_written_in_the_form_of_word_of() -> None:
    geographic = (geography.countries(), geography.states(), geography.zones())
    for words in (RULES.tables.channels, RULES.tables.plans, RULES.tables.regions, *geographic):
        assert [word for word in words if word_of(word) != word] == []


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("chanels = {a = 'email'}", "[analytics]: there is no key 'chanels'; did you mean channels?"),
        ("engagement = {hihg = 5}", "[analytics.engagement]: there is no key 'hihg'; did you mean high?"),
        ("engagement = {high = 30}", "[analytics.engagement]: needs high above medium"),
        ("engagement = {high = 101}", "[analytics.engagement]: high Input should be less than or equal to 100"),
        (
            "plans = {Solo = 'Basic'}",
            "[analytics.plans]: maps 'Solo' to none of basic, premium, enterprise, unknown; did you mean basic?",
        ),
        (
            "channels = {'Trade Fair' = 'email', trade_fair = 'website'}",
            "[analytics.channels]: has 'Trade Fair' and 'trade_fair', which are the same word, with different meanings",
        ),
        ("regions = {'??' = 'EU'}", "[analytics.regions]: has a word without letters"),
        ("engagement = 5", "[analytics.engagement]: is a table of its own"),
        ("channels = 5", "[analytics.channels]: is a table of words and their meanings"),
    ],
)
def test_a_wrong_table_stops_the_start(toml: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(f"[analytics]\n{toml}\n")
    with pytest.raises(SettingsError) as raised:
        load(tmp_path)
    assert (raised.value.message, raised.value.hint) == (message, "see docs/analytics.md")


@pytest.mark.parametrize("written", ["analytics = 5", "analytics = ['a']"])
def test_a_value_instead_of_a_table_is_refused(written: str, tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(f"{written}\n")
    with pytest.raises(SettingsError, match=r"written as tables: \[analytics.channels\]"):
        load(tmp_path)


def test_a_variable_that_is_not_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ANALYTICS", "{")
    with pytest.raises(SettingsError, match="written as tables"):
        load(tmp_path)
    monkeypatch.setenv("SERVICE_ANALYTICS", '{"plans": {"solo": "basic"}}')
    assert rules_of(load(tmp_path)[0]).tables.plans["solo"] == "basic"


def test_the_page_lists_every_built_in_word() -> None:
    page = (ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")
    assert page.endswith(words_table()), "run: python -m tests.regenerate_analytics words"


@pytest.mark.large
def test_the_names_of_countries_are_those_of_phonenumbers() -> None:
    from phonenumbers.geodata.locale import LOCALE_DATA

    for row in read_csv("countries.csv"):
        names = LOCALE_DATA[row["alpha_2"]]
        english = names["en"]
        while english.startswith("*"):  # as in that language
            english = names[english[1:]]
        assert row["name"] == english


@pytest.mark.large
def test_the_daemon_does_not_load_the_large_place_tables_of_phonenumbers() -> None:
    program = "import sys, service.watch.daemon; print('phonenumbers.geodata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "False\n"
