"""The Customer Integration Service: two exports go in, one customer master comes out.

The map of the house; imports run downhill only, and ``tests/test_architecture.py`` holds it so:

front door      ``cli`` (verbs, exit codes, wiring; the only place that prints), ``__main__``, ``container``
stories         ``watcher`` (the daemon), ``integrate`` (one claimed batch -> one published set)
rooms           ``inbox`` (settle, pair, claim, archive, quarantine), ``outbox`` (publish a set as one),
                ``register`` (which customer is which, over batches), ``pipeline`` (the five verbs),
                ``health`` (what the daemon says of itself)
the seam        ``engine`` (relational work on DuckDB; the only door to it)
ground floor    ``model`` · ``errors`` · ``settings`` · ``logs`` · ``files`` (durable file primitives)
"""

__version__ = "0.1.0"
