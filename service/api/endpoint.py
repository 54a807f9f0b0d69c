"""Where the customers API is, and the limits of one request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Endpoint:
    """URL and key of the collection, and the limits of one request."""

    url: str
    key: str | None = field(repr=False)
    per_page: int
    request_seconds: float
    longest_wait_seconds: float
    max_response_bytes: int
    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Certificates to trust besides those of the system."""

    @property
    def path(self) -> str:
        """Path of the collection; safe to log."""
        return urlsplit(self.url).path

    @property
    def identity(self) -> str:
        """Hash of URL, page size and key.

        A checkpoint with another identity is not resumed: another key may see other customers.
        """
        return hashlib.sha256(f"{self.url} {self.per_page} {self.key}".encode()).hexdigest()

    @property
    def address(self) -> str:
        """Host and path, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
