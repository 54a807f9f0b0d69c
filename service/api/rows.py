"""Rows of the customers API: how one is written as JSON, and which rows are the same customer."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError, to_json

from service.model import NOT_IDS

KEY_BYTES = 8
_HAS_NO_ID = 1 << 8 * KEY_BYTES - 1
"""The bit of a key that marks a row without an id."""


def compact(value: Any) -> bytes:
    """Compact JSON; infinite numbers become null, unpaired surrogates a question mark."""
    try:
        return to_json(value, inf_nan_mode="null")
    except PydanticSerializationError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def has_id(row: Any) -> bool:
    """Whether a row has a usable id."""
    id_ = row.get("id") if isinstance(row, dict) else None
    return type(id_) in (int, str) and str(id_).strip() not in NOT_IDS  # not a bool, which is an int too


def key_of(row: Any) -> bytes:
    """The key of a row: eight bytes that identify it within a run.

    A hash of its id, or of the whole row if it has none; the first bit is set in the second case.
    """
    is_named = has_id(row)
    identity = f"id {str(row['id']).strip()}".encode("utf-8", "surrogatepass") if is_named else b"row " + compact(row)
    number = int.from_bytes(hashlib.blake2b(identity, digest_size=KEY_BYTES).digest(), "big")
    return (number & ~_HAS_NO_ID if is_named else number | _HAS_NO_ID).to_bytes(KEY_BYTES, "big")


def different_customers(keys: bytes, *, each_without_id: bool = False) -> int:
    """Number of different keys; ``each_without_id``: every row without an id counts, even if another is equal."""
    numbers = np.frombuffer(keys, dtype=f">u{KEY_BYTES}")
    if not each_without_id:
        return int(np.unique(numbers).size)
    is_without_id = numbers & np.uint64(_HAS_NO_ID) != 0
    return int(np.unique(numbers[~is_without_id]).size + np.count_nonzero(is_without_id))
