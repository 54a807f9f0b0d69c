"""The stages of the analytics export: API records and the published customer master in, ``sample_output.json`` out."""
