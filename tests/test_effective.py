"""Every setting is shown with its value and where it is written; a secret never."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.effective import EffectiveSetting, effective_settings
from service.settings import Settings, load

pytestmark = pytest.mark.usefixtures("bare")


def rows() -> dict[str, EffectiveSetting]:
    return {row.name: row for row in effective_settings(load()[0])}


def test_without_any_setting_all_are_defaults() -> None:
    found = rows()
    assert list(found) == list(Settings.model_fields)
    assert {row.origin for row in found.values()} == {"default"}
    assert (found["inbox"].value, found["csv_bom"].value, found["http_port"].value) == ("inbox", "false", "8080")
    assert (found["api_key"].value, found["api_url"].value, found["sources"].value) == ("unset", "unset", "unset")
    assert all(row.description and row.variable == f"SERVICE_{row.name.upper()}" for row in found.values())


def test_each_origin_is_named_in_the_order_in_which_it_counts(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    (bare / "service.toml").write_text(
        'keep_batches = 7\nthreads = 2\nmin_free_mb = 3\n[[sources]]\nname = "LOYALTY"\nfile = "loyalty-*.csv"\n'
        'preset = "plain"\n',
        encoding="utf-8",
    )
    (bare / "threads").write_text("3\n", encoding="utf-8")
    monkeypatch.setenv("SERVICE_THREADS_FILE", "threads")
    monkeypatch.setenv("service_Min_Free_Mb", "4")
    monkeypatch.setenv("SERVICE_MIN_FREE_MB_FILE", "threads")
    monkeypatch.setenv("SERVICE_INBOX", "")
    found = rows()
    for name, value, origin, written_as in (
        ("keep_batches", "7", "service.toml", "keep_batches"),
        ("threads", "3", "file", "SERVICE_THREADS_FILE"),
        ("min_free_mb", "4", "environment", "service_Min_Free_Mb"),
        ("inbox", "inbox", "default", ""),
        ("sources", "1 table", "service.toml", "sources"),
    ):
        row = found[name]
        assert (row.value, row.origin, row.written_as) == (value, origin, written_as)


@pytest.mark.parametrize("name", ["api_key", "token", "api_proxy"])
def test_a_secret_is_set_or_unset_wherever_it_is_written(
    name: str, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    secret = "http://me:QZJXQZJX@host:1" if name == "api_proxy" else "QZJXQZJX"
    (bare / "secret").write_text(secret, encoding="utf-8")
    for variable, value, origin in (("", secret, "environment"), ("_FILE", "secret", "file")):
        with monkeypatch.context() as patch:
            patch.setenv(f"SERVICE_{name.upper()}{variable}", value)
            assert (rows()[name].value, rows()[name].origin) == ("set", origin)
            assert "QZJX" not in str(rows())
    (bare / "service.toml").write_text(f'{name} = "{secret}"\n', encoding="utf-8")
    assert (rows()[name].value, rows()[name].origin) == ("set", "service.toml")
    assert "QZJX" not in str(rows())
