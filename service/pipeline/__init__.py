"""The stages of the integration: extract, normalise, match, survive, load. Each takes tables and returns tables."""
