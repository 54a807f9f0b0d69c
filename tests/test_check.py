"""``check`` reports what a file is and what is wrong with it, as a batch would, and changes nothing."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.small_batches import HEADER, crm_text
from tests.worlds import API, CASES, CRM, ECOM, House

ODD = (
    "customer_id;full_name;email;phone;notes\n"
    "1;Ann Lee;ann@lee.org;5550101;\n"
    "\n"
    '2;"Bo\nEk";bo@;12;x\n'
    "3;Cy Oh;cy@oh.org;;;;5\n"
)


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_good_files_are_described_and_nothing_is_written(house: House) -> None:
    house.drop()
    done = house.run("check", house.inbox / CRM, house.inbox / ECOM)
    printed = lines(done.out)
    assert done.code == 0
    assert printed.count("nothing is wrong with it") == 2
    assert "crm_customers.csv: an export of CRM" in printed
    assert "ecommerce_customers.json: an export of ECOM" in printed
    assert "full_name name.first, name.last" in printed or "full_name name, name.first, name.last" in printed
    assert sorted(path.name for path in house.root.rglob("*")) == sorted([CRM, ECOM, "inbox"])


@pytest.mark.parametrize(
    ("matching", "address", "count"), [("literal", None, 13), ("safe", "address Default Address Address1", 9)]
)
def test_fields_that_the_matcher_reads_are_named_as_read(
    house: House, matching: str, address: str | None, count: int
) -> None:
    done = house.run("check", CASES / "shopify_csv_export" / "ecommerce_customers.csv", matching=matching)
    printed = lines(done.out)
    assert address is None or address in printed
    assert ("Default Address Address1" in " ".join(printed[-2:])) == (address is None), "listed as not read"
    assert f"not read {count} other columns" in printed


def test_an_export_of_the_api_is_read_as_for_the_analytics(house: House) -> None:
    rows = '{"id": 1, "first_name": "Ann", "last_name": "Lee", "plan": "pro"}, {"id": 1, "last_name": "Lee"}, {}'
    (house.inbox / API).write_text(f'{{"data": [{rows}]}}', encoding="utf-8")
    done = house.run("check", house.inbox / API)
    printed = lines(done.out)
    assert done.code == 1
    assert printed[0] == "api_customers.json: an export of API"
    assert "last_name last_name" in printed
    assert "rows 2, rejects 1, repeated ids 1" in printed
    assert "customer_tier premium 1" in " ".join(printed)
    assert any(line.startswith("finding: row 3 cannot enter") for line in printed)
    assert "Ann" not in done.out
    assert house.run("check", "api_customers_2.json").code == 2, "it is not there"


def test_findings_name_rows_and_lines_and_no_customer(house: House) -> None:
    (house.root / "odd.csv").write_text(ODD, encoding="utf-8")
    done = house.run("check", "odd.csv")
    printed = lines(done.out)
    assert done.code == 1
    assert "written as UTF-8, delimiter ;" in printed
    assert "not read 1 other columns" in printed
    assert "rows 2, rejects 1" in printed
    assert "email 1 1 0 1" in printed
    assert [line for line in printed if line.startswith("note")] == [
        "note: the service does not take a file of this name from the inbox; expected are CRM crm_customers.csv, "
        "ECOM ecommerce_customers.json, API api_customers.json",
        'note: no column "signup_date" for signup_date; its values are N/A; not read are "notes"',
        'note: no column "status" for status; its values are N/A; not read are "notes"',
        "note: 1 unknown columns are ignored",
    ]
    assert [line for line in printed if line.startswith("finding")] == [
        "finding: row 3 cannot enter (too_many_cells): line 6: 7 cells where the header has 5",
        "finding: 1 unusable values of email (invalid_email): row 2 (line 4)",
        "finding: 1 unusable values of phone (phone_too_short): row 2 (line 4)",
    ]
    assert not [value for value in ("Ann", "ann@", "5550101", "Bo", "bo@", "Cy") if value in done.out + done.err]


def test_of_many_problems_the_first_are_listed_and_all_are_counted(house: House) -> None:
    rows = [(str(number), f"Ann {'x' * number}", "bo@", None, None, None) for number in range(1, 9)]
    text = crm_text(rows, HEADER) + "9,a,b,c,d,e,f\n" * 12
    (house.root / "many.csv.gz").write_bytes(gzip.compress(text.encode()))
    printed = lines(house.run("check", "many.csv.gz").out)
    named = "1 (line 2), 2 (line 3), 3 (line 4), 4 (line 5), 5 (line 6)"
    assert f"finding: 8 unusable values of email (invalid_email): row {named} …" in printed
    assert len([line for line in printed if "cannot enter (too_many_cells)" in line]) == 10
    assert "finding: and 2 more rows cannot enter" in printed


def test_a_harmless_peculiarity_is_a_note(house: House) -> None:
    (house.root / CRM).write_bytes("customer_id;full_name;email\n1;Zoë Lée;z@lee.org\n".encode("cp1252"))
    done = house.run("check", CRM)
    assert done.code == 0
    assert "note: the file is not UTF-8; it is read as Windows-1252" in lines(done.out)


@pytest.mark.parametrize("content", [",".join(HEADER) + "\n", "[]"])
def test_an_export_without_rows_is_a_finding(house: House, content: str) -> None:
    (house.root / ("crm_customers.csv" if "," in content else "crm_customers.json")).write_text(content)
    done = house.run("check", *house.root.glob("crm*"))
    assert done.code == 1
    assert "finding: there are no rows: published, every customer of this source would be gone" in lines(done.out)


def test_a_field_without_values_is_a_finding_and_a_misspelt_member_a_note(house: House) -> None:
    (house.root / "service.toml").write_text(
        '[[sources]]\nname = "ECOM"\nfields = { full_name = "name.frist + name.last" }\n', encoding="utf-8"
    )
    (house.root / ECOM).write_text('[{"id": 1, "name": {"first": "Ann", "last": "Lee"}, "mail": "a@lee.org"}]')
    printed = lines(house.run("check", ECOM).out)
    assert "finding: email is empty in every row" in printed
    assert "note: full_name: none of the first customers has name.frist" in printed


def test_dates_that_contradict_each_other_are_a_finding(house: House) -> None:
    rows = [("1", "Ann Lee", None, None, "13/02/2024", None), ("2", "Bo Ek", None, None, "02/14/2024", None)]
    (house.root / CRM).write_text(crm_text(rows), encoding="utf-8")
    assert "finding: dates contradict each other about which part is the day" in lines(house.run("check", CRM).out)


@pytest.mark.parametrize(("case", "name"), [("truncated_json", ECOM), ("no_customer_id", CRM), ("empty_file", CRM)])
def test_a_file_that_a_batch_would_refuse_is_refused_with_the_same_message(house: House, case: str, name: str) -> None:
    done = house.run("check", CASES / case / name)
    expected = (CASES / case / "expected" / "error.txt").read_text(encoding="utf-8")
    assert done.code == 1
    assert f"finding: {expected.splitlines()[0]}" in lines(done.out)
    assert "batch" not in done.out


def test_a_missing_file_is_a_usage_error_of_check(house: House) -> None:
    done = house.run("check", Path("nowhere.csv"))
    assert (done.code, done.out) == (2, "")
    assert "File not found: nowhere.csv" in done.err
