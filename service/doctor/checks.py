"""The checks in their order, and the run of all of them: a check that raises is a finding, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from service import __version__, commands
from service.doctor import advice, cluster, events, folders, machine, port, service
from service.doctor.finding import Advice, Check, Examined, Finding, failed
from service.doctor.report import SETTINGS, DoctorReport
from service.effective import EffectiveSetting, effective_settings
from service.errors import ServiceError, SettingsError, safe_text
from service.folders import Folders
from service.printable import printable
from service.settings import Settings, load

CHECKS = (
    Check("user", folders.check_user),
    Check("inbox", partial(folders.check_folder, name="inbox")),
    Check("outbox", partial(folders.check_folder, name="outbox")),
    Check("state", partial(folders.check_folder, name="state")),
    Check("modes", folders.check_modes),
    Check("inbox renames", folders.check_inbox_renames),
    Check("outbox renames", folders.check_outbox_renames),
    Check("links", folders.check_links),
    Check("file systems", folders.check_file_systems),
    Check("locks", folders.check_locks),
    Check("file events", events.check_events),
    Check("free space", folders.check_space),
    Check("memory", machine.check_memory),
    Check("open files", machine.check_open_files),
    Check("clock", machine.check_clock),
    Check("port", port.check_port),
    Check("cluster", cluster.check_cluster),
    Check("belonging", service.check_belonging),
    Check("register", service.check_register),
    Check("decisions", service.check_decisions),
    Check("watcher", service.check_watcher),
)


def examine(clock: Callable[[], datetime], folder: Path = Path()) -> DoctorReport:
    """Check everything; ``folder`` may hold ``service.toml``. Nothing stays behind in the folders of the service."""
    started = clock()
    rows: tuple[EffectiveSetting, ...] = ()
    findings = [_finding("versions", machine.check_versions)]
    try:
        settings, unknown = load(folder)
        rows = effective_settings(settings, folder)
    except SettingsError as error:
        findings.append(_named(SETTINGS, failed(safe_text(error), Advice(error.hint))))
    else:
        commands.configure(settings.command)
        findings.append(_named(SETTINGS, service.settings_finding(rows, unknown)))
        findings += _examined(settings, clock)
    return DoctorReport(
        program_version=__version__,
        examined_at=started.isoformat(timespec="seconds"),
        findings=tuple(findings),
        settings=rows,
    )


def _examined(settings: Settings, clock: Callable[[], datetime]) -> list[Finding]:
    it = Examined(settings, Folders(settings.inbox, settings.outbox, settings.state), clock)
    with suppress(OSError):
        folders.remove_leftovers(it)
    ours = tuple(folders.roots(it).values())
    return [_finding(check.name, partial(check.run, it), ours) for check in CHECKS]


def _finding(name: str, run: Callable[[], Finding], ours: Sequence[Path] = ()) -> Finding:
    """The finding of one check, whatever happens in it; ``ours``: inbox, outbox and state."""
    try:
        found = run()
    except OSError as error:
        found = failed(safe_text(error), _way_out(error, ours))
    except ServiceError as error:
        found = failed(safe_text(error), Advice(error.hint))
    except Exception as error:  # noqa: BLE001  # a bug: its text may quote anything, so only its class is shown
        found = failed(f"the check itself failed ({safe_text(error)})", Advice("report it as a bug of the program"))
    return _named(name, found)


def _way_out(error: OSError, ours: Sequence[Path]) -> Advice:
    path = Path(error.filename) if isinstance(error.filename, str) else Path()
    try:
        return advice.mend(error, path, ours)
    except OSError:  # the path has gone, or cannot be seen either
        return Advice(f"check that {path} exists, has room, and may be written by user {advice.our_user()}")


def _named(name: str, finding: Finding) -> Finding:
    """The finding with its name, and with texts that can be printed."""
    return replace(
        finding,
        name=name,
        found=printable(finding.found),
        hint=printable(finding.hint),
        command=printable(finding.command),
    )
