"""The rules of each field: the definition in plain Python, and beside it the same rule in SQL.

``email``, ``phone``, ``name``, ``date``, ``status`` and ``source_id`` hold one field each:

    read_*           returns the value, or raises ``Unusable`` with the reason
    norm_*           returns the value or None
    trouble_*        returns the reason or None; of ``norm_*`` and ``trouble_*`` exactly one is None
    *_SQL, *_sql()   the same rule as a SQL expression on the field's column

``status``, of which no value is unusable, has ``read_*`` and the SQL only; ``source_id``, whose unusable values have
no reason, ``norm_*`` and the SQL only.

The SQL decides common shapes alone, some thirty times faster, and calls the Python function for all others;
``tests/test_normalise.py`` holds the two equal. So the functions are total (``norm_*`` and ``trouble_*`` raise
nothing, whatever the text), deterministic and idempotent: normalising a normalised value changes nothing.

Source: docs/specification.md section 4
"""

FEW_ROWS = 200
"""Up to so many rows, each value goes to its definition in Python: planning the SQL would take longer than that."""
