"""A state that is older than its outbox is refused. Source: docs/specification.md section 2.

This happens after a backup was restored or the state was lost. Such a state does not know the numbers that were
published since, and would give them to other customers.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from service.adoption.published_sets import position_of, sets_in_order
from service.commands import command
from service.container import where_state_is
from service.errors import StateBehindOutbox
from service.job_name import JobName
from service.ledger import Ledger
from service.register import Register

NEW_IDS = "to begin with new ids, empty the outbox and the file .lock of the inbox"
"""The way out without any set."""


def refuse_older_state(state: Path, outbox: Path, ledger: Ledger, register: Register, job: JobName) -> None:
    """Compare the state with the sets of ``job`` in the outbox; nothing is written.

    An outbox that is empty, pruned or older than the state is no error, nor is a set whose generation is staged.

    Raises: StateBehindOutbox where the outbox has a later set than the state; OSError.
    """
    sets = sets_in_order(outbox, ledger, job)
    if not sets or register.has_generation(sets[-1].batch_id):
        return
    newest, current = sets[-1], register.published()
    if current is not None and newest.position < position_of(current.batch_id, sets, ledger):
        return
    known = f"the last batch that the state knows is {current.batch_id}" if current else "the state has no customers"
    raise StateBehindOutbox(
        f"the state folder {state} is older than the outbox {outbox}: "
        f"batch {newest.batch_id} is published there, and {known}",
        where=f"{state}, {newest.folder}",
        hint=f"restore the state from a newer backup; or run: {_adopt_command(state, outbox)}, which rebuilds the"
        f" register from the newest set of the outbox; or, {NEW_IDS}{where_state_is()}",
    )


def _adopt_command(state: Path, outbox: Path) -> str:
    """The command that adopts this outbox; a state within it is that of ``integrate``."""
    return command("adopt", *(("--outbox", shlex.quote(str(outbox))) if state.parent == outbox else ()))
