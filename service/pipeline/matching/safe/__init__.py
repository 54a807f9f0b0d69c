"""The matcher ``safe``: evidence for and against a pair is weighed; nothing is trained, and nothing is configured.

``match`` takes the records as columns and returns groups, links and what a person should decide. The same records in
the same order give the same result, to the last bit.
"""
