"""The path of the customers in a JSON document: ``customers``, ``data.customers``, ``data.customers.edges[].node``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_PATH = re.compile(r"(?:\[\]|[^.\[\]\s][^.\[\]]*(?:\[\])*)(?:\.[^.\[\]\s][^.\[\]]*(?:\[\])*)*")


@dataclass(frozen=True)
class RowsPath:
    """Where the array of customers is, and where in its elements the customers are."""

    members: tuple[str, ...]
    """Names of members, from the document to the array; empty for the document itself."""
    inside: tuple[str, ...]
    """Names of members from an element to the customer; ``[]`` stands for every element of an array."""


def is_rows_path(text: str) -> bool:
    """Whether the text is a path that ``rows_path`` reads."""
    return _PATH.fullmatch(text) is not None


@cache
def rows_path(text: str) -> RowsPath:
    """The path that a text such as ``data.customers.edges[].node`` describes.

    >>> rows_path("data.customers.edges[].node")
    RowsPath(members=('data', 'customers', 'edges'), inside=('node',))
    >>> rows_path("pages[].customers")
    RowsPath(members=('pages',), inside=('customers',))
    """
    steps = re.findall(r"\[\]|[^.\[\]]+", text)
    array = steps.index("[]") if "[]" in steps else len(steps)
    return RowsPath(tuple(steps[:array]), tuple(steps[array + 1 :]))
