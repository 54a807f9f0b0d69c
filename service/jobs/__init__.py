"""The jobs: what can be made of a batch. A job is one source, one module with its ``Job``, and one line here.

``sync`` fetches an export; ``by_hand``, ``check`` and ``retry`` are the verbs on single files and batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.job_name import JobName
from service.jobs import analytics, integration
from service.jobs.job import Job
from service.model import Source
from service.settings import Settings

__all__ = ["JOBS", "WITH_REGISTER", "Job", "all_sources"]

JOBS: Mapping[JobName, Job[Any]] = {job.name: job for job in (integration.JOB, analytics.JOB)}
WITH_REGISTER: JobName = next(name for name, job in JOBS.items() if job.has_register)
"""The job whose sets have generations of the identity register."""


def all_sources(settings: Settings) -> list[Source]:
    """The sources of all jobs, those of one job in the order that decides ties."""
    return [source for job in JOBS.values() for source in job.sources(settings)]
