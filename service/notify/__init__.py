"""Notifications: a process of its own that reports by mail, chat or webhook what fails, is stuck or has recovered.

It reads the state folder only, so that it also reports a watcher that has died, or that has no network. Each cause is
sent once, also over restarts; texts have ids, codes and counts, and file names as health shows them.
"""

from service.notify.notifier import run, send_test

__all__ = ["run", "send_test"]
