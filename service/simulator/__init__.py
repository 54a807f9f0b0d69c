"""A customers API for development and tests, with the faults of real ones."""
