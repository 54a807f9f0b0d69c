"""The proof of a set: its customers follow from its records, and its records from the archived inputs.

It is no second pipeline: what the batch has found is a certificate that is checked, and nothing of
``pipeline.matching``, which found it, is used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.documents import Manifest
from service.engine import open_engine
from service.engine.contract import DamagedFile, Engine
from service.errors import ServiceError
from service.files import fingerprint_of
from service.folders import REVIEW_QUEUE_FILE
from service.model import InputFile, Rules
from service.pipeline.parquet import RECORDS_FILE
from service.verify.findings import Proof
from service.verify.merges import merge_findings, unknown_steps
from service.verify.readings import reading_findings
from service.verify.replay import replay_findings
from service.verify.stated import Stated, read_stated
from service.verify.survivors import EVERY_WAY, Ways, customer_findings

_OTHER_RULES = "its values are not compared with its inputs: it was made by another version or with other settings"

_NOT_STATED = "is not proved: a former program weighed its evidence, and does not state what made its customers"
_NOT_WEIGHED = (
    " is not proved: weighed evidence made its customers. It was only checked that they follow from ids, decisions and"
    " the numbers `weighed`; numbers and weights are taken as stated"
)
_NO_INPUTS = "its values are not compared with its inputs: they are not in the archive"


@dataclass(frozen=True)
class Prover:
    """Proves sets of the integration.

    rules        those of now
    work_folder  where there is room for what does not fit into memory; None: where the system has temporary files
    """

    rules: Rules
    work_folder: Path | None = None
    memory_limit_mb: int = 512
    threads: int = 0

    def prove(self, folder: Path, shown: str, manifest: Manifest, archive: Path | None) -> Proof:
        """Prove the set in ``folder``; ``shown`` is what messages call it, ``archive`` the folder of its inputs."""
        if not (folder / RECORDS_FILE).exists():
            return Proof(
                notes=[f"{shown} is not proved: a former program made it, without {RECORDS_FILE}"], is_unproved=True
            )
        with (
            tempfile.TemporaryDirectory(dir=self.work_folder) as work,
            open_engine(Path(work), (folder,), memory_limit_mb=self.memory_limit_mb, threads=self.threads) as engine,
        ):
            try:
                return self._proved(_Set(folder, shown, manifest, archive), engine)
            except Exception as error:  # the engine raises errors of many kinds for a damaged file
                if isinstance(error, ServiceError) and not isinstance(error, DamagedFile):
                    raise
                return Proof([f"{shown} cannot be proved, a file in it is damaged: {type(error).__name__}"])

    def _proved(self, set_: _Set, engine: Engine) -> Proof:
        is_weighed = REVIEW_QUEUE_FILE in set_.manifest.files
        stated = read_stated(set_.folder, engine, is_weighed=is_weighed)
        if stated is None:
            return Proof(notes=[f"{set_.shown} {_NOT_STATED}"], is_unproved=True)
        is_of_these_rules = set_.manifest.rules_sha256 == self.rules.sha256
        ways = (Ways(self.rules.survivorship, self.rules.formula_escape),) if is_of_these_rules else EVERY_WAY
        found = (
            merge_findings(stated, set_.shown, engine)
            or replay_findings(stated, set_.shown, engine)
            or customer_findings(stated, ways, set_.folder, set_.shown, engine)
        )
        proof = Proof(found, [f"{set_.shown}{what}" for what in _not_proved(stated)], is_weighed)
        if not is_of_these_rules:
            proof.notes.append(f"{set_.shown}: {_OTHER_RULES}")
        elif inputs := set_.inputs(self.rules):
            proof.findings += reading_findings(stated, set_.manifest.batch_id, inputs, self.rules, set_.shown, engine)
        else:
            proof.notes.append(f"{set_.shown}: {_NO_INPUTS}")
        return proof


@dataclass(frozen=True)
class _Set:
    """A published set, and the folder of its archived inputs."""

    folder: Path
    shown: str
    manifest: Manifest
    archive: Path | None

    def inputs(self, rules: Rules) -> Sequence[InputFile]:
        """Its archived inputs in the order of their sources; none where one is not there."""
        sources = {source.name: source for source in rules.sources}
        stated = self.manifest.inputs
        if self.archive is None or not all(
            it.source in sources and (self.archive / it.file_name).is_file() for it in stated
        ):
            return ()
        paths = [self.archive / it.file_name for it in stated]
        return tuple(
            InputFile(sources[it.source], path, it.sha256, fingerprint_of(path), it.settle_proof)
            for it, path in zip(stated, paths, strict=True)
        )


def _not_proved(stated: Stated) -> Iterable[str]:
    """What a set does not state."""
    if stated.is_weighed:
        yield _NOT_WEIGHED
    if stated.lacks:
        yield ": made by a former program: phones and statuses are proved as far as it states them"
        if unknown := unknown_steps(stated):
            yield f": {unknown} records belong through an id that several rows have: their evidence is not proved"
