"""The runbook has an entry for every code, and its page says the same."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from typing import get_args

import pytest

from service import commands
from service.cli import VERBS
from service.health_reasons import AlertCode, ReasonCode
from service.runbook import CODES, RunbookEntry, RunbookStep, entries, entry_of
from service.settings import Settings
from tests.worlds import ROOT

PAGE = ROOT / "docs" / "runbook.md"
_HEAD = """\
# Runbook

What to do about each reason that health gives: `codes` in `state/health.json` has the code of each. The last two are
noticed by others: by `healthcheck`, `/readyz`, alert rules and notifications. Nothing here loses an export.

Words in capitals are to be replaced: `INBOX`, `OUTBOX` and `STATE` by the three folders, the others by what the reason
names. In a container the commands of the service begin with `docker compose run --rm customer-integration`. Errors of
batches in quarantine are in [operating.md](operating.md#a-batch-in-quarantine).

<!-- Written from service/data/runbook.toml by: python -m tests.test_runbook -->

| code | health | |
|---|---|---|
"""
_PLACEHOLDERS = {"INBOX", "OUTBOX", "STATE", "BATCH", "FILE", "FOLDER", "NAME", "PID", "USER"}


def page() -> str:
    """The text of docs/runbook.md."""
    table = "".join(f"| [`{it.code}`](#{it.code}) | {it.state} | {it.title} |\n" for it in entries())
    return _HEAD + table + "".join(map(_section, entries()))


def _section(entry: RunbookEntry) -> str:
    steps = "".join(_step(number, step) for number, step in enumerate(entry.steps, 1))
    return f"\n## {entry.code}\n\n**{entry.title}.** {entry.means}\n\nMeanwhile: {entry.meanwhile}\n\n{steps}"


def _step(number: int, step: RunbookStep) -> str:
    code = f"\n\n   ```sh\n   {step.command}\n   ```\n" if step.command else ""
    return f"{number}. {step.text}{code}\n"


def test_the_page_is_written_from_the_runbook() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.test_runbook"


def test_every_code_has_one_entry_and_every_entry_a_code() -> None:
    assert tuple(entry.code for entry in entries()) == CODES


def test_a_code_of_a_newer_version_has_no_entry() -> None:
    assert entry_of("disk_low") is entries()[CODES.index("disk_low")]
    assert entry_of("solar_flare") is None


def _given_codes() -> Iterator[str]:
    """The codes that the code base gives to a ``HealthReason``, wherever it makes one."""
    for path in (ROOT / "service").rglob("*.py"):
        if path.name != "health_reasons.py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            yield from (it.value for it in ast.walk(tree) if isinstance(it, ast.Constant) and it.value in CODES)


def test_every_code_can_be_produced() -> None:
    assert set(get_args(ReasonCode)) == set(_given_codes()) - set(get_args(AlertCode))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.code)
def test_an_entry_says_what_is_lost_and_what_to_do(entry: RunbookEntry) -> None:
    assert entry.steps
    assert any(not step.text.startswith("If ") for step in entry.steps) or len(entry.steps) > 1
    for text in (entry.means, entry.meanwhile, *(step.text for step in entry.steps)):
        assert text[0].isupper()
        assert text.endswith(".")


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.code)
def test_the_commands_of_an_entry_exist(entry: RunbookEntry) -> None:
    verbs = {verb.name for verb in VERBS}
    for step in entry.steps:
        assert not (step.verb and step.shell)
        words = shlex.split(step.command)
        assert {word for word in re.findall(r"\b[A-Z]{3,}\b", step.command)} <= _PLACEHOLDERS
        assert not step.verb or words[3] in verbs
    settings = {f"SERVICE_{name.upper()}" for name in Settings.model_fields}
    named = re.findall(r"SERVICE_[A-Z_]+", f"{entry.means} {entry.meanwhile} {[step.text for step in entry.steps]}")
    assert set(named) <= settings


def test_commands_are_printed_as_they_are_typed_where_the_service_runs() -> None:
    step = RunbookStep(text="Retry it.", verb="retry --accept BATCH")
    commands.configure("docker compose run --rm customer-integration")
    try:
        assert step.command == "docker compose run --rm customer-integration retry --accept BATCH"
    finally:
        commands.configure(commands.DEFAULT)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
