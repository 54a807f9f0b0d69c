"""A deterministic file of the customers API of any size; half of its customers are in the messy pair of that size."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.generate import email_of, full_name

FETCHED_AT = "2026-11-25T07:00:00Z"
_SOURCES = ("website", "mobile", "newsletter", "google", "app store", "")
_REGIONS = ("US-West", "US-East", "EU", "APAC", "", "")
_COUNTRIES = ("US", "DE", "IN", "GB", "JP", "")
_PLANS = ("free", "pro", "enterprise", "", "")


def write_api_file(folder: Path, customers: int) -> Path:
    """Write ``api_customers.json``."""
    path = folder / "api_customers.json"
    with open(path, "w", encoding="utf-8") as out:
        out.write(f'{{"fetched_at": "{FETCHED_AT}", "complete": true, "total": {customers}, "data": [\n')
        for number in range(customers):
            out.write(",\n" if number else "")
            out.write(json.dumps(_customer(number, customers), ensure_ascii=False))
        out.write("\n]}\n")
    return path


def _customer(number: int, customers: int) -> dict[str, object]:
    # Of the pair 70 % of the rows are people of their own: those below that number are in it.
    person = number * 7 // 10 if number % 2 else customers + number
    name = full_name(person)
    return {
        "id": number + 1,
        "email": email_of(person, name),
        "first_name": name[0],
        "last_name": name[1],
        "avatar": f"https://example.com/{number}.png" if number % 3 else None,
        "engagement_score": number * 37 % 101 if number % 4 else None,
        "last_active_at": f"2026-{1 + number % 11:02}-{1 + number % 28:02}T10:00:00Z" if number % 5 else None,
        "signup_source": _SOURCES[number % 6],
        "region": _REGIONS[number // 6 % 6],
        "country": _COUNTRIES[number // 7 % 6],
        "plan": _PLANS[number // 11 % 5],
        "total_spent": number * 13 % 20_000 if number % 3 else None,
    }
