"""The health check reads its two settings without the model of all, with the same result."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import raw_settings, settings
from service.errors import SettingsError

TOML = 'state = "from_toml"\nstall_minutes = 7\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, without any setting."""
    for name in ("STATE", "STALL_MINUTES"):
        monkeypatch.delenv(f"SERVICE_{name}", raising=False)
        monkeypatch.delenv(f"SERVICE_{name}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("toml", ["", TOML, 'inbox = "in"\n', "stall_minutes = 0.5\n", 'stall_minutes = "9"\n'])
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SERVICE_STATE": "from_variable"},
        {"SERVICE_STATE": "", "SERVICE_STALL_MINUTES": ""},
        {"SERVICE_STALL_MINUTES": "2.5"},
        {"SERVICE_STALL_MINUTES": " 2 "},
        {"service_state": "lower_case"},
        {"SERVICE_STATE_FILE": "secret"},
        {"SERVICE_STATE_FILE": "secret", "SERVICE_STATE": "from_variable"},
        {"SERVICE_STATE_FILE": ""},
    ],
)
def test_the_values_are_those_of_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, toml: str, variables: dict[str, str]
) -> None:
    if toml:
        (folder / "service.toml").write_text(toml, encoding="utf-8")
    (folder / "secret").write_text("from_file\n", encoding="utf-8")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    expected, _ = settings.load()
    assert raw_settings.health_settings() == (expected.state, expected.stall_minutes)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_an_impossible_value_is_left_to_the_settings_to_explain(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SERVICE_STALL_MINUTES", value)
    with pytest.raises(ValueError):
        raw_settings.health_settings()
    with pytest.raises(SettingsError, match="SERVICE_STALL_MINUTES"):
        settings.load()


@pytest.mark.parametrize("toml", ["state = 5\n", "state = true\n", "stall_minutes = []\n"])
def test_a_value_of_another_type_is_left_to_the_settings_to_explain(folder: Path, toml: str) -> None:
    (folder / "service.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ValueError):
        raw_settings.health_settings()
    with pytest.raises(SettingsError):
        settings.load()


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_STATE_FILE", "missing")
    with pytest.raises(SettingsError, match="SERVICE_STATE_FILE"):
        raw_settings.health_settings()
    monkeypatch.delenv("SERVICE_STATE_FILE")
    (folder / "service.toml").write_text("state = \n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"service\.toml cannot be read"):
        raw_settings.health_settings()
