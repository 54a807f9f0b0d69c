"""A private authority that signs certificates, with the openssl of the system."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


class Authority:
    """An authority in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.file = folder / "ca.pem"
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Private authority"),
            *("-keyout", "ca.key", "-out", "ca.pem"),
        )

    def context_for(self, host: str) -> ssl.SSLContext:
        """The server's side of TLS, with a certificate for this host."""
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", f"{host}.key", "-out", f"{host}.pem"),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{host}.pem", self._folder / f"{host}.key")
        return context

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self._folder, check=True, capture_output=True)
