"""The site: what every page and action reads and uses, as one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from service.container import is_image
from service.dashboard.sets.scanned_rows import Scans
from service.dashboard.verification import Verifier
from service.folders import Folders, InboxFolders, OutboxFolders, StateFolders
from service.history import History
from service.jobs import all_sources
from service.masters.customer_sets import CustomerSets
from service.model import Source
from service.printable import printable
from service.settings import Settings
from service.sources import sources_of


@dataclass(frozen=True)
class Site:
    """One service as the dashboard sees it; the sample below ``/demo`` is another."""

    settings: Settings
    now: Callable[[], datetime]
    """The local time, with its zone."""
    is_sample: bool = False
    scans: Scans = field(default_factory=Scans, repr=False, compare=False)
    """What was counted in large files of sets."""

    @cached_property
    def folders(self) -> Folders:
        """Inbox, outbox and state."""
        return Folders(self.settings.inbox, self.settings.outbox, self.settings.state)

    @cached_property
    def inbox(self) -> InboxFolders:
        """The paths in the inbox."""
        return InboxFolders(self.settings.inbox)

    @cached_property
    def outbox(self) -> OutboxFolders:
        """The paths in the outbox."""
        return OutboxFolders(self.settings.outbox)

    def place_of(self, path: Path) -> str:
        """Where a user finds a path: absolute; of inbox and outbox in the image, where compose mounts it from."""
        if is_image() and not self.is_sample:
            for mounted, on_host in ((self.settings.inbox, Path("inbox")), (self.settings.outbox, Path("outbox"))):
                if path.is_relative_to(mounted):
                    return printable(f"./{on_host / path.relative_to(mounted)}")
        return printable(str(path.absolute()))

    @cached_property
    def state(self) -> StateFolders:
        """The paths in the state."""
        return StateFolders(self.settings.state)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The sources of all jobs, those of one job in the order that decides ties."""
        return tuple(all_sources(self.settings))

    @cached_property
    def history(self) -> History:
        """The former batches."""
        return History(self.folders)

    @cached_property
    def verifier(self) -> Verifier:
        """Verifies batches, one at a time."""
        return Verifier(self.folders, self.now)

    @cached_property
    def customer_sets(self) -> CustomerSets:
        """The published customer masters."""
        return CustomerSets(self.folders, self.history)

    @cached_property
    def required_sources(self) -> tuple[Source, ...]:
        """The sources without whose exports there is no customer master."""
        return tuple(source for source in sources_of(self.settings.sources) if source.is_required)
