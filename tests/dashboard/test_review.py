"""The review page asks one question at a time; answers are decisions as ``decide`` makes them, or are refused."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from service import cli
from service.dashboard.pages import review
from service.dashboard.sets import review_queue
from service.dashboard.site import Site
from service.dashboard.web.app import create_app
from service.decisions import DecisionStore, Proposal
from service.decisions.decision import DecidedRecord, DecisionKind
from service.masters.customer_sets import CustomerSets
from tests.dashboard.doubts import DoubtfulHouse, doubtful_pair
from tests.dashboard.house import DashboardHouse, data_of, tags_of, text_of
from tests.small_batches import rows_of
from tests.worlds import local_now

PEOPLE = 60
NO_CUSTOMERS = '{"customers": []}'
MANY = 100_000


@pytest.fixture(scope="module")
def client(shared_doubts: DoubtfulHouse) -> FlaskClient:
    """A browser that only looks."""
    return shared_doubts.client()


def queue_of(house: DoubtfulHouse) -> list[dict[str, str]]:
    """The rows of the newest review queue."""
    return rows_of(house.set_of(house.masters[-1]) / "review_queue.csv")


def answered(client: FlaskClient, house: DoubtfulHouse, position: int, kind: str, **others: object) -> TestResponse:
    """The answer of the API to an answer."""
    given = {"batch": house.masters[-1], "position": position, "answer": kind} | others
    return client.post("/api/v1/review/answer", json=given)


def decide(house: DoubtfulHouse, kind: DecisionKind, one: str, other: str) -> int:
    """A decision that was made elsewhere about two records, such as ``CRM:C0001``; its number."""
    left, right = (DecidedRecord(name.replace(":", " id:"), *name.split(":")) for name in (one, other))
    (made,) = DecisionStore(house.works.state).add([Proposal(kind, (left, right), "Kim", "2026-11-27T14:00:00Z")])
    return made.number


def refused(answer: TestResponse, status: int, words: str) -> None:
    """The answer is a problem that says so."""
    assert answer.status_code == status, answer.text
    assert words in answer.text


# ------------------------------------------------------------------------------------------------------ one question


def test_a_question_shows_both_records_and_what_was_weighed(client: FlaskClient, shared_doubts: DoubtfulHouse) -> None:
    page = client.get("/review")
    text = text_of(page)
    row = queue_of(shared_doubts)[0]
    assert f"0 of {PEOPLE} questions are answered; {PEOPLE} remain." in text
    assert "Question 1: the same customer?" in text
    for name in (row["left_id"], row["right_id"], "John Barbury", "john.0@mail.example", "barbury0@shop.example"):
        assert name in text
    assert f"Weight {row['weight']}" in text
    assert "last name the same" in text and "e-mail different" in text
    customers = set(re.findall(r'href="/customers/(CUST\d+)"', page.text))
    assert customers == {"CUST001", "CUST061"}
    assert "from the next batch on" in text


def test_equal_values_are_marked_by_words_and_not_by_colour_alone(client: FlaskClient) -> None:
    rows = re.findall(r'<th scope="row">(.*?)</tr>', client.get("/review").text, re.DOTALL)
    marked = [row for row in rows if row.count('class="text agrees"') == 2]
    assert [re.findall(r"[\w-]+", row)[0] for row in marked] == ["Name", "Status"]
    assert all("= the same" in row for row in marked)
    assert not any("= the same" in row for row in rows if row not in marked)


@pytest.mark.large
def test_every_question_of_the_queue_is_found_at_its_position(
    client: FlaskClient, shared_doubts: DoubtfulHouse
) -> None:
    for position, row in enumerate(queue_of(shared_doubts), 1):
        question = data_of(client.get(f"/api/v1/review?position={position}"))["question"]
        names = [question["pair"][side]["name"] for side in ("left", "right")]
        assert [(it["source"], it["source_id"]) for it in names] == [
            (row["left_source"], row["left_id"]),
            (row["right_source"], row["right_id"]),
        ]
        assert question["weight"] == float(row["weight"])
        assert ", ".join(f"{it['field']} {it['outcome']}" for it in question["evidence"]) == row["evidence"]
    refused(client.get(f"/api/v1/review?position={PEOPLE + 1}"), 404, f"asks no question {PEOPLE + 1}")


def test_an_answer_is_a_decision_and_leaves_the_list(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    fields = {"batch": own_doubts.masters[-1], "position": 1, "answer": "different", "note": "sisters", "by": "Kim"}
    with capture_logs() as events:
        answer = client.post("/review/answer", data=fields)
    assert answer.status_code == 303
    query = parse_qs(urlsplit(answer.location).query)
    assert (query["position"], query["undo"]) == (["2"], ["1"])
    (made,) = own_doubts.decisions()
    assert (made.kind, made.keys, made.decided_by, made.note) == (
        "different",
        ("CRM id:C0000", "ECOM id:E0000"),
        "Kim",
        "sisters",
    )
    assert [event["event"] for event in events] == ["decision.made", "dashboard.acted"]
    assert not {"Kim", "sisters", "Barbury"} & set(re.findall(r"\w+", str(events)))
    text = text_of(client.get(answer.location))
    assert "Decision 1: CRM:C0000 and ECOM:E0000 are different customers." in text
    assert f"1 of {PEOPLE} questions is answered; {PEOPLE - 1} remain." in text
    assert "Question 2:" in text_of(client.get("/review"))
    looked_at = text_of(client.get("/review?position=1"))
    assert "Decision 1 says that they are different customers; by Kim" in looked_at and "sisters" in looked_at


def test_without_a_name_the_decision_is_of_the_user_who_runs_the_dashboard(
    own_doubts: DoubtfulHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "kim")
    assert answered(own_doubts.client(), own_doubts, 1, "same").status_code == 200
    assert own_doubts.decisions()[0].decided_by == "kim"


def test_the_command_line_and_the_page_share_the_decisions(
    own_doubts: DoubtfulHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("inbox", "outbox", "state"):
        monkeypatch.setenv(f"SERVICE_{name.upper()}", str(own_doubts.root / name))
    answered(own_doubts.client(), own_doubts, 1, "same", by="Kim")
    assert cli.main(["decide", "different", "CRM:C0000", "ECOM:E0000"]) == cli.USAGE
    assert "this contradicts decision 1" in capsys.readouterr().err
    assert cli.main(["decide", "different", "CRM:C0001", "ECOM:E0001"]) == 0
    assert "Question 3:" in text_of(own_doubts.client().get("/review"))


def test_the_opposite_answer_is_refused_with_the_reason_and_the_same_one_changes_nothing(
    own_doubts: DoubtfulHouse,
) -> None:
    client = own_doubts.client()
    answered(client, own_doubts, 1, "same")
    before = own_doubts.decisions()
    refused(answered(client, own_doubts, 1, "different"), 409, "this contradicts decision 1")
    again = answered(client, own_doubts, 1, "same")
    assert data_of(again)["message"] == "Decision 1 says so already; nothing was changed."
    assert data_of(again)["numbers"] == []
    assert own_doubts.decisions() == before


def test_what_follows_from_other_decisions_is_not_asked(own_doubts: DoubtfulHouse) -> None:
    decide(own_doubts, "same", "CRM:C0000", "CRM:C0007")
    decide(own_doubts, "same", "ECOM:E0000", "CRM:C0007")
    decide(own_doubts, "different", "ECOM:E0001", "CRM:C0007")
    decide(own_doubts, "same", "CRM:C0001", "CRM:C0000")
    client = own_doubts.client()
    assert "Question 3:" in text_of(client.get("/review"))
    assert "Other decisions together say that they are the same customer" in text_of(client.get("/review?position=1"))
    assert "Other decisions together say that they are different" in text_of(client.get("/review?position=2"))


def test_skipping_and_moving_keep_the_question_open_and_end_at_the_first(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    answered(client, own_doubts, 2, "same")
    first = client.get("/review").text
    assert re.findall(r'position=(\d+)[^"]*" data-key="k"', first) == ["3"]
    assert re.findall(r'position=(\d+)[^"]*" data-key="n"', first) == ["2"]
    last = client.get(f"/review?position={PEOPLE}").text
    assert re.findall(r'position=(\d+)[^"]*" data-key="k"', last) == ["1"]
    assert re.findall(r'position=(\d+)[^"]*" data-key="[np]"', last) == [str(PEOPLE - 1)]
    assert len(own_doubts.decisions()) == 1


def test_what_was_weighed_and_is_not_in_the_set_is_said_to_be_in_the_exports(
    own_doubts: DoubtfulHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "review_queue.csv"
    path.write_text(
        "left_source,left_id,right_source,right_id,weight,evidence,against\n"
        'CRM,C0000,ECOM,E0000,-1.20,"birth_date same, identifier.tax variant, phone near",last contradicts\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(CustomerSets, "review_queue", lambda self, of: path)
    text = text_of(own_doubts.client().get("/review"))
    for words in ("date of birth the same", "tax a variant", "phone nearly the same", "last name contradicts"):
        assert words in text
    assert re.search(rf"keep the values of date of birth, tax; the exports in archive/{own_doubts.masters[-1]}", text)


# -------------------------------------------------------------------------------------------------------------- undo


def test_undo_takes_back_the_last_answer_and_asks_again(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    for position in (1, 2):
        answered(client, own_doubts, position, "same")
    assert "Last answer: decision 2," in text_of(client.get("/review"))
    undone = client.post("/review/undo", data={"first": 2, "last": 2})
    assert parse_qs(urlsplit(undone.location).query)["position"] == ["2"]
    assert [it.number for it in own_doubts.decisions()] == [1]
    text = text_of(client.get(undone.location))
    assert "Undone: decision 2." in text and "Question 2:" in text and "Last answer: decision 1," in text
    refused(client.post("/api/v1/review/undo", json={"first": 2, "last": 2}), 409, "decision 2 is undone already")
    refused(client.post("/api/v1/review/undo", json={"first": 9, "last": 9}), 409, "there is no decision 9")
    refused(client.post("/api/v1/review/undo", json={"first": 2, "last": 1}), 409, "nothing was undone")


def test_of_an_answer_to_several_questions_all_that_is_in_force_is_undone(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    listed = alike(client, own_doubts, 1)
    given = {"batch": own_doubts.masters[-1], "position": 1, "answer": "same", "seen": listed["seen"]}
    data_of(client.post("/api/v1/review/alike/answer", json=given))
    DecisionStore(own_doubts.works.state).undo([2], "another", "2026-01-15T12:00:00Z")
    last = data_of(client.get(f"/api/v1/review?undo=1-{PEOPLE}"))["last"]
    assert (last["first"], last["last"]) == (1, PEOPLE)
    data_of(client.post("/api/v1/review/undo", json={"first": last["first"], "last": last["last"]}))
    assert own_doubts.decisions() == []


@pytest.mark.large
def test_decisions_that_the_set_followed_are_not_offered_to_be_undone(own_doubts: DoubtfulHouse) -> None:
    answered(own_doubts.client(), own_doubts, 1, "different")
    own_doubts.publish(*doubtful_pair(PEOPLE), suffix="_2")
    assert "Last answer" not in text_of(own_doubts.client().get("/review"))


# ---------------------------------------------------------------------------------------------------- questions alike


def alike(client: FlaskClient, house: DoubtfulHouse, position: int) -> dict[str, Any]:
    """The list of the open questions like one."""
    found: dict[str, Any] = data_of(client.get(f"/api/v1/review/alike?batch={house.masters[-1]}&position={position}"))
    return found


def test_all_open_questions_with_the_same_evidence_are_answered_after_they_were_listed(
    own_doubts: DoubtfulHouse,
) -> None:
    client = own_doubts.client()
    answered(client, own_doubts, 3, "different")
    page = client.get(f"/review/alike?batch={own_doubts.masters[-1]}&position=1")
    text = text_of(page)
    assert f"{PEOPLE - 1} open questions have the evidence of question 1." in text
    assert f"The first {review.LISTED} of {PEOPLE - 1}" in text
    assert page.text.count("<tr><th") == review.LISTED + 1, "the list is bounded"
    assert "John Barbury" in text and "E0003" in text and "E0002" not in text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    answer = client.post("/review/alike/answer", data=fields | {"answer": "same", "note": "moved"})
    assert parse_qs(urlsplit(answer.location).query)["undo"] == [f"2-{PEOPLE}"]
    assert [(it.kind, it.note) for it in own_doubts.decisions()][1:] == [("same", "moved")] * (PEOPLE - 1)
    text = text_of(client.get(answer.location))
    assert f"{PEOPLE - 1} decisions made: the same customer." in text
    assert f"All {PEOPLE} questions are answered." in text
    undone = client.post("/api/v1/review/undo", json={"first": 2, "last": PEOPLE})
    assert data_of(undone)["message"] == f"Undone: {PEOPLE - 1} decisions."
    assert [it.number for it in own_doubts.decisions()] == [1]


def test_where_one_answer_contradicts_none_is_given_and_the_reason_is_said(own_doubts: DoubtfulHouse) -> None:
    decide(own_doubts, "same", "CRM:C0000", "CRM:C0001")
    decide(own_doubts, "different", "ECOM:E0000", "ECOM:E0001")
    client = own_doubts.client()
    listed = alike(client, own_doubts, 5)
    given = {"batch": own_doubts.masters[-1], "position": 5, "answer": "same", "seen": listed["seen"]}
    answer = client.post("/api/v1/review/alike/answer", json=given)
    refused(answer, 409, "the answer to question 2 contradicts decisions 1 and 2 and question 1")
    assert "nothing was decided; answer question 2 by itself; or undo first: " in data_of(answer)["hint"]
    assert len(own_doubts.decisions()) == 2


def test_other_questions_than_those_listed_are_not_answered(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    listed = alike(client, own_doubts, 1)
    answered(client, own_doubts, 4, "different")  # in another tab
    given = {"batch": own_doubts.masters[-1], "position": 1, "answer": "same", "seen": listed["seen"]}
    refused(client.post("/api/v1/review/alike/answer", json=given), 409, "other questions are open now")
    assert len(own_doubts.decisions()) == 1


def test_at_most_so_many_are_answered_at_once(own_doubts: DoubtfulHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.dashboard.pages.review.MOST_ALIKE", 10)
    monkeypatch.setattr("service.dashboard.pages.answers.MOST_ALIKE", 10)
    client = own_doubts.client()
    listed = alike(client, own_doubts, 1)
    assert (listed["count"], listed["whole"]) == (10, PEOPLE)
    given = {"batch": own_doubts.masters[-1], "position": 1, "answer": "different", "seen": listed["seen"]}
    assert data_of(client.post("/api/v1/review/alike/answer", json=given))["next_open"] == 11
    assert len(own_doubts.decisions()) == 10


# ------------------------------------------------------------------------------------------------------------- states


@pytest.mark.large
def test_a_form_of_an_older_set_answers_nothing(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    former = own_doubts.masters[-1]
    listed = alike(client, own_doubts, 1)
    crm, ecom = doubtful_pair(PEOPLE - 6)
    newer = own_doubts.publish(crm, ecom, "_2")
    given = {"batch": former, "position": 1, "answer": "same"}
    for path, fields in (("answer", given), ("alike/answer", given | {"seen": listed["seen"]})):
        answer = client.post(f"/api/v1/review/{path}", json=fields)
        refused(answer, 409, f"nothing was done: the newest set is that of batch {newer}")
        assert client.post(f"/review/{path}", data=fields).status_code == 409
    assert own_doubts.decisions() == []
    text = text_of(client.get(f"/review?batch={former}&position=9"))
    assert f"A newer set was published. Its questions are others than those of batch {former}" in text
    assert "Question 1:" in text
    refused(client.get(f"/api/v1/review/alike?batch={former}&position=1"), 404, newer)


def test_the_next_batch_follows_the_answers_and_does_not_ask_again(own_doubts: DoubtfulHouse) -> None:
    client = own_doubts.client()
    answered(client, own_doubts, 1, "same")
    answered(client, own_doubts, 2, "different")
    own_doubts.publish(*doubtful_pair(PEOPLE), suffix="_2")
    master = own_doubts.set_of(own_doubts.masters[-1])
    customers = {row["source_id"]: row["unified_id"] for row in rows_of(master / "crosswalk.csv")}
    assert customers["C0000"] == customers["E0000"]
    assert customers["C0001"] != customers["E0001"]
    view = data_of(client.get("/api/v1/review"))
    assert view["question"]["pair"]["left"]["name"]["source_id"] == "C0002"
    assert view["questions"] - view["answered"] == PEOPLE - 2


@pytest.mark.large
def test_a_set_of_the_literal_rule_says_how_to_be_asked(shared_house: DashboardHouse) -> None:
    text = text_of(shared_house.client().get("/review"))
    assert "the rule literal made it" in text and "SERVICE_MATCHING=safe" in text and "docs/accuracy.md" in text
    assert 'href="/settings#values"' in shared_house.client().get("/review").text
    assert "The settings choose SERVICE_MATCHING=safe now" in text_of(
        shared_house.client(matching="safe").get("/review")
    )
    given = {"batch": shared_house.masters[-1], "position": 1, "answer": "same"}
    refused(shared_house.client().post("/api/v1/review/answer", json=given), 404, "there is nothing to review")


def test_before_the_first_set_the_page_says_what_to_drop(tmp_path: Path) -> None:
    text = text_of(DashboardHouse(tmp_path).client().get("/review"))
    assert "No questions yet" in text and "crm_customers.csv" in text


@pytest.mark.large
def test_a_queue_without_questions_says_so(tmp_path: Path) -> None:
    house = DoubtfulHouse(tmp_path)
    house.publish("customer_id,full_name,email\nC1,Ann Lee,ann@x.example\n", NO_CUSTOMERS)
    text = text_of(house.client().get("/review"))
    assert "No questions: the evidence of this set decides every pair." in text


def test_a_changed_queue_is_not_answered(own_doubts: DoubtfulHouse) -> None:
    path = own_doubts.set_of(own_doubts.masters[-1]) / "review_queue.csv"
    text = path.read_text(encoding="utf-8")
    path.chmod(0o644)
    path.write_text(text.replace("E0000", "E0009"), encoding="utf-8")
    refused(answered(own_doubts.client(), own_doubts, 1, "same"), 503, "is not as it was published")
    assert own_doubts.decisions() == []


def test_the_sample_cannot_be_changed(own_doubts: DoubtfulHouse) -> None:
    site = Site(own_doubts.settings(), local_now, is_sample=True)
    client = create_app(site).test_client()
    page = client.get("/review")
    assert [tag for tag in tags_of(page.text) if tag == "form"] == []
    refused(answered(client, own_doubts, 1, "same"), 409, "the sample cannot be changed")


@pytest.mark.parametrize(
    "given",
    [
        {"answer": "maybe"},
        {"batch": ""},
        {"batch": "../x"},
        {"position": 0},
        {"position": "1"},
        {"note": "n" * 1001},
        {"by": "b" * 1001},
        {"note": "a\0b"},
        {"other": 1},
    ],
    ids=str,
)
def test_a_wrong_answer_is_refused_and_its_values_are_not_repeated(
    client: FlaskClient, shared_doubts: DoubtfulHouse, given: dict[str, object]
) -> None:
    usual = {"batch": shared_doubts.masters[-1], "position": 1, "answer": "same"}
    answer = client.post("/api/v1/review/answer", json=usual | given)
    assert answer.status_code == 400
    assert not any(str(value) in data_of(answer)["detail"] for value in given.values() if len(str(value)) > 4)
    assert shared_doubts.decisions() == []


# -------------------------------------------------------------------------------------------------------------- files


def test_decisions_are_carried_to_another_service_as_a_file(own_doubts: DoubtfulHouse, tmp_path: Path) -> None:
    client = own_doubts.client()
    answered(client, own_doubts, 1, "same", by="Kim", note="=moved")
    with client.get("/review/decisions.csv") as exported:
        content, headers = exported.data, exported.headers
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert (row["decision"], row["left_key"], row["decided_by"], row["note"]) == (
        "same",
        "CRM id:C0000",
        "Kim",
        "=moved",
    )
    assert headers["Content-Disposition"] == "attachment; filename=decisions.csv"
    client.post("/api/v1/review/undo", json={"first": 1, "last": 1})
    form = {"file": (io.BytesIO(content), "Kim's decisions.csv")}
    answer = client.post("/review/decisions", data=form, content_type="multipart/form-data")
    assert answer.status_code == 303
    assert "Decisions made: 1." in text_of(client.get(answer.location))
    assert [(it.number, it.decided_by) for it in own_doubts.decisions()] == [(2, "Kim")]
    sent = client.post("/api/v1/review/decisions", data=content, content_type="application/octet-stream")
    assert data_of(sent)["message"] == "Decisions made: 0; in force already: 1."


def test_a_wrong_file_of_decisions_is_refused_by_its_line_and_leaves_nothing(own_doubts: DoubtfulHouse) -> None:
    header = "decision,left_source,left_id,right_source,right_id\n"
    client = own_doubts.client()
    before = sorted(own_doubts.works.inbox.rglob("*"))
    for rows, words in (
        ("same,CRM,C0000,ECOM,E0000\nmaybe,CRM,C0001,ECOM,E0001\n", "line 3: decision must be same or different"),
        ("same,CRM,C0000,ECOM,E0000\ndifferent,CRM,C0000,ECOM,E0000\n", "line 3: this line contradicts line 2"),
        ("same,CRM,C0000,ECOM,nothing\n", "no record of ECOM"),
    ):
        sent = client.post("/api/v1/review/decisions", data=header + rows, content_type="application/octet-stream")
        refused(sent, 409, words)
        assert str(own_doubts.root) not in sent.text
    large = b"x" * ((32 << 20) + 1)
    sent = client.post("/api/v1/review/decisions", data=large, content_type="application/octet-stream")
    refused(sent, 413, "larger than 32 MB")
    assert own_doubts.decisions() == []
    assert sorted(own_doubts.works.inbox.rglob("*")) == before


# ------------------------------------------------------------------------------------------------------ large queues


@pytest.fixture
def many(own_doubts: DoubtfulHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DoubtfulHouse:
    """The same records, and a queue of very many questions about them."""
    path = tmp_path / "review_queue.csv"
    header = "left_source,left_id,right_source,right_id,weight,evidence,against\n"
    rows = (
        f'CRM,C{n % PEOPLE:04},ECOM,E{n // PEOPLE % PEOPLE:04},-2.50,"last same, first same",pattern{n % 997}\n'
        for n in range(MANY)
    )
    path.write_text(header + "".join(rows), encoding="utf-8")
    monkeypatch.setattr(CustomerSets, "review_queue", lambda self, of: path)
    return own_doubts


@pytest.mark.large
def test_a_queue_of_100000_questions_is_kept_as_a_few_numbers_and_any_of_them_is_found(many: DoubtfulHouse) -> None:
    site = many.site()
    client = create_app(site).test_client()
    assert data_of(client.get("/api/v1/review"))["questions"] == MANY
    of = site.customer_sets.find()
    assert of is not None
    kept = review_queue.queue_of(site.customer_sets, of)
    assert sum(it.nbytes for it in (kept.starts, kept.records, kept.keys, kept.patterns)) < 50 * MANY
    with mock.patch.object(review_queue, "_scanned", side_effect=AssertionError("the file is scanned once")):
        page = client.get(f"/review?position={MANY}")
    assert len(page.data) < 50_000
    assert f"Question {MANY:,}" in text_of(page)
    assert f"C{(MANY - 1) % PEOPLE:04}" in page.text
    listed = alike(client, many, 1)
    assert listed["whole"] == -(-MANY // 997)
    assert [row["position"] for row in listed["rows"]][:3] == [1, 998, 1995]


@pytest.mark.large
def test_of_more_questions_than_are_kept_the_first_are_shown(
    many: DoubtfulHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_queue, "MOST_QUESTIONS", 1000)
    view = data_of(many.client().get("/api/v1/review"))
    assert (view["questions"], view["is_whole"]) == (1000, False)
    assert "only those that gain most are shown" in text_of(many.client().get("/review"))
