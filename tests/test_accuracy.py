"""The benchmark of accuracy measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy.literal_rule import literal_groups
from benchmarks.accuracy.measures import after_review, measures
from benchmarks.accuracy.sets import GoldSet, gold_sets, normalised


def test_the_known_groups_have_full_marks() -> None:
    it = measures([7, 7, 8, 9], ["a", "a", "b", "c"])
    assert (it.precision, it.recall, it.f1, it.bcubed, it.largest, it.false_merges) == (1, 1, 1, (1, 1, 1), 2, 0)


def test_one_group_of_all_has_full_recall_and_a_false_merge_for_each_further_customer() -> None:
    it = measures([0] * 4, ["a", "a", "b", "c"])
    assert [it.precision, it.recall, it.false_merges] == pytest.approx([1 / 6, 1, 2000 / 3])
    assert [*it.bcubed[:2]] == pytest.approx([(0.5 + 0.5 + 0.25 + 0.25) / 4, 1])


def test_an_answer_joins_groups_only_where_the_customers_are_the_same() -> None:
    known = ["a", "a", "b", "b"]
    assert after_review([0, 1, 2, 3], known, [(0, 1), (1, 2), (3, 2)]) == [1, 1, 2, 2]


def test_the_literal_rule_connects_through_others_and_never_by_what_is_missing() -> None:
    gold = GoldSet(
        "small",
        "aabcd",
        {
            "first_name": ["Ann", "ann", None, "Bo", None],
            "last_name": ["Lee", "LEE", None, "Ray", None],
            "email": [None, "a@x.org", "a@x.org", None, None],
            "phone": [None, None, None, "+15550101", None],
        },
    )
    assert literal_groups(gold) == [0, 0, 0, 3, 4]


def test_a_set_is_read_with_its_values_normalised(tmp_path: Path) -> None:
    (tmp_path / "small.csv").write_text(
        "record,customer,first_name,email,phone,birth_date\n"
        "1,a,ANN,A@X.ORG,+1-709-555-0117 x0948,1999-12-01\n"
        "2,b,N/A,a***@x.org,,19991332\n"
    )
    (gold,) = gold_sets(tmp_path)
    assert gold.customers == ["a", "b"]
    assert gold.fields == {
        "first_name": ["Ann", None],
        "email": ["a@x.org", None],
        "phone": ["+17095550117", None],
        "phone_extension": ["0948", None],
        "birth_date": ["1999-12-01", "19991332"],
    }


def test_a_number_without_more_digits_has_no_extension() -> None:
    assert normalised({"phone": ["(212) 555-0101"]})["phone_extension"] == [None]
