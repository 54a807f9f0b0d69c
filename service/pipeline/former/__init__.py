"""The keys that the register knows records by, by the rules before 26 November 2026.

Frozen: a register written by those rules is carried over to the present ones with both keys of every record. Nothing
else may use these modules.
"""
