"""``verify --proof``: the prover of sets, with the rules of now, and a folder for what does not fit into its memory."""

from __future__ import annotations

from service.jobs.check import large_folder
from service.jobs.integration import rules_of
from service.settings import Settings
from service.verify.proof import Prover

_MOST_MB = 512
"""A proof may run beside a batch, which has the memory of the settings for itself."""


def prover(settings: Settings) -> Prover:
    """Proves sets that were made with these settings, values included, and the merges of all others."""
    return Prover(
        rules_of(settings),
        large_folder(settings),
        memory_limit_mb=min(settings.memory_mb, _MOST_MB),
        threads=settings.threads,
    )
