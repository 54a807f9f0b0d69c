"""Link weights: what weighed evidence says of the links by which a set explains its customers. One row per record."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from service.engine.contract import Engine, IntArray, Table
from service.pipeline.matching.compared import Weigh

# A link between two that weighed evidence did not make one customer, but an id or a decision, has no weight.
_PAIRS = """
    select this.ordinal, this.via
    from this
    join keys as one on one.ordinal = this.ordinal
    join keys as other on other.ordinal = this.via
    where one.weighed = other.weighed
"""
_OF_RECORDS = """
    select this.ordinal, this.weighed, weights.weight, weights.parts
    from this left join weights on weights.ordinal::bigint = this.ordinal
"""


def link_weights(evidence: Table, keys: Table, weigh: Weigh, engine: Engine) -> Table:
    """The links of removed records, weighed.

    In:     evidence   EVIDENCE
            keys       KEYS as the matcher found them, before decisions keep groups apart
    Out:    LINK_WEIGHT, one row per record
    """
    in_order = evidence.derive(_PAIRS, keys=keys).sorted("ordinal")
    ordinal, via = _integers(in_order)
    in_order.release()
    texts = zip(map(str, ordinal.tolist()), weigh(ordinal, via), strict=True)
    weights = engine.text_table(("ordinal", "weight", "parts"), ((it, *text) for it, text in texts))
    found = keys.derive(_OF_RECORDS, weights=weights)
    weights.release()
    return found


def _integers(pairs: Table) -> Iterator[IntArray]:
    """Ordinal and via of all pairs."""
    nothing = np.empty(0, np.int64)
    parts = [(nothing, nothing), *pairs.integer_chunks("ordinal", "via")]
    return map(np.concatenate, zip(*parts, strict=True))
