"""Readers of CSV and JSON exports: they turn bytes into rows and rejects, without an engine."""
