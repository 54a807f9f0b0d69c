"""The benchmark: its data are always the same, and what they claim to be; its page is that of the recorded figures."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import figures as recorded
from benchmarks import report
from benchmarks.figures import (
    Again,
    Analytics,
    Bound,
    Bounded,
    Comparison,
    Competitor,
    Conditions,
    Drops,
    Figures,
    Latency,
    Reading,
    Run,
    Stages,
    Worst,
    WorstResult,
    memory_of,
)
from benchmarks.generate import full_name, write_messy_pair, write_pair
from benchmarks.generate_api import write_api_file
from benchmarks.page import page_of, plots_of
from benchmarks.parts.limits import longest_pauses
from benchmarks.parts.stages import stages_of
from benchmarks.peers import PEERS
from benchmarks.phrases import MARK
from benchmarks.process_tree import Sample
from benchmarks.processes import Failed, Limits, Ran, run_measured
from benchmarks.worst_pairs import WORST_CASES, WorstCase, write_worst_pair

RECORDS = 3000


@pytest.mark.parametrize("write", [write_pair, write_messy_pair])
def test_a_pair_is_always_the_same(write: object, tmp_path: Path) -> None:
    assert callable(write)
    written = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        written.append([path.read_bytes() for path in write(tmp_path / name, RECORDS)])
    assert written[0] == written[1]


def test_the_messy_pair_is_what_it_claims_to_be(tmp_path: Path) -> None:
    crm, ecom = write_messy_pair(tmp_path, RECORDS)
    with open(crm, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    customers = json.loads(ecom.read_text(encoding="utf-8"))["customers"]
    assert (len(rows), len(customers)) == (RECORDS * 6 // 10, RECORDS * 4 // 10)
    assert {len(row) for row in rows} == {6}
    share = Counter("comma" for row in rows if "," in row["full_name"])["comma"] / len(rows)
    assert 0.12 < share < 0.18
    missing = sum(row["phone"] in ("", "N/A", "-", "null", "unknown", "NONE") for row in rows) / len(rows)
    assert 0.05 < missing < 0.12


def test_no_two_people_have_the_same_name() -> None:
    assert len({full_name(person) for person in range(20_000)}) == 20_000


def test_the_rows_of_a_later_export_are_those_of_the_former(tmp_path: Path) -> None:
    texts = []
    for name, first in (("former", 0), ("later", 100)):
        (tmp_path / name).mkdir()
        crm, _ = write_messy_pair(tmp_path / name, 1000, first=first)
        texts.append(crm.read_text(encoding="utf-8").splitlines()[1:])
    assert texts[0][60:] == texts[1][:-60]


def test_the_api_file_is_always_the_same(tmp_path: Path) -> None:
    assert write_api_file(tmp_path, 100).read_bytes() == write_api_file(tmp_path, 100).read_bytes()
    assert len(json.loads((tmp_path / "api_customers.json").read_bytes())["data"]) == 100


@pytest.mark.parametrize("case", WORST_CASES, ids=lambda case: case.name)
def test_a_hard_pair_has_the_bytes_that_are_asked_for(case: WorstCase, tmp_path: Path) -> None:
    asked = (3 << 20, 2 << 20)
    crm, ecom = write_worst_pair(tmp_path, case, *asked)
    with open(crm, encoding="utf-8") as file:
        assert {line.count(",") for line in file} == {5 + case.further_columns}
    assert json.loads(ecom.read_text(encoding="utf-8"))["customers"]
    assert all(abs(path.stat().st_size / size - 1) < 0.5 for path, size in zip((crm, ecom), asked, strict=True))


def test_a_plain_script_finds_the_customers_of_the_messy_pair(tmp_path: Path) -> None:
    pair = write_messy_pair(tmp_path, RECORDS)
    command = [sys.executable, "-m", "benchmarks.peers.script", *map(str, pair), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(ran.stdout) == RECORDS * 7 // 10


# ------------------------------------------------------------------------------------------------------ measuring


def test_a_process_is_measured_with_its_children() -> None:
    program = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(200 << 20); sum(x[:9999999])'])"
    )
    ran = run_measured([sys.executable, "-c", program])
    assert ran.peak_mb > 200
    assert ran.cpu_seconds > 0.02


def test_a_process_beyond_its_limits_is_stopped() -> None:
    with pytest.raises(Failed, match="stopped after 0 s"):
        run_measured([sys.executable, "-c", "import time; time.sleep(60)"], limits=Limits(seconds=0.1))
    with pytest.raises(Failed, match="ended with 3: no message"):
        run_measured([sys.executable, "-c", "raise SystemExit(3)"])


def test_stages_are_the_times_between_the_events() -> None:
    samples = tuple(Sample(second / 10, 10.0 * second, second / 10) for second in range(1, 40))
    ran = Ran(4.0, 4.0, 400.0, 0.0, started_at=1_700_000_000.0, samples=samples)
    stages = stages_of(
        ran,
        [
            {"event": "batch.progressed", "stage": "extract", "timestamp": "2023-11-14T22:13:21Z"},
            {"event": "batch.progressed", "stage": "extract", "timestamp": "2023-11-14T22:13:22Z"},
            {"event": "batch.progressed", "stage": "load", "timestamp": "2023-11-14T22:13:22Z"},
            {"event": "batch.published", "timestamp": "2023-11-14T22:13:23Z"},
        ],
    )
    assert [(stage.name, stage.seconds, stage.cpu_seconds) for stage in stages] == [
        ("start", 1.0, 1.0),
        ("extract", 1.0, 1.0),
        ("load", 1.0, 1.0),
        ("end", 1.0, 1.0),
    ]
    assert [stage.peak_mb for stage in stages] == [100, 200, 300, 390]
    assert len(memory_of(samples * 10)) <= recorded.MOST_POINTS


def test_the_longest_pauses_count_from_the_start_to_the_end() -> None:
    ran = Ran(20.0, 4.0, 400.0, 0.0, started_at=1_700_000_000.0)
    events = [
        {"event": "batch.progressed", "stage_number": 1, "rows_done": done, "timestamp": f"2023-11-14T22:13:{second}Z"}
        for second, done in ((21, 0), (24, 10), (26, 10), (30, 10), (33, 11))
    ]
    assert longest_pauses(ran, [*events, {"event": "batch.published"}]) == (7.0, 9.0)
    assert longest_pauses(ran, []) == (20.0, 20.0)


# ---------------------------------------------------------------------------------------------------------- the page


def _figures() -> Figures:
    """Made-up figures of every part."""
    under = Conditions("2026-11-26", "abc1234", "A processor", 2, 24, "3.11.7", "2.0.0")
    run, disturbed = Run(10.0, 15.0, 1000.0, 0.1), Run(12.0, 15.0, 1100.0, 9.0)
    memory = [(0.1, 50.0), (5.0, 900.0), (10.0, 400.0)]
    names = ("service", *(peer.name for peer in PEERS))
    competitors = [Competitor(name, [run, run], 700, memory=memory) for name in names]
    competitors[-1] = Competitor(names[-1], note="not installed")
    competitors[-2] = Competitor(names[-2], [disturbed], 700, "ended with 1: no message", memory)
    ordinary = WorstResult("ordinary", "the messy pair", 1.0, 100, [run], "published")
    refused = WorstResult("10,000 columns", "too many", 1.0, 0, [run], "ended with 1: too many columns")
    return Figures(
        comparisons={records: Comparison(under, records, 1.0, 2.0, competitors) for records in (10_000, 1_000_000)},
        stages=Stages(under, 1000, run, 3, [recorded.Stage("extract", 10.0, 15.0, 900.0)], memory),
        huge_stages=Stages(under, 5000, run, 1, [recorded.Stage("load", 9.0, 15.0, 900.0, 3.0, 5.0)], memory, 1536),
        latency=Latency(
            *(under, [Drops("the sample", 8, 200, 0.4, 0.6, 0.3, 0.7, 0.01)], [1.0], 30.0, 0.001, 90.0, 120.0, [run]),
            stillness_seconds=0.3,
            floors={"extract": 0.015, "publish": 0.01},
        ),
        again=Again(under, 1000, [run], [run], [disturbed], 2),
        analytics=Analytics(under, 1000, 1.0, 500, [run], [recorded.Stage("match", 10.0, 15.0, 90.0, 2.0, 4.0)]),
        worst=Worst(
            under,
            ordinary,
            [refused],
            [Reading(100, 400, [run], [recorded.Stage("normalise", 0.004, 0.006, 90.0)], 0.004)],
        ),
        limits=Bounded(under, 1000, (300.0, 420.0), [Bound(512, run, 1.1, 4.2, "published")]),
    )


def test_the_page_is_drawn_from_recorded_figures(tmp_path: Path) -> None:
    recorded.save(_figures(), report.figures_path(tmp_path))
    assert recorded.load(report.figures_path(tmp_path)) == _figures()
    report.render(tmp_path)
    page = report.page_path(tmp_path).read_text(encoding="utf-8")
    for shown in (
        "not installed",
        "ended with 1: no message in a later round",
        f"12.00{MARK}",
        "too many columns",
        "0.10%",
        "| load | 9.00 | 90% | 15.00 | 3.00 | 5.00 | 3.0 | 900 | 556 |",
        "`SERVICE_MEMORY_LIMIT_MB=1536`, the floors",
        "| 100 | 400 | 0.00 | 0.01 | 15.0 | 10.0 | 1.5 | 75% |",
        "The rest, 100 ms, is nearly all work. Its floor is 25 ms; the service takes 4.0 times as long.",
        "in milliseconds: extract 15, publish 10",
        "| match | 10.00 | 100% | 15.00 | 2.00 | 4.00 | 3.8 | 90 | 100 |",
        "The service takes 5.0 times as many seconds and 3.8 times as many CPU seconds",
        "| 512 | published | 10.0 | 15.0 | 1,000 | 195% | 1.1 | 4.2 |",
    ):
        assert shown in page
    plots = list((tmp_path / "images" / "performance").iterdir())
    assert {f"(images/performance/{plot.name})" for plot in plots} == {
        part for part in page.replace("(", " (").replace("[", " [").split() if part.startswith("(images/")
    }
    for plot in plots:
        assert ElementTree.parse(plot).getroot().get("role") == "img"
        assert plot.stat().st_size < 30_000


def test_a_page_without_figures_says_how_to_measure() -> None:
    assert "make bench" in page_of(Figures())
    assert plots_of(Figures()) == {}


def test_the_page_of_the_docs_is_that_of_its_figures() -> None:
    figures = recorded.load(report.figures_path(report.DOCS))
    assert report.page_path(report.DOCS).read_text(encoding="utf-8") == page_of(figures), (
        "run python -m benchmarks render"
    )
    for name, svg in plots_of(figures).items():
        assert (report.DOCS / "images" / "performance" / name).read_text(encoding="utf-8") == svg, name
