"""The Customer Integration Service: two exports go in, one customer master comes out.

The map of the house; imports run downhill only, and ``tests/test_architecture.py`` holds it so:

front door      ``cli`` (verbs, exit codes, wiring; the only place that prints), ``__main__``, ``container``,
                ``daemon`` (signals), ``demo``
stories         ``watcher`` (the daemon), ``by_hand`` (two named files), ``verify`` (is all as it was written?),
                ``batch_runner`` (what a batch needs), ``integrate`` (one claimed batch -> one published set)
rooms           ``inbox`` (settle, pair, claim, archive, quarantine), ``outbox`` (publish a set as one),
                ``register`` (which customer is which, over batches), ``pipeline`` (the five verbs),
                ``ledger`` (what happened), ``health`` (what the daemon says of itself), ``state``, ``wake``,
                ``api`` (the customers API of a third party)
the seam        ``engine`` (relational work on DuckDB; the only door to it)
ground floor    ``model`` · ``errors`` · ``settings`` · ``logs`` · ``files`` (durable file primitives) · ``suffixes``
"""

__version__ = "0.1.0"
