"""Benchmarks, as ratios: the service against reading and writing alone, a plain script, and other API clients."""
