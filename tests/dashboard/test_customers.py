"""The customers page: the published master, filtered, searched and paged, and which set that is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.engine.contract import Row
from service.engine.embedded_tables import OutOfMemory
from service.files import sha256_of
from service.masters import customer_sets
from service.masters.customer_sets import CustomerSets
from service.settings import Settings
from tests.dashboard.crowd import MARKUP, Crowd
from tests.dashboard.house import PUBLISHED_NAMES, DashboardHouse, tags_of, text_of
from tests.small_batches import crm_text, ecom_text, integrate_pair, write_pair
from tests.small_documents import DocumentFolders, batch
from tests.worlds import local_now

HOSTILE_TEXTS = (
    *("'", '"', "\\", "(", "[a", "a{99}", "*", "\\Q", "]", "^-", "(?i)", "' or 1=1 --", MARKUP, "<script>"),
    *(
        "ß" * 200,
        "a" * 200,
        "é" * 200,
        "1 " * 100,
        "\u202e\u0301",
        "ſ",
        "ı İ",
        "👩‍👩‍👧",
        " ",
        "\t\n",
        "12:34",
        ":",
        "CRM:",
        "@",
    ),
)


def found(client: FlaskClient, text: str, **others: object) -> list[str]:
    """The ids that a search gives."""
    answer = client.post("/api/v1/customers/search", json={"text": text} | others)
    assert answer.status_code == 200, answer.text
    return [row["unified_id"] for row in answer.json["rows"]]  # type: ignore[index]


def listed(client: FlaskClient, query: str = "") -> list[str]:
    """The ids that a URL shows, in the API; the page must show the same."""
    answer = client.get(f"/api/v1/customers?{query}")
    assert answer.status_code == 200, answer.text
    ids = [row["unified_id"] for row in answer.json["rows"]]  # type: ignore[index]
    page = client.get(f"/customers?{query}")
    assert re.findall(r'<th scope="row"><a class="identifier" href="/customers/(CUST\d+)', page.text) == ids
    return ids


def test_every_customer_is_listed_as_published(crowd: Crowd) -> None:
    shown = crowd.client().get("/api/v1/customers").json
    assert shown is not None
    assert [
        {
            "unified_id": row["unified_id"],
            "full_name": row["full_name"] or "N/A",
            "email": row["email"] or "N/A",
            "phone": row["phone"] or "N/A",
            "signup_date": row["signup_date"] or "N/A",
            "source_system": "+".join(row["sources"]),
            "status": row["status"] or "N/A",
        }
        for row in shown["rows"]
    ] == crowd.rows("customer_master.csv")
    text = text_of(crowd.client().get("/customers"))
    assert f"{len(shown['rows'])} customers, made of {len(crowd.rows('crosswalk.csv'))} records" in text
    assert "CUST002 Bea Ray bea@two.example 2125550102 2023-05-02 CRM ECOM inactive 2 phone and name" in text


def test_the_page_says_from_which_set_it_is_and_leads_to_the_latest(shared_house: DashboardHouse) -> None:
    first, second = shared_house.masters
    client = shared_house.client()
    latest, former = text_of(client.get("/customers")), client.get(f"/customers?batch={first}")
    assert f"Set of batch {second} , published" in latest
    assert "not the latest" not in latest
    assert f"Set of batch {first} , published" in text_of(former)
    assert 'not the latest</span> <a href="/customers">Show the latest' in former.text
    assert f'href="/customers/CUST001?batch={first}"' in former.text
    assert len(listed(client, f"batch={first}")) == 5


def test_hostile_names_are_text(shared_house: DashboardHouse) -> None:
    page = shared_house.client().get("/customers")
    assert all(name in text_of(page) for name in PUBLISHED_NAMES)
    assert tags_of(page.text).count("script") == tags_of(shared_house.client().get("/runbook").text).count("script")


# ----------------------------------------------------------------------------------------------------------- filters


def test_each_filter_shows_exactly_the_customers_that_meet_it(crowd: Crowd) -> None:
    client = crowd.client()
    rows = client.get("/api/v1/customers").json["rows"]  # type: ignore[index]
    reasons = {row["kept_id"]: row["match_reason"] for row in crowd.rows("duplicate_report.csv")}
    alone = {row["unified_id"] for row in crowd.rows("match_evidence.csv") if row["rules"] == "name"}
    filters: dict[str, Callable[[dict[str, object]], bool]] = {
        "source=CRM": lambda row: "CRM" in row["sources"],  # type: ignore[operator]
        "source=only:CRM": lambda row: row["sources"] == ["CRM"],
        "source=CRM%2BECOM": lambda row: row["sources"] == ["CRM", "ECOM"],
        "status=inactive": lambda row: row["status"] == "inactive",
        "status=on+hold": lambda row: row["status"] == "on hold",
        "min_records=2": lambda row: row["records"] > 1,  # type: ignore[operator]
        "max_records=1": lambda row: row["records"] == 1,
        "min_records=2&max_records=3": lambda row: row["records"] in (2, 3),
        "reason=phone%2Bname": lambda row: reasons.get(str(row["unified_id"])) == "phone+name",
        "name_alone=true": lambda row: row["unified_id"] in alone,
        "missing=email": lambda row: row["email"] is None,
        "missing=signup_date&source=CRM": lambda row: row["signup_date"] is None and "CRM" in row["sources"],  # type: ignore[operator]
    }
    for query, is_met in filters.items():
        expected = [row["unified_id"] for row in rows if is_met(row)]
        assert listed(client, query) == expected, query
        assert 0 < len(expected) < len(rows), f"{query} shows nothing or everything"


@pytest.mark.large
def test_every_status_that_the_form_offers_shows_its_customers(tmp_path: Path) -> None:
    statuses = ("active", "in  use", "on\nhold", "a\r\nb", "50% & more", "x" * 150)
    crm = crm_text([(f"CRM{n}", f"Name {n}", None, None, None, it) for n, it in enumerate(statuses)])
    integrate_pair(write_pair(tmp_path / "pair", crm, ecom_text(())), tmp_path / "out")
    client = Crowd(tmp_path).client()
    offered = offered_values(client.get("/customers").text, "status")
    assert len(offered) == len(statuses) - 1, "a status that is too long for a filter is not offered"
    for status in offered:
        sent = status.replace("\r\n", "\n").replace("\n", "\r\n")  # as browsers do
        assert len(listed(client, urlencode({"status": sent}))) == 1, status


def offered_values(html: str, name: str) -> list[str]:
    """What a browser sends for each option of a field."""
    field = re.search(rf'<select id="{name}".*?</select>', html, re.DOTALL)
    assert field is not None
    options = re.findall(r'<option(?: value="([^"]*)")?[^>]*>([^<]*)</option>', field[0])
    return [it for value, text in options if (it := unescape(value or " ".join(text.split()))) and it != "Any"]


def test_pages_have_every_customer_once_and_the_last_one_ends_them(crowd: Crowd) -> None:
    client, ids = crowd.client(), [row["unified_id"] for row in crowd.rows("customer_master.csv")]
    for filters in ("", "source=CRM&"):
        expected = [it for it in ids if not filters or it in listed(client, "source=CRM")]
        pages = -(-len(expected) // 3)
        shown = [listed(client, f"{filters}limit=3&page={page}") for page in range(1, pages + 1)]
        assert [it for page in shown for it in page] == expected
        assert listed(client, f"{filters}limit=3&page=100000000") == shown[-1]
    text = text_of(client.get("/customers?limit=3&page=2"))
    assert f"4 to 6 of {len(ids)}" in text
    assert "page=1" not in client.get("/customers?limit=3&page=2").text


def test_filters_stay_set_in_the_form_and_in_the_links(crowd: Crowd) -> None:
    page = crowd.client().get("/customers?source=CRM&min_records=1&limit=2&missing=")
    assert '<option value="CRM" selected>' in page.text
    assert 'href="/customers?source=CRM&amp;page=2&amp;limit=2" rel="next"' in page.text
    unknown = crowd.client().get("/customers?status=unheard+of&reason=email&min_records=7")
    assert "No customer meets this" in text_of(unknown)
    for kept in ('value="unheard of" selected', 'value="7" selected', 'value="email" selected'):
        assert kept in unknown.text


@pytest.mark.parametrize("query", ["source=crm", "page=0", "missing=name", "min_records=x", "batch=../x", "text=smith"])
def test_an_impossible_filter_is_refused(crowd: Crowd, query: str) -> None:
    assert crowd.client().get(f"/customers?{query}").status_code == 400
    assert crowd.client().get(f"/api/v1/customers?{query}").status_code == 400


# ------------------------------------------------------------------------------------------------------------ search


def test_a_search_finds_parts_of_words_in_any_case_without_accents(crowd: Crowd) -> None:
    client = crowd.client()
    for source_id, texts in {
        "CRM002": ("bea", "EA RA", "ray bea", "TWO.EXAMPLE"),
        "CRM501": ("zoe garcia", "ZOË", "arcí"),
        "CRM503": ("soren", "WEISS", "weiß", "o'brien", "soren@b", "SØREN@"),
        MARKUP: ("محمد", "العلي محمد"),
    }.items():
        for text in texts:
            assert found(client, text) == [crowd.of_record(source_id)], text
    assert found(client, "bea lee") == found(client, "%") == found(client, "be_") == []
    assert found(client, ".") == [it["unified_id"] for it in crowd.rows("customer_master.csv") if "." in it["email"]]


def test_a_phone_is_found_with_any_punctuation_and_with_its_calling_code(crowd: Crowd) -> None:
    client = crowd.client()
    bea, soren = crowd.of_record("CRM002"), crowd.of_record("CRM503")
    for text in ("2125550102", "(212) 555-0102", "212.555.0102", "+1 212 555 0102", "555-0102", "1-212-555-0102"):
        assert found(client, text) == [bea], text
    for text in ("+44 20 7946 0958", "0044 20 7946 0958", "7946 0958"):
        assert found(client, text) == [soren], text
    assert found(client, "bea 555-0102") == [bea]
    assert found(client, "ann 555-0102") == []


def test_an_id_of_a_source_leads_to_its_customer(crowd: Crowd) -> None:
    client = crowd.client()
    for text, source_id in {
        "CRM001": "CRM001",
        "crm402": "CRM402",
        "EC1002": "EC1002",
        "ecom:ec1002": "EC1002",
        "CRM:CRM600": "CRM600",
        crowd.of_record("CRM503"): "CRM503",
        crowd.of_record("CRM503").lower(): "CRM503",
    }.items():
        assert found(client, text) == [crowd.of_record(source_id)], text
    assert found(client, "CRM:EC1002") == []
    for text in (MARKUP, f"CRM:{MARKUP}"):  # without a digit
        assert found(client, text) == [crowd.of_record(MARKUP)], text


def test_the_merged_records_are_searched_where_that_is_asked_for(crowd: Crowd) -> None:
    client = crowd.client()
    assert found(client, "leigh") == found(client, "ann lee", within="merged") == [crowd.of_record("CRM001")]
    assert found(client, "ann lee") == []
    assert found(client, "guest7") == []
    assert found(client, "guest7", within="merged") == [crowd.of_record("CRM800")]
    page = client.post("/customers/search", data={"text": "guest7"})
    assert "Search the merged records" in text_of(page)
    other = client.post("/customers/search", data={"text": "guest7", "within": "merged"})
    assert "1 of 11 customers has “ guest7 ” in a record that was merged into them." in text_of(other)


def test_filters_and_pages_combine_with_a_search(crowd: Crowd) -> None:
    client = crowd.client()
    every = found(client, "example")
    assert found(client, "example", source="only:ECOM") == [crowd.of_record("EC1003")]
    assert found(client, "example", min_records=2) == [it for it in listed(client, "min_records=2") if it in every]
    pages = [found(client, "example", limit=4, page=page) for page in (1, 2, 3)]
    assert [it for page in pages for it in page] == every
    page = client.post("/customers/search", data={"text": "example", "limit": "4", "page": "2", "source": "CRM"})
    assert {'name="page" value="3"', 'name="source" value="CRM"', 'name="text" value="example"'} <= set(
        re.findall(r'name="\w+" value="\w+"', page.text)
    )


def test_what_is_searched_for_stands_in_no_url_and_no_log(crowd: Crowd, capfd: pytest.CaptureFixture[str]) -> None:
    client, secret = crowd.client(), "guest7@office.example"
    for answer in (
        client.post("/customers/search", data={"text": secret}),
        client.post("/api/v1/customers/search", json={"text": secret}),
    ):
        assert secret in answer.text
        assert not [it for it in re.findall(r'(?:href|action|hx-\w+)="([^"]*)"', answer.text) if "guest7" in it]
    assert client.post(f"/customers/search?text={secret}").status_code == 400
    assert client.get("/customers/search").status_code in (404, 405)
    assert "guest7" not in "".join(capfd.readouterr())


@pytest.mark.large
def test_any_text_is_a_search(crowd: Crowd) -> None:
    client = crowd.client()
    for text in HOSTILE_TEXTS:
        answer = client.post("/customers/search", data={"text": text})
        assert answer.status_code == 200, text
        assert "<script>alert" not in answer.text
    assert client.post("/customers/search", data={"text": "a" * 201}).status_code == 400
    assert found(client, "   ") == listed(client)


def test_an_id_that_no_customer_has_leads_to_what_became_of_it(shared_house: DashboardHouse) -> None:
    page = shared_house.client().post("/customers/search", data={"text": "cust003"})
    assert "CUST003 is no customer of this set" in text_of(page)
    assert 'href="/customers/CUST003"' in page.text


# -------------------------------------------------------------------------------------------------------------- sets


def test_before_the_first_set_the_page_says_what_to_do(tmp_path: Path) -> None:
    client = DashboardHouse(tmp_path).client()
    text = text_of(client.get("/customers"))
    assert "No customers yet Drop crm_customers.csv and ecommerce_customers.json into" in text
    assert client.get("/api/v1/customers").json["shown"] is None  # type: ignore[index]
    assert text_of(client.post("/customers/search", data={"text": "ann"})).count("No customers yet") == 1


def client_of(folders: DocumentFolders) -> FlaskClient:
    given: dict[str, Any] = {
        "inbox": folders.inbox.root,
        "outbox": folders.outbox.root,
        "state": folders.state.root,
    }
    return create_app(Site(Settings(**given), local_now)).test_client()


def test_a_set_of_an_older_program_says_why_it_is_not_shown_and_what_to_do(tmp_path: Path) -> None:
    folders = DocumentFolders(tmp_path)
    folders.publish(batch(1), None)
    folders.ledger.open()
    client = client_of(folders)
    for path in ("/customers", "/duplicates", "/customers/CUST001"):
        text = text_of(client.get(path))
        assert "it has no Parquet files, because an older program made it" in text
        assert "Drop both exports into the inbox again" in text
        assert "no Parquet files" in client.get(f"/api/v1{path}").json["shown"]["obstacle"]  # type: ignore[index]


def test_a_batch_without_customers_is_not_found(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for batch_id in (shared_house.export, shared_house.quarantined, "20240115T120000Z-ffffff"):
        answer = client.get(f"/customers?batch={batch_id}")
        assert answer.status_code == 404
        assert "Choose one of the batches" in answer.text


@pytest.mark.large
def test_a_file_that_was_changed_is_not_given_to_the_engine(own_house: DashboardHouse) -> None:
    first, second = own_house.masters
    for name in ("customer_master.parquet", "manifest.json"):
        path = own_house.set_of(second) / name
        path.chmod(0o644)
        path.write_bytes(path.read_bytes() + b" ")
        answer = own_house.client().get("/customers")
        assert answer.status_code == 503
        assert f"{name} of batch {second} is not as it was published" in answer.text
        assert f"verify {second}" in answer.text
        assert own_house.client().get(f"/customers?batch={first}").status_code == 200


def test_a_file_without_end_is_not_read(own_house: DashboardHouse) -> None:
    path = own_house.set_of(own_house.masters[-1]) / "customer_master.parquet"
    path.chmod(0o644)
    os.truncate(path, 1 << 40)  # it takes no room
    assert "is not as it was published" in own_house.client().get("/customers").text


def test_a_file_that_is_changed_after_it_was_read_is_noticed(own_house: DashboardHouse) -> None:
    client, path = own_house.client(), own_house.set_of(own_house.masters[-1]) / "customer_master.parquet"
    assert client.get("/customers").status_code == 200
    path.unlink()
    shutil.copyfile(own_house.set_of(own_house.masters[0]) / "customer_master.parquet", path)
    assert client.get("/customers").status_code == 503


def test_a_set_that_is_gone_is_not_found(own_house: DashboardHouse) -> None:
    client = own_house.client()
    assert client.get("/customers").status_code == 200
    shutil.rmtree(own_house.set_of(own_house.masters[-1]))
    answer = client.get("/customers")
    assert answer.status_code == 404
    assert "is not in the outbox any more" in answer.text


def test_a_file_is_hashed_once_and_figures_are_computed_once(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    client, rows = crowd.client(), CustomerSets.rows
    hashed: list[str] = []
    statements: list[str] = []

    def hashing(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    def reading(sets: CustomerSets, sql: str, *values: Any) -> list[Row]:
        statements.append(sql)
        return rows(sets, sql, *values)

    monkeypatch.setattr(customer_sets, "sha256_of", hashing)
    monkeypatch.setattr(CustomerSets, "rows", reading)
    for _ in range(3):
        for path in ("/customers", "/duplicates"):
            assert client.get(path).status_code == 200
    assert sorted(hashed) == ["customer_master.parquet", "records.parquet"]
    assert sum("group by all" in sql for sql in statements) == 1


def test_too_little_memory_is_an_error_that_says_so(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OutOfMemory("the statement needs more memory than a reader has", hint="ask for less")

    monkeypatch.setattr(CustomerSets, "rows", fails)
    answer = crowd.client().get("/customers")
    assert answer.status_code == 503
    assert "more memory" in answer.text
