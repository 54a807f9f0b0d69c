"""Each input is read whole three times: hashed at the claim, read by the engine, and hashed before the commit.

The bytes that the service reads from each input are counted with strace.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.injection import Run
from tests.required import needs_strace
from tests.small_batches import HEADER, NOON
from tests.worlds import CRM, ECOM, House

pytestmark = [pytest.mark.large, needs_strace]

ROWS = 1500
NOTE = "x" * 16_000
"""Makes files large, but not work."""
HEAD_BYTES = 6 << 20
"""Several looks at the first and the last megabyte do not count as a read of the whole file."""
CALLS = ("read", "pread64", "readv", "preadv", "preadv2", "sendfile", "copy_file_range")

_BEGUN = re.compile(r"^(\d+) +(?:\w+)\(\d+<([^>]*)>")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>")
_COUNT = re.compile(r"= (\d+)$")


def crm_file(*, first_row: str = "") -> bytes:
    rows = (f"C{number},Ann Lee,a{number}@x.org,,2024-01-01,active,{NOTE}\n" for number in range(ROWS))
    return (",".join((*HEADER, "notes")) + "\n" + first_row + "".join(rows)).encode()


def shop_customers() -> list[str]:
    return [json.dumps({"id": f"E{number}", "name": "Bob Ray", "notes": NOTE}) for number in range(ROWS)]


def bytes_read(lines: Sequence[str]) -> Counter[str]:
    """Name of a file -> number of bytes read from it, by all threads."""
    found: Counter[str] = Counter()
    unfinished: dict[str, str] = {}
    for line in lines:
        if begun := _BEGUN.match(line):
            unfinished[begun[1]] = Path(begun[2]).name
        thread = begun or _RESUMED.match(line)
        if thread and (count := _COUNT.search(line)) and thread[1] in unfinished:
            found[unfinished[thread[1]]] += int(count[1])
    return found


def read_counts(house: House, exports: dict[str, bytes]) -> dict[str, float]:
    """Name of an export -> how many times it is read whole, from the claim to the archive."""
    for name, content in exports.items():
        (house.inbox / name).write_bytes(content)
    ended, lines = Run(house, NOON, {}).under_strace("-y", "-s", "0", "-e", f"trace={','.join(CALLS)}")
    assert ended.code == 0
    assert [path.name for path in (house.inbox / "archive").glob("*/*")] != []
    read = bytes_read(lines)
    return {name: (read[name] - HEAD_BYTES) / len(content) for name, content in exports.items()}


def test_a_plain_export_is_read_three_times(tmp_path: Path) -> None:
    shop = ('{"customers": [' + ",\n".join(shop_customers()) + "]}\n").encode()
    counts = read_counts(House(tmp_path), {CRM: crm_file(), ECOM: shop})
    # The threads of the engine read a little beyond their parts.
    assert all(2 < count < 3.01 for count in counts.values()), counts


def test_json_lines_are_read_three_times_and_a_csv_that_the_engine_refuses_once_more(tmp_path: Path) -> None:
    ragged = crm_file(first_row="C0,Ann\n")
    counts = read_counts(House(tmp_path), {CRM: ragged, ECOM: "\n".join(shop_customers()).encode()})
    assert counts[ECOM] <= 3, counts
    assert counts[CRM] <= 4, counts


def test_a_packed_export_is_read_three_times(tmp_path: Path) -> None:
    exports = {f"{CRM}.gz": gzip.compress(crm_file(), 0, mtime=0), ECOM: b"[]"}
    assert read_counts(House(tmp_path), exports)[f"{CRM}.gz"] <= 3
