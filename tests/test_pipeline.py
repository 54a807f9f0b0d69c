"""The stages: worst cases are linear, guards refuse batches, published files are safe to open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from service.engine.contract import Table
from service.engine.embedded import EmbeddedEngine
from service.errors import InputError, SuspiciousVolume, TooManyRejects, TransientError, UnreadableFile
from service.model import CRM, ECOM, Batch, Guards, Matching, Rules
from service.pipeline import survivorship
from service.pipeline.evidence import explain
from service.pipeline.extract import extract
from service.pipeline.fields.cell import value_of_cell
from service.pipeline.matching import MATCHERS
from service.pipeline.matching.cluster import cluster
from service.pipeline.matching.literal import LiteralMatcher
from service.pipeline.survivorship import survive
from tests.sizes import GROUPED_RECORDS as MANY
from tests.small_batches import (
    NOON,
    crm_text,
    delivered_file,
    ecom_text,
    integrate_pair,
    published,
    rows_of,
    shared_engine,
    write_pair,
)
from tests.worlds import CASES

SAMPLE = CASES / "the_sample"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    with shared_engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


# ------------------------------------------------------------------------------------------------ worst cases

SHAPES = {
    # Each record shares its e-mail with the one before and its phone with the one after.
    "a chain": ("'e' || (n // 2)", "'p' || ((n + 1) // 2)"),
    # The same, its links in no order: 7919 is prime to the sizes used.
    "a shuffled chain": ("'e' || ((n * 7919 % {size}) // 2)", "'p' || ((n * 7919 % {size} + 1) // 2)"),
    "one value shared by all": ("'e'", "'p' || n"),
    "one value shared by half, the rest in pairs": ("case when n % 2 = 0 then 'e' end", "'p' || (n // 2)"),
}


def records_of_shape(engine: EmbeddedEngine, shape: str, size: int) -> Table:
    email, phone = (column.format(size=size) for column in SHAPES[shape])
    return engine.materialise(
        f"""
        select n as ordinal, 'CRM' as source, 'C' || n as source_id, true as has_id,
            'CRM id:C' || n as record_key, 'name ' || n as full_name,
            {email} as email, {phone} as phone, null::varchar as signup_date, 'active' as status,
            true as status_stated, 'name ' || n as name_key, {phone} as phone_key, email as email_key
        from range({size}) as numbers(n)
        """
    )


def seconds_to_group(engine: EmbeddedEngine, shape: str, size: int) -> float:
    """Group and explain records that are all one customer; each removed record gets its reason."""
    records = records_of_shape(engine, shape, size)
    started = time.monotonic()
    matcher = LiteralMatcher()
    keys = matcher.compare(records, engine).keys
    groups = cluster(matcher.links(keys, engine), records.count(), engine)
    survivors = survive(records, groups, Rules())
    evidence = explain(keys, groups, survivors, matcher, engine)
    seconds = time.monotonic() - started
    assert survivors.count() == 1
    assert evidence.derive("select distinct ordinal from this").count() == size - 1
    return seconds


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_grouping_is_linear_in_the_worst_case(
    shape: str, engine: EmbeddedEngine, record_testsuite_property: Callable[[str, object], None]
) -> None:
    seconds_to_group(engine, shape, 1000)
    once, twice = seconds_to_group(engine, shape, MANY), seconds_to_group(engine, shape, 2 * MANY)
    record_testsuite_property(
        f"{shape}: seconds at {MANY} and {2 * MANY}", f"{once:.2f} {twice:.2f}, ratio {twice / once:.1f}"
    )
    # Quadratic work would take hours; the limit is loose because machines are busy.
    assert twice < 120


def test_every_matcher_that_the_settings_accept_exists() -> None:
    assert set(MATCHERS) == set(get_args(Matching))


def test_the_links_of_a_shared_value_all_lead_to_its_first_record(engine: EmbeddedEngine) -> None:
    records = engine.materialise(
        """
        select n as ordinal, 'CRM' as source, 'C' || n as source_id, true as has_id,
            'CRM id:C' || n as record_key, null::varchar as full_name,
            'same@x.org' as email, 'same@x.org' as email_key, null::varchar as phone_key,
            case when n > 1 then 'ann' end as name_key
        from range(4) as numbers(n)
        """
    )
    matcher = LiteralMatcher()
    links = matcher.links(matcher.compare(records, engine).keys, engine).derive(
        "select one, other, rule, weight from this order by all"
    )
    assert links.rows() == [(0, 1, "email", 1.0), (0, 2, "email", 1.0), (0, 3, "email", 1.0), (2, 3, "name", 1.0)]
    groups = cluster(links, 5, engine).rows("select group_id from this order by ordinal")
    assert [group for (group,) in groups] == [0, 0, 0, 0, 4]


# ----------------------------------------------------------------------------------------------------- guards


def extracted(engine: EmbeddedEngine, tmp_path: Path, crm: str, guards: Guards) -> Any:
    crm_file = delivered_file(CRM, tmp_path / CRM.file_name, crm)
    ecom_file = delivered_file(ECOM, tmp_path / ECOM.file_name, '{"customers": []}')
    return extract(Batch("batch", NOON, (crm_file, ecom_file)), guards, engine)


def crm_with_rejects(good: int, bad: int) -> str:
    rows = [f"C{i},Ann,a{i}@x.org\n" for i in range(good)] + [f"D{i},Bob,b@x.org,and,more\n" for i in range(bad)]
    return "customer_id,full_name,email\n" + "".join(rows)


@pytest.mark.parametrize(("good", "bad"), [(900, 100), (1, 99), (10_000, 1000), (0, 0)])
def test_rejects_within_the_limit_do_not_stop_the_batch(
    good: int, bad: int, engine: EmbeddedEngine, tmp_path: Path
) -> None:
    found = extracted(engine, tmp_path, crm_with_rejects(good, bad), Guards())
    assert (found.source_rows, found.source_rejects) == ({"CRM": good, "ECOM": 0}, {"CRM": bad, "ECOM": 0})


@pytest.mark.parametrize(
    ("good", "bad", "percent", "error"),
    [(899, 100, 10.0, TooManyRejects), (0, 1, 10.0, UnreadableFile), (899, 100, 5.5, TooManyRejects)],
)
def test_too_many_rejects_stop_the_batch(
    good: int, bad: int, percent: float, error: type[InputError], engine: EmbeddedEngine, tmp_path: Path
) -> None:
    with pytest.raises(error) as raised:
        extracted(engine, tmp_path, crm_with_rejects(good, bad), Guards(max_reject_percent=percent))
    assert raised.value.message.startswith("crm_customers.csv: ")
    assert raised.value.where.startswith("batch batch, crm_customers.csv")


def many_customers(count: int) -> str:
    return crm_text([(f"C{i}", None, f"c{i}@x.org", None, None, None) for i in range(count)])


@pytest.mark.parametrize(("former", "now"), [(1000, 500), (999, 1), (1000, 2000)])
def test_a_volume_that_is_plausible_is_published(former: int, now: int, tmp_path: Path) -> None:
    for count in (former, now):
        integrate_pair(write_pair(tmp_path / "in", many_customers(count), "[]"), tmp_path / "out")
    assert len(rows_of(tmp_path / "out" / "customer_master.csv")) == now


@pytest.mark.parametrize(("former", "now"), [(1000, 499), (1000, 0)])
def test_a_volume_that_fell_too_far_is_refused_and_nothing_changes(former: int, now: int, tmp_path: Path) -> None:
    integrate_pair(write_pair(tmp_path / "in", many_customers(former), "[]"), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    with pytest.raises(SuspiciousVolume) as raised:
        integrate_pair(write_pair(tmp_path / "in", many_customers(now), "[]"), tmp_path / "out")
    assert raised.value.message == f"CRM has {now} rows, the published set had {former}"
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()} == before
    [log] = (tmp_path / "out" / "failed").glob("*/integration_log.txt")
    assert log.read_text(encoding="utf-8").endswith(" - ERROR - Pipeline failed\n")


@pytest.mark.large
def test_the_volume_guard_can_be_set(tmp_path: Path) -> None:
    out = tmp_path / "out"
    integrate_pair(write_pair(tmp_path / "in", many_customers(10), "[]"), out)
    pair = write_pair(tmp_path / "in", many_customers(8), "[]")
    with pytest.raises(SuspiciousVolume):
        integrate_pair(pair, out, volume_guard_rows=10, min_volume_percent=90)
    integrate_pair(pair, out, volume_guard_rows=11, min_volume_percent=90)


# -------------------------------------------------------------------------------------------------- published


# A status, and how the master shows it. Quotes before a formula are a spreadsheet's or ours: they are removed when the
# cell is read, and one is added when it is written. A formula that ends in a quote gets a pair, because with one before
# it only, it would be a cell in quotes.
FORMULAS = {
    "=1+1": "'=1+1",
    "+x": "'+x",
    "-x": "'-x",
    "@x": "'@x",
    "\uff1dx": "'\uff1dx",
    "\uff0bx": "'\uff0bx",
    "\uff0dx": "'\uff0dx",
    "\uff20x": "'\uff20x",
    '=a,"b"': '\'=a,"b"',
    "'=x": "'=x",
    "''=x": "'=x",
    " '=x": "'=x",
    "'=x'": "'=x",
    '"\'=x"': "'=x",
    "'\u2018=x\u2019'": "'=x",
    "=x'": "'=x'''",
    "+'": "'+'''",
    "'=x'''": "'=x'''",
    "=x'y'": "'=x''y'''",
    "='\u2019": "'='\u2019",
    "'=\n1": "'=\n1",
    "a=b": "a=b",
    "'quoted": "'quoted",
    "#hash": "#hash",
}


# A missing value behind the quote of a spreadsheet (or ours) is missing. A quote before a word is just a quote.
MISSING_BEHIND_A_QUOTE = {
    "'-": "N/A",
    "'--": "N/A",
    "'\t": "N/A",
    "' \tN/A": "N/A",
    "'\t Unknown": "N/A",
    "''-": "N/A",
    "'-'": "N/A",
    "'\u201cnull\u201d'": "N/A",
    "'n/a": "'n/a",
    "'": "'",
}


def statuses(tmp_path: Path, given: Iterable[str], **settings: Any) -> list[str]:
    """The statuses that the master shows for customers with these statuses."""
    rows = [(f"C{i}", None, f"c{i}@x.org", None, None, status) for i, status in enumerate(given)]
    integrate_pair(write_pair(tmp_path / "in", crm_text(rows), "[]"), tmp_path / "out", **settings)
    return [row["status"] for row in rows_of(tmp_path / "out" / "customer_master.csv")]


def test_a_cell_that_a_spreadsheet_would_run_is_escaped_and_read_back(tmp_path: Path) -> None:
    shown = list(FORMULAS.values())
    assert statuses(tmp_path, FORMULAS) == shown
    assert statuses(tmp_path, shown) == shown, "a published master can be an input, and its values do not change"
    bare = [value_of_cell(cell) for cell in shown]
    assert statuses(tmp_path, FORMULAS, csv_formula_escape=False) == bare
    assert statuses(tmp_path, list(filter(None, bare)), csv_formula_escape=False) == bare, "so can one without quotes"


def test_a_quote_before_a_missing_value_is_missing(tmp_path: Path) -> None:
    assert statuses(tmp_path, MISSING_BEHIND_A_QUOTE) == list(MISSING_BEHIND_A_QUOTE.values())


def test_files_for_programs_are_not_escaped(tmp_path: Path) -> None:
    crm = crm_text([("=C1", "Ann", "a@x.org", None, None, None), ("@C2", "Ann", None, None, None, None)])
    integrate_pair(write_pair(tmp_path / "in", crm, "[]"), tmp_path / "out")
    folder = published(tmp_path / "out")
    assert [row["source_id"] for row in rows_of(folder / "crosswalk.csv")] == ["=C1", "@C2"]
    assert [row["removed_id"] for row in rows_of(folder / "match_evidence.csv")] == ["@C2"]
    assert [row["removed_ids"] for row in rows_of(folder / "duplicate_report.csv")] == ["'@C2"]


def test_only_files_for_people_have_a_byte_order_mark(tmp_path: Path) -> None:
    integrate_pair(SAMPLE, tmp_path / "out", csv_bom=True)
    folder = published(tmp_path / "out")
    marked = [path.name for path in sorted(folder.iterdir()) if path.read_bytes().startswith(b"\xef\xbb\xbf")]
    assert marked == ["customer_master.csv", "duplicate_report.csv"]
    plain = (SAMPLE / "expected" / "customer_master.csv").read_bytes()
    assert (folder / "customer_master.csv").read_bytes() == b"\xef\xbb\xbf" + plain


def test_a_reject_names_its_row_code_and_position(tmp_path: Path) -> None:
    crm = 'customer_id,full_name,email\n1,Ann,a@x.org,more\n\n2,Bob,b@x.org\n3,"C"c,c@x.org\n'
    ecom = '{"customers": [{"id": "E1", "name": "Eve"}, null, {"id": "\\ud800"}, 7]}'
    integrate_pair(write_pair(tmp_path / "in", crm, ecom), tmp_path / "out")
    assert (published(tmp_path / "out") / "rejects.csv").read_text(encoding="utf-8") == (
        "source_system,row_number,code,column,explanation\n"
        "CRM,1,too_many_cells,,line 2: 4 cells where the header has 3\n"
        "CRM,3,stray_quote,,line 5: a quote inside a cell is not doubled\n"
        "ECOM,2,not_an_object,,element 2 is not a JSON object\n"
        "ECOM,3,undecodable,id,element 3 holds half of a surrogate pair\n"
        "ECOM,4,not_an_object,,element 4 is not a JSON object\n"
    )


def test_a_reject_names_its_column_as_the_file_does(tmp_path: Path) -> None:
    header = b'customer_id, E-Mail ,Full_Name,"Old,\rnotes",email\n'
    rows = [b"1,,Ann\x81,,a@x.org\n", b"2,,Bob,\x81,b\x81@x.org\n", b"3,,\xe9,,c@x.org\n", b"4,,,,d@x.org,\x81\n"]
    ecom = '[{"id": 1, "name": {"last": "\\udc00"}},'
    ecom += ' {"contact": {"phone": "\\udc00", "fax": "\\udc00"}}, {"id": "3", "name": "Eve"}]'
    integrate_pair(write_pair(tmp_path / "in", header + b"".join(rows), ecom), tmp_path / "out")
    rejects = rows_of(published(tmp_path / "out") / "rejects.csv")
    assert [(row["source_system"], row["row_number"], row["code"], row["column"]) for row in rejects] == [
        ("CRM", "1", "undecodable", "Full_Name"),
        ("CRM", "2", "undecodable", "Old, notes"),
        ("CRM", "4", "too_many_cells", ""),
        ("ECOM", "1", "undecodable", "name.last"),
        ("ECOM", "2", "undecodable", "contact.phone"),
    ]


def quality_report(outbox: Path) -> Any:
    return json.loads((published(outbox) / "quality_report.json").read_text(encoding="utf-8"))


def field(filled: int, missing: int, changed: int, distinct: int, **made_missing: int) -> dict[str, Any]:
    """The counts of one field in the quality report."""
    return {
        "filled": filled,
        "missing": missing,
        "made_missing": made_missing,
        "changed": changed,
        "distinct": distinct,
    }


def test_the_quality_report_counts_filled_and_missing_values(tmp_path: Path) -> None:
    crm = crm_text(
        [("C1", "Ann", "a@x", "911", "soon", "x"), ("C2", None, "b@x.org", "call me", "2023-02-30", None)],
    )
    integrate_pair(
        write_pair(tmp_path / "in", crm, ecom_text([("E1", "Ann", None, None, "5550101", None)])), tmp_path / "out"
    )
    report = quality_report(tmp_path / "out")
    assert report["sources"]["CRM"]["fields"] == {
        "source_id": {"filled": 2, "missing": 0, "distinct": 2},
        "full_name": field(1, 1, 0, 1),
        "email": field(1, 1, 0, 1, invalid_email=1),
        "phone": field(0, 2, 0, 0, phone_no_digits=1, phone_too_short=1),
        "signup_date": field(0, 2, 0, 0, invalid_date=2) | {"doubtful": {}},
        "status": field(1, 1, 0, 1),
    }
    assert report["literal_matching"] == {
        "groups_on_a_name_alone": 1,
        "groups_on_an_id_alone": 0,
        "values_shared_by_many_names": 0,
        "large_groups": 0,
    }


def test_the_quality_report_counts_changed_and_distinct_values(tmp_path: Path) -> None:
    crm = crm_text(
        [
            ("C1", "Ann Lee", "a@x.org", "5550101", "2023-01-15", "active"),
            ("C1", "ANN LEE", " A@x.org", "555-0101", "2023-01-15T10:30:00Z", "Active"),
            ("0", "ann lee", "'=a@x.org", "15550101", "20230115", " active "),
            (None, "N/A", "n/a", "442079460958", "-", "'=x"),
            ("'C2", "Bob Poe", "b@x.org", "+44 20 7946 0958", "2023-01-16", "=x"),
        ]
    )
    shop = ecom_text([("E1", "ann", None, None, "555.0101", None), ("E2", "Ann", "Lee", None, None, None)])
    integrate_pair(write_pair(tmp_path / "in", crm, shop), tmp_path / "out")
    sources = quality_report(tmp_path / "out")["sources"]
    assert sources["CRM"]["fields"] == {
        "source_id": {"filled": 3, "missing": 2, "distinct": 2},
        "full_name": field(4, 1, changed=2, distinct=2),
        "email": field(4, 1, changed=1, distinct=3),
        "phone": field(5, 0, changed=3, distinct=2),
        "signup_date": field(4, 1, changed=2, distinct=2) | {"doubtful": {}},
        "status": field(5, 0, changed=2, distinct=2),
    }
    # A default was not written by the source.
    assert sources["ECOM"]["fields"]["status"] == field(2, 0, changed=0, distinct=1)
    assert sources["ECOM"]["fields"]["full_name"] == field(2, 0, changed=1, distinct=2)
    assert sources["ECOM"]["fields"]["phone"] == field(1, 1, changed=1, distinct=1)


def test_a_phone_that_is_printed_without_its_calling_code_counts_as_unchanged(tmp_path: Path) -> None:
    crm = crm_text([("C1", None, None, "30 1234567", None, None), ("C2", None, None, "12125550101", None, None)])
    integrate_pair(write_pair(tmp_path / "in", crm, "[]"), tmp_path / "out", default_region="DE")
    assert [row["phone"] for row in rows_of(tmp_path / "out" / "customer_master.csv")] == ["301234567", "12125550101"]
    assert quality_report(tmp_path / "out")["sources"]["CRM"]["fields"]["phone"] == field(2, 0, changed=1, distinct=2)


def test_the_quality_report_has_the_same_keys_in_the_same_order_for_every_batch(tmp_path: Path) -> None:
    def keys(value: Any) -> Any:
        return [(key, keys(inner)) for key, inner in value.items()] if isinstance(value, dict) else None

    found = []
    for name, pair in {
        "sample": SAMPLE,
        "empty": write_pair(tmp_path / "in", many_customers(0), "[]"),
    }.items():
        integrate_pair(pair, tmp_path / name)
        found.append(keys(quality_report(tmp_path / name)))
    assert found[0] == found[1]


@pytest.mark.large
def test_the_quality_report_compares_the_volume_with_the_published_set(tmp_path: Path) -> None:
    found = []
    for count in (8, 6, 0, 5):
        integrate_pair(write_pair(tmp_path / "in", many_customers(count), "[]"), tmp_path / "out")
        found.append([source["volume"] for source in quality_report(tmp_path / "out")["sources"].values()])
    assert [list(crm.values()) for crm, _ in found] == [
        [8, None, None, None],
        [6, 8, -2, 75.0],
        [0, 6, -6, 0.0],
        [5, 0, 5, None],
    ]
    assert list(found[0][0]) == ["rows_now", "rows_published", "difference", "percent"]
    assert [list(ecom.values()) for _, ecom in found] == [[0, None, None, None], *[[0, 0, 0, None]] * 3]


@pytest.mark.large
@pytest.mark.parametrize(
    ("former", "now", "is_logged"),
    [(1000, 899, True), (1000, 900, False), (110, 10, True), (109, 10, False), (200, 100, True), (10, 200, False)],
)
def test_the_log_warns_of_a_source_that_shrank_noticeably(
    former: int, now: int, is_logged: bool, tmp_path: Path
) -> None:
    for count in (former, now):
        integrate_pair(write_pair(tmp_path / "in", many_customers(count), "[]"), tmp_path / "out")
    log = (tmp_path / "out" / "integration_log.txt").read_text(encoding="utf-8")
    line = f" - WARNING - CRM: fewer rows than the {former} of the published set: {now}\n"
    assert (line in log) == is_logged
    assert log.count("published set") == is_logged
    assert (tmp_path / "out" / "integration_log.jsonl").read_text(encoding="utf-8").count("fewer rows") == is_logged


def test_an_export_that_changes_while_it_is_read_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = write_pair(tmp_path / "in", many_customers(3), "[]")
    survive_unchanged = survivorship.survive

    def written_meanwhile(*arguments: Any) -> Any:
        with open(pair / CRM.file_name, "a", encoding="utf-8") as file:
            file.write("C9,,late@x.org,,,\n")
        return survive_unchanged(*arguments)

    monkeypatch.setattr("service.jobs.integration.survive", written_meanwhile)
    with pytest.raises(TransientError):
        integrate_pair(pair, tmp_path / "out")
    assert list((tmp_path / "out" / "batches").iterdir()) == []
    log = (tmp_path / "out" / "integration_log.txt").read_text(encoding="utf-8")
    assert log.endswith(" - ERROR - Pipeline failed\n")


# ------------------------------------------------------------------------------------- mistakes that must not pass


@pytest.mark.parametrize("above", ["sep=;\n", "\n", "\r\n"], ids=["sep line", "blank line", "blank line, CRLF"])
def test_a_line_above_the_header_with_another_ending_loses_no_row(tmp_path: Path, above: str) -> None:
    crm = above + "customer_id;full_name;email\r\nC1;A One;a@b.c\r\nC2;B Two;b@b.c\r\n"
    summary = integrate_pair(write_pair(tmp_path / "in", crm, "[]"), tmp_path / "out")
    assert summary.records == 2


@pytest.mark.parametrize(
    "ecom",
    [
        '[{"sku": 1}, {"sku": 2}]',
        '{"customers": [{"customer_id": "7", "mail": "z@z.z"}]}',
        '{"error": "x"}\n{"error": "y"}\n',
    ],
    ids=["products", "other names", "error lines"],
)
def test_rows_without_any_identity_do_not_replace_customers(tmp_path: Path, ecom: str) -> None:
    pair = write_pair(tmp_path / "in", many_customers(3), ecom)
    with pytest.raises(UnreadableFile, match="rows has a name"):
        integrate_pair(pair, tmp_path / "out")


def test_missing_words_as_names_do_not_link_records(tmp_path: Path) -> None:
    ecom = [
        {"id": "1", "name": {"first": "N/A", "last": "-"}, "contact": {"email": "a@b.c"}},
        {"id": "2", "name": {"first": "n/a", "last": "--"}, "contact": {"email": "b@b.c"}},
        {"id": "3", "name": "unknown\u200b", "contact": {"email": "c@b.c"}},
        {"id": "4", "name": "Unknown", "contact": {"email": "d@b.c"}},
        {"id": "5", "name": {"first": "Na", "last": ""}, "contact": {"email": "e@b.c"}},
    ]
    out = tmp_path / "out"
    summary = integrate_pair(write_pair(tmp_path / "in", many_customers(0), json.dumps(ecom)), out)
    assert summary.duplicates == 0
    names = [row["full_name"] for row in rows_of(out / "customer_master.csv")]
    assert names == ["N/A"] * 5
