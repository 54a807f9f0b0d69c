"""The data files of the service are consistent, name their source, and are part of the package."""

from __future__ import annotations

import itertools
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import get_args

import pytest

from service import data
from service.analytics_rules import AnalyticsTables
from service.pipeline.analytics import geography
from service.vocabulary import CHANNELS, PLANS, REGIONS, Segment

FILES = [it for it in files(data).iterdir() if it.name.endswith((".csv", ".toml"))]
SEGMENTS = {*get_args(Segment), "US"} - {"unknown"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_a_data_file_begins_with_its_source(file: Traversable) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    assert any(line.startswith("# Source") for line in comment)


def test_every_data_file_is_read_by_name() -> None:
    assert {file.name for file in FILES} == {
        *("presets.toml", "runbook.toml", "words.toml", "names.toml"),
        *("countries.csv", "country_names.csv", "states.csv", "zones.csv"),
        *("cloud_regions.csv", "worldwide_hosts.csv"),
    }


@pytest.mark.parametrize(
    ("name", "key"),
    [("countries.csv", "alpha_2"), ("states.csv", "code"), ("zones.csv", "zone"), ("cloud_regions.csv", "region")],
)
def test_every_row_has_a_key_and_a_segment(name: str, key: str) -> None:
    rows = data.read_csv(name)
    assert len({row[key] for row in rows}) == len(rows)
    assert {row["segment"] for row in rows} <= SEGMENTS
    assert all(None not in row and all(row.values()) for row in rows)


def test_every_worldwide_host_is_below_a_domain_that_would_be_evidence() -> None:
    hosts = [row["host"] for row in data.read_csv("worldwide_hosts.csv")]
    assert len(set(hosts)) == len(hosts)
    assert [host for host in hosts if host.rpartition(".")[2] not in geography.domains()] == []
    assert [host for host in hosts if host != host.strip().casefold()] == []


def test_every_built_in_word_has_a_meaning_that_a_user_may_write() -> None:
    tables = AnalyticsTables.model_validate({"channels": CHANNELS, "plans": PLANS, "regions": REGIONS})
    assert (tables.channels, tables.plans, tables.regions) == (CHANNELS, PLANS, REGIONS)
