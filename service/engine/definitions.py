"""Definitions in Python that a connection of DuckDB can call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import duckdb
from duckdb.func import FunctionNullHandling, PythonUDFType


def create_function(
    connection: duckdb.DuckDBPyConnection, name: str, definition: Callable[..., Any], result: str
) -> None:
    """Make a definition callable from the SQL of a connection: text arguments, text or null out; null for a null."""
    # DuckDB counts the parameters of what it is given, so there is one wrapper for each number.
    wrappers: dict[int, Callable[..., Any]] = {
        1: lambda value: None if value is None else definition(value),
        2: lambda value, rule: None if value is None else definition(value, rule),
    }
    parameters = _parameters(definition)
    connection.create_function(
        name,
        wrappers[parameters],
        ["varchar"] * parameters,
        result,
        type=PythonUDFType.NATIVE,
        # "special": else DuckDB takes a null result for an error.
        null_handling=FunctionNullHandling.SPECIAL,
    )


@cache
def _parameters(definition: Callable[..., Any]) -> int:
    return len(inspect.signature(definition).parameters)
