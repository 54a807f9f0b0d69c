"""Explanations: why records are one customer or not, what would part them, where each value comes from."""
