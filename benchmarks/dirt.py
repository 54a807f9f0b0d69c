"""The cost of dirty values: seconds of the normalise stage for clean exports and for exports of mixed quality.

Clean values have the formats that most systems write. In the mixed exports three rows in ten have at least one value of
another format, and a quarter of the other values of such a row are dirty as well. Both are about the same people, and
are normalised in turn in one process, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from service.engine import open_engine
from service.files import fingerprint_of
from service.model import CRM, ECOM, Batch, Guards, InputFile, Rules, Source
from service.pipeline.extract import extract
from service.pipeline.normalise import normalise

DIRTY_ROWS = 0.3
DIRTY_BESIDES = 0.25
_MEMORY_LIMIT_MB = 4000

Write = Callable[[random.Random, int], str]


def report(records: int, rounds: int) -> None:
    """Measure and print one table."""
    with tempfile.TemporaryDirectory() as name:
        folders = {"clean": Path(name, "clean"), "mixed": Path(name, "mixed")}
        for quality, folder in folders.items():
            folder.mkdir()
            write_pair(folder, records, DIRTY_ROWS if quality == "mixed" else 0)
        runs: dict[str, list[tuple[float, float]]] = {quality: [] for quality in folders}
        for _ in range(rounds):
            for quality, folder in folders.items():
                runs[quality].append(_seconds_to_normalise(folder))
    seconds, cpu_seconds = (
        {quality: statistics.median(run[clock] for run in runs[quality]) for quality in folders} for clock in (0, 1)
    )
    print(f"{records} records, {DIRTY_ROWS:.0%} of the mixed ones dirty, median of {rounds} rounds")
    print(f"{'':10}{'seconds':>10}{'mixed / it':>12}{'CPU seconds':>14}{'mixed / it':>12}")
    for quality in folders:
        ratio, cpu_ratio = seconds["mixed"] / seconds[quality], cpu_seconds["mixed"] / cpu_seconds[quality]
        print(f"{quality:10}{seconds[quality]:10.2f}{ratio:12.2f}{cpu_seconds[quality]:14.2f}{cpu_ratio:12.2f}")


def _seconds_to_normalise(folder: Path) -> tuple[float, float]:
    """Elapsed seconds and CPU seconds; the second hardly depends on the load of the machine."""
    inputs = (_input(CRM, folder / "crm_customers.csv"), _input(ECOM, folder / "ecommerce_customers.json"))
    batch = Batch("bench", datetime.now(UTC), inputs)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    with open_engine(work, memory_limit_mb=_MEMORY_LIMIT_MB) as engine:
        extracted = extract(batch, Guards(), engine)
        started, cpu_started = time.perf_counter(), time.process_time()
        normalise(extracted, Rules(), engine)
        return time.perf_counter() - started, time.process_time() - cpu_started


def _input(source: Source, path: Path) -> InputFile:
    return InputFile(source, path, "not hashed", fingerprint_of(path), settle_proof="given")


# ----------------------------------------------------------------------------------------------- clean values

_FIRST = ("John", "Mary", "Jane", "Alice", "Peter", "Anna", "Juan", "Chloé", "Søren", "Jean-Luc")
_LAST = ("Smith", "Doe", "Wilson", "Brown", "O'Brien", "McDonald", "García", "Müller", "Lee", "Nguyen")
_CLEAN_PHONES = ("({}) {}-{}", "+1-{}-{}-{}", "{}.{}.{}", "{}{}{}", "1{}{}{}", "{}-{}-{}", "+1 {} {} {}")


def _letters(number: int) -> str:
    return "".join(chr(97 + number // 26**power % 26) for power in range(4))


def _words(person: int) -> tuple[str, str]:
    return (
        _FIRST[person % len(_FIRST)] + _letters(person),
        _LAST[person // 13 % len(_LAST)] + _letters(person // 7),
    )


def _clean_name(r: random.Random, person: int) -> str:
    return " ".join(_words(person))


def _clean_email(r: random.Random, person: int) -> str:
    return f"{_letters(person)}.{person}@example.com"


def _clean_phone(r: random.Random, person: int) -> str:
    area, exchange, line = 200 + person % 700, 200 + person // 700 % 700, f"{person // 490_000 % 10_000:04d}"
    return r.choice(_CLEAN_PHONES).format(area, exchange, line)


def _clean_date(r: random.Random, person: int) -> str:
    return f"{2015 + person % 10}-{1 + person // 10 % 12:02}-{1 + person // 120 % 28:02}"


# ----------------------------------------------------------------------------------------------- dirty values

_FOREIGN_FIRST = ("łukasz", "NGUYỄN", "Željko", "ÁNGEL", "иван", "ΓΙΩΡΓΟΣ", "Zoe\u0308", "MĂDĂLINA", "J. R.", "王小明")
_FOREIGN_LAST = ("żółć", "VĂN", "Đorđević", "DE LA CRUZ", "петров", "ΠΑΠΑΣ", "van der Berg", "ȘTEFAN", "TOLKIEN III")
_DIRTY_NAMES = ("{0} {1}", "{3}, {2}", "  {2}   {3} ", "{2} van {3}", "{2} {3} Jr.", "{2} J. {3}", "{2} {1}")
_DIRTY_EMAILS = (
    "mailto:{0}",
    "Jane Doe <{0}>",
    " {0} ",
    "o'neil.{0}",
    "zoë.{0}",
    "MAILTO:{0}?subject=Hello",
    "{1}@",
    "{1}",
)
_DIRTY_PHONES = (
    "+44 20 7{1}{2}",
    "+49 (0)30 {1}{2}",
    "+33 1 {0:.2} {1:.2} {2:.2} {2:.2}",
    "011 44 20 7{1} {2}",
    "0044207{1}{2}",
    "44207{1}{2}",
    "({0}) {1}-{2} x12",
    "{0}-{1}-{2} ext. 5",
    "{1}-{2}",
    "1-{1}-{2}",
    "{0}{1}{2}.0",
    "{0}-{1}-{2} / {0}-{1}-{2}",
    "'+1 {0} {1} {2}",
    "N/A",
    "call me",
)
_DIRTY_DATES = (
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "{m}/{day}/{year} 2:30 PM",
    "{m}/{day}/{short}",
    "{day:02}.{m:02}.{year}",
    "{year}-{m:02}-{day:02} 10:{day:02}:00",
    "{year}-{m:02}-{day:02}T10:{day:02}:00.123+02:00",
    "{year}-02-30",
    "16737{m:02}6{day:02}",
    "unknown",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _dirty_name(r: random.Random, person: int) -> str:
    first, letters = r.choice(_FOREIGN_FIRST), _letters(person)
    name = r.choice(_DIRTY_NAMES).format(
        first + (letters.upper() if first.isupper() else letters), r.choice(_FOREIGN_LAST), *_words(person)
    )
    return r.choice((str, str, str, str.upper, str.lower))(name)


def _dirty_email(r: random.Random, person: int) -> str:
    return r.choice(_DIRTY_EMAILS).format(_clean_email(r, person), _letters(person))


def _dirty_phone(r: random.Random, person: int) -> str:
    area, exchange, line = 200 + person % 700, 200 + person // 700 % 700, f"{person // 490_000 % 10_000:04d}"
    return r.choice(_DIRTY_PHONES).format(str(area), str(exchange), line)


def _dirty_date(r: random.Random, person: int) -> str:
    year, month = 2015 + person % 10, person // 10 % 12
    return r.choice(_DIRTY_DATES).format(
        year=year, short=f"{year % 100:02}", m=month + 1, month=_MONTHS[month], day=1 + person // 120 % 28
    )


_CLEAN: Mapping[str, Write] = {
    "full_name": _clean_name,
    "email": _clean_email,
    "phone": _clean_phone,
    "signup_date": _clean_date,
}
_DIRTY: Mapping[str, Write] = {
    "full_name": _dirty_name,
    "email": _dirty_email,
    "phone": _dirty_phone,
    "signup_date": _dirty_date,
}


# --------------------------------------------------------------------------------------------------- the exports


def write_pair(folder: Path, records: int, dirty_rows: float, seed: int = 1) -> None:
    """Write ``crm_customers.csv`` and ``ecommerce_customers.json`` with ``records`` rows together, six to four."""
    r = random.Random(seed)
    in_crm = records * 6 // 10
    with open(folder / "crm_customers.csv", "w", encoding="utf-8") as out:
        out.write("customer_id,full_name,email,phone,signup_date,status\n")
        for number in range(in_crm):
            row = _row(r, number, dirty_rows)
            cells = ",".join(f'"{cell}"' if "," in cell else cell for cell in row.values())
            out.write(f"CRM{number:07d},{cells},active\n")
    with open(folder / "ecommerce_customers.json", "w", encoding="utf-8") as out:
        out.write('{"customers": [\n')
        for number in range(in_crm, records):
            out.write(",\n" if number > in_crm else "")
            json.dump(_shop_customer(number, _row(r, number, dirty_rows)), out)
        out.write("\n]}\n")


def _row(r: random.Random, person: int, dirty_rows: float) -> dict[str, str]:
    is_dirty = r.random() < dirty_rows
    certainly = r.choice(tuple(_CLEAN)) if is_dirty else ""
    return {
        field: (_DIRTY if is_dirty and (field == certainly or r.random() < DIRTY_BESIDES) else _CLEAN)[field](r, person)
        for field in _CLEAN
    }


def _shop_customer(number: int, row: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": f"EC{number}",
        "name": row["full_name"],
        "contact": {"email": row["email"], "phone": row["phone"]},
        "registered": row["signup_date"],
        "orders_count": number % 9,
    }
