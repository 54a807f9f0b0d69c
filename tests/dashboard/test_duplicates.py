"""The duplicates page: its counts are those of the set, and each leads to exactly the customers that it counts."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from service.dashboard.pages import duplicates
from service.dashboard.sets.customer_figures import _SIZES, shared_values
from tests.dashboard.crowd import Crowd
from tests.dashboard.house import DashboardHouse, text_of
from tests.small_batches import crm_text, ecom_text, integrate_pair, write_pair


def figures(crowd: Crowd, query: str = "") -> dict[str, Any]:
    answer = crowd.client().get(f"/api/v1/duplicates?{query}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json or {})


def sizes_of(crowd: Crowd) -> Counter[str]:
    """Customer -> number of its records."""
    return Counter(row["unified_id"] for row in crowd.rows("crosswalk.csv"))


def test_counts_are_those_of_the_set(crowd: Crowd) -> None:
    found, report, sizes = figures(crowd), crowd.rows("duplicate_report.csv"), sizes_of(crowd)
    assert (found["groups"], found["removed"]) == (len(report), sum(sizes.values()) - len(sizes))
    assert {it["reason"]: it["customers"] for it in found["reasons"]} == Counter(it["match_reason"] for it in report)
    assert sum(it["records"] for it in found["reasons"]) == sum(size for size in sizes.values() if size > 1)
    masters = Counter(row["source_system"] for row in crowd.rows("customer_master.csv"))
    assert {"+".join(it["sources"]): it["customers"] for it in found["overlap"]} == masters
    for it in found["sizes"]:
        inside = [n for n in sizes.values() if n >= it["least"] and (it["most"] is None or n <= it["most"])]
        assert (it["customers"], it["records"]) == (len(inside), sum(inside))
    assert sum(it["customers"] for it in found["sizes"]) == found["groups"]
    text = text_of(crowd.client().get("/duplicates"))
    assert f"{found['removed']} of {sum(sizes.values())} records were duplicates" in text


def test_each_bar_is_as_long_as_its_share(crowd: Crowd) -> None:
    found, page = figures(crowd), crowd.client().get("/duplicates").text
    widths = [float(width) for width in re.findall(r'class="fill-accent" width="([\d.]+)"', page)]
    shares = [(it["customers"], found["groups"]) for name in ("reasons", "sizes") for it in found[name]]
    shares += [(it["customers"], found["shown"]["customers"]) for it in found["overlap"]]
    assert widths == [round(100 * count / whole, 2) for count, whole in shares]
    assert "fill-quiet" not in page


def test_sizes_leave_no_number_out() -> None:
    assert _SIZES[0][0] == 2
    assert [least - 1 for least, _ in _SIZES[1:]] == [most for _, most in _SIZES[:-1]]
    assert _SIZES[-1][1] is None


def test_each_count_leads_to_exactly_its_customers(crowd: Crowd) -> None:
    client = crowd.client()
    page = client.get("/duplicates").text
    links = re.findall(r'<th scope="row"><a href="(/customers\?[^"]+)">.*?</th><td class="number">([\d,]+)</td>', page)
    assert len(links) == len({link for link, _ in links}) > 6
    for link, count in links:
        answer = client.get(f"/api/v1{unescape(link)}")
        assert answer.json["whole"] == int(count.replace(",", "")), link  # type: ignore[index]


def test_the_largest_customers_come_first(crowd: Crowd) -> None:
    largest = figures(crowd)["largest"]
    sizes = sizes_of(crowd)
    assert [(it["unified_id"], it["records"]) for it in largest] == [
        (it, n) for it, n in sorted(sizes.items(), key=lambda it: (-it[1], it[0])) if n > 1
    ]
    assert f'href="/customers/{largest[0]["unified_id"]}"' in crowd.client().get("/duplicates").text


@pytest.mark.large
def test_customers_on_a_name_alone_are_counted_and_paged(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = sorted({row["unified_id"] for row in crowd.rows("match_evidence.csv") if row["rules"] == "name"})
    assert len(alone) == 2
    found = figures(crowd)["on_a_name_alone"]
    assert ([it["unified_id"] for it in found["rows"]], found["whole"]) == (alone, 2)
    monkeypatch.setattr(duplicates, "ON_A_PAGE", 1)
    pages = [figures(crowd, f"page={number}")["on_a_name_alone"]["rows"] for number in (1, 2, 3)]
    assert [it["unified_id"] for [it] in pages] == [*alone, alone[-1]]
    assert 'href="/duplicates?page=2#alone" rel="next"' in crowd.client().get("/duplicates").text


def test_values_that_tie_different_names_are_listed(crowd: Crowd) -> None:
    value, same_id, unreadable = figures(crowd)["shared_values"]["rows"]
    office = crowd.of_record("CRM800")
    assert value == {
        "kind": "phone",
        "value": "2125550199",
        "records": 40,
        "distinct_names": 40,
        "unified_ids": [office],
    }
    assert (same_id["kind"], same_id["value"], same_id["distinct_names"]) == ("id_alone", "CRM600", 3)
    assert (unreadable["kind"], unreadable["unified_ids"]) == ("unreadable_phone", [crowd.of_record("CRM700")])
    assert f"2125550199 Phone 40 40 {office}" in text_of(crowd.client().get("/duplicates"))


def test_the_list_of_values_is_read_in_bounds(own_house: DashboardHouse) -> None:
    """Ids by the thousand, rows that are none, and values with quotes; more names first."""
    ids = ",".join(f"CUST{number:06}" for number in range(100_000))
    lines = (
        "kind,value,records,distinct_names,unified_ids",
        f'email,info@one.example,200000,5,"{ids}"',
        "phone,5550101,many,5,CUST001",
        "phone",
        'phone,"55,""01",9,7,"CUST001,CUST002"',
        "name_alone,Ann Lee,9,9,CUST001",
        "phone,5550102,9,1,CUST001",
    )
    path = own_house.set_of(own_house.masters[-1]) / "literal_cost.csv"
    path.chmod(0o644)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sets = own_house.site().customer_sets
    of = sets.find()
    assert of is not None
    first, second = shared_values(sets, of)
    assert (first.value, first.unified_ids) == ('55,"01', ("CUST001", "CUST002"))
    assert (second.value, second.records, len(second.unified_ids)) == ("info@one.example", 200_000, 5)
    path.unlink()
    sets = own_house.site().customer_sets
    assert shared_values(sets, of) == ()


_OFFICE = "+1-212-555-0199"
_COMPARED = (
    ("C1", "Orla Byrne", "orla.byrne@one.example", _OFFICE, None, None),
    ("C2", "Pavel Novak", "pavel.novak@one.example", _OFFICE, None, None),
    ("C3", "Orla Byrne", "obyrne@one.example", _OFFICE, None, None),
    ("C4", "Zdenka Kowalczyk", "zdenka.kowalczyk@two.example", None, None, None),
    ("C5", "Zdenka Kowalcyzk", "zdenka.kowalczik@two.example", None, None, None),
    ("C6", "Ida Marlow", "ida.marlow@two.example", "+1-617-555-0142", None, None),
    ("C7", "Ben Marlow", "ben.marlow@two.example", "+1-617-555-0142", None, None),
)


@pytest.mark.large
def test_what_safe_would_change_is_shown_and_paged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = write_pair(tmp_path / "in", crm_text(_COMPARED), ecom_text([]))
    integrate_pair(pair, tmp_path / "out", compare_matching="safe")
    compared = Crowd(tmp_path)
    found = figures(compared)["safe_comparison"]
    assert [found[name] for name in ("customers", "parted_customers", "joined_customers")] == [5, 2, 2]
    text = text_of(compared.client().get("/duplicates"))
    assert "would be 5 customers, not 4" in text
    assert "Customers that it would part: 2" in text
    assert "Orla Byrne CUST001 3 2 2 customers Ida Marlow CUST004 2 2 2 customers" in text
    assert "Customers that it would join: 2" in text
    assert "Zdenka Kowalczyk CUST002 , CUST003 2 2" in text
    monkeypatch.setattr(duplicates, "ON_A_PAGE", 1)
    pages = [figures(compared, f"parted_page={number}")["safe_comparison"]["parted"]["rows"] for number in (1, 2, 3)]
    assert [it["unified_ids"] for [it] in pages] == [["CUST001"], ["CUST004"], ["CUST004"]]
    assert 'href="/duplicates?parted_page=2#parted" rel="next"' in compared.client().get("/duplicates").text


def test_without_a_comparison_nothing_is_said_about_it(crowd: Crowd) -> None:
    assert figures(crowd)["safe_comparison"] is None
    assert "safe matching" not in text_of(crowd.client().get("/duplicates"))


def test_before_the_first_set_the_page_says_what_to_do(tmp_path: Path) -> None:
    text = text_of(DashboardHouse(tmp_path).client().get("/duplicates"))
    assert "No records were merged yet Drop crm_customers.csv" in text


def test_a_former_set_is_shown_where_it_is_asked_for(shared_house: DashboardHouse) -> None:
    first, _ = shared_house.masters
    page = shared_house.client().get(f"/duplicates?batch={first}")
    assert "3 of 8 records were duplicates; 2 of 5 customers" in text_of(page)
    assert f"/customers?batch={first}&amp;" in page.text or f"batch={first}" in page.text
    assert "None: every merged record shares an e-mail, a phone or an id." in text_of(page)
