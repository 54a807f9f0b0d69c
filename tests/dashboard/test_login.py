"""Login with the token, and logout."""

from __future__ import annotations

from service.dashboard.web.app import create_app
from tests.dashboard.house import DashboardHouse, text_of

TOKEN = "a-token-of-this-test"


def test_the_token_opens_the_pages_until_the_user_logs_out(shared_house: DashboardHouse) -> None:
    client = create_app(shared_house.site(), TOKEN).test_client()
    assert client.get("/").location == "/login"
    assert client.post("/login", data={"token": "another token"}).status_code == 401
    assert client.post("/login", data={"token": TOKEN}).location == "/"
    assert "Log out" in text_of(client.get("/"))
    assert client.post("/logout").location == "/login"
    assert client.get("/").location == "/login"


def test_without_a_token_there_is_nothing_to_log_out_of(shared_house: DashboardHouse) -> None:
    assert "Log out" not in text_of(shared_house.client().get("/"))
