"""The report of ``doctor``: as a document for machines, and as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from service import documents
from service.commands import command
from service.doctor.finding import Finding
from service.effective import EffectiveSetting

SETTINGS = "settings"
"""The name of the check without which no other is possible."""


class DoctorReport(Struct, frozen=True, kw_only=True):
    """Everything that was checked, in order."""

    format: Literal[1] = 1
    program_version: str
    examined_at: str
    findings: tuple[Finding, ...]
    settings: tuple[EffectiveSetting, ...] = ()
    """Every setting; empty where one is wrong."""

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The checks that failed."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    @property
    def has_wrong_settings(self) -> bool:
        """Whether a setting is wrong, so that nothing else could be checked."""
        return any(finding.name == SETTINGS for finding in self.failures)


def as_json(report: DoctorReport) -> str:
    """The report as one JSON document."""
    return documents.to_text(report).rstrip("\n")


def as_text(report: DoctorReport) -> str:
    """The report as aligned lines: one for each check, its hints below it, and a last sentence."""
    width = max(len(finding.name) for finding in report.findings)
    firsts: dict[tuple[str, str], str] = {}  # advice -> the check below which it stands, once
    for finding in report.findings:
        firsts.setdefault((finding.hint, finding.command), finding.name)
    lines = [line for it in report.findings for line in _lines(it, width, firsts[it.hint, it.command])]
    written = [row for row in report.settings if row.origin != "default"]
    if written:
        names, values = (max(len(cell) for cell in column) for column in zip(*map(_cells, written), strict=True))
        lines += ["", "Settings that are written somewhere; all others have their defaults:"]
        lines += [f"      {row.variable:<{names}}  {row.value:<{values}}  {row.origin}" for row in written]
    return "\n".join([*lines, "", _last_sentence(report)])


def _cells(row: EffectiveSetting) -> tuple[str, str]:
    return row.variable, row.value


def _lines(finding: Finding, width: int, advised_at: str) -> Iterator[str]:
    yield f"{finding.status}  {finding.name:<{width}}  {finding.found}"
    indent = " " * (width + 8)
    if finding.hint and advised_at != finding.name:
        yield f"{indent}hint: as for {advised_at}, above"
        return
    if finding.hint:
        yield f"{indent}hint: {finding.hint}"
    if finding.command:
        yield f"{indent}run:  {finding.command}"


def _last_sentence(report: DoctorReport) -> str:
    again = command("doctor")
    if report.has_wrong_settings:
        return f"The settings are wrong, so nothing else was checked: correct them, then run {again} again."
    warnings = sum(finding.status == "warn" for finding in report.findings)
    noted = f", {warnings} to look at" if warnings else ""
    if report.failures:
        count = f"{len(report.failures)} of {len(report.findings)} checks failed{noted}"
        return f"{count}: do what stands below each, then run {again} again."
    return f"The service can work here: {len(report.findings)} checks, none failed{noted}."
