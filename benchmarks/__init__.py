"""How fast, in ratios: the service against what merely reading and writing costs, and against a plain script."""
