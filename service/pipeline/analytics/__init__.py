"""The verbs of the analytics export: API records and the master of that moment in, ``sample_output.json`` out."""
