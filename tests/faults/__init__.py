"""Faults, injected one by one: kills and errors at every system call that changes something."""
