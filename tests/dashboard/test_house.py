"""The service with a past that the tests of the dashboard look at is what its docstring says."""

from __future__ import annotations

from tests.dashboard.house import PUBLISHED_NAMES, DashboardHouse


def test_it_has_two_masters_an_export_and_a_quarantined_pair(shared_house: DashboardHouse) -> None:
    first, second = shared_house.masters
    works = shared_house.works
    assert [len(works.rows("customer_master.csv", batch)) for batch in (first, second)] == [5, 8]
    changes = {row["change"] for row in works.rows("id_changes.csv", second)}
    assert {"created", "merged", "split", "retired"} <= changes
    assert {row["code"] for row in works.rows("rejects.csv", second)} == {"no_identity", "too_many_cells"}
    names = {row["full_name"].removeprefix("'") for row in works.rows("customer_master.csv", second)}
    assert names >= set(PUBLISHED_NAMES)
    assert shared_house.export not in (first, second)
    assert works.reason()["error"] == "UnreadableFile"


def test_a_copy_is_a_service_of_its_own(own_house: DashboardHouse, shared_house: DashboardHouse) -> None:
    assert own_house.masters == shared_house.masters
    own_house.works.drop("_9")
    own_house.works.once()
    assert len(own_house.masters) == 3
    assert len(shared_house.masters) == 2
