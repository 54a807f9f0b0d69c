"""Errors, sorted by what must happen next: refuse to start, quarantine, retry."""

from __future__ import annotations

from datetime import datetime


class ServiceError(Exception):
    """Something the service foresaw: what happened, where, and what to do now.

    The message never quotes a customer's value; ``where`` names file, line or column.
    """

    def __init__(self, message: str, *, hint: str, where: str = "", found: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.found = found

    @property
    def code(self) -> str:
        """The name of the error, as it stands in reason.json and in the logs."""
        return type(self).__name__

    def explained(self) -> str:
        """Several lines for a person: what, where, what was found, what to do."""
        parts = (("where", self.where), ("found", self.found), ("hint", self.hint))
        return "\n".join([f"{self.code}: {self.message}", *(f"  {k + ':':<7}{v}" for k, v in parts if v)])


def safe_text(error: BaseException) -> str:
    """What an error says, without a customer's value: the text of a foreign error may quote one (an SQL error does).

    A ServiceError gives its message; an OSError its class, the system's words and the file; any other its class.
    """
    if isinstance(error, ServiceError):
        return error.message
    if not isinstance(error, OSError):
        return type(error).__name__
    where = f": {error.filename}" if error.filename else ""
    return f"{type(error).__name__}: {error.strerror}{where}"


class UsageError(ServiceError):
    """What was asked for cannot be done: a path that does not exist, a name that is taken. Exit 2."""


class SettingsError(ServiceError):
    """A setting is misspelt or impossible: refuse to start. Exit 2."""


class InputError(ServiceError):
    """A delivered file is wrong: quarantine the batch, never retry it unasked."""


class UnreadableFile(InputError):
    """The file is not what its name says: empty, truncated, malformed, not a customer export."""


class MissingColumn(InputError):
    """A column the export cannot do without is not there."""


class DuplicateColumn(InputError):
    """Two columns of the export carry the same name, so neither can be trusted."""


class TooManyRejects(InputError):
    """So many rows could not enter that the file is probably a wrong one."""


class SuspiciousVolume(InputError):
    """The export has far fewer rows than that of the published set."""


class OutdatedBatch(InputError):
    """The pair is older than the published set and would turn the master back."""


class PoisonedBatch(InputError):
    """The process died over this batch again and again."""


class LastingFault(InputError):
    """A fault of the world outlasted every try; the files may be as they should be."""


class TransientError(ServiceError):
    """A fault of the world, not of the files: keep the batch and try again."""


class Interrupted(ServiceError):
    """The work was abandoned because the service was asked to stop."""


class UpstreamRejectedError(ServiceError):
    """The API will never answer as it is asked now: stop, and mend the settings. Exit 2."""


class RateLimitedError(ServiceError):
    """The API wants to be left alone for longer than we wait; what was got is kept. Exit 4."""

    def __init__(self, at: datetime) -> None:
        super().__init__(
            f"the API limits our rate: try again at {at:%Y-%m-%dT%H:%M:%SZ}",
            hint="run it again then: it resumes from here",
        )
        self.at = at
