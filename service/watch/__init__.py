"""The daemon: watch the inbox, claim what has settled, run its job, report."""
