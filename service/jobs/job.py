"""The definition of a job as one value. ``service.jobs.JOBS`` lists them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from service.engine.contract import Engine
from service.job_name import JobName
from service.jobs.checked import Checked
from service.journal import Journal
from service.model import Batch, Source, Summary
from service.outbox import FlatFiles
from service.publication import Publication
from service.settings import Settings
from service.verify.snapshot import CheckSet

R = TypeVar("R")
"""The user's decisions about a job."""


@dataclass(frozen=True)
class Job(Generic[R]):
    """What can be made of a batch, and how."""

    name: JobName
    """In documents, in the ledger and in ``Source.job``."""
    sources: Callable[[Settings], Sequence[Source]]
    """The sources whose exports it takes, in the order that decides ties."""
    rules: Callable[[Settings], R]
    stages: Mapping[str, int]
    """The stages that ``build`` reports, in order -> statements that each gives to the engine, of about equal weight.

    They decide how evenly the progress of a batch rises. 0: the stage itself says which part of it has begun.
    """
    build: Callable[[Batch, R, Engine, Publication, Journal], Summary]
    """Turn a claimed batch into a committed set."""
    flat_files: FlatFiles
    check: Callable[[Batch, R, Engine, Path], Checked]
    """Read the one export of a batch as ``build`` would, and report on it (``check FILE``); Path: a work folder."""
    check_set: CheckSet
    """Compare the contents of a published set with the counts in its manifest (``verify``)."""
    has_register: bool = False
    """Whether each set has a generation of the identity register; there is one register, so for one job only."""
