"""The rules of each field: the definition in plain Python, and beside it the same rule in SQL.

``email``, ``phone``, ``name``, ``date``, ``status`` and ``source_id`` hold one field each. Every module has

    read_*      returns the value, or raises ``Unusable`` with the reason
    norm_*      returns the value or None
    trouble_*   returns the reason or None; of ``norm_*`` and ``trouble_*`` exactly one is None
    *_SQL       the same rule as a SQL expression on the field's column

The SQL decides common shapes alone, some thirty times faster, and calls ``norm_*`` for all others;
``tests/test_normalise.py`` holds the two equal. So the functions are total (``norm_*`` and ``trouble_*`` raise
nothing, whatever the text), deterministic and idempotent: normalising a normalised value changes nothing.

Source: docs/specification.md section 4
"""
