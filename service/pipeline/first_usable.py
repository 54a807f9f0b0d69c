"""First usable: where an export has several paths for a field, the first of them whose value can be used counts."""

from __future__ import annotations

from collections.abc import Mapping

from service.engine.contract import Table
from service.pipeline.fields.phone import RAW
from service.pipeline.origins import columns_of


def first_usable(rows: Table, path_counts: Mapping[str, int], normalised: Mapping[str, str]) -> Table:
    """The rows with one value for each field: the first that is usable, else the first.

    In:   rows         source · row_number · fields · for each field of ``path_counts`` its ``columns_of``
          path_counts  field -> number of its paths
          normalised   field -> SQL that normalises the column of that name; null if it cannot be used
    Out:  source · row_number · fields
    """
    for name, count in path_counts.items():
        rows = _chosen(rows, name, columns_of(name, count), normalised[name])
    return rows


def _chosen(rows: Table, name: str, values: list[str], normalised: str) -> Table:
    # Only rows with several values need the test, which may be slow: of others the column is null in it.
    several = " + ".join(f"case when {value} is null then 0 else 1 end" for value in values)
    sql = f"select *, {', '.join(f'{value} as value_{i}' for i, value in enumerate(values))} from this"
    sql = f"select *, {several} > 1 as has_several from ({sql})"
    dropped = ", ".join(values)
    sql = f"select * exclude ({dropped}) from ({sql})"
    for index in range(len(values)):
        tested = f"select *, case when has_several then value_{index} end as {name} from ({sql})"
        sql = f"select * exclude ({name}), {_is_usable(normalised)} as is_usable_{index} from ({tested})"
    usable = " ".join(f"when is_usable_{i} then value_{i}" for i in range(len(values)))
    first = ", ".join(f"value_{i}" for i in range(len(values)))
    helpers = ", ".join(["has_several", *(f"value_{i}, is_usable_{i}" for i in range(len(values)))])
    return rows.derive(f"select * exclude ({helpers}), case {usable} else coalesce({first}) end as {name} from ({sql})")


def _is_usable(normalised: str) -> str:
    """SQL: whether the value can be printed. (Digits that are only compared, ``RAW``, cannot.)"""
    return f"coalesce(not starts_with({normalised}, '{RAW}'), false)"
