"""Presets know the columns that the matcher ``safe`` alone reads, and these do not decide how an export is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.engine.embedded import EmbeddedEngine
from service.model import EVIDENCE_FIELDS, Batch, Guards, Layout
from service.pipeline.extract import extract, with_evidence
from service.presets import PRESETS
from service.settings import Settings
from service.sources import sources_of
from tests.small_batches import crm_text, delivered_file, integrate_folder, published, rows_of, shared_engine
from tests.worlds import CASES

_WITH_EVIDENCE = [layout for layout in PRESETS if layout.evidence]
Values = dict[str, str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with shared_engine(tmp_path_factory.mktemp("engine") / "work") as engine:
        yield engine


def _case(name: str, file_name: str) -> str:
    return (CASES / name / file_name).read_text(encoding="utf-8")


def _woocommerce() -> str:
    billing = {
        "first_name": "Rosa",
        "last_name": "Marín",
        "address_1": "9 Bay Rd",
        "city": "Miami",
        "postcode": "33101",
    }
    shipping = {"address_1": "1 Elsewhere", "city": "Tampa", "postcode": "33601", "state": "FL"}
    names = {"email": "rosa@x.test", "first_name": "", "last_name": ""}
    return json.dumps(
        [{"id": 25, "date_created": "2022-01-10T18:59:17", **names, "billing": billing, "shipping": shipping}]
    )


def _shopify() -> str:
    address = {
        "address1": "14 Orchard St",
        "address2": "Apt 3",
        "city": "New York",
        "zip": "10002",
        "province_code": "NY",
    }
    names = {"email": "p@x.test", "first_name": "Priya", "last_name": "Raman", "created_at": "2023-03-12T16:14:00Z"}
    return json.dumps({"customers": [{"id": 7, **names, "verified_email": True, "default_address": address}]})


def _hubspot() -> str:
    place = {"address": "5 Palm Ave", "city": "Austin", "zip": "73301", "date_of_birth": "1980-02-01"}
    properties = {"email": "a@x.test", "firstname": "Alejandra", "lastname": "Peña", **place}
    return json.dumps({"results": [{"id": "151", "properties": properties, "createdAt": "2023-03-12T16:14:00Z"}]})


def _salesforce(*, as_json: bool) -> str:
    place = {"MailingStreet": "5 Palm Ave", "MailingCity": "Denver", "MailingPostalCode": "80014"}
    names = {"Id": "0035g00000Cc001AAA", "FirstName": "Tess", "LastName": "Quinn", "Email": "tess@x.test"}
    row = {**names, "CreatedDate": "2023-04-30T22:10:05.000+0000", "Birthdate": "1980-02-01", **place}
    return json.dumps({"records": [row]}) if as_json else crm_text([list(row.values())], list(row))


def _report() -> str:
    header = ("Contact ID", "First Name", "Last Name", "Email", "Birthdate", "Mailing Street", "Mailing City")
    row = ("0035g00000Aa001", "Rachel", "Adeyemi", "rachel@x.test", "2/1/1980", "5 Palm Ave", "Atlanta", "30301")
    return crm_text([row], (*header, "Mailing Zip/Postal Code"))


def _contacts() -> str:
    header = ("Record ID", "First Name", "Last Name", "Email", "Create Date", "Street Address", "City", "Postal Code")
    row = ("151", "Alejandra", "Peña", "a@x.test", "2023-03-12 09:14", "5 Palm Ave", "Austin", "73301", "1980-02-01")
    return crm_text([row], (*header, "Date of birth"))


def _named(first: str, last: str, **others: str) -> Values:
    return {"first_name": first, "last_name": last, **others}


_PALM = {"birth_date": "1980-02-01", "address": "5 Palm Ave"}
EXPORTS: dict[str, tuple[str, Values]] = {
    "shopify": (
        _case("shopify_csv_export", "ecommerce_customers.csv"),
        _named("Priya", "Raman", address="14 Orchard St", city="New York", postcode="'10002", state="NY"),
    ),
    "shopify-api": (
        _shopify(),
        _named("Priya", "Raman", address="14 Orchard St", city="New York", postcode="10002", state="NY"),
    ),
    "woocommerce": (
        _case("woocommerce_analytics", "ecommerce_customers.csv"),
        {"city": "Portland", "postcode": "97201", "state": "OR"},
    ),
    "woocommerce-api": (
        _woocommerce(),
        _named("Rosa", "Marín", address="9 Bay Rd", city="Miami", postcode="33101", state="FL"),
    ),
    "magento": (
        _case("magento_composite_file", "ecommerce_customers.csv"),
        _named("Nadia", "Haddad", address="1 Main St, Floor 2", city="Brooklyn", postcode="11201"),
    ),
    "magento-grid": (
        _case("magento_grid_export", "ecommerce_customers.csv"),
        {"address": "1 Main St", "city": "New York", "postcode": "10001"},
    ),
    "magento-api": (
        _case("magento_rest_items", "ecommerce_customers.json"),
        _named("Gita", "Anand", address="5 Palm Ave", city="Los Angeles", postcode="90001", state="CA"),
    ),
    "hubspot": (_contacts(), _named("Alejandra", "Peña", **_PALM, city="Austin", postcode="73301")),
    "hubspot-api": (_hubspot(), _named("Alejandra", "Peña", **_PALM, city="Austin", postcode="73301")),
    "salesforce": (_salesforce(as_json=False), _named("Tess", "Quinn", **_PALM, city="Denver", postcode="80014")),
    "salesforce-report": (
        _report(),
        _named("Rachel", "Adeyemi", **_PALM | {"birth_date": "2/1/1980"}, city="Atlanta", postcode="30301"),
    ),
    "salesforce-api": (_salesforce(as_json=True), _named("Tess", "Quinn", **_PALM, city="Denver", postcode="80014")),
}
"""Preset -> an export, and what ``safe`` reads of its first customer, as written."""


@pytest.mark.parametrize("preset", _WITH_EVIDENCE, ids=lambda preset: preset.name)
def test_safe_reads_the_columns_of_a_known_system(preset: Layout, shared: EmbeddedEngine, tmp_path: Path) -> None:
    content, expected = EXPORTS[preset.name]
    _, ecom = sources_of(())
    is_json = content.startswith(("{", "["))
    name = "ecommerce_customers.json" if is_json else "ecommerce_customers.csv"
    file = delivered_file(ecom.with_evidence(), tmp_path / name, content)
    batch = Batch("the_batch", datetime(2024, 1, 15, tzinfo=UTC), (file,))
    extracted = extract(batch, Guards(), shared, with_evidence([file.source]))
    assert extracted.reports["ECOM"].layout.name == preset.name
    names = [name for name in EVIDENCE_FIELDS if name in extracted.evidence]
    [row, *_] = extracted.rows.rows(f"select {', '.join(names)} from this order by row_number")
    assert {name: value for name, value in zip(names, row, strict=True) if value is not None} == expected


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_what_only_safe_reads_does_not_decide_which_preset_is_chosen(preset: Layout) -> None:
    extended = preset.with_evidence()
    assert extended.deciding == preset.fields
    assert (extended.signs, extended.needs) == (preset.signs, preset.needs)
    found = {*preset.paths, *extended.paths}
    assert extended.first_paths(found) == preset.first_paths(found)


def test_a_user_who_maps_a_field_of_a_preset_otherwise_is_followed() -> None:
    given: dict[str, Any] = {"sources": ({"name": "CRM", "preset": "hubspot", "fields": {"address": "Home"}},)}
    crm, _ = sources_of(Settings(**given).sources)
    assert crm.with_evidence().own.fields["address"] == (("Home",),)
    assert crm.with_evidence().own.fields["city"] == (("City",),)


@pytest.mark.large
def test_without_configuration_safe_compares_birth_dates_and_addresses_of_known_systems(tmp_path: Path) -> None:
    """A contact of Salesforce and a customer of Magento, with a typing error in the name."""
    folder = tmp_path / "in"
    folder.mkdir()
    place = {"MailingStreet": "77 Quay Street", "MailingCity": "Boston", "MailingPostalCode": "02110"}
    names = {"Id": "0035g00000Cc001AAA", "FirstName": "Zdenka", "LastName": "Kowalczyk", "Email": ""}
    row = {**names, "CreatedDate": "2023-04-30T22:10:05.000+0000", "Birthdate": "1994-06-11", **place}
    (folder / "crm_customers.csv").write_text(crm_text([list(row.values())], list(row)), encoding="utf-8")
    address = {"street": ["77 Quay Street"], "city": "Boston", "postcode": "02110"}
    shop = {"id": 31, "firstname": "Zdenka", "lastname": "Kowalcyzk", "email": "zdenka@mail.test", "dob": "1994-06-11"}
    customers = json.dumps({"items": [shop | {"website_id": 1, "addresses": [address]}]})
    (folder / "ecommerce_customers.json").write_text(customers, encoding="utf-8")
    found = {}
    for matching in ("literal", "safe"):
        integrate_folder(folder, tmp_path / matching, matching=matching)
        found[matching] = len(rows_of(published(tmp_path / matching) / "customer_master.csv"))
    assert found == {"literal": 2, "safe": 1}
