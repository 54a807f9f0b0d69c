"""The clients that the sync is compared with: the usual loop, and the REST client of dlt.

``python -m benchmarks.api_clients requests|dlt|dlt-hurried URL PER_PAGE OUT``
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HEADERS = {"x-api-key": "demo"}
QUIET = {"RUNTIME__DLTHUB_TELEMETRY": "false"}
"""Environment in which dlt sends no telemetry."""


def need_dlt() -> None:
    """End the benchmark if dlt is not installed."""
    if find_spec("dlt") is None:
        raise SystemExit("dlt is not installed; run: make peers")


def loop(url: str, per_page: int) -> list[Any]:
    """Read one page after the other, up to the last that the API states."""
    import requests

    rows: list[Any] = []
    page = 1
    with requests.Session() as session:
        session.headers.update(HEADERS)
        while True:
            response = session.get(url, params={"page": page, "per_page": per_page}, timeout=30)
            response.raise_for_status()
            envelope = response.json()
            rows += envelope["data"]
            if page >= envelope["total_pages"]:
                return rows
            page += 1


def dlt_client(url: str, per_page: int, *, is_hurried: bool = False) -> list[Any]:
    """Read with dlt, with its retries and defaults; ``is_hurried``: with waits of at most two seconds."""
    from dlt.sources.helpers.requests import Client
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator

    client = RESTClient(
        url,
        headers=HEADERS,
        paginator=PageNumberPaginator(base_page=1, total_path="total_pages"),
        data_selector="data",
        session=_hurried(Client) if is_hurried else None,
    )
    return [row for page in client.paginate("", params={"per_page": per_page}) for row in page]


def _hurried(client: Any) -> Any:
    return client(raise_for_status=False, request_backoff_factor=0.1, request_max_retry_delay=2).session


def main(client: str, url: str, per_page: int, out: Path) -> None:
    """Read the collection with one of them and write one JSON file."""
    if client == "requests":
        rows = loop(url, per_page)
    else:
        rows = dlt_client(url, per_page, is_hurried=client == "dlt-hurried")
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"data": rows}, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
