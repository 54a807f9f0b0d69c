"""The seam: relational work on tables, whatever the engine under it.

``contract`` says what an engine and a table can do; ``embedded`` does it on DuckDB; ``csv_file`` and
``json_file`` know what a delivered file is and read the awkward ones with care.
"""
