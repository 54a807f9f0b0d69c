"""The command line: verbs, exit codes and wiring. The only place that prints and exits.

Only the standard library is imported at the top: each verb imports what it needs. The health check runs every few
seconds and must not load an engine, nor the settings of all others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from service import __version__, commands
from service.errors import (
    InputError,
    Interrupted,
    RateLimitedError,
    ServiceError,
    SettingsError,
    TransientError,
    UpstreamRejectedError,
    UsageError,
    paths_of,
)
from service.phrases import counted
from service.printable import printable_lines
from service.raw_settings import command_prefix

if TYPE_CHECKING:
    from service.folders import Folders
    from service.settings import Settings

DONE, FINDINGS, USAGE, TRANSIENT, RATE_LIMITED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_EPILOG = """\
exit codes: 0 done; 1 wrong content or findings; 2 usage, settings, a path that does not exist;
            3 an environment fault, or incomplete and resumable; 4 rate-limited; 130 interrupted
settings:   environment variables SERVICE_*, or service.toml in the working folder; see docs/settings.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    _accept_any_text()
    commands.configure(command_prefix())
    options = parser_for(given).parse_args(given)
    try:
        code: int = options.run(options)
    except ServiceError as error:
        _print(error.explained(), file=sys.stderr)
        return _exit_code(error)
    except OSError as error:
        _print(f"{error.strerror or type(error).__name__}{paths_of(error)}", file=sys.stderr)
        _print(f"  hint:  {_hint_for(error)}", file=sys.stderr)
        return TRANSIENT
    except Exception as error:  # noqa: BLE001  # a bug: its traceback may quote a customer, so it is not shown
        _log_bug(error)
        _print(f"unexpected error ({type(error).__name__}): the log line bug.found says where", file=sys.stderr)
        return TRANSIENT
    except KeyboardInterrupt:
        _print("interrupted; no incomplete set was published", file=sys.stderr)
        return INTERRUPTED
    return code


def _hint_for(error: OSError) -> str:
    from service.sqlite import DamagedDatabase

    if isinstance(error, DamagedDatabase):
        return f"restore it from a backup; what else helps: {commands.command('doctor')}"
    return "check that the folder exists, has room, and may be written by this user"


def _print(text: str, file: TextIO | None = None) -> None:
    """Print lines that may contain names from outside. A line that cannot be written is dropped."""
    with suppress(OSError, ValueError):
        print(printable_lines(text), file=file, flush=True)


def _accept_any_text() -> None:
    """Let stdout and stderr escape what their encoding does not have, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _exit_code(error: ServiceError) -> int:
    match error:
        case SettingsError() | UsageError() | UpstreamRejectedError():
            return USAGE
        case RateLimitedError():
            return RATE_LIMITED
        case InputError():
            return FINDINGS
        case Interrupted():
            return INTERRUPTED
        case TransientError():
            return TRANSIENT
        case _:
            return FINDINGS


def _log_bug(error: Exception) -> None:
    from service import logs

    logs.configure()
    logs.get().error("bug.found", error=error)


def _settings() -> Settings:
    """The settings; logging is set up. Raises: SettingsError."""
    from service import logs
    from service.settings import load

    logs.configure()
    settings, unknown = load()
    commands.configure(settings.command)
    for name in unknown:
        logs.get().warning("setting.ignored", name=name)
    return settings


def _local_now() -> datetime:
    return datetime.now(UTC).astimezone()


# --------------------------------------------------------------------------------------------------- arguments


@dataclass(frozen=True)
class Verb:
    """One command: what it does in one line, the function that runs it, and its arguments."""

    name: str
    text: str
    run: Callable[[argparse.Namespace], int]
    """Returns the exit code."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: it knows the verb that they begin with, else every verb.

    It knows the arguments of each verb that occurs in them. To build every verb takes a tenth of the time of a health
    check.
    """
    parser = argparse.ArgumentParser(
        prog=commands.command(),
        description="Drop a CRM export and a shop export into a folder, collect one customer master.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"customer-integration-service {__version__}")
    named = [verb for verb in VERBS if verb.name in arguments[:1]]
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in named or VERBS:
        added = verbs.add_parser(verb.name, help=verb.text, description=verb.text)
        added.set_defaults(run=verb.run)
        if verb.name in arguments:
            verb.add_arguments(added)
    return parser


def _arguments_of_integrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("crm", type=Path, metavar="CRM", help="the CRM export")
    parser.add_argument("ecom", type=Path, metavar="ECOM", help="the shop export")
    parser.add_argument("more", type=Path, nargs="*", metavar="FILE", help="exports of further sources, in their order")
    parser.add_argument("--outbox", type=Path, required=True, metavar="DIR", help="where the results go")


def _arguments_of_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="process what waits, then exit")


def _arguments_of_retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("batch", metavar="BATCH", help="id of the batch: the name of its folder in the quarantine")
    parser.add_argument("--accept", action="store_true", help="let it pass the guard that stopped it, once")


def _arguments_of_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("batch", nargs="?", metavar="BATCH", help="only this batch")
    parser.add_argument("--proof", action="store_true", help="prove every merge and every value from the inputs, too")
    _argument_of_filled_outbox(parser)


def _arguments_of_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _argument_of_filled_outbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--outbox", type=Path, metavar="DIR", help="a folder that integrate filled by hand")


def _arguments_of_decide(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("same", "different"), help="the same customer, or different ones")
    parser.add_argument("left", metavar="A", help="a record, SOURCE:ID; or a unified id, for its kept record")
    parser.add_argument("right", metavar="B", help="another record")
    parser.add_argument("--note", default="", metavar="TEXT", help="why")
    _argument_of_author(parser)
    _argument_of_filled_outbox(parser)


def _arguments_of_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("asked", metavar="A", help="a customer by its unified id, or a record as SOURCE:ID")
    parser.add_argument("other", metavar="B", nargs="?", help="a second one: why are both one customer, or why not?")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    _argument_of_filled_outbox(parser)


def _argument_of_author(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", metavar="NAME", help="who decides (your login name)")


def _arguments_of_decisions(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show every decision")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    undoing = actions.add_parser("undo", help="undo decisions: they do not count any more")
    undoing.add_argument("numbers", type=_between(1, 10**9), nargs="+", metavar="NUMBER", help="number of a decision")
    exporting = actions.add_parser("export", help="write the decisions in force to a CSV file")
    importing = actions.add_parser("import", help="make every decision of a CSV file, or none")
    for action in (exporting, importing):
        action.add_argument("file", type=Path, metavar="FILE.csv", help="the CSV file")
    for action in (undoing, importing):
        _argument_of_author(action)
    for action in (listing, undoing, exporting, importing):
        _argument_of_filled_outbox(action)


def _arguments_of_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("unified_id", metavar="ID", help="a unified id, live or not, such as CUST042")
    parser.add_argument("--as-of", metavar="BATCH", help="up to this batch, not the last one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    _argument_of_filled_outbox(parser)


def _arguments_of_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="an export, under any name")


def _arguments_of_notify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--test", action="store_true", help="send one message to each recipient, then exit")


def _arguments_of_dashboard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--show-token", action="store_true", help="print the token that opens the page, then exit")


def _arguments_of_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder in which everything stays")


def _arguments_of_simulate_api(parser: argparse.ArgumentParser) -> None:
    from service.simulator.scenarios import SCENARIOS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "scenarios:\n" + "\n".join(f"  {name:18} {text}" for name, text in SCENARIOS.items())
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument(
        "--port", type=_between(0, 65535), default=9000, help="port to listen on (9000); 0 = a free one"
    )
    parser.add_argument("--api-key", default="demo", metavar="KEY", help="what x-api-key must be (demo)")
    parser.add_argument("--customers", type=_between(0, 10**9), default=12, metavar="N", help="their number (12)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides customers and faults (0)")
    parser.add_argument("--per-page", type=_between(1, 100), default=6, metavar="N", help="rows on a page (6)")
    parser.add_argument("--scenario", default="", metavar="NAME[,NAME…]", help="what goes wrong (nothing)")
    parser.add_argument("--latency-ms", type=_between(0, 600_000), default=0, metavar="N", help="delay of answers (0)")


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"not from {least} to {most}")
        return int(text)

    return number


# ------------------------------------------------------------------------------------------------------- verbs


def _integrate(options: argparse.Namespace) -> int:
    from service.jobs import by_hand

    settings = _settings()
    paths = (options.crm, options.ecom, *options.more)
    summary = by_hand.integrate_files(paths, options.outbox, settings, _local_now)
    _print(
        f"{counted(summary.records, 'record')}, {counted(summary.duplicates, 'duplicate')}, "
        f"{counted(summary.customers, 'customer')}: "
        f"see {options.outbox / 'customer_master.csv'}",
        file=sys.stderr,
    )
    return DONE


def _watch(options: argparse.Namespace) -> int:
    from service.watch import daemon

    settings = _settings()
    return daemon.run(settings, _local_now, once=options.once)


def _run(options: argparse.Namespace) -> int:
    from service.supervisor import supervise

    settings = _settings()
    if sys.stdout.isatty():
        _print(_welcome(settings))
    helpers = ["dashboard", *(["notify"] if settings.notify_urls else [])]
    started = {name: [sys.executable, "-m", "service", name] for name in ("watch", *helpers)}
    return supervise(
        started.pop("watch"), started, lambda line: _print(line, file=sys.stderr), stop_seconds=settings.stop_seconds
    )


def _welcome(settings: Settings) -> str:
    """What a person needs to know in the first minute."""
    from service.sources import sources_of

    needed = [source for source in sources_of(settings.sources) if source.is_required]
    names = " and ".join(source.file_name.replace("*", "") for source in needed)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http_host, settings.http_host)
    url = settings.page_url or (
        f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}" if settings.http_port else ""
    )
    return (
        f"watching  {settings.inbox.absolute()}\n"
        f"drop      {names}\n"
        f"results   {settings.outbox.absolute()}: customer_master.csv, duplicate_report.csv, integration_log.txt\n"
        f"page      {url or 'at a free port, which the log names'}\n"
        "stop      Ctrl-C\n"
    )


def _retry(options: argparse.Namespace) -> int:
    from service.jobs.retry import retry

    settings = _settings()
    moved = retry(options.batch, settings, accept=options.accept)
    _print(f"moved back into {settings.inbox}: {', '.join(moved.names)}", file=sys.stderr)
    if moved.left:
        _print(f"left in quarantine/{options.batch}, not files of the batch: {', '.join(moved.left)}", file=sys.stderr)
    return DONE


def _adopt(options: argparse.Namespace) -> int:
    from service.jobs.adopt import adopt_outbox

    settings = _settings()
    adopted = adopt_outbox(settings, _folders_of(options, settings))
    _print(adopted.sentence, file=sys.stderr)
    return DONE


def _folders_of(options: argparse.Namespace, settings: Settings) -> Folders:
    """The folders of the service, or those that ``integrate --outbox DIR`` filled."""
    from service.folders import Folders
    from service.jobs import by_hand

    if options.outbox is None:
        return Folders(settings.inbox, settings.outbox, settings.state)
    return by_hand.folders_of(options.outbox, settings)


def _verify(options: argparse.Namespace) -> int:
    from service.jobs import JOBS
    from service.jobs.proving import prover
    from service.verify import verify

    settings = _settings()
    prove = prover(settings).prove if options.proof else None
    report = verify(_folders_of(options, settings), JOBS, options.batch, prove)
    for note in report.notes:
        _print(f"note: {note}", file=sys.stderr)
    _print("\n".join(report.findings) or report.sentence)
    return FINDINGS if report.findings else DONE


def _decide(options: argparse.Namespace) -> int:
    from service.jobs import decide

    settings = _settings()
    author = decide.author(options.by, _local_now())
    folders = _folders_of(options, settings)
    _print(decide.decide(options.kind, (options.left, options.right), options.note, author, folders), file=sys.stderr)
    return DONE


def _decisions(options: argparse.Namespace) -> int:
    from service.jobs import decide

    settings = _settings()
    folders = _folders_of(options, settings)
    match options.action:
        case "list":
            _print(decide.listed_as_json(folders) if options.json else decide.listed(folders))
        case "export":
            _print(decide.export(options.file, folders), file=sys.stderr)
        case "undo":
            _print(decide.undo(options.numbers, decide.author(options.by, _local_now()), folders), file=sys.stderr)
        case "import":
            author = decide.author(options.by, _local_now())
            _print(decide.import_file(options.file, author, folders), file=sys.stderr)
    return DONE


def _explain(options: argparse.Namespace) -> int:
    from service.explanation import command

    folders = _folders_of(options, _settings())
    _print(command.explain(options.asked, options.other, folders, as_json=options.json))
    return DONE


def _history(options: argparse.Namespace) -> int:
    from service.jobs import id_history

    shown = id_history.as_json if options.json else id_history.as_text
    _print(shown(options.unified_id, options.as_of, _folders_of(options, _settings())))
    return DONE


def _doctor(options: argparse.Namespace) -> int:
    from service import doctor, logs

    logs.configure()
    report = doctor.examine(_local_now)
    _print(doctor.as_json(report) if options.json else doctor.as_text(report))
    return USAGE if report.has_wrong_settings else FINDINGS if report.failures else DONE


def _check(options: argparse.Namespace) -> int:
    from service.jobs import check

    settings = _settings()
    code = DONE
    for path in options.files:
        file = check.check_file(path, settings, _local_now())
        found = [f"  note: {note}" for note in file.notes] + [f"  finding: {finding}" for finding in file.findings]
        _print("\n".join([*file.lines, *(found or ["  nothing is wrong with it"])]))
        code = FINDINGS if file.findings else code
    return code


def _sync(options: argparse.Namespace) -> int:
    import asyncio

    from tqdm import tqdm

    from service.api.clock import SystemClock
    from service.jobs.sync import sync

    settings = _settings()
    with tqdm(desc="sync", unit=" pages", delay=1, disable=None, leave=False) as bar:

        def advance(pages: int) -> None:
            bar.total = pages
            bar.update()

        synced = asyncio.run(sync(settings, SystemClock(_local_now), advance))
    _print(f"{counted(synced.customers, 'customer')}: dropped into {settings.inbox}", file=sys.stderr)
    return DONE


def _dashboard(options: argparse.Namespace) -> int:
    from service.dashboard.web import server

    if options.show_token:
        _print(server.token_of(_settings()))
        return DONE
    server.serve(_settings(), _local_now, lambda line: _print(line, file=sys.stderr))
    return DONE


def _healthcheck(options: argparse.Namespace) -> int:
    from service import health
    from service.raw_settings import health_settings
    from service.state import State

    try:
        folder, stall_minutes = health_settings()
    except ValueError:
        settings = _settings()  # raises: it explains which value is impossible
        folder, stall_minutes = settings.state, settings.stall_minutes
    if not State(folder).is_taken():
        _print(f"failing: no watcher works with the state folder {folder}", file=sys.stderr)
        return FINDINGS
    result = health.judge(folder, datetime.now(UTC), stall_minutes=stall_minutes)
    _print(result.sentence, file=sys.stderr)
    return DONE if result.is_healthy else FINDINGS


def _notify(options: argparse.Namespace) -> int:
    from service import notify

    settings = _settings()
    if not options.test:
        notify.run(settings, _local_now)
        return DONE
    results = notify.send_test(settings)
    for recipient, has_arrived in results:
        result = "the message arrived" if has_arrived else "the message did not arrive: check its URL, and the network"
        _print(f"recipient {recipient.number} ({recipient.service}): {result}", file=sys.stderr)
    return DONE if all(has_arrived for _, has_arrived in results) else FINDINGS


def _demo(options: argparse.Namespace) -> int:
    from service import demo

    settings = _settings()
    return int(demo.run(settings, print, options.keep))


def _simulate_api(options: argparse.Namespace) -> int:
    from urllib.parse import urlsplit

    from service import logs
    from service.simulator import scenarios, server
    from service.simulator.customers import World

    _settings()
    names = scenarios.parse(options.scenario)

    def report_start(url: str) -> None:
        logs.get().info("simulator.started", port=urlsplit(url).port, customers=options.customers, scenarios=names)
        _print(f"listening on {url}", file=sys.stderr)

    world = World(_local_now().astimezone(UTC).date(), options.customers, options.seed)
    terms = server.Terms(options.api_key, options.per_page, options.latency_ms / 1000)
    simulator = server.Simulator(world, names, terms, now=_local_now)
    try:
        server.serve(simulator, options.host, options.port, report_start)
    except OSError as error:
        hint = "choose another --port or --host; port 0 takes a free one"
        raise UsageError(f"cannot listen on {options.host}:{options.port}: {error.strerror}", hint=hint) from error
    return DONE


VERBS = (
    Verb(
        "integrate",
        "integrate one CRM export and one shop export, without an inbox",
        _integrate,
        _arguments_of_integrate,
    ),
    Verb(
        "watch",
        "watch the inbox and process every batch of exports that arrives",
        _watch,
        _arguments_of_watch,
    ),
    Verb("run", "run watch and dashboard together, and notify where SERVICE_NOTIFY_URLS is set", _run),
    Verb("retry", "move a quarantined batch back into the inbox", _retry, _arguments_of_retry),
    Verb(
        "decide",
        "decide that two records are the same customer, or different ones; it counts from the next batch on",
        _decide,
        _arguments_of_decide,
    ),
    Verb("decisions", "list, undo, export or import decisions", _decisions, _arguments_of_decisions),
    Verb(
        "explain",
        "explain why records are one customer, what would split it, and where its values come from; or why two are not",
        _explain,
        _arguments_of_explain,
    ),
    Verb(
        "history",
        "list what happened to a unified id over the batches, and which customer it stands for",
        _history,
        _arguments_of_history,
    ),
    Verb(
        "verify",
        "recompute every hash of outbox, archive and quarantine; report what differs",
        _verify,
        _arguments_of_verify,
    ),
    Verb(
        "doctor",
        "try what the service does in its folders and on this machine; report what is wrong and how to mend it",
        _doctor,
        _arguments_of_doctor,
    ),
    Verb(
        "adopt",
        "rebuild a lost or old state from the sets of the outbox",
        _adopt,
        _argument_of_filled_outbox,
    ),
    Verb(
        "check",
        "report what files are, how they are read and what is wrong with them; publish nothing",
        _check,
        _arguments_of_check,
    ),
    Verb("sync", "fetch every customer of the API and drop them into the inbox as one file", _sync),
    Verb("dashboard", "serve the web page and the JSON API", _dashboard, _arguments_of_dashboard),
    Verb("healthcheck", "exit 0 if the watcher is ok or degraded, 1 if it is failing or silent", _healthcheck),
    Verb(
        "notify",
        "send a message when a batch fails, when the service is stuck, and when it has recovered",
        _notify,
        _arguments_of_notify,
    ),
    Verb("demo", "show every step on a small sample, in a folder of its own", _demo, _arguments_of_demo),
    Verb(
        "simulate-api",
        "serve a customers API like that of a third party, faults included",
        _simulate_api,
        _arguments_of_simulate_api,
    ),
)
