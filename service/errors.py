"""Errors, sorted by what must happen next: refuse to start, quarantine, retry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from service.printable import printable


class ServiceError(Exception):
    """An expected error: what happened, where, what was found there, and what to do now.

    The message never quotes a customer's value; ``where`` names file, line or column.
    """

    def __init__(self, message: str, *, hint: str, where: str = "", found: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.found = found

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it with all of its parts: another process may raise it as it is."""
        return _made, (type(self), self.args), self.__dict__

    @property
    def code(self) -> str:
        """The name of the error in reason.json and in the logs: that of its class."""
        return type(self).__name__

    def explained(self) -> str:
        """Several printable lines for a person: what, where, what was found, what to do."""
        parts = (("where", self.where), ("found", self.found), ("hint", self.hint))
        lines = [f"{self.code}: {self.message}", *(f"  {k + ':':<7}{v}" for k, v in parts if v)]
        return "\n".join(map(printable, lines))


def _made(kind: type[ServiceError], args: tuple[str, ...]) -> ServiceError:
    """An error whose parts are set later."""
    return kind.__new__(kind, *args)


def safe_text(error: BaseException) -> str:
    """The text of an error without a customer's value, which the message of a library may quote (an SQL error does).

    A ServiceError gives its message; an OSError its class, the system's words and the file; any other its class.
    The text is printable.
    """
    if isinstance(error, ServiceError):
        return printable(error.message)
    if not isinstance(error, OSError):
        return type(error).__name__
    return printable(f"{type(error).__name__}: {error.strerror}{paths_of(error)}")


def paths_of(error: OSError) -> str:
    """The file of an error, of a failed rename both source and target; empty where there is none."""
    if not error.filename:
        return ""
    return f": {error.filename} -> {error.filename2}" if error.filename2 else f": {error.filename}"


class UsageError(ServiceError):
    """The command cannot be carried out: a path that does not exist, a name that is taken. Exit 2."""


class SettingsError(ServiceError):
    """A setting is misspelt or impossible: refuse to start. Exit 2."""


class StateBehindOutbox(SettingsError):
    """The outbox has later sets than the state: to go on would give published numbers to other customers."""


class InputError(ServiceError):
    """An input file is wrong: quarantine the batch; only a user retries it."""


class UnreadableFile(InputError):
    """The file is not what its name says: empty, truncated, malformed, not a customer export."""


class MissingColumn(InputError):
    """A required column is missing."""


class DuplicateColumn(InputError):
    """Two columns of the export have the same name, so it is not known which one counts."""


class TooManyRejects(InputError):
    """So many rows are rejects that the file is probably a wrong one."""


class SuspiciousVolume(InputError):
    """The export has far fewer rows than that of the published set."""


class LostColumn(InputError):
    """No row of an export has a field that the rows of the published set had."""


class ChangedIds(InputError):
    """Most ids of an export are others than those of the published set."""


class TooManyRecords(InputError):
    """The matcher compares all records in memory, and so many do not fit."""


class OutdatedBatch(InputError):
    """The batch is older than the published set and would replace the master by an earlier one."""


class PoisonedBatch(InputError):
    """The process died repeatedly while it worked on this batch."""


class LastingFault(InputError):
    """An environment fault outlasted every retry; the files may be correct."""


class TransientError(ServiceError):
    """An environment fault, not one of the files: keep the batch and try again."""


class Interrupted(ServiceError):
    """The work was abandoned because the service was asked to stop."""


class UpstreamRejectedError(ServiceError):
    """The API rejects the request and would reject a retry: a setting must be corrected. Exit 2."""


class RateLimitedError(ServiceError):
    """The API requests a pause longer than allowed; the pages received are kept. Exit 4."""

    def __init__(self, at: datetime) -> None:
        super().__init__(
            f"the API limits our rate: try again at {at:%Y-%m-%dT%H:%M:%SZ}",
            hint="run it again then: it resumes from here",
        )
        self.at = at
