"""A real nginx, of the Debian package, that serves pages of customers from files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.required import is_lacking

_START_SECONDS = 10.0


def nginx_program() -> str:
    """The path of nginx; see ``required`` where there is none."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        is_lacking("needs nginx: apt-get install nginx")
    return found


def write_pages(folder: Path, pages: int) -> None:
    """Write ``pages`` pages of two customers, and an empty one beyond."""
    folder.mkdir(parents=True)
    for number in range(1, pages + 2):
        ids = [2 * number - 1, 2 * number] if number <= pages else []
        rows = [{"id": id_, "email": f"customer.{id_}@example.com", "first_name": "A", "last_name": "B"} for id_ in ids]
        envelope = {"page": number, "per_page": 2, "total": 2 * pages, "total_pages": pages, "data": rows}
        (folder / f"{number}.json").write_text(json.dumps(envelope))


@contextmanager
def nginx_serving(folder: Path, http: str, server: str) -> Iterator[str]:
    """Run nginx with these lines in its http and server blocks, until the block ends; yields the URL of its root.

    In ``server``, ``PAGE`` stands for the lines that answer with the file of the requested page.
    """
    program, port = nginx_program(), _free_port()
    page = f"root {folder}; default_type application/json; rewrite ^ /pages/$arg_page.json break;"
    config = folder / "nginx.conf"
    config.write_text(
        f"user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {_own_folders(folder)}\n{http}\n"
        f"server {{ listen 127.0.0.1:{port};\n{server.replace('PAGE', page)}\n}} }}\n"
    )
    process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        _wait_until_open(port, process, folder / "error.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _own_folders(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_until_open(port: int, process: subprocess.Popen[bytes], error_log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"nginx does not start: {error_log.read_text() if error_log.exists() else 'no log'}")
