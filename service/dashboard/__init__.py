"""The dashboard: web pages and a JSON API over outbox, ledger and health, in a process of its own."""
