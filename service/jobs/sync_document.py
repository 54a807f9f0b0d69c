"""The file that a sync writes: ``api_customers.json``, as bytes of the rows received."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from service.api.checkpoint import Checkpoint
from service.api.completeness import Complete
from service.api.rows import compact, has_id


def document(whole: Complete, checkpoint: Checkpoint, fetched_at: datetime) -> Iterator[bytes]:
    """The bytes of the file, in parts: its head, then the rows fetched since ``fetched_at``, in page order.

    Rows are unmodified; of equal rows the first is written, unless equal rows without an id are different customers.
    """
    head = {
        "fetched_at": f"{fetched_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "complete": whole.is_all,
        "customers": whole.customers,
        "pages": whole.pages,
    }
    yield json.dumps(head)[:-1].encode() + b', "data": ['
    bodies = checkpoint.bodies(whole.sweeps)
    if whole.rows != whole.customers:
        bodies = _distinct(bodies, keeps_equal_rows=whole.counts_equal_rows)
    separator = b"\n"
    for body in bodies:
        yield separator + body
        separator = b",\n"
    yield b"\n]}\n"


def _distinct(bodies: Iterable[bytes], *, keeps_equal_rows: bool) -> Iterator[bytes]:
    """Each different row once, as compact JSON; ``keeps_equal_rows``: of those without an id all."""
    seen: set[bytes] = set()
    for body in bodies:
        for row in json.loads(b"[" + body + b"]"):
            text = compact(row)
            digest = hashlib.blake2b(text, digest_size=16).digest()
            if digest not in seen or (keeps_equal_rows and not has_id(row)):
                seen.add(digest)
                yield text
