"""Exports as real systems write them: nothing is lost in silence, and every hint leads to a right result."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import commands
from service.errors import ChangedIds, DuplicateColumn, InputError, LostColumn, MissingColumn, UnreadableFile
from service.pipeline.fields.source_id import id_key, norm_id
from tests.sizes import examples
from tests.small_batches import integrate_pair, published, rows_of, write_pair
from tests.worlds import Works


def tries(usual: int) -> settings:
    return settings(max_examples=examples(usual))


HEADER = ("customer_id", "full_name", "email", "phone", "signup_date", "status")
ROW = ("C1", "Ann Roe", "ann@roe.example", "2125550101", "2023-01-15", "active")
NO_CUSTOMERS = '{"customers": []}'
EMPTY_CRM = ",".join(HEADER) + "\n"
MASTER_FIELDS = {"full_name": "Ann Roe", "email": "ann@roe.example", "phone": "2125550101", "signup_date": "2023-01-15"}


def csv_of(*rows: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


class Export:
    """One export integrated beside an empty one of the other source."""

    def __init__(
        self, folder: Path, *, crm: str | bytes = EMPTY_CRM, ecom: str | bytes = NO_CUSTOMERS, **given_settings: Any
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        pair = write_pair(folder / "in", crm, ecom)
        integrate_pair(pair, folder / "out", **given_settings)
        self.set = published(folder / "out")
        self.rows = rows_of(self.set / "customer_master.csv")
        log = (self.set / "integration_log.txt").read_text(encoding="utf-8")
        self.warnings = [line.partition("WARNING - ")[2] for line in log.splitlines() if " - WARNING - " in line]


def shop(*customers: Any) -> str:
    return json.dumps({"customers": customers})


# ---------------------------------------------------------------------------------------- no field is lost in silence

NESTS = ("{}", "profile.{}", "attributes.contact.{}")
NAMES = {
    "email": ("email", "Email", "mail_address", "emailAddress", "e_mail"),
    "phone": ("phone", "Phone", "mobile", "phoneNumber", "tel"),
    "signup_date": ("registered", "created", "since", "signupDate"),
    "full_name": ("name", "full_name", "displayName", "fullName"),
}


def put(customer: dict[str, Any], path: str, value: str) -> None:
    *outer, last = path.split(".")
    for name in outer:
        customer = customer.setdefault(name, {})
    customer[last] = value


def spellings_of(name: str) -> tuple[str, ...]:
    return (name, name.title(), name.replace("_", " "), f"Customer {name}", "Xy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.mark.large
@given(
    nested=st.fixed_dictionaries(
        {name: st.tuples(st.sampled_from(NESTS), st.sampled_from(NAMES[name])) for name in NAMES}
    )
)
@tries(25)
def test_of_json_every_field_is_read_or_a_warning_names_it(folder: Path, nested: dict[str, tuple[str, str]]) -> None:
    customer: dict[str, Any] = {"id": 1}
    paths = {name: nest.format(last) for name, (nest, last) in nested.items()}
    for name, path in paths.items():
        put(customer, path, MASTER_FIELDS[name])
    try:
        export = Export(folder / "json", ecom=shop(customer))
    except UnreadableFile as refused:
        assert "none of its 1 rows has a name" in refused.message
        assert all(f'"{path}"' in refused.found for name, path in paths.items() if name != "signup_date")
        if "set " in refused.hint:
            followed = Export(folder / "json", ecom=shop(customer), sources=[table_of(refused.hint)])
            mapped = [it for it in MASTER_FIELDS if f"fields.{it} " in refused.hint]
            assert [followed.rows[0][it] for it in mapped] == [MASTER_FIELDS[it] for it in mapped]
        return
    (row,) = export.rows
    for name, path in paths.items():
        if row[name] != MASTER_FIELDS[name]:
            assert [it for it in export.warnings if f" for {name}" in it and f'"{path}"' in it], (name, export.warnings)


@pytest.mark.large
@given(
    names=st.fixed_dictionaries(
        {
            name: st.sampled_from((name, name.title(), name.replace("_", " "), f"Customer {name}", "Xy"))
            for name in MASTER_FIELDS
        }
    )
)
@tries(25)
def test_of_csv_every_field_is_read_or_a_warning_names_it(folder: Path, names: dict[str, str]) -> None:
    columns = (names[field] for field in MASTER_FIELDS)
    header = ["customer_id", *(f"{name}{'s' * index}" if name == "Xy" else name for index, name in enumerate(columns))]
    try:
        export = Export(folder / "csv", crm=csv_of(header, ["C1", *MASTER_FIELDS.values()]))
    except MissingColumn as refused:
        assert not {"full_name", "email", "phone"} & set(names.values())
        assert all(f"{name}" in refused.found for name in header)
        return
    (row,) = export.rows
    for name, column in zip(MASTER_FIELDS, header[1:], strict=True):
        if row[name] != MASTER_FIELDS[name]:
            assert [it for it in export.warnings if f" for {name}" in it and f'"{column}"' in it], export.warnings


@pytest.mark.large
def test_one_place_counts_for_the_whole_export_and_values_elsewhere_are_reported(tmp_path: Path) -> None:
    customers = [
        {"id": 1, "name": "A Roe", "contact": {"email": "a@x.org"}},
        {"id": 2, "name": "B Sale", "email": "b@x.org"},
    ]
    export = Export(tmp_path / "one", ecom=shop(*customers))
    assert [row["email"] for row in export.rows] == ["a@x.org", "N/A"]
    (warning,) = [it for it in export.warnings if "only, which is not read" in it]
    followed = Export(tmp_path / "two", ecom=shop(*customers), sources=[table_of(warning)])
    assert [row["email"] for row in followed.rows] == ["a@x.org", "b@x.org"]


def test_an_export_without_any_contact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="none of its 2 rows has a name"):
        Export(tmp_path, ecom=shop({"id": 1, "who": "Ann"}, {"id": 2, "who": "Bob"}))


# --------------------------------------------------------------------------------------------------- hints work


def table_of(text: str) -> dict[str, Any]:
    """The table [[sources]] that a hint describes."""
    name = re.search(r"\[\[sources\]\] of (\w+), set (.*)$", text.partition(", and drop it again")[0])
    assert name, text
    lines = name[2].replace(" and ", "\n")
    return {"name": name[1], **tomllib.loads(lines)}


@pytest.mark.large
@pytest.mark.parametrize("name", ["email", "phone", "signup_date", "full_name"])
@pytest.mark.parametrize("path", ["profile.{}_1st", "customer_{}", "x.y.{}"])
def test_a_hint_about_a_member_leads_to_its_value(tmp_path: Path, name: str, path: str) -> None:
    customer: dict[str, Any] = {"id": 1, "name": "Ann Roe", "email": "ann@roe.example", "phone": "2125550101"}
    customer |= {"registered": "2023-01-15", "created_at": "2023-01-15", "status": "lead"}
    for member in {"full_name": ("name",), "signup_date": ("registered", "created_at")}.get(name, (name,)):
        del customer[member]
    put(customer, path.format(name), MASTER_FIELDS[name])
    export = Export(tmp_path / "one", ecom=shop(customer))
    (hint,) = [it for it in export.warnings if f" for {name}" in it]
    assert "did you mean" in hint
    followed = Export(tmp_path / "two", ecom=shop(customer), sources=[table_of(hint)])
    (row,) = followed.rows
    assert {field: row[field] for field in MASTER_FIELDS} == MASTER_FIELDS
    assert row["status"] == export.rows[0]["status"]


@pytest.mark.parametrize("has_email", [False, True])
@pytest.mark.parametrize("first, last", [("firstName", "lastName"), ("person.first", "person.last")])
def test_a_hint_about_a_name_in_parts_leads_to_the_whole_name(
    tmp_path: Path, first: str, last: str, has_email: bool
) -> None:
    customer: dict[str, Any] = {"id": 1, "phoneNumber": "2125550101"}
    customer |= {"email" if has_email else "emailAddress": "ann@roe.example"}
    put(customer, first, "Ann")
    put(customer, last, "Roe")
    if has_email:
        hint = next(it for it in Export(tmp_path / "one", ecom=shop(customer)).warnings if " for full_name" in it)
    else:
        with pytest.raises(UnreadableFile) as refused:
            Export(tmp_path / "one", ecom=shop(customer))
        hint = refused.value.hint
    followed = Export(tmp_path / "two", ecom=shop(customer), sources=[table_of(hint)])
    assert [row["full_name"] for row in followed.rows] == ["Ann Roe"]


def test_no_hint_proposes_half_a_name(tmp_path: Path) -> None:
    export = Export(tmp_path, ecom=shop({"id": 1, "email": "ann@roe.example", "lastName": "Roe"}))
    (warning,) = [it for it in export.warnings if " for full_name" in it]
    assert '"lastName"' in warning
    assert "fields.full_name" not in warning


@pytest.mark.parametrize(
    "document",
    [
        {"data": "ROWS", "object": "list"},
        {"meta": {"page": 1}, "result": {"customers": {"list": "ROWS"}}},
        {"data": {"customers": {"edges": "NODES", "pageInfo": {}}}},
        {"pages": [{"customers": "ROWS"}]},
    ],
)
def test_a_hint_about_the_array_leads_to_all_customers(tmp_path: Path, document: dict[str, Any]) -> None:
    rows = [{"id": n, "name": f"Ann {n}", "email": f"a{n}@x.org", "phone": f"212555010{n}"} for n in (1, 2)]
    text = json.dumps(document).replace('"ROWS"', json.dumps(rows))
    text = text.replace('"NODES"', json.dumps([{"cursor": "x", "node": row} for row in rows]))
    with pytest.raises(UnreadableFile) as refused:
        Export(tmp_path / "one", ecom=text)
    followed = Export(tmp_path / "two", ecom=text, sources=[table_of(refused.value.hint)])
    assert [(row["full_name"], row["email"], row["phone"]) for row in followed.rows] == [
        ("Ann 1", "a1@x.org", "2125550101"),
        ("Ann 2", "a2@x.org", "2125550102"),
    ]


@pytest.mark.large
def test_a_hint_about_the_array_does_not_lose_ids_that_are_beside_the_other_members(tmp_path: Path) -> None:
    """As JSON:API writes customers: ``{"data": [{"id": "7", "attributes": {"name": …}}]}``."""
    text = json.dumps({"data": [{"type": "customer", "id": "7", "attributes": {"name": "Ann", "email": "a@x.org"}}]})
    with pytest.raises(UnreadableFile) as refused:
        Export(tmp_path / "one", ecom=text)
    assert (
        'set rows_at = "data" and map its members with fields (attributes.email, attributes.name, id, type)'
        in refused.value.hint
    )
    with pytest.raises(UnreadableFile) as refused:
        Export(tmp_path / "two", ecom=text, sources=[{"name": "ECOM", "rows_at": "data"}])
    table = table_of(refused.value.hint) | {"rows_at": "data"}
    followed = Export(tmp_path / "three", ecom=text, sources=[table])
    assert [(row["full_name"], row["email"]) for row in followed.rows] == [("Ann", "a@x.org")]
    assert [row["source_id"] for row in rows_of(followed.set / "crosswalk.csv")] == ["7"]


@pytest.mark.parametrize(
    "header", [("cust_id", "fullname_", "e_mailadress", "phone"), ("User ID", "nme", "emial", "phone")]
)
def test_a_hint_about_columns_names_all_of_them_and_leads_to_their_values(
    tmp_path: Path, header: Sequence[str]
) -> None:
    rows = (header, ROW[:4])
    with pytest.raises(MissingColumn) as refused:
        Export(tmp_path / "one", crm=csv_of(*rows))
    hint = refused.value.hint
    renamed = dict(
        re.findall(r'"([^"]+)" for "([^"]+)"', hint) or re.findall(r'"([^"]+)"\? Rename it to "([^"]+)"', hint)
    )
    followed = Export(tmp_path / "two", crm=csv_of([renamed.get(name, name) for name in header], ROW[:4]))
    (row,) = followed.rows
    assert (row["full_name"], row["phone"]) == ("Ann Roe", "2125550101")
    assert row["email"] == "ann@roe.example" or [it for it in followed.warnings if " for email" in it]


def test_hints_begin_with_the_command_of_this_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands.command("retry", "X") == "python -m service retry X"
    monkeypatch.setattr(commands, "_prefix", "docker compose run --rm customer-integration")
    assert commands.command("retry", "X") == "docker compose run --rm customer-integration retry X"
    commands.configure("elsewhere")
    commands.configure(None)
    assert commands.command("retry", "X") == "python -m service retry X"
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    assert "export SERVICE_COMMAND := $(PY) -m service" in makefile
    compose = (Path(__file__).parents[1] / "docker-compose.yml").read_text(encoding="utf-8")
    assert "SERVICE_COMMAND: ${SERVICE_COMMAND:-docker compose run --rm customer-integration}" in compose


# ------------------------------------------------------------------------------------------------------ headers


@pytest.mark.parametrize(
    "header",
    [
        ("Customer ID", "Full Name", "E-Mail", "Phone", "Sign-up Date", "STATUS"),
        ("\ufeffcustomer.id", "full-name", "EMAIL", "phone\u200b", "signup date", "Status"),
        ("CustomerId", "fullName", "E Mail", "PHONE", "SignupDate", "status"),
    ],
)
def test_separators_and_invisible_characters_do_not_distinguish_columns(tmp_path: Path, header: Sequence[str]) -> None:
    (row,) = Export(tmp_path, crm=csv_of(header, ROW)).rows
    assert list(row.values())[1:5] == list(ROW[1:5])


def test_an_exact_name_wins_and_two_equally_good_columns_fail(tmp_path: Path) -> None:
    head = [*HEADER, "E-Mail"]
    (row,) = Export(tmp_path / "one", crm=csv_of(head, [*ROW, "other@x.org"])).rows
    assert row["email"] == "ann@roe.example"
    head = ["customer_id", "full_name", "E-Mail", "e mail"]
    with pytest.raises(DuplicateColumn, match="e-mail"):
        Export(tmp_path / "two", crm=csv_of(head, ["C1", "Ann Roe", "a@x.org", "b@x.org"]))


@pytest.mark.parametrize("titles", [1, 4, 10, 11])
@pytest.mark.parametrize("quoted", [False, True])
def test_titles_above_the_header_are_left_out_up_to_ten(tmp_path: Path, titles: int, quoted: bool) -> None:
    line = '"Customers, as of today"\n' if quoted else "Customers; as of today\n"
    crm = line * titles + "\n" + csv_of(HEADER, ROW)
    if titles > 10:
        with pytest.raises(MissingColumn):
            Export(tmp_path, crm=crm)
        return
    export = Export(tmp_path, crm=crm)
    assert [row["full_name"] for row in export.rows] == ["Ann Roe"]
    assert f"CRM: the header is in line {titles + 2}; the lines above it are left out" in export.warnings


@pytest.mark.parametrize("again", [HEADER, [name.upper() for name in HEADER], [f"\ufeff{HEADER[0]}", *HEADER[1:]]])
def test_a_repeated_header_is_left_out_and_counted(tmp_path: Path, again: Sequence[str]) -> None:
    other = ("C2", "Bob Sale", "bob@sale.example", "2125550102", "2023-01-16", "active")
    export = Export(tmp_path, crm=csv_of(HEADER, ROW, again, other, again))
    assert [row["full_name"] for row in export.rows] == ["Ann Roe", "Bob Sale"]
    assert "CRM: rows that repeat the header are left out: 2" in export.warnings


@pytest.mark.large
@pytest.mark.parametrize("end", ["\x1a", "\x1a\r\n", "\n\x1a\x1a\x1a\n", "\r\n\x1a"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_ctrl_z_at_the_end_is_ignored(tmp_path: Path, end: str, encoding: str) -> None:
    text = csv_of(HEADER, ROW).rstrip("\n") + end
    export = Export(tmp_path, crm=text.encode(encoding), ecom=NO_CUSTOMERS + end)
    assert [row["status"] for row in export.rows] == ["active"]


def test_a_row_without_id_and_contact_is_a_reject(tmp_path: Path) -> None:
    export = Export(tmp_path, crm=csv_of(HEADER, ROW, ("", "", "", "", "2023-01-01", "Total")))
    assert len(export.rows) == 1
    assert [row["code"] for row in rows_of(export.set / "rejects.csv")] == ["no_identity"]


# ----------------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("index", ["head", "far"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_one_bad_byte_rejects_its_row_and_no_other(tmp_path: Path, index: str, bom: bytes) -> None:
    rows = [(f"C{n}", "José Mañas", f"a{n}@x.org", "", "", "x" * 200) for n in range(9_000)]
    text = bom + csv_of(HEADER, *rows).encode()
    at = 3 if index == "head" else 8_000
    text = text.replace(f"C{at},José".encode(), b"C%d,Jos\xc3" % at)
    export = Export(tmp_path, crm=text)
    assert {row["full_name"] for row in export.rows} == {"José Mañas"}
    assert [(row["code"], row["row_number"]) for row in rows_of(export.set / "rejects.csv")] == [
        ("undecodable", str(at + 1))
    ]


@pytest.mark.large
def test_a_file_of_another_encoding_is_read_as_windows_1252_or_as_the_source_says(tmp_path: Path) -> None:
    row = ("C1", "Łukasz Żak", "l@zak.example", "", "", "")
    export = Export(
        tmp_path / "one", crm=csv_of(HEADER, row).encode("cp1250"), sources=[{"name": "CRM", "encoding": "cp1250"}]
    )
    assert export.rows[0]["full_name"] == "Łukasz Żak"
    export = Export(tmp_path / "two", crm=csv_of(HEADER, ("C1", "Zoë Öst", "z@x.org", "", "", "")).encode("cp1252"))
    assert export.rows[0]["full_name"] == "Zoë Öst"
    assert "CRM: the file is not UTF-8; it is read as Windows-1252" in export.warnings


# ----------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("written", "read"),
    [("1001.0", "1001"), ("1001.00", "1001"), ("1001.", "1001"), ("1001.5", "1001.5"), ("0.0", None), ("v1.0", "v1.0")],
)
def test_a_float_is_the_id_without_its_fraction(written: str, read: str | None) -> None:
    assert norm_id(written) == read


@pytest.mark.parametrize(
    ("ids", "shown"),
    [
        (("1,001", "12,002", "7"), ("1001", "12002", "7")),
        (("1,001", "1001", "7"), ("1,001", "1001", "7")),  # the comma distinguishes two customers
        (("1,001", "10,02", "7"), ("1,001", "10,02", "7")),  # no groups of three
        (("1,001.0", "A-7", "7.0"), ("1001", "A-7", "7")),
    ],
)
def test_thousands_commas_are_removed_where_they_mean_nothing(
    tmp_path: Path, ids: Sequence[str], shown: Sequence[str]
) -> None:
    rows = [(id_, f"Name {index}", f"a{index}@x.org", "", "", "") for index, id_ in enumerate(ids)]
    export = Export(tmp_path, crm=csv_of(HEADER, *rows))
    assert [row["source_id"] for row in rows_of(export.set / "crosswalk.csv")] == list(shown)


def test_both_lengths_of_a_salesforce_id_are_one_customer(tmp_path: Path) -> None:
    assert id_key("0035g00000aBcDeAAK") == "0035g00000aBcDe" != id_key("0035g00000aBcDeAAA")
    rows = [
        (id_, "", f"{index}@x.org", "", "", "") for index, id_ in enumerate(("0035g00000aBcDe", "0035g00000aBcDeAAK"))
    ]
    export = Export(tmp_path, crm=csv_of(HEADER, *rows))
    assert len(export.rows) == 1
    assert [row["source_id"] for row in rows_of(export.set / "crosswalk.csv")] == [id_ for id_, *_ in rows]


@pytest.mark.parametrize("written", ["d1c35be", "d1c35be_other_places"])
def test_customers_keep_their_ids_when_the_rules_for_keys_change(tmp_path: Path, written: str) -> None:
    former = Path(__file__).with_name("former") / written
    works = Works(tmp_path)
    for name in ("outbox", "state"):
        shutil.copytree(former / name, tmp_path / name)
    shutil.copytree(former / "archive", works.inbox / "archive")
    (archived,) = (former / "archive").iterdir()
    before = (former / "outbox" / "batches" / archived.name / "crosswalk.csv").read_text(encoding="utf-8").splitlines()
    for path in archived.iterdir():
        shutil.copyfile(path, works.inbox / path.name)
    assert works.once().published == 1
    batch = works.manifest()["batch_id"]
    assert works.rows("id_changes.csv", batch) == []
    after = works.rows("crosswalk.csv", batch)
    assert [row["unified_id"] for row in after] == [line.split(",")[0] for line in before[1:]]
    assert works.verified().findings == [], "the former set has fewer files"


# ------------------------------------------------------------------------------------------------- drift guards


def customers(number: int, ids: str = "C{}") -> list[tuple[str, ...]]:
    return [
        (ids.format(n), f"Name {n}", f"a{n}@x.org", f"212555{n:04}", "2023-01-15", "active")
        for n in range(100, 100 + number)
    ]


def second(folder: Path, crm: str) -> None:
    if not (folder / "out").exists():
        integrate_pair(write_pair(folder / "one", csv_of(HEADER, *customers(120)), NO_CUSTOMERS), folder / "out")
    pair = write_pair(folder / "two", crm, NO_CUSTOMERS)
    integrate_pair(pair, folder / "out")


@pytest.mark.large
@pytest.mark.parametrize("field", ["full_name", "email", "phone", "signup_date", "status", "customer_id"])
def test_a_field_that_no_row_has_any_more_holds_the_batch(tmp_path: Path, field: str) -> None:
    at = HEADER.index(field)
    rows = [tuple("" if index == at else cell for index, cell in enumerate(row)) for row in customers(120)]
    with pytest.raises(LostColumn, match=f"no usable {field.replace('customer_id', 'source_id')}"):
        second(tmp_path, csv_of(HEADER, *rows))


@pytest.mark.large
def test_other_ids_of_the_same_customers_hold_the_batch(tmp_path: Path) -> None:
    with pytest.raises(ChangedIds, match="0 of the 120 ids"):
        second(tmp_path, csv_of(HEADER, *customers(120, "CRM-{}")))
    second(tmp_path, csv_of(HEADER, *customers(61)))  # fewer rows are no other ids


@pytest.mark.large
def test_all_guards_are_named_at_once(tmp_path: Path) -> None:
    rows = [(*row[:2], "", *row[3:]) for row in customers(120, "X{}")]
    with pytest.raises(LostColumn) as held:
        second(tmp_path, csv_of(HEADER, *rows))
    guards, columns = held.value.found.split("; ")
    assert guards == "guards that hold it back: LostColumn, ChangedIds"
    assert columns.startswith("columns that are there: ")
    assert all(f'"{name}"' in columns for name in HEADER)
    assert "--accept" in held.value.hint


@pytest.mark.large
def test_a_list_without_ids_is_refused_after_one_with_ids(tmp_path: Path) -> None:
    bare = csv_of(("Name", "Email", "Phone"), *[row[1:4] for row in customers(5)])
    with pytest.raises(InputError, match="has no column for ids") as held:
        second(tmp_path, bare)
    assert held.value.where.endswith(", crm_customers.csv")
    assert held.value.found.endswith('; columns that are there: "name", "email", "phone"')
    mend, *_, accept = held.value.hint.split("; ")
    assert mend.startswith("add the column again, or map it in service.toml (docs/sources.md), then: ")
    assert "--accept" not in mend
    assert accept.startswith("if the exports are right and complete: ")
    assert len(Export(tmp_path / "first", crm=bare).rows) == 5


# ----------------------------------------------------------------------------------------------- first usable value


def test_of_several_columns_the_first_usable_value_of_a_row_counts(tmp_path: Path) -> None:
    table = {
        "name": "CRM",
        "fields": {"email": ["work", "home"], "phone": ["mobile", "phone"], "signup_date": ["a", "b"]},
    }
    crm = csv_of(
        ("customer_id", "full_name", "work", "home", "mobile", "phone", "a", "b"),
        ("C1", "Ann Roe", "ann@", "ann@roe.example", "n/a", "2125550101", "2023-02-30", "2023-01-15"),
        ("C2", "Bob Sale", "bob@sale.example", "other@x.org", "+1", "see notes", "2023-01-16", ""),
    )
    ann, bob = Export(tmp_path, crm=crm, sources=[table]).rows
    assert (ann["email"], ann["phone"], ann["signup_date"]) == ("ann@roe.example", "2125550101", "2023-01-15")
    assert (bob["email"], bob["phone"], bob["signup_date"]) == ("bob@sale.example", "N/A", "2023-01-16")


def test_a_value_under_a_later_path_alone_is_a_value_of_the_row_and_of_the_export(tmp_path: Path) -> None:
    fields = {"source_id": "customer_id", "full_name": ["nick", "full"], "email": ["work", "home"]}
    crm = csv_of(
        ("customer_id", "nick", "full", "work", "home"),
        ("", "n/a", "", "unknown", "ann@roe.example"),
        ("C2", "-", "Bob Sale", "none", ""),
        ("", "n/a", "", "", "null"),
    )
    export = Export(tmp_path, crm=crm, sources=[{"name": "CRM", "fields": fields}])
    assert [(row["full_name"], row["email"]) for row in export.rows] == [
        ("N/A", "ann@roe.example"),
        ("Bob Sale", "N/A"),
    ]
    assert [row["code"] for row in rows_of(export.set / "rejects.csv")] == ["no_identity"]
    assert not [it for it in export.warnings if "for full_name" in it or "for email" in it or "hold no name" in it]


# ------------------------------------------------------------------------------------------ cost of the literal rule


def test_the_cost_of_the_literal_rule_names_values_and_groups(tmp_path: Path) -> None:
    shared = [(f"C{n}", f"Name {n}", "office@x.org", "", "", "") for n in range(12)]
    alone = [("D1", "Kim Lee", "k@x.org", "", "", ""), ("D2", "Kim Lee", "l@x.org", "", "", "")]
    same_id = [("E1", "Eve Vine", "", "", "", ""), ("E1", "Ada Vine", "", "", "", "")]
    export = Export(tmp_path, crm=csv_of(HEADER, *shared, *alone, *same_id))
    cost = rows_of(export.set / "literal_cost.csv")
    assert [tuple(row.values()) for row in cost] == [
        ("email", "office@x.org", "12", "12", "CUST001"),
        ("id_alone", "E1", "2", "2", "CUST003"),
        ("large_group", "Name 0", "12", "12", "CUST001"),
        ("name_alone", "Kim Lee", "2", "1", "CUST002"),
    ]


def test_the_cost_of_the_literal_rule_names_values_as_they_are_compared(tmp_path: Path) -> None:
    domains = ("b\u00fccher.example", "xn--bcher-kva.example")
    readers = [(f"A{n}", f"Reader {n}", f"all@{domains[n % 2]}", "", "", "") for n in range(4)]
    raw = [(f"B{n}", f"Caller {n}", "", "212-55501-0112", "", "") for n in range(4)]
    pair = [(f"C{n}", f"Sender {n}", "", "999 55501-0112", "", "") for n in range(2)]
    export = Export(tmp_path, crm=csv_of(HEADER, *readers, *raw, *pair))
    assert [tuple(row.values()) for row in rows_of(export.set / "literal_cost.csv")] == [
        ("email", f"all@{domains[0]}", "4", "4", "CUST001"),
        ("unreadable_phone", "212555010112", "4", "4", "CUST002"),
        ("unreadable_phone", "999555010112", "2", "2", "CUST003"),
    ]
    quality = json.loads((export.set / "quality_report.json").read_text(encoding="utf-8"))
    assert quality["literal_matching"]["values_shared_by_many_names"] == 2, "an address and unreadable digits"


# -------------------------------------------------------------------------------------------------------- presets


@pytest.mark.parametrize("id_name", ["Customer ID", "ID", "customer_id"])
def test_a_contact_list_is_no_export_of_a_known_system(tmp_path: Path, id_name: str) -> None:
    crm = csv_of(
        (id_name, "First Name", "Last Name", "Email", "Phone"), ("1", "Ann", "Roe", "ann@roe.example", "2125550101")
    )
    export = Export(tmp_path, crm=crm)
    log = (export.set / "integration_log.jsonl").read_text(encoding="utf-8")
    assert '"layout": "plain"' in log or '"layout": "crm"' in log
    assert (export.rows[0]["full_name"], export.rows[0]["phone"]) == ("Ann Roe", "2125550101")


@pytest.mark.parametrize("name", ["email", "phone"])
def test_a_contact_list_without_names_is_read(tmp_path: Path, name: str) -> None:
    export = Export(tmp_path, crm=csv_of(("ID", name.title()), ("7", MASTER_FIELDS[name])))
    assert [row[name] for row in export.rows] == [MASTER_FIELDS[name]]
    assert any(warning.startswith('CRM: no column "name"') for warning in export.warnings)


def test_a_list_of_names_alone_is_no_contact_list(tmp_path: Path) -> None:
    with pytest.raises(MissingColumn):
        Export(tmp_path, crm=csv_of(("ID", "Name", "Price"), ("7", "Red chair", "20.00")))
