"""The plain script in pandas: columns instead of rows, phonenumbers for each distinct number.

``python -m benchmarks.peers.pandas_script CRM ECOM FOLDER``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.peers.script import DATES, HEADER, MISSING, phone_of


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write ``master.csv`` and ``duplicates.csv``; print the number of customers."""
    records = normalised(read(crm, ecom))
    records["group"] = groups_of(records)
    records["gaps"] = records[list(HEADER)].isna().sum(axis=1)
    ranked = records.sort_values(["group", "gaps"], kind="stable")
    # The first value that is not missing, of the record with the fewest gaps on.
    master = ranked.groupby("group", sort=False)[list(HEADER)].first()
    master.fillna("N/A").to_csv(folder / "master.csv", index=False)
    removed = ranked[ranked.duplicated("group")]
    kept = ranked.drop_duplicates("group").set_index("group")["id"]
    duplicates = removed.groupby("group")["id"].agg(",".join).rename("removed")
    pd.concat([kept.rename("kept"), duplicates], axis=1, join="inner").to_csv(folder / "duplicates.csv", index=False)
    print(len(master))


def read(crm: Path, ecom: Path) -> pd.DataFrame:
    """Both exports as one table, as written."""
    table = pd.read_csv(crm, dtype=str, keep_default_na=False).rename(columns={"customer_id": "id"})
    shop = pd.json_normalize(json.loads(ecom.read_text(encoding="utf-8"))["customers"])
    whole = shop["name.first"] + " " + shop["name.last"]
    others = pd.DataFrame(
        {
            "id": shop["id"],
            "full_name": whole,
            "email": shop["contact.email"],
            "phone": shop["contact.phone"],
            "signup_date": shop["registered"],
            "status": "active",
        }
    )
    return pd.concat([table, others], ignore_index=True)


def normalised(rows: pd.DataFrame) -> pd.DataFrame:
    """Every value in one form; null if missing."""
    tidy = rows["full_name"].str.split().str.join(" ")
    turned = tidy.str.replace(r"^([^,]*), ?([^,]*)$", r"\2 \1", regex=True)
    email = rows["email"].str.strip().str.lower().str.removeprefix("mailto:")
    numbers = {text: phone_of(text) or None for text in rows["phone"].dropna().unique()}
    day = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[s]")
    for shape in DATES:
        day = day.fillna(pd.to_datetime(rows["signup_date"], format=shape, errors="coerce").astype("datetime64[s]"))
    return pd.DataFrame(
        {
            "id": rows["id"],
            "full_name": turned.str.title().replace("", None),
            "email": email.where(~email.isin(MISSING)),
            "phone": rows["phone"].map(numbers),
            "signup_date": day.dt.strftime("%Y-%m-%d"),
            "status": rows["status"].str.lower().replace("", None),
        }
    )


def groups_of(records: pd.DataFrame) -> pd.Series[int]:
    """For each record the smallest index among those that are the same customer."""
    keys = {
        "name": records["full_name"].str.lower(),
        "email": records["email"],
        "phone": records["phone"],
    }
    codes = {name: pd.factorize(key)[0] for name, key in keys.items()}
    label = pd.Series(np.arange(len(records)))
    while True:
        former = label
        for code in codes.values():
            least = label.groupby(code).transform("min")
            label = label.where(code < 0, np.minimum(label, least))
        # A label is an index: that of its own label is as good, and smaller.
        label = pd.Series(label.to_numpy()[label.to_numpy()])
        if label.equals(former):
            return label


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
