"""Runs the matcher ``safe`` on a batch.

Records that it finds to be one customer have the same number in the column ``weighed`` of KEYS. Records of one source
with the same id stay one customer. A shared address, phone or name links records of one customer only, so that reasons
and evidence are those of ``literal`` where they hold.

Source: docs/specification.md section 5
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from service.engine.contract import Engine, Table
from service.errors import TooManyRecords
from service.model import IDENTIFIER, QUESTION, DateOrder
from service.pipeline.matching.compared import Compared
from service.pipeline.matching.evidence_fields import extension, read_evidence
from service.pipeline.matching.literal import LiteralMatcher, links_by
from service.pipeline.matching.safe.matcher import Question, match_prepared
from service.pipeline.matching.safe.prepared import Texts, prepare

WEIGHED = "weighed"
"""The rule that links what no value alone links."""
_COLUMNS = {"name": "full_name", "email": "email", "phone": "phone_key"}
"""Field of the matcher -> column of RECORD."""
_AT_ONCE = 50_000
_BYTES_OF_A_RECORD, _BYTES_OF_A_FIELD = 800, 200
"""Measured: 1.4 KB with three fields, 2.5 KB with nine."""
_WITH_WEIGHED = f"select this.*, placed.number as {WEIGHED} from this join placed using (ordinal) order by ordinal"
_NOT_LINKING = ("email", "phone", "name")
_WITHIN = "case when {0} < 0 then -1 else min(ordinal) over (partition by group_id, {0}) end as {0}"


class WeighedMatcher(LiteralMatcher):
    """See ``Matcher``.

    ``evidence``: columns of the records beyond RECORD, as written; a date among them is read in ``date_order`` if its
    column does not show its own.
    """

    def __init__(
        self, evidence: Sequence[str] = (), date_order: DateOrder = "MDY", more: tuple[str, ...] = (WEIGHED,)
    ) -> None:
        super().__init__(more)
        self._evidence, self._date_order = tuple(evidence), date_order
        self._links = links_by(it for it in self.rules if it not in _NOT_LINKING)

    def with_rule(self, rule: str) -> WeighedMatcher:
        """See ``Matcher.with_rule``."""
        return WeighedMatcher(self._evidence, self._date_order, (WEIGHED, rule))

    def compare(self, records: Table, engine: Engine) -> Compared:
        """See ``Matcher.compare``; all records are in memory. Raises: TooManyRecords."""
        count, fields = records.count(), len(_COLUMNS) + len(self._evidence)
        size_bytes = count * (_BYTES_OF_A_RECORD + _BYTES_OF_A_FIELD * fields)
        with engine.lending(size_bytes) as limit_mb:
            if limit_mb:
                raise _too_many(count, size_bytes >> 20, limit_mb)
            found = match_prepared(prepare(self._fields(records)))  # what was read is released before pairs are found
        numbers = engine.text_table(("ordinal", "number"), _numbered(found.groups.tolist()))
        placed = numbers.derive("select ordinal::bigint as ordinal, number::bigint as number from this")
        numbers.release()
        literal = super().compare(records, engine).keys
        keys = literal.derive(_WITH_WEIGHED, placed=placed)
        for table in (placed, literal):
            table.release()
        return Compared(keys, _questions(found.questions, engine), found.weigh)

    def _fields(self, records: Table) -> Mapping[str, Texts]:
        """The fields that are compared, in the order of ordinals."""
        names = (*_COLUMNS.values(), "written_phone", *self._evidence)
        values = dict(zip(names, _columns(records, names), strict=True))
        found = {field: values[column] for field, column in _COLUMNS.items()}
        written = {name.replace(IDENTIFIER, "identifier.", 1): values[name] for name in self._evidence}
        extensions = list(map(extension, values["written_phone"], values["phone_key"]))
        return {**found, "phone_extension": extensions, **read_evidence(written, self._date_order)}

    def within_groups(self, keys: Table, groups: Table) -> Table:
        """See ``Matcher.within_groups``."""
        columns = ", ".join(_WITHIN.format(it) if it in _NOT_LINKING else it for it in self.rules)
        return keys.derive(
            f"select ordinal, {columns} from this join groups using (ordinal) order by ordinal", groups=groups
        )


def _too_many(records: int, arrays_mb: int, limit: int) -> TooManyRecords:
    return TooManyRecords(
        f"the matcher safe compares all records in memory, and {records} records do not fit",
        found=f"they need about {arrays_mb} MB beside what the engine needs; SERVICE_MEMORY_LIMIT_MB={limit} suffices",
        hint=f"set SERVICE_MEMORY_LIMIT_MB={limit} or more where there is so much memory, or "
        "SERVICE_MATCHING=literal; then retry the batch",
    )


def _columns(records: Table, names: Sequence[str]) -> list[list[str | None]]:
    """The values of each column, in the order of ordinals."""
    columns: list[list[str | None]] = [[] for _ in names]
    in_order = records.sorted("ordinal", f"select ordinal, {', '.join(names)} from this")
    for part in in_order.row_lists(names, _AT_ONCE):
        for column, values in zip(columns, zip(*part, strict=True), strict=True):
            column.extend(values)
    in_order.release()
    return columns


def _questions(asked: Sequence[Question], engine: Engine) -> Table:
    """QUESTION."""
    rows = (
        (str(rank), str(it.one), str(it.other), f"{it.weight:.2f}", it.evidence, it.against)
        for rank, it in enumerate(asked)
    )
    texts = engine.text_table(tuple(QUESTION), rows)
    numbers = ", ".join(f"{name}::bigint as {name}" for name in ("rank", "one", "other"))
    found = texts.derive(f"select {numbers}, weight, evidence, against from this")
    texts.release()
    return found


def _numbered(groups: list[int]) -> Iterator[tuple[str, str]]:
    return ((str(ordinal), str(group)) for ordinal, group in enumerate(groups))
