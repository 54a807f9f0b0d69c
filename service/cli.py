"""The front door: verbs, exit codes and wiring. The only place that builds settings, prints and exits."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from service import __version__, logs
from service.errors import (
    InputError,
    Interrupted,
    RateLimitedError,
    ServiceError,
    SettingsError,
    TransientError,
    UpstreamRejectedError,
    UsageError,
)
from service.folders import Folders
from service.settings import Settings, load
from service.simulator import scenarios

DONE, FINDINGS, USAGE, WORLD, RATE_LIMITED, INTERRUPTED = 0, 1, 2, 3, 4, 130

_EPILOG = """\
exit codes: 0 done; 1 wrong content or findings; 2 usage, settings, a path that does not exist;
            3 a fault of the world, or incomplete and resumable; 4 rate-limited; 130 interrupted
settings:   environment variables SERVICE_*, or service.toml in the working folder; see README.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    asked = _parser().parse_args(arguments)
    logs.configure()
    try:
        settings, strangers = load()
        for name in strangers:
            logs.get().warning("setting.ignored", name=name)
        code: int = asked.run(asked, settings)
    except ServiceError as error:
        print(error.explained(), file=sys.stderr)
        return _exit_code(error)
    except OSError as error:
        print(f"{error.strerror or type(error).__name__}: {error.filename or ''}", file=sys.stderr)
        print("  hint:  see that the folder exists, has room, and may be written by this user", file=sys.stderr)
        return WORLD
    except Exception as error:  # noqa: BLE001  # a bug of ours: its traceback may quote a customer, so it is not shown
        logs.get().error("bug.found", error=error)
        print(f"an error nobody foresaw ({type(error).__name__}); the log line bug.found says where", file=sys.stderr)
        return WORLD
    except KeyboardInterrupt:
        print("interrupted; nothing was published by halves", file=sys.stderr)
        return INTERRUPTED
    return code


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
            return WORLD
        case _:
            return FINDINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Drop a CRM export and a shop export into a folder, collect one customer master.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"customer-integration-service {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace, Settings], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    one = verb("integrate", _integrate, "integrate one CRM export and one shop export, without an inbox")
    one.add_argument("crm", type=Path, metavar="CRM", help="the CRM export")
    one.add_argument("ecom", type=Path, metavar="ECOM", help="the shop export")
    one.add_argument("more", type=Path, nargs="*", metavar="FILE", help="exports of further sources, in their order")
    one.add_argument("--outbox", type=Path, required=True, metavar="DIR", help="where the results go")
    watch = verb("watch", _watch, "watch the inbox and work on every pair and every export of the API that arrives")
    watch.add_argument("--once", action="store_true", help="process what waits, then exit")
    again = verb("retry", _retry, "move a quarantined batch back into the inbox")
    again.add_argument("batch", metavar="BATCH", help="id of the batch: the name of its folder in the quarantine")
    again.add_argument("--accept", action="store_true", help="let it pass the guard that stopped it, once")
    proof = verb("verify", _verify, "recompute every hash of outbox and archive; name what is not as it was written")
    proof.add_argument("batch", nargs="?", metavar="BATCH", help="only this batch")
    proof.add_argument("--outbox", type=Path, metavar="DIR", help="a folder that integrate filled by hand")
    look = verb("check", _check, "tell what files are, how they are read and what is wrong with them; publish nothing")
    look.add_argument("files", type=Path, nargs="+", metavar="FILE", help="an export, whatever its name")
    verb("sync", _sync, "fetch every customer of the API and drop them into the inbox as one file")
    verb("healthcheck", _healthcheck, "exit 0 if the daemon is well or degraded, 1 if it fails or is silent")
    verb("demo", _demo, "show the whole story on a small sample, in a folder of its own")
    _describe_simulator(
        verb("simulate-api", _simulate_api, "play the customers API of a third party, troubles included")
    )
    return parser


def _describe_simulator(verb: argparse.ArgumentParser) -> None:
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.epilog = "scenarios:\n" + "\n".join(f"  {name:18} {text}" for name, text in scenarios.SCENARIOS.items())
    verb.add_argument("--host", default="127.0.0.1", help="where it listens (127.0.0.1)")
    verb.add_argument("--port", type=_between(0, 65535), default=9000, help="where it listens (9000); 0 = a free one")
    verb.add_argument("--api-key", default="demo", metavar="KEY", help="what x-api-key must be (demo)")
    verb.add_argument("--customers", type=_between(0, 10**9), default=12, metavar="N", help="how many there are (12)")
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="decides customers and troubles (0)")
    verb.add_argument("--per-page", type=_between(1, 100), default=6, metavar="N", help="where nobody says (6)")
    verb.add_argument("--scenario", default="", metavar="NAME[,NAME…]", help="what goes wrong (nothing)")
    verb.add_argument("--latency-ms", type=_between(0, 600_000), default=0, metavar="N", help="of every answer (0)")


def _between(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"not from {least} to {most}")
        return int(text)

    return number


def _local_now() -> datetime:
    return datetime.now(UTC).astimezone()


def _integrate(asked: argparse.Namespace, settings: Settings) -> int:
    from service.jobs import by_hand  # the engine is loaded by the verbs that need it: healthcheck must be quick

    summary = by_hand.integrate_files((asked.crm, asked.ecom, *asked.more), asked.outbox, settings, _local_now)
    print(
        f"{summary.records} records, {summary.duplicates} duplicates, {summary.customers} customers: "
        f"see {asked.outbox / 'customer_master.csv'}",
        file=sys.stderr,
    )
    return DONE


def _watch(asked: argparse.Namespace, settings: Settings) -> int:
    from service.watch import daemon

    return daemon.run(settings, _local_now, once=asked.once)


def _retry(asked: argparse.Namespace, settings: Settings) -> int:
    from service.jobs.retry import retry

    names = retry(asked.batch, settings, accept=asked.accept)
    print(f"moved back into {settings.inbox}: {', '.join(names)}", file=sys.stderr)
    return DONE


def _verify(asked: argparse.Namespace, settings: Settings) -> int:
    from service.jobs import JOBS
    from service.verify import verify

    folders = Folders(settings.inbox, settings.outbox, settings.state)
    if asked.outbox is not None:
        state = settings.state if "state" in settings.model_fields_set else asked.outbox / ".state"
        folders = Folders(None, asked.outbox, state)
    report = verify(folders, JOBS, asked.batch)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    print("\n".join(report.findings) or report.sentence)
    return FINDINGS if report.findings else DONE


def _check(asked: argparse.Namespace, settings: Settings) -> int:
    from service.jobs import check

    code = DONE
    for path in asked.files:
        file = check.check_file(path, settings, _local_now())
        told = [f"  note: {note}" for note in file.notes] + [f"  finding: {finding}" for finding in file.findings]
        print("\n".join([*file.lines, *(told or ["  nothing is wrong with it"])]))
        code = FINDINGS if file.findings else code
    return code


def _sync(asked: argparse.Namespace, settings: Settings) -> int:
    import asyncio

    from tqdm import tqdm

    from service.jobs import sync

    with tqdm(desc="sync", unit=" pages", delay=1, disable=None, leave=False) as bar:

        def advance(pages: int) -> None:
            bar.total = pages
            bar.update()

        synced = asyncio.run(sync.sync(settings, sync.SystemClock(_local_now), advance))
    print(f"{synced.customers} customers: delivered into {settings.inbox}", file=sys.stderr)
    return DONE


def _healthcheck(asked: argparse.Namespace, settings: Settings) -> int:
    from service import health
    from service.state import State

    if not State(settings.state).is_taken():
        print(f"failing: no daemon works with the state folder {settings.state}", file=sys.stderr)
        return FINDINGS
    verdict = health.judge(settings.state, datetime.now(UTC), stall_minutes=settings.stall_minutes)
    print(verdict.sentence, file=sys.stderr)
    return DONE if verdict.is_well else FINDINGS


def _demo(asked: argparse.Namespace, settings: Settings) -> int:
    from service import demo

    return int(demo.run(settings, print))


def _simulate_api(asked: argparse.Namespace, settings: Settings) -> int:
    from service.simulator import server as simulator
    from service.simulator.customers import World

    def tell(url: str) -> None:
        logs.get().info("simulator.started", port=urlsplit(url).port, customers=asked.customers, scenarios=names)
        print(f"listening on {url}", file=sys.stderr)

    names = scenarios.parse(asked.scenario)
    world = World(_local_now().astimezone(UTC).date(), asked.customers, asked.seed)
    terms = simulator.Terms(asked.api_key, asked.per_page, asked.latency_ms / 1000)
    try:
        simulator.serve(simulator.Simulator(world, names, terms, now=_local_now), asked.host, asked.port, tell)
    except OSError as error:
        hint = "choose another --port or --host; port 0 takes a free one"
        raise UsageError(f"cannot listen on {asked.host}:{asked.port}: {error.strerror}", hint=hint) from error
    return DONE
