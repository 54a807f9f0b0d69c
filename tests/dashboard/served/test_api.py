"""The JSON API keeps to its own OpenAPI document: schemathesis makes up requests, valid ones and others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from schemathesis.generation import GenerationMode

from service.dashboard.pages import ACTIONS, FILES, PAGES, UPLOADS
from service.dashboard.web.answers import api_path
from service.dashboard.web.openapi import openapi_document
from tests.dashboard.doubts import DoubtfulHouse
from tests.dashboard.house import DashboardHouse
from tests.dashboard.served.crawl import ask
from tests.dashboard.served.processes import Served, served
from tests.sizes import examples

schemathesis.checks.load_all_checks()
_DOCUMENT = openapi_document((*PAGES, *ACTIONS, *FILES, *UPLOADS), api_path)
OPERATIONS = [(method, path) for path, item in _DOCUMENT["paths"].items() for method in item]
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "negative_data_rejection", "positive_data_acceptance", "unsupported_method"),
)
SLOW = frozenset({"/api/v1/sample"})
"""Takes seconds each time, and has no parameters."""
# Which bytes are an export is not written in the document: a made-up file is refused.
_NOT_FOR_FILES = frozenset({"positive_data_acceptance", "negative_data_rejection"})


@pytest.fixture(scope="module")
def changing(shared_house: DashboardHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that may be changed by any request; without watcher, so that what is uploaded stays where it is."""
    house = shared_house.copy(tmp_path_factory.mktemp("api") / "house")
    with served(house.root, is_watched=False) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def asking(shared_doubts: DoubtfulHouse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The same of a service whose newest set asks questions."""
    house = shared_doubts.copy(tmp_path_factory.mktemp("api") / "asking")
    with served(house.root, is_watched=False, matching="safe") as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def document_of_questions(asking: Served) -> Any:
    """Its OpenAPI document."""
    return schemathesis.openapi.from_url(f"{asking.url}/api/v1/openapi.json")


@pytest.fixture(scope="module")
def document(changing: Served) -> Any:
    """The OpenAPI document as it is served."""
    return schemathesis.openapi.from_url(f"{changing.url}/api/v1/openapi.json")


@pytest.fixture(scope="module")
def known(changing: Served, shared_house: DashboardHouse) -> list[dict[str, Any]]:
    """Values of the variables in paths, of things that exist."""
    usual = {"unified_id": "CUST001", "name": "customer_master.csv", "number": 1, "source": "CRM"}
    return [
        usual | {"batch_id": shared_house.masters[-1]},
        usual | {"batch_id": shared_house.export, "name": "sample_output.json", "unified_id": "CUST3"},
        usual | {"batch_id": shared_house.quarantined, "number": 2},
    ]


def of_batch(case: Any, batch: str) -> Any:
    """The same request about a set that exists: answers have contents, and actions do something."""
    for part in (case.query, case.body):
        if isinstance(part, dict) and "batch" in part:
            part["batch"] = batch
    return case


@pytest.mark.large
@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part)
def test_every_answer_is_as_documented(
    request: pytest.FixtureRequest, known: list[dict[str, Any]], method: str, path: str
) -> None:
    is_of_questions = path.startswith("/api/v1/review")
    operation = request.getfixturevalue("document_of_questions" if is_of_questions else "document")[path][method]
    is_file = "application/octet-stream" in str(_DOCUMENT["paths"][path][method].get("requestBody"))
    chosen: list[Any] = [checks.CHECKS.get_one(name) for name in CHECKS if not (is_file and name in _NOT_FOR_FILES)]
    variables = set(re.findall(r"{(\w+)}", path))
    modes = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]
    # Made-up ids are of nothing that exists; with these the answers have contents.
    modes += [
        operation.as_strategy(path_parameters={name: values[name] for name in variables})
        for values in known
        if variables and variables <= values.keys()
    ]
    if is_of_questions:
        batch = request.getfixturevalue("shared_doubts").masters[-1]
        valid = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        modes.append(valid.map(lambda case: of_batch(case, batch)))

    many = 3 if path in SLOW else examples(150)

    @settings(max_examples=many, suppress_health_check=list(HealthCheck))
    @given(case=st.one_of(modes))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=chosen, timeout=60)

    check()


@pytest.mark.large
def test_every_route_is_in_the_document_and_every_problem_has_advice(changing: Served, document: Any) -> None:
    assert len(OPERATIONS) == len(PAGES) + len(ACTIONS) + len(FILES) + len(UPLOADS)
    assert document.raw_schema["openapi"] == "3.1.0"
    for path in ("/api/v1/nothing", "/api/v1/overview?nothing=1"):
        answer = ask(changing.url, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert '"detail":' in answer.text
