"""The page of one customer: golden record with origins, records side by side, their links, and the past of the id."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dashboard import charts
from service.dashboard.charts import GraphEdge, GraphNode
from service.dashboard.sets import customer_records
from service.explanation.records import GroupRecord, RecordName
from service.folders import OutboxFolders
from service.jobs import decide
from service.ledger import Entry
from service.masters import customer_sets, id_history
from service.masters.id_history import IdEvent
from tests.dashboard.crowd import MARKUP, Crowd
from tests.dashboard.house import DashboardHouse, tags_of, text_of
from tests.small_batches import integrate_pair, write_pair
from tests.test_safe_in_batches import NO_CUSTOMERS, OFFICE


def customer(crowd: Crowd, source_id: str, query: str = "") -> dict[str, Any]:
    """The customer of an input record, from the API."""
    answer = crowd.client().get(f"/api/v1/customers/{crowd.of_record(source_id)}?{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def page(crowd: Crowd, source_id: str) -> str:
    """The page of the same, as a person reads it."""
    return text_of(crowd.client().get(f"/customers/{crowd.of_record(source_id)}"))


def origins(found: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Field -> origin, and the id of the record that the value is taken from."""
    return {cell["field"]: (cell["origin"], (cell["taken_from"] or {}).get("source_id")) for cell in found["golden"]}


def marks(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Id of a record -> field -> the rule for which it agrees with another; ``same`` where that is no evidence."""
    return {
        record["name"]["source_id"]: {
            cell["field"]: cell["rule"] or "same" for cell in record["cells"] if cell["agrees"]
        }
        for record in found["records"]
    }


# ----------------------------------------------------------------------------------------------------- golden record


def test_each_value_of_the_golden_record_says_where_it_comes_from(crowd: Crowd) -> None:
    assert origins(customer(crowd, "CRM001")) == {
        "full_name": ("kept", "EC1001"),
        "email": ("kept", "EC1001"),
        "phone": ("filled", "CRM001"),
        "signup_date": ("kept", "EC1001"),
        "status": ("kept", "EC1001"),
    }
    assert origins(customer(crowd, "CRM002"))["status"] == ("stated", "CRM002")
    assert origins(customer(crowd, "CRM503"))["signup_date"] == ("missing", None)
    text = page(crowd, "CRM001")
    assert "Phone 2125550101 filled from CRM CRM001 , because the kept record has none" in text
    assert "Status inactive stated by CRM CRM002 ; that of the kept record is a default" in page(crowd, "CRM002")
    assert "Signed up – missing no record has one" in page(crowd, "CRM503")


def test_each_value_of_the_golden_record_says_which_records_hold_it(crowd: Crowd) -> None:
    cells = {cell["field"]: cell for cell in customer(crowd, "CRM800")["golden"]}
    assert (cells["phone"]["holders"], cells["email"]["holders"]) == (40, 1)
    assert [it["source_id"] for it in cells["phone"]["held_by"]] == ["CRM800", "CRM801", "CRM802"]
    assert "CRM CRM801 , CRM CRM802 and 37 more" in page(crowd, "CRM800")


def test_a_customer_of_one_record_has_nothing_to_compare(crowd: Crowd) -> None:
    text = page(crowd, "EC1003")
    assert "One record of ECOM; nothing was merged." in text
    for absent in ("side by side", "Links", "Why it belongs", "Also in"):
        assert absent not in text
    assert customer(crowd, "EC1003")["links"] == []


# ------------------------------------------------------------------------------------------------------ side by side


def test_records_stand_side_by_side_with_the_kept_one_first_and_agreements_marked(crowd: Crowd) -> None:
    found = customer(crowd, "CRM001")
    assert [(it["name"]["source_id"], it["is_kept"]) for it in found["records"]] == [
        ("EC1001", True),
        ("CRM001", False),
    ]
    assert marks(found) == {"EC1001": {"email": "email"}, "CRM001": {"email": "email"}}
    assert (found["records"][1]["rules"], found["records"][1]["via"]["source_id"]) == ("email", "EC1001")
    text = page(crowd, "CRM001")
    assert "E-mail ann@one.example same e-mail ann@one.example same e-mail" in text
    assert "Phone – missing 2125550101" in text
    assert "Why it belongs kept: it has the fewest missing values same e-mail as ECOM EC1001" in text


def test_what_links_two_others_is_marked_in_both(crowd: Crowd) -> None:
    assert marks(customer(crowd, "CRM401")) == {
        "CRM401": {"email": "email"},
        "CRM402": {"email": "email", "phone": "phone"},
        "CRM403": {"phone": "phone", "full_name": "name"},
        "CRM404": {"full_name": "name"},
    }


def test_a_number_that_cannot_be_read_is_marked_though_it_is_not_shown(crowd: Crowd) -> None:
    assert marks(customer(crowd, "CRM700")) == {"CRM700": {"phone": "phone"}, "CRM701": {"phone": "phone"}}
    assert "– missing same phone as written; it cannot be read" in page(crowd, "CRM700")


def test_an_agreement_of_what_is_no_evidence_has_no_rule(crowd: Crowd) -> None:
    assert marks(customer(crowd, "CRM800"))["CRM803"] == {"phone": "phone", "status": "same"}


@pytest.mark.large
def test_the_pages_of_a_large_customer_have_every_record_once_behind_the_kept_one(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_order = [f"CRM8{n:02}" for n in range(24)] + [f"EC8{n:02}" for n in range(16)]
    for compared in (customer_records._WHOLE_GROUP, 5):  # by ranges of positions, and all at once
        monkeypatch.setattr(customer_records, "_WHOLE_GROUP", compared)
        shown: list[str] = []
        for number in range(1, customer(crowd, "CRM800")["pages"] + 1):
            names = [it["name"]["source_id"] for it in customer(crowd, "CRM800", f"page={number}")["records"]]
            assert names[0] == "CRM800"
            shown += names[1:]
        assert ["CRM800", *shown] == in_order
        last = customer(crowd, "CRM800", "page=99999")
        assert last["records"][-1]["name"]["source_id"] == "EC815"
        assert marks(last)["EC815"]["phone"] == "phone"
    assert "The kept record, and 2 to 8 of 40" in page(crowd, "CRM800")


# ------------------------------------------------------------------------------------------------------------- links


@pytest.mark.large
def test_the_links_are_a_graph_and_a_table_with_the_same_reasons(crowd: Crowd) -> None:
    answer = crowd.client().get(f"/customers/{crowd.of_record('CRM401')}")
    svg = re.search(r'<svg class="graph".*?</svg>', answer.text, re.DOTALL)
    assert svg is not None
    assert re.findall(r'class="reason"[^>]*>([^<]*)<', svg[0]) == ["e-mail", "phone", "name"]
    assert re.findall(r"<title>CRM: (\w+)</title>", svg[0]) == ["CRM401", "CRM402", "CRM403", "CRM404"]
    table = (
        "CRM CRM402 CRM CRM401 e-mail one@chain.example CRM CRM403 CRM CRM402 phone 2125550112 "
        "CRM CRM404 CRM CRM403 name Chain Three"
    )
    assert table in text_of(answer)
    assert crowd.client().get(f"/customers/{crowd.of_record('CRM401')}").text.count(svg[0]) == 1


def test_a_large_customer_has_a_list_of_links_instead_of_the_graph(crowd: Crowd) -> None:
    answer = crowd.client().get(f"/customers/{crowd.of_record('CRM800')}?page=2")
    assert "svg" not in tags_of(answer.text.partition('id="links"')[2])
    assert "40 records are too many for a graph." in text_of(answer)
    assert "CRM CRM808 CRM CRM800 phone" in text_of(answer)


def test_rows_with_one_id_are_nodes_of_their_own(crowd: Crowd) -> None:
    found = customer(crowd, "CRM600")
    kept = found["records"][0]["ordinal"]
    assert [(it["via_ordinal"], it["rules"]) for it in found["links"]] == [(kept, "id"), (kept, "id")]
    assert len({it["ordinal"] for it in found["links"]} | {kept}) == 3
    assert all(it["shares_id"] for it in found["records"])


def test_an_id_with_markup_is_text_also_in_the_graph(crowd: Crowd) -> None:
    answer = crowd.client().get(f"/customers/{crowd.of_record(MARKUP)}")
    assert "b" not in tags_of(answer.text)
    assert text_of(answer).count(MARKUP) > 4
    assert "<bdi>محمد العلي</bdi></h1>" in answer.text


names = st.sampled_from([RecordName(source="CRM", source_id=it) for it in "abcd"])


@given(st.lists(st.tuples(names, st.integers(0, 10**6)), max_size=12))
def test_links_are_a_tree_also_where_ids_are_shared(drawn: list[tuple[RecordName, int]]) -> None:
    """Every record but the kept one is linked through an earlier one; only its name is known."""
    root = RecordName(source="CRM", source_id="root")
    rows = [GroupRecord(0, 0, root, True, {}, None, ())]
    for number, (name, choice) in enumerate(drawn, 1):
        via = rows[choice % len(rows)].name
        rows.append(GroupRecord(number, number, name, False, {}, via, ("name",)))
    parents = customer_records.parents_of(rows)
    assert parents.keys() == {row.ordinal for row in rows[1:]}
    for row in rows[1:]:
        assert rows[parents[row.ordinal]].name == row.via
        seen, at = set(), row.ordinal
        while at:
            assert at not in seen, "a circle"
            seen.add(at)
            at = parents[at]


@given(st.lists(st.integers(0, 10**6), max_size=29))
def test_no_two_nodes_of_a_graph_overlap(choices: list[int]) -> None:
    nodes = [GraphNode(n, f"R{n}", "CRM", is_root=n == 0) for n in range(len(choices) + 1)]
    edges = [GraphEdge(choice % (n + 1), n + 1, "e-mail") for n, choice in enumerate(choices)]
    drawn = str(charts.graph(nodes, edges, "links"))
    corners = [(float(x), float(y)) for x, y in re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"', drawn)]
    assert len(corners) == len(nodes)
    for number, (x, y) in enumerate(corners):
        assert all(x != other or abs(y - below) > 36 for other, below in corners[:number])
    assert drawn == str(charts.graph(nodes, edges, "links"))


# -------------------------------------------------------------------------------------------------------- explanation


@pytest.mark.large
def test_the_page_shows_what_would_split_a_customer(crowd: Crowd) -> None:
    text = page(crowd, "CRM401").partition("What would split it")[2]
    assert "e-mail one@chain.example 3, 1 CRM CRM401 " in text
    assert "phone 2125550112 2, 2 " in text
    assert "record CRM CRM403 2, 1 CRM CRM404 " in text
    found = customer(crowd, "CRM401")["explained"]
    assert found["split_causes_in_all"] == len(found["split_causes"]) == 5
    assert "phone 2125550199 1, 1, 1, 1, 1 and 35 more" in page(crowd, "CRM800")


def test_the_page_shows_the_values_that_were_not_kept(crowd: Crowd) -> None:
    text = page(crowd, "CRM401").partition("Values that were not kept")[2]
    assert "Name Chain Two CRM CRM402 Name Chain Three CRM CRM403 , CRM CRM404 E-mail three@chain.example" in text
    assert "not kept" not in page(crowd, "EC1003")


def test_a_number_that_cannot_be_read_is_shown_with_its_link(crowd: Crowd) -> None:
    assert "phone 999888777666123 as written; it cannot be read" in page(crowd, "CRM700")


@pytest.mark.large
def test_a_customer_of_many_records_is_not_explained_and_has_the_same_golden_record(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its golden record comes from statements instead of from all records."""
    every = ("CRM001", "CRM002", "CRM401", "CRM501", "CRM600", "CRM700", "CRM800")
    whole = {source_id: customer(crowd, source_id)["golden"] for source_id in every}
    monkeypatch.setattr(customer_records, "_WHOLE_GROUP", 1)
    assert {source_id: customer(crowd, source_id)["golden"] for source_id in every} == whole
    assert customer(crowd, "CRM401")["explained"] is None
    text = page(crowd, "CRM401")
    assert re.search(r"Not looked for here: .* explain CUST\d+ explains the newest set", text)


@pytest.mark.large
def test_a_set_of_an_older_program_is_shown_without_an_explanation(own_crowd: Crowd) -> None:
    """It has no column that says how phones are compared; the hash of its file is not looked at here."""
    path = own_crowd.set / "records.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy (select * exclude (phone_key) from '{path}') to '{path}.new' (format parquet)")
    Path(f"{path}.new").replace(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(customer_sets.CustomerSets, "_checked_path", lambda self, of, name: str(of.folder / name))
        assert customer(own_crowd, "CRM401")["explained"] is None
        assert "Not looked for here" in page(own_crowd, "CRM401")


@pytest.mark.large
def test_decisions_about_its_records_are_on_the_page_of_a_customer(own_crowd: Crowd) -> None:
    folders = own_crowd.site().folders
    by = decide.Author("Kim & <b>", "2026-11-27T14:00:00Z")
    decide.decide("different", ("CRM:CRM401", "CRM:CRM404"), "two <i>firms</i>", by, folders)
    text = page(own_crowd, "CRM402").partition("Decisions")[2]
    assert "1 CRM CRM401 , CRM CRM404 different customers new from the next batch on Kim & <b>" in text
    assert "two <i>firms</i>" in text
    assert "Decisions" not in page(own_crowd, "CRM001")
    [found] = customer(own_crowd, "CRM401")["explained"]["decisions"]
    assert (found["number"], found["kind"], found["standing"]) == (1, "different", "new")


# ---------------------------------------------------------------------------------------------------------- the past


def test_an_unknown_id_is_not_found_and_the_page_says_where_to_look(shared_house: DashboardHouse) -> None:
    client = shared_house.client()
    for unknown in ("CUST999", "CUST1", "CRM005", "cust001", "CUST0001", "CUST" + "9" * 18, "x", "%3Cscript%3E"):
        for path in (f"/customers/{unknown}", f"/api/v1/customers/{unknown}"):
            answer = client.get(path)
            assert answer.status_code == 404, path
            assert "earch for it" in answer.text
    assert client.get("/customers/" + "x" * 200).status_code in (400, 404)


def past(house: DashboardHouse, unified_id: str, query: str = "") -> dict[str, Any]:
    answer = house.client().get(f"/api/v1/customers/{unified_id}?{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


@pytest.mark.large
def test_the_past_of_an_id_lists_what_the_kept_sets_say_of_it(shared_house: DashboardHouse) -> None:
    """By the changes of the second set: every id in them has each of its changes on its page, and no other."""
    first, second = shared_house.masters
    changes = shared_house.works.rows("id_changes.csv", second)
    assert {"created", "merged", "split", "retired"} <= {row["change"] for row in changes}
    for unified_id in {it for row in changes for it in _ids(row)}:
        events = [event for event in past(shared_house, unified_id)["history"]["events"] if event["batch_id"] == second]
        mine = [row for row in changes if unified_id in _ids(row)]
        assert [(it["change"], it["unified_id"]) for it in events] == [(it["change"], it["unified_id"]) for it in mine]
    assert past(shared_house, "CUST001")["history"]["events"][-1]["batch_id"] in (first, second)


def _ids(row: dict[str, str]) -> set[str]:
    return set(filter(None, [row["unified_id"], *row["from_ids"].split(","), *row["to_ids"].split(",")]))


def test_a_merged_id_leads_to_its_customer(shared_house: DashboardHouse) -> None:
    second = shared_house.masters[-1]
    [merged] = [row for row in shared_house.works.rows("id_changes.csv", second) if row["change"] == "merged"]
    [alias] = set(merged["from_ids"].split(",")) - {merged["unified_id"]}
    answer = shared_house.client().get(f"/customers/{alias}")
    assert f"This id was merged into {merged['unified_id']} and stays an alias of it." in text_of(answer)
    assert f'href="/customers/{merged["unified_id"]}"' in answer.text
    assert past(shared_house, alias)["merged_into"] == merged["unified_id"]
    assert "Merged into" in text_of(answer)


def test_a_retired_id_says_so_with_the_batch(shared_house: DashboardHouse) -> None:
    second = shared_house.masters[-1]
    [retired] = [row for row in shared_house.works.rows("id_changes.csv", second) if row["change"] == "retired"]
    text = text_of(shared_house.client().get(f"/customers/{retired['unified_id']}"))
    assert f"This customer is retired: none of its records is in the exports any more, since batch {second} ." in text
    former = past(shared_house, retired["unified_id"], f"batch={shared_house.masters[0]}")
    assert (former["state"], former["customer"]["unified_id"]) == ("live", retired["unified_id"])


def test_aliases_of_aliases_lead_to_the_last_customer(tmp_path: Path) -> None:
    lines = (
        "number,state,merged_into",
        "1,merged,3",
        "2,live,",
        "3,merged,12",
        "12,live,",
        "13,retired,",
        "20,merged,20",
    )
    (tmp_path / "register_customers.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert id_history.state_of("CUST001", tmp_path) == ("merged", "CUST012")
    assert id_history.state_of("CUST013", tmp_path) == ("retired", None)
    assert id_history.state_of("CUST012", tmp_path) == ("live", None)
    assert id_history.state_of("CUST020", tmp_path) == ("merged", "CUST020")
    assert id_history.state_of("CUST014", tmp_path) is None
    assert id_history.state_of("CUST001", tmp_path / "none") is None


def changes_of(outbox: Path, unified_id: str, kept: tuple[Entry, ...]) -> list[tuple[str, str]]:
    events: tuple[IdEvent, ...] = id_history.history_of(unified_id, OutboxFolders(outbox), kept).events
    return [(it.unified_id, it.change) for it in events]


@given(numbers=st.sets(st.integers(1, 3000), max_size=30), asked=st.integers(1, 3000))
def test_an_id_is_found_by_its_position_as_by_a_search_of_the_file(
    crowd: Crowd, tmp_path_factory: pytest.TempPathFactory, numbers: set[int], asked: int
) -> None:
    entry = next(crowd.site().customer_sets.kept())
    outbox = tmp_path_factory.mktemp("outbox")
    folder = outbox / "batches" / entry.outcome.batch_id
    folder.mkdir(parents=True)
    rows = [f"CUST{n:03},created,,CUST{n:03},x" for n in sorted(numbers)]
    (folder / "id_changes.csv").write_text("\n".join(["unified_id,change,from_ids,to_ids,reason", *rows, ""]))
    for number in (*numbers, asked):
        unified_id = f"CUST{number:03}"
        expected = [(unified_id, "created")] if number in numbers else []
        with pytest.MonkeyPatch.context() as patch:
            assert changes_of(outbox, unified_id, (entry,)) == expected
            patch.setattr(id_history, "MOST_SCANNED_BYTES", 0)
            assert changes_of(outbox, unified_id, (entry,)) == expected


def test_large_files_are_searched_up_to_a_limit_and_the_page_says_so(
    shared_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(id_history, "MOST_SCANNED_BYTES", 0)
    found = past(shared_house, "CUST001")
    assert found["history"]["is_whole"] is False
    assert {event["unified_id"] for event in found["history"]["events"]} == {"CUST001"}
    assert "Older sets are large or many." in text_of(shared_house.client().get("/customers/CUST001"))


def test_the_past_goes_back_over_more_batches_than_are_read_at_once(
    shared_house: DashboardHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = past(shared_house, "CUST001")["history"]
    assert {event["batch_id"] for event in every["events"]} == set(
        shared_house.masters[1:]
    )  # everything is new in the first
    monkeypatch.setattr(customer_sets, "_BATCHES_AT_ONCE", 1)
    assert past(shared_house, "CUST001")["history"] == every
    monkeypatch.setattr(id_history, "MOST_SETS", 1)
    assert past(shared_house, "CUST001")["history"]["is_whole"] is False


@pytest.mark.large
def test_damaged_files_of_changes_are_no_error(own_house: DashboardHouse) -> None:
    folder = own_house.set_of(own_house.masters[-1])
    for content in (b"", b"\xff\xfe" * 500, b'CUST001,merged,"CUST001' + b",CUST002" * 100_000, b"CUST001\n" * 1000):
        for name in ("id_changes.csv", "register_customers.csv"):
            (folder / name).chmod(0o644)
            (folder / name).write_bytes(content)
        client = own_house.client()
        assert client.get("/customers/CUST001").status_code == 200
        assert client.get("/customers/CUST003").status_code in (200, 404)


@pytest.mark.large
def test_files_of_changes_without_a_line_break_are_left_after_some_bytes(own_house: DashboardHouse) -> None:
    folder = own_house.set_of(own_house.masters[-1])
    for name in ("id_changes.csv", "register_customers.csv"):
        (folder / name).chmod(0o644)
        os.truncate(folder / name, 0)
        os.truncate(folder / name, 1 << 40)  # it takes no room
    client = own_house.client()
    assert client.get("/customers/CUST001").status_code == 200
    assert client.get("/customers/CUST003").status_code in (200, 404)


# -------------------------------------------------------------------------------------------------- weighed evidence


@pytest.fixture(scope="module")
def weighed(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """A set that weighed evidence made; only read."""
    root = tmp_path_factory.mktemp("weighed")
    integrate_pair(write_pair(root / "pair", OFFICE, NO_CUSTOMERS), root / "out", matching="safe")
    return Crowd(root)


@pytest.mark.large
def test_the_page_shows_what_the_evidence_of_each_link_weighs(weighed: Crowd) -> None:
    text = page(weighed, "C5")
    assert "2 records of CRM, merged by weighed evidence. CUST003" in text
    assert "Why it belongs kept: it has the fewest missing values weighed evidence with CRM C4" in text
    assert re.search(
        r"CRM C5 CRM C4 weighed evidence [\d.]+ bits; for: e-mail a variant [\d.]+, first name the same [\d.]+, "
        r"last name a variant [\d.]+; against: prior -[\d.]+, relatives -[\d.]+ ",
        text,
    )
    assert "Evidence in bits: log2 of the odds that the two are one customer" in text
    assert "same weighed" not in text
    [link] = customer(weighed, "C5")["links"]
    assert link["evidence"]["weight"] == float(weighed.rows("match_evidence.csv")[1]["weight"])


def test_the_page_of_shared_values_says_that_all_evidence_was_weighed(weighed: Crowd) -> None:
    text = page(weighed, "C1")
    assert "merged by weighed evidence (they share phone and name)." in text
    assert "same phone and name as CRM C1" in text
    assert "3125550100 Orla Byrne" in text.partition("Links between the records")[2]


def test_the_page_does_not_say_what_would_split_what_weighed_evidence_joins(weighed: Crowd) -> None:
    text = page(weighed, "C5").partition("What would split it")[2]
    assert "Not derived for what weighed evidence joins: the mean weight of all pairs of a group decides" in text
    assert "No single" not in text
    found = customer(weighed, "C5")["explained"]
    assert (found["split_causes"], found["weighed"]["held_by"]) == ([], ["weighed"])


def test_a_customer_of_many_records_is_shown_without_a_false_reason(
    weighed: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customer_records, "_WHOLE_GROUP", 1)
    text = page(weighed, "C1")
    assert "merged by weighed evidence, ids or decisions (they share phone and name)." in text
    assert "Not looked for here" in text
