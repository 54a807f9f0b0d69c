"""The five verbs: tables in, tables out."""
