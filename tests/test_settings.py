"""Settings come from the environment, from files it names, and from service.toml; a misspelt one stops the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.errors import SettingsError
from service.settings import Settings, load
from tests.worlds import House

pytestmark = pytest.mark.usefixtures("bare")


def test_without_any_setting_the_defaults_hold() -> None:
    settings, unknown = load()
    assert (settings.inbox, settings.outbox, settings.state) == (Path("inbox"), Path("outbox"), Path("state"))
    assert (settings.settle_seconds, settings.keep_batches, settings.default_region) == (5, 30, "US")
    assert unknown == []


def test_a_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_KEEP_BATCHES", "7")
    monkeypatch.setenv("SERVICE_CSV_BOM", "true")
    monkeypatch.setenv("SERVICE_DEFAULT_REGION", "gb")
    settings, _ = load()
    assert (settings.keep_batches, settings.csv_bom, settings.default_region) == (7, True, "GB")


def test_the_matcher_reaches_the_pipeline_and_one_that_does_not_exist_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_MATCHING", "literal")
    assert load()[0].matching == "literal"
    monkeypatch.setenv("SERVICE_MATCHING", "fuzzy")
    with pytest.raises(SettingsError) as caught:
        load()
    assert caught.value.message == "SERVICE_MATCHING names no matcher; there is: literal, safe"


def test_the_matcher_safe_is_refused_on_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_MATCHING", "safe")
    assert load()[0].matching == "safe"
    monkeypatch.setenv("SERVICE_ENGINE", "spark")
    with pytest.raises(SettingsError, match="SERVICE_MATCHING=safe compares all records in one process"):
        load()


SECRETS = ("hunter2", "pass/word", "p#ss", "p@ss", "p?ss", "1234/5", "p\nss", "\u2100", "[::", "p%zz", "ｐ：１")
SHAPES = (
    *("{scheme}://me:{secret}@host.example:port/users", "{scheme}://me:{secret}@[::1/users", "{scheme}://me:{secret}@"),
    *("{scheme}://me:{secret}@host.example:99999/users", "{scheme}://me:{secret}@host.example", "me:{secret}@host:80"),
    *("{scheme}://me:{secret}@ho st.example/", "{scheme}://{secret}", "ftp://me:{secret}@host.example/"),
    "{scheme}://host.example/users?key={secret}",
)


@pytest.mark.parametrize("variable", ["SERVICE_API_URL", "SERVICE_API_PROXY"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_message_about_an_url_quotes_its_password(
    variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shape in SHAPES:
        for secret in SECRETS:
            monkeypatch.setenv(variable, shape.format(scheme=scheme, secret=f"QZJX{secret}"))
            try:
                settings, _ = load()
            except SettingsError as error:
                assert variable in error.message
                assert "QZJX" not in error.explained(), shape
                assert error.__suppress_context__
            else:
                assert variable == "SERVICE_API_PROXY" or shape.count("@") == 0
                assert variable == "SERVICE_API_URL" or "QZJX" not in repr(settings)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60))
def test_every_text_is_an_url_or_refused_without_quoting_it(text: str) -> None:
    for name in ("api_url", "api_proxy"):
        given_values: dict[str, Any] = {name: f"https://me:QZJX{text}"}
        try:
            Settings(**given_values)
        except ValidationError as error:
            assert "QZJX" not in str(error)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_INBOX", "")
    assert load()[0].inbox == Path("inbox")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("SERVICE_SETTLE_SECOND", "SERVICE_SETTLE_SECONDS"),
        ("SERVICE_KEEP_BATCHS", "SERVICE_KEEP_BATCHES"),
        ("SERVICE_OUTBX", "SERVICE_OUTBOX"),
        ("SERVICE_DATEORDER", "SERVICE_DATE_ORDER"),
    ],
)
def test_a_misspelt_variable_stops_the_start_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    monkeypatch.setenv(misspelt, "1")
    with pytest.raises(SettingsError) as caught:
        load()
    assert misspelt in caught.value.message
    assert caught.value.hint == f"did you mean {meant}?"


@pytest.mark.parametrize("name", ["SERVICE_PORT_8080_TCP_ADDR", "SERVICE_ACCOUNT", "SERVICE_HOSTNAME"])
def test_an_unknown_variable_of_a_platform_is_reported(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert load()[1] == [name]


def test_a_file_can_hold_the_value(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    (bare / "region").write_text("DE\n", encoding="utf-8")
    monkeypatch.setenv("SERVICE_DEFAULT_REGION_FILE", str(bare / "region"))
    assert load()[0].default_region == "DE"
    monkeypatch.setenv("SERVICE_DEFAULT_REGION", "")
    assert load()[0].default_region == "DE", "an empty variable counts as unset"
    monkeypatch.setenv("SERVICE_DEFAULT_REGION", "FR")
    assert load()[0].default_region == "FR", "the variable itself wins"


def test_a_file_that_cannot_be_read_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_INBOX_FILE", "/nowhere/secret")
    with pytest.raises(SettingsError, match="SERVICE_INBOX_FILE") as caught:
        load()
    assert "/nowhere" not in caught.value.message


def test_service_toml_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    (bare / "service.toml").write_text('settle_seconds = 2.5\ndate_order = "DMY"\n', encoding="utf-8")
    monkeypatch.setenv("SERVICE_DATE_ORDER", "MDY")
    settings, _ = load()
    assert (settings.settle_seconds, settings.date_order) == (2.5, "MDY")


def test_a_file_for_a_secret_wins_over_service_toml(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    (bare / "service.toml").write_text('default_region = "FR"\n', encoding="utf-8")
    (bare / "region").write_text("DE\n", encoding="utf-8")
    monkeypatch.setenv("SERVICE_DEFAULT_REGION_FILE", str(bare / "region"))
    assert load()[0].default_region == "DE"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("settle_second = 1\n", "did you mean settle_seconds?"),
        ("entirely_else = 1\n", "see docs/settings.md"),
        ("settle_seconds = \n", "correct the file or remove it"),
    ],
)
def test_a_wrong_service_toml_stops_the_start(bare: Path, content: str, hint: str) -> None:
    (bare / "service.toml").write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "service.toml" in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_SETTLE_SECONDS", "s3cret"),
        ("SERVICE_SETTLE_SECONDS", "0"),
        ("SERVICE_SETTLE_SECONDS", "nan"),
        ("SERVICE_SETTLE_SECONDS", "inf"),
        ("SERVICE_RESCAN_SECONDS", "3600"),
        ("SERVICE_KEEP_BATCHES", "-4711"),
        ("SERVICE_MAX_REJECT_PERCENT", "4711"),
        ("SERVICE_DATE_ORDER", "s3cret"),
        ("SERVICE_MATCHING", "s3cret"),
        ("SERVICE_DEFAULT_REGION", "s3cret"),
        ("SERVICE_CSV_BOM", "s3cret"),
    ],
)
def test_a_bad_value_is_named_by_its_variable_and_never_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert name in caught.value.message
    assert "s3cret" not in caught.value.explained()
    assert "4711" not in caught.value.explained()


def test_settings_do_not_change_after_the_start() -> None:
    settings, _ = load()
    with pytest.raises(ValidationError):
        settings.keep_batches = 3


def test_every_setting_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_command_line_refuses_a_misspelt_variable_and_logs_an_unknown_one(house: House) -> None:
    refused = house.run("watch", "--once", keep_batchs="3")
    assert refused.code == 2
    assert "did you mean SERVICE_KEEP_BATCHES?" in refused.err
    assert not house.outbox.exists()
    warned = house.run("watch", "--once", account_name="x")
    assert warned.code == 0
    assert ("setting.ignored", "SERVICE_ACCOUNT_NAME") in [(e["event"], e.get("name")) for e in warned.events]
