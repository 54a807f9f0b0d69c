"""Checks of the service itself: settings, watcher, and whether inbox, outbox and state belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from service import health
from service.adoption import refuse_older_state, sets_in_order
from service.commands import command
from service.container import is_image
from service.decisions import DecisionStore
from service.decisions.decision_file import DECISIONS_FILE
from service.doctor import advice
from service.doctor.finding import Advice, Examined, Finding, failed, passed, warned
from service.effective import EffectiveSetting
from service.errors import StateBehindOutbox, safe_text
from service.folders import InboxFolders
from service.jobs import WITH_REGISTER
from service.ledger import Ledger
from service.locks import Lock
from service.register import OPTIONAL_FILES, Register
from service.sqlite import DamagedDatabase
from service.state import State


def settings_finding(rows: Sequence[EffectiveSetting], unknown: Sequence[str]) -> Finding:
    """The finding for settings that could be read; ``unknown``: variables that look like settings and are none."""
    origins = Counter(row.origin for row in rows)
    written = [f"{count} from {origin}" for origin, count in origins.items() if origin != "default"]
    written.append(f"{origins['default']} defaults")
    found = f"{len(rows)} settings: {', '.join(written)}"
    if not unknown:
        return passed(found)
    hint = "remove them, unless the platform sets them for itself"
    undone = Advice(hint) if is_image() else Advice(hint, f"unset {' '.join(unknown)}")
    return warned(f"{found}; no settings, and ignored: {', '.join(unknown)}", undone)


def check_watcher(it: Examined) -> Finding:
    """A watcher works with the state, and its health is good."""
    state = State(it.settings.state)
    if not state.is_taken():
        return warned(f"no watcher works with {state.root}", advice.start())
    judged = health.judge(state.root, it.now, stall_minutes=it.settings.stall_minutes)
    again = Advice("do what docs/runbook.md says about each reason, then look again", command("healthcheck"))
    if not judged.is_healthy:
        return failed(f"a watcher works, but is {judged.sentence}", again)
    if judged.sentence != "ok":
        return warned(f"a watcher works and is {judged.sentence}", again)
    return passed(f"a watcher works with {state.root}, and is ok")


def check_belonging(it: Examined) -> Finding:
    """The state knows the newest set of the outbox, and the inbox belongs to it."""
    state, outbox, inbox = it.settings.state, it.settings.outbox, InboxFolders(it.settings.inbox)
    ledger = Ledger(state, outbox, it.settings.inbox)
    try:
        refuse_older_state(state, outbox, ledger, Register(state), WITH_REGISTER)
    except StateBehindOutbox as error:
        return failed(error.message, _adopt())
    try:
        known = State(state).known_id()
    except FileNotFoundError:
        known = ""
    try:
        owner = Lock(inbox.lock, locks=str(inbox.root), hint="").note()
    except FileNotFoundError:
        owner = ""
    if owner and owner != known:
        found = f"{inbox.root} belongs to another state than {state}"
        if sets_in_order(outbox, ledger, WITH_REGISTER):
            return failed(found, _adopt())
        hint = "use the SERVICE_STATE that it was first used with; or, if that is lost for good, begin with a new one"
        return failed(found, advice.shell(hint, "truncate", "-s", "0", inbox.lock))
    return passed(f"{inbox.root}, {outbox} and {state} belong together" if known else "no service has worked here yet")


def check_register(it: Examined) -> Finding:
    """The register has every file of the generation in force."""
    register = Register(it.settings.state)
    published, missing = register.published(), register.missing_files()
    if published is None:
        return passed("no customer has an id yet")
    generation = f"the register of batch {published.batch_id}"
    if lost := sorted(set(missing) - OPTIONAL_FILES):
        return failed(f"{generation} has lost {', '.join(lost)}", advice.rebuild_register(register.folder))
    if not register.is_logged():
        hint = "stop the service, and rebuild it from the sets; without that it begins again with the next batch"
        return warned(f"{generation} is there, but its log of identities is lost", Advice(hint, command("adopt")))
    if missing:
        return passed(f"{generation} is of a former version: customers that were merged so far stay merged")
    return passed(f"{generation} has all of its files")


def check_decisions(it: Examined) -> Finding:
    """What people decided can be read."""
    store = DecisionStore(it.settings.state)
    try:
        return passed(f"decisions in force: {len(store.in_force())}")
    except DamagedDatabase as error:
        ledger = Ledger(it.settings.state, it.settings.outbox, it.settings.inbox)
        sets = sets_in_order(it.settings.outbox, ledger, WITH_REGISTER)
        listed = [published.folder / DECISIONS_FILE for published in sets[-1:]]
        return failed(safe_text(error), advice.decide_again(store.path, [path for path in listed if path.exists()]))


def _adopt() -> Advice:
    hint = "stop the service, and restore a newer backup of the state; or rebuild it from the newest set of the outbox"
    return Advice(hint, command("adopt"))
