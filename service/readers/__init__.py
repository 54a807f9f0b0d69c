"""Readers of CSV and JSON exports: bytes in, rows and rejects out; they know encodings, not tables."""
