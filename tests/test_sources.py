"""Sources as a user configures them: file names, layouts, defaults, required sources, priorities."""

from __future__ import annotations

import gzip
import json
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from service.data import read_toml
from service.errors import InputError, SettingsError, UnreadableFile
from service.inbox import Inbox
from service.inbox.names import partner_name, read_name
from service.jobs import by_hand
from service.model import CRM, ECOM, Source
from service.pipeline.extract import with_evidence
from service.presets import PRESET, PRESETS, field_paths
from service.readers import gzip_file
from service.readers.json_paths import steps_of
from service.settings import Settings, load
from service.sources import sources_of
from tests.small_batches import NOON, integrate_pair, published, rows_of, write_pair
from tests.worlds import House, wait_until

CRM_HEAD = "customer_id,full_name,email,phone,signup_date,status\n"
NO_CUSTOMERS = '{"customers": []}'
LOYALTY = {
    "name": "LOYALTY",
    "file": "loyalty-*.csv",
    "required": False,
    "fields": {"source_id": "card", "full_name": ["name", "first + last"], "email": "mail"},
}


def sources(*tables: dict[str, Any]) -> tuple[Source, ...]:
    given: dict[str, Any] = {"sources": tables}  # as service.toml has them
    return sources_of(Settings(**given).sources)


def inline_toml(value: Any) -> str:
    """A value as TOML writes it on one line; only tables differ from JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline_toml(it)}" for key, it in value.items()) + "}"
    return json.dumps(value)


def master(pair: Path, outbox: Path, **settings: Any) -> list[dict[str, str]]:
    integrate_pair(pair, outbox, **settings)
    return rows_of(published(outbox) / "customer_master.csv")


def by_hand_of(paths: Sequence[Path], outbox: Path, **settings: Any) -> None:
    outbox.mkdir(exist_ok=True)
    by_hand.integrate_files(paths, outbox, Settings(**settings), lambda: NOON)


# ------------------------------------------------------------------------------------------------- configuration


def test_without_configuration_there_are_two_sources_with_every_preset() -> None:
    found = sources()
    assert [source.name for source in found] == ["CRM", "ECOM"]
    for source, built_in in zip(found, (CRM, ECOM), strict=True):
        assert source.layouts == (built_in.own, *PRESETS)


def test_a_table_changes_a_built_in_source_or_adds_one() -> None:
    crm, ecom, loyalty = sources({"name": "ECOM", "region": "gb"}, LOYALTY)
    assert crm.layouts[0] == CRM.own
    assert (ecom.region, ecom.file_name) == ("GB", ECOM.file_name)
    assert not loyalty.is_required
    assert loyalty.own.fields["full_name"] == (("name",), ("first", "last"))
    assert loyalty.layouts == (loyalty.own,), "a user who maps fields does not want a preset to be guessed"


def test_priority_decides_the_order_of_sources() -> None:
    assert [it.name for it in sources(LOYALTY | {"priority": 0})] == ["LOYALTY", "CRM", "ECOM"]


def test_a_preset_can_be_forced_or_forbidden_and_changed_in_part() -> None:
    (crm, _) = sources({"name": "CRM", "preset": "hubspot", "fields": {"phone": "Mobile"}})
    assert [layout.name for layout in crm.layouts] == ["hubspot"]
    assert crm.own.fields["phone"] == (("Mobile",),)
    (crm, _) = sources({"name": "CRM", "preset": "none"})
    assert crm.layouts == (CRM.own,)


@pytest.mark.parametrize("preset", read_toml("presets.toml")["presets"], ids=lambda preset: str(preset["name"]))
def test_a_preset_is_written_as_users_write_their_tables(preset: dict[str, Any]) -> None:
    # A table of a user has its own name, no key for continued rows, and all fields in one table.
    beside = {"name", "is_continued", "signs", "evidence"}
    table = {key: value for key, value in preset.items() if key not in beside}
    table["fields"] = preset["fields"] | preset.get("evidence", {})
    *_, source = sources(table | {"name": "COPY", "file": "copy.csv", "preset": "none"})
    built = PRESET[preset["name"]].with_evidence()
    assert (source.own.fields, source.own.rows_at) == (built.fields, built.rows_at)
    assert built.is_continued == preset.get("is_continued", False)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "name is missing"),
        ({"name": "shop"}, "must be capitals"),
        ({"name": "SHOP"}, "SHOP: file is missing"),
        ({"name": "SHOP", "file": "shop.csv", "preset": "none"}, "SHOP: fields does not map source_id"),
        ({"name": "SHOP", "file": "shop.csv", "fields": {"full_name": "n"}}, "SHOP: fields does not map source_id"),
        ({"name": "SHOP", "file": "shop.csv", "fields": {"source_id": "n"}}, "full_name or email or phone"),
        ({"name": "CRM", "fields": {"source_id": []}}, "CRM: fields does not map source_id"),
        ({"name": "CRM", "fields": "customer_id"}, "fields is a table of its own"),
        ({"name": "SHOP", "file": "shop.xlsx"}, "is not a name such as"),
        ({"name": "SHOP", "file": "../shop.csv"}, "is not a name such as"),
        ({"name": "SHOP", "file": "*.csv"}, "is not a name such as"),
        ({"name": "SHOP", "file": ".shop.csv"}, "is not a name such as"),
        ({"name": "SHOP", "file": "CRM_customers.json"}, "dropped under the name crm_customers"),
        ({"name": "SHOP", "file": "API_customers.csv"}, "SHOP: API_customers.csv may be confused with api_cust"),
        ({"name": "SHOP", "file": "api_customers_eu.csv"}, "may be confused with api_customers.json"),
        ({"name": "SHOP", "file": "api.csv"}, "may be confused with api_customers.json"),
        ({"name": "SHOP", "file": "*_customers.csv"}, "may be confused with api_customers.json"),
        ({"name": "SHOP", "file": "api-customers.csv", "preset": "none"}, "SHOP: fields does not map source_id"),
        ({"name": "CRM", "file": "api_customers.json"}, "CRM: api_customers.json may be confused"),
        ({"name": "API", "file": "shop.csv"}, "API: this name is reserved for the API"),
        ({"name": "CRM", "preset": "Shopfy"}, "did you mean shopify"),
        ({"name": "CRM", "fields": {"mail": "x"}}, "fields has no 'mail'.*did you mean email"),
        ({"name": "CRM", "fields": {"identifier.Tax Number": "x"}}, "fields has no 'identifier.Tax Number'"),
        ({"name": "CRM", "fields": {"status": "password_hash"}}, "never read"),
        ({"name": "CRM", "defaults": {"email": "a@b.org"}}, "for status only, not for email"),
        ({"name": "CRM", "fields": {"phone": ["", "tel"]}}, "an empty or unprintable path"),
        ({"name": "CRM", "region": "UK"}, "CRM: region is not a region with phone numbers"),
        ({"name": "CRM", "prioritty": 3}, "CRM: there is no key 'prioritty'; did you mean priority"),
    ],
)
def test_a_wrong_table_stops_the_start(table: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(f"sources = [{inline_toml(table)}]\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=complaint) as refused:
        load(tmp_path)
    assert refused.value.hint == "see docs/sources.md"


def test_identifiers_and_other_evidence_are_mapped_with_a_dot_or_in_quotes(tmp_path: Path) -> None:
    fields = 'birth_date = "born"\nidentifier.tax = "tin"\n"identifier.card" = "no"\n'
    text = f'[[sources]]\nname = "CRM"\n[sources.fields]\n{fields}'
    (tmp_path / "service.toml").write_text(text, encoding="utf-8")
    (crm, _) = sources_of(load(tmp_path)[0].sources)
    assert with_evidence([crm]).evidence == ("birth_date", "identifier_card", "identifier_tax")
    assert crm.own.fields["identifier_tax"] == (("tin",),)


def test_sources_that_are_not_a_list_of_tables_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service.toml").write_text('[sources]\nname = "CRM"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="in two brackets"):
        load(tmp_path)
    monkeypatch.setenv("SERVICE_SOURCES", "crm")
    with pytest.raises(SettingsError, match="SERVICE_SOURCES is not JSON"):
        load(tmp_path)


def test_two_tables_of_one_name_and_no_required_source_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for tables, complaint in (
        ([LOYALTY, LOYALTY], "have the name LOYALTY"),
        ([{"name": "CRM", "required": False}, {"name": "ECOM", "required": False}], "must be required"),
    ):
        monkeypatch.setenv("SERVICE_SOURCES", json.dumps(tables))
        with pytest.raises(SettingsError, match=complaint):
            load()


def test_service_toml_holds_the_tables(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(
        '[[sources]]\nname = "ECOM"\nfile = "shop.json"\n[sources.fields]\nemail = ["mail.work", "mail.home"]\n',
        encoding="utf-8",
    )
    _, ecom = sources_of(load(tmp_path)[0].sources)
    assert ecom.own.fields["email"] == (("mail.work",), ("mail.home",))


# --------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("loyalty-2024-01-15.csv", "2024-01-15"),
        ("Loyalty-7.CSV.gz", "7"),
        ("loyalty-north.jsonl", "north"),
        ("loyalty-.csv", ""),
        ("loyalty-_9.csv", "9"),
    ],
)
def test_the_star_of_a_file_name_stands_for_the_suffix(name: str, suffix: str) -> None:
    found = read_name(name, sources(LOYALTY))
    assert found is not None
    assert (found.source.name, found.suffix) == ("LOYALTY", suffix)


def test_a_partner_is_expected_under_its_name() -> None:
    *_, loyalty = sources(LOYALTY)
    assert partner_name(loyalty, "7") == "loyalty-7.csv"
    assert partner_name(ECOM, "") == "ecommerce_customers.json"
    assert partner_name(ECOM, "7") == "ecommerce_customers_7.json"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.CSV.GZ", "csv"), ("a.tsv", "csv"), ("a.ndjson", "json"), ("a.jsonl.gz", "json")],
)
def test_the_extension_decides_how_an_export_is_read(name: str, kind: str) -> None:
    assert CRM.format_of(name) == ECOM.format_of(name) == kind


def test_a_file_of_no_known_kind_is_read_in_the_usual_format_of_its_source() -> None:
    assert (CRM.format_of("export"), ECOM.format_of("export")) == ("csv", "json")


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("email", ("email",)),
        ("contact.email", ("contact", "email")),
        ("addresses[1].telephone", ("addresses", 1, "telephone")),
    ],
)
def test_a_path_is_read_as_members_and_elements(path: str, steps: tuple[str | int, ...]) -> None:
    assert steps_of(path) == steps


def test_a_plus_joins_several_paths() -> None:
    assert field_paths("First Name + Last Name") == (("First Name", "Last Name"),)


# --------------------------------------------------------------------------------------------------- in the inbox


def names_of(inbox: Inbox) -> list[list[str]]:
    return [[file.path.name for file in candidate.files] for candidate in inbox.scan().candidates]


def test_a_batch_includes_an_optional_source_but_does_not_wait_for_it(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, sources=sources(LOYALTY))
    inbox.open()
    for name in ("crm_customers_7.csv", "loyalty-7.csv", "loyalty-8.csv"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    assert names_of(inbox) == []
    (tmp_path / "ecommerce_customers_7.json").write_text("[]", encoding="utf-8")
    assert names_of(inbox) == [["crm_customers_7.csv", "ecommerce_customers_7.json", "loyalty-7.csv"]]
    (tmp_path / "loyalty-7.csv").unlink()
    assert names_of(inbox) == [["crm_customers_7.csv", "ecommerce_customers_7.json"]]


def test_one_export_in_two_kinds_of_files_is_ambiguous(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.open()
    for name in ("crm_customers.csv", "crm_customers.csv.gz", "ecommerce_customers.json"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    scan = inbox.scan()
    assert scan.candidates == ()
    assert [file.path.name for file in scan.ambiguous] == ["crm_customers.csv", "crm_customers.csv.gz"]


def test_an_ambiguous_optional_export_is_left_behind(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, sources=sources(LOYALTY))
    inbox.open()
    for name in ("crm_customers_7.csv", "ecommerce_customers_7.json", "loyalty-7.csv", "loyalty-7.json"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    (candidate,) = inbox.scan().candidates
    assert [file.path.name for file in candidate.files] == ["crm_customers_7.csv", "ecommerce_customers_7.json"]
    assert candidate.left_behind == ("loyalty-7.csv", "loyalty-7.json")


def test_the_partner_of_an_ambiguous_export_is_reported_as_unpaired(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.open()
    for name in ("crm_customers.csv", "crm_customers.json", "ecommerce_customers.json"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    assert [file.path.name for file in inbox.scan().unpaired] == ["ecommerce_customers.json"]


@pytest.mark.large
def test_an_optional_export_that_is_never_ready_does_not_hold_up_the_others(house: House) -> None:
    (house.root / "service.toml").write_text(
        '[[sources]]\nname = "CLUB"\nfile = "club.csv"\nrequired = false\npreset = "plain"\n', encoding="utf-8"
    )
    daemon = house.watch(settle_seconds="0.5")
    with (house.inbox / "club.csv").open("w") as written:
        written.write("id,name,email\n")
        written.flush()
        house.drop()
        wait_until(lambda: house.manifest())
    assert "club.csv was not ready and is not in this batch" in house.read("integration_log.txt")
    assert (house.inbox / "club.csv").is_file()
    assert daemon.stop() == 0


def test_by_hand_the_name_of_a_file_decides_its_source(tmp_path: Path) -> None:
    tables = [{"name": "ECOM", "required": False}, {"name": "CLUB", "file": "club.csv", "preset": "plain"}]
    crm = CRM_HEAD + "1,Ann Lee,a@x.org,,,\n"
    (row,) = master(write_pair(tmp_path, crm, '[{"id": "7", "name": "Ann Lee"}]'), tmp_path / "out", sources=tables)
    assert row["source_system"] == "CRM+ECOM"


def test_a_claim_of_a_source_that_is_no_longer_configured_is_left_alone_and_reported(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, sources=sources(LOYALTY | {"required": True}))
    inbox.open()
    for name in ("crm_customers_7.csv", "ecommerce_customers_7.json", "loyalty-7.csv"):
        (tmp_path / name).write_text("x\n", encoding="utf-8")
    (candidate,) = inbox.scan().candidates
    proofs = {file.path: "given" for file in candidate.files}
    batch = inbox.claim(candidate, proofs, NOON)
    assert batch is not None
    assert Inbox(tmp_path).unfinished().unreadable == (f"{batch.id}.json",)
    assert [it.id for it in inbox.unfinished().batches] == [batch.id]


def test_the_daemon_waits_for_required_sources_and_includes_optional_ones(house: House) -> None:
    (house.root / "service.toml").write_text(
        '[[sources]]\nname = "LOYALTY"\nfile = "loyalty.csv"\nrequired = false\npreset = "plain"\n', encoding="utf-8"
    )
    daemon = house.watch()
    (house.inbox / "loyalty.csv.gz").write_bytes(gzip.compress(b"id,name,email\n7,Ann Lee,ann@lee.org\n"))
    wait_until(lambda: house.health()["waiting"])
    assert house.health()["waiting"][0]["waits_for"] == "crm_customers.csv, ecommerce_customers.json"
    house.drop()
    wait_until(lambda: list((house.inbox / "archive").glob("*/loyalty.csv.gz")))
    assert "CUST006,Ann Lee,ann@lee.org,N/A,N/A,LOYALTY,N/A" in house.read("customer_master.csv")
    assert '"layout": "plain"' in house.read("integration_log.jsonl")
    assert daemon.stop() == 0


# ------------------------------------------------------------------------------------------------------ layouts


def read_as(tmp_path: Path, crm: str | bytes, **settings: Any) -> tuple[str, dict[str, str]]:
    """The layout in which a CRM export of one customer was read, and the customer in the master."""
    (row,) = master(write_pair(tmp_path, crm, NO_CUSTOMERS), tmp_path / "out", **settings)
    events = (tmp_path / "out" / "integration_log.jsonl").read_text(encoding="utf-8").splitlines()
    return str(json.loads(events[0])["layout"]), row


def test_further_columns_do_not_change_the_layout_of_a_source_s_own_export(tmp_path: Path) -> None:
    head = CRM_HEAD.strip() + ",id,name,created_at,Record ID,First Name,Last Name\n"
    layout, row = read_as(tmp_path, head + "C1,Ann Lee,a@x.org,,2024-01-02,active,9,Shown So,2020-01-01,77,Al,So\n")
    assert (layout, row["full_name"], row["signup_date"]) == ("crm", "Ann Lee", "2024-01-02")


def test_a_name_in_parts_needs_all_columns_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    table = {"name": "CRM", "fields": {"full_name": "firt + last"}}
    crm = "customer_id,first,last,email\n1,Ann,Smith,a@x.org\n2,Bob,Smith,b@x.org\n"
    rows = master(write_pair(tmp_path, crm, NO_CUSTOMERS), tmp_path / "out", sources=[table])
    assert [row["full_name"] for row in rows] == ["N/A", "N/A"], "with Smith alone both would be one customer"
    assert 'no column "firt"' in (tmp_path / "out" / "integration_log.txt").read_text(encoding="utf-8")


# Windows-1252 has no combining accents.
@pytest.mark.parametrize(("encoding", "form"), [("utf-8", "NFC"), ("utf-8", "NFD"), ("cp1252", "NFC")])
def test_accents_in_a_header_are_matched(tmp_path: Path, encoding: str, form: Literal["NFC", "NFD"]) -> None:
    table = {"name": "CRM", "fields": {"full_name": "Prénom + Nom", "phone": "Téléphone"}}
    crm = unicodedata.normalize(form, "customer_id;Prénom;NOM;email;téléphone\n1;Zoë;Lée;z@x.org;2125550101\n")
    _, row = read_as(tmp_path, crm.encode(encoding), sources=[table])
    assert (row["full_name"], row["phone"]) == ("Zoë Lée", "2125550101")


@pytest.mark.parametrize(
    "shop",
    [
        '[{"Id": "1", "NAME": "A", "contact": {"Email": "a@b.de"}}]',
        '{"results": [{"id": "1", "properties": {"email": "a@b.de"}}]}',
    ],
)
def test_json_that_no_layout_fits_is_refused(tmp_path: Path, shop: str) -> None:
    with pytest.raises(UnreadableFile):
        integrate_pair(write_pair(tmp_path, CRM_HEAD, shop), tmp_path / "out")


def test_each_built_in_source_may_have_the_layout_of_the_other(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, CRM_HEAD, NO_CUSTOMERS)
    nested = '[{"id": "1", "name": {"first": "Ann", "last": "Lee"}, "contact": {"email": "a@x.org"}}]'
    (pair / "crm_customers.json").write_text(nested, encoding="utf-8")
    by_hand_of((pair / "crm_customers.json", pair / "ecommerce_customers.json"), tmp_path / "out")
    assert [row["full_name"] for row in rows_of(published(tmp_path / "out") / "customer_master.csv")] == ["Ann Lee"]


@pytest.mark.parametrize("path", ["p[0]", 'a"b', "a*", "x[99999999999]", "tél", "p"])
def test_at_any_path_a_number_is_read_as_it_is_written(tmp_path: Path, path: str) -> None:
    table = {"name": "ECOM", "fields": {"phone": path}}
    value: Any = "@" if path == "p" else ["@"]
    name = "p" if path.startswith("p") else path
    shop = json.dumps([{"id": "1", "name": "Ann Lee", name: value}]).replace('"@"', "5.55E+06")
    (row,) = master(write_pair(tmp_path, CRM_HEAD, shop), tmp_path / "out", sources=[table])
    assert row["phone"] == "N/A", "its digits are lost"


def test_an_export_of_continuation_rows_only_is_refused(tmp_path: Path) -> None:
    crm = "email,firstname,lastname,_address_telephone\n" + ",,,2125550101\n" * 3
    with pytest.raises(UnreadableFile, match="none of its rows has a name"):
        integrate_pair(write_pair(tmp_path, crm, NO_CUSTOMERS), tmp_path / "out")


@pytest.mark.parametrize("header", ["17,John Smith,john@x.org,john@x.org,5550101,ID", "7,Emily,Phoebe,x"])
def test_a_message_about_a_missing_header_has_no_customer_data(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputError) as refused:
        integrate_pair(write_pair(tmp_path, f"{header}\n{header}\n", NO_CUSTOMERS), tmp_path / "out")
    message = refused.value.explained().lower()
    assert not [value for value in ("john", "smith", "emily", "phoebe") if value in message]


@pytest.mark.large
def test_a_source_that_is_no_longer_in_the_batch_is_reported(tmp_path: Path) -> None:
    table = {"name": "CLUB", "file": "club.csv", "required": False, "preset": "plain"}
    pair = write_pair(tmp_path, CRM_HEAD, NO_CUSTOMERS)
    (pair / "club.csv").write_text("id,name,email\n1,Ann Lee,a@x.org\n", encoding="utf-8")
    outbox = tmp_path / "out"
    files = [pair / "crm_customers.csv", pair / "ecommerce_customers.json"]
    by_hand_of([*files, pair / "club.csv"], outbox, sources=[table])
    by_hand_of(files, outbox, sources=[table])
    assert "CLUB: not in this batch; it had 1 rows before" in (outbox / "integration_log.txt").read_text("utf-8")


# ----------------------------------------------------------------------------------------------------- what is read


def test_of_several_paths_the_first_with_a_value_counts(tmp_path: Path) -> None:
    table = {"name": "CRM", "fields": {"phone": ["mobile", "phone"], "full_name": ["full_name", "first + last"]}}
    crm = (
        "customer_id,full_name,first,last,email,mobile,phone\n"
        "1,N/A,Na,Li,a@x.org,n/a,212-555-0101\n"
        "2,Bo Ek,Al,Oe,b@x.org,212-555-0102,212-555-0103\n"
    )
    rows = master(write_pair(tmp_path, crm, NO_CUSTOMERS), tmp_path / "out", sources=[table])
    assert [(row["full_name"], row["phone"]) for row in rows] == [("Na Li", "2125550101"), ("Bo Ek", "2125550102")]


def test_rows_without_a_status_get_the_default(tmp_path: Path) -> None:
    table = {"name": "CRM", "defaults": {"status": " Prospect "}}
    crm = CRM_HEAD + "1,Ann Lee,a@x.org,,,\n2,Bo Ek,b@x.org,,,Active\n"
    rows = master(write_pair(tmp_path, crm, NO_CUSTOMERS), tmp_path / "out", sources=[table])
    assert [row["status"] for row in rows] == ["prospect", "active"]


def test_a_source_s_own_region_and_date_order_are_used(tmp_path: Path) -> None:
    crm = CRM_HEAD + "1,Ann Lee,a@x.org,(212) 555-0101,03/04/2023,\n"
    shop = '[{"id": "7", "name": "Bo Ek", "contact": {"phone": "020 7946 0958"}, "registered": "03/04/2023"}]'
    table = {"name": "ECOM", "region": "GB", "date_order": "DMY"}
    ann, bo = master(write_pair(tmp_path, crm, shop), tmp_path / "out", sources=[table])
    assert (ann["phone"], ann["signup_date"]) == ("2125550101", "2023-03-04")
    assert (bo["phone"], bo["signup_date"]) == ("442079460958", "2023-04-03")


@pytest.mark.large
def test_the_first_source_decides_ties_and_the_order_of_source_names(tmp_path: Path) -> None:
    crm = CRM_HEAD + "1,Ann Lee,a@x.org,212-555-0101,2023-01-01,lead\n"
    shop = '[{"id": "7", "name": "Anna Lee", "contact": {"email": "a@x.org", "phone": "2125550101"},'
    shop += ' "registered": "2024-01-01"}]'
    pair = write_pair(tmp_path, crm, shop)
    (usual,) = master(pair, tmp_path / "usual")
    (turned,) = master(pair, tmp_path / "turned", sources=[{"name": "CRM", "priority": 3}])
    assert (usual["full_name"], usual["source_system"]) == ("Ann Lee", "CRM+ECOM")
    assert (turned["full_name"], turned["source_system"]) == ("Anna Lee", "ECOM+CRM")


def test_passwords_and_tokens_are_not_published(tmp_path: Path) -> None:
    secrets = ["5e884898da28047151d0e56f8dc62927", "tok_4eC39HqLyjWDarjtT1"]
    crm = (
        "email,_website,confirmation,created_at,firstname,lastname,password_hash,rp_token\n"
        f"ann@lee.org,base,,2024-01-02,Ann,Lee,{secrets[0]},{secrets[1]}\n"
        f'"bad,base\n{secrets[0]}'
    )
    pair = write_pair(tmp_path, crm.splitlines()[0] + "\n" + crm.splitlines()[1] + "\n", NO_CUSTOMERS)
    integrate_pair(pair, tmp_path / "out")
    written = [path for path in tmp_path.joinpath("out").rglob("*") if path.is_file()]
    assert not [path for path in written for secret in secrets if secret.encode() in path.read_bytes()]
    with pytest.raises(InputError) as refused:
        integrate_pair(write_pair(tmp_path / "bad", crm, NO_CUSTOMERS), tmp_path / "refused")
    assert not [secret for secret in secrets if secret in refused.value.explained()]


def test_continuation_rows_are_left_out_and_reported(tmp_path: Path) -> None:
    shop = (
        "email,_website,created_at,firstname,lastname,_address_telephone\n"
        "ann@lee.org,base,2024-01-02 10:00:00,Ann,Lee,212-555-0101\n"
        ",,,,,212-555-0102\n"
    )
    pair = write_pair(tmp_path, CRM_HEAD, NO_CUSTOMERS)
    (pair / "shop.csv").write_text(shop, encoding="utf-8")
    (pair / "ecommerce_customers.json").unlink()
    (pair / "shop.csv").rename(pair / "ecommerce_customers.json.csv")
    outbox = tmp_path / "out"
    paths = (pair / "crm_customers.csv", pair / "ecommerce_customers.json.csv")
    by_hand_of(paths, outbox)
    assert [row["phone"] for row in rows_of(published(outbox) / "customer_master.csv")] == ["2125550101"]
    assert "rows that continue the customer above them are left out: 1" in (outbox / "integration_log.txt").read_text(
        encoding="utf-8"
    )


# ------------------------------------------------------------------------------------------------------------ gzip


def packed_pair(folder: Path, content: bytes) -> list[Path]:
    pair = write_pair(folder, CRM_HEAD, NO_CUSTOMERS)
    (pair / "crm_customers.csv.gz").write_bytes(content)
    return [pair / "crm_customers.csv.gz", pair / "ecommerce_customers.json"]


def test_a_gzipped_export_reads_like_the_plain_one(tmp_path: Path) -> None:
    crm = CRM_HEAD + "1,Ann Lee,a@x.org,212-555-0101,2023-01-01,lead\n"
    plain = master(write_pair(tmp_path / "plain", crm, NO_CUSTOMERS), tmp_path / "one")
    by_hand_of(packed_pair(tmp_path / "packed", gzip.compress(crm.encode())), tmp_path / "two")
    assert rows_of(published(tmp_path / "two") / "customer_master.csv") == plain


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"customer_id,email\n", "not packed with gzip, though its name ends in .gz"),
        (gzip.compress(CRM_HEAD.encode() * 999)[:-9], "truncated"),
        (gzip.compress(b"")[:12], "truncated"),
        (gzip.compress(CRM_HEAD.encode()) + b"rubbish behind it", "the gzip file is damaged"),
        (gzip.compress(b" " * (1 << 20)) * 65, "unpacks to more than 200 times its size"),
    ],
    ids=["empty", "not packed", "cut", "cut at its head", "rubbish behind", "a bomb"],
)
def test_a_damaged_gzip_file_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=says):
        by_hand_of(packed_pair(tmp_path, content), tmp_path / "out")


@pytest.mark.parametrize("content", [gzip.compress(b"x"), b"x"], ids=["whole", "damaged"])
def test_the_unpacked_file_is_removed_after_the_work(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    work = tmp_path / "work"
    work.mkdir()
    with suppress(UnreadableFile), gzip_file.unpacked(tmp_path / "a.csv.gz", work) as path:
        assert (path.read_bytes(), path.suffix) == (b"x", ".csv")
    assert list(work.iterdir()) == []
