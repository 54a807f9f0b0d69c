"""The plain script in Polars: expressions for common shapes, phonenumbers for each distinct number they cannot read.

``python -m benchmarks.peers.polars_script CRM ECOM FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from benchmarks.peers.script import DATES, HEADER, MISSING, phone_of

_TEN_DIGITS = r"^(?:\+?1[ .\-]?)?\(?[2-9]\d\d\)?[ .\-]?[2-9]\d\d[ .\-]?\d{4}(?: x\d+)?$"


def main(crm: Path, ecom: Path, folder: Path) -> None:
    """Write ``master.csv`` and ``duplicates.csv``; print the number of customers."""
    records = normalised(read(crm, ecom)).collect().with_row_index("row")
    records = records.with_columns(group=groups_of(records))
    gaps = pl.sum_horizontal(pl.col(*HEADER).is_null())
    ranked = records.with_columns(gaps=gaps).sort("group", "gaps", "row")
    # The first value that is not missing, of the record with the fewest gaps on.
    master = ranked.group_by("group", maintain_order=True).agg(
        *(pl.col(name).drop_nulls().first() for name in HEADER), removed=pl.col("id").slice(1)
    )
    master.select(pl.col(*HEADER).fill_null("N/A")).write_csv(folder / "master.csv")
    duplicates = master.filter(pl.col("removed").list.len() > 0)
    duplicates.select("id", pl.col("removed").list.join(",")).write_csv(folder / "duplicates.csv")
    print(len(master))


def read(crm: Path, ecom: Path) -> pl.LazyFrame:
    """Both exports as one table, as written."""
    table = pl.scan_csv(crm, infer_schema=False).rename({"customer_id": "id"})
    shop = pl.read_json(ecom).lazy().explode("customers").unnest("customers").unnest("name", "contact")
    others = shop.select(
        "id",
        pl.format("{} {}", "first", "last").alias("full_name"),
        "email",
        "phone",
        pl.col("registered").alias("signup_date"),
        pl.lit("active").alias("status"),
    )
    return pl.concat([table, others])


def normalised(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Every value in one form; null if missing."""
    name = pl.col("full_name").str.strip_chars().str.replace_all(" +", " ")
    email = pl.col("email").str.strip_chars().str.to_lowercase().str.strip_prefix("mailto:")
    phone = pl.col("phone")
    digits = phone.str.replace(" x.*$", "").str.replace_all("[^0-9]", "").str.tail(10)
    days = [pl.col("signup_date").str.to_date(shape, strict=False) for shape in DATES]
    return rows.select(
        "id",
        name.str.replace("^([^,]*), ?([^,]*)$", "$2 $1").str.to_titlecase().replace("", None).alias("full_name"),
        pl.when(~email.is_in(list(MISSING))).then(email).alias("email"),
        pl.when(phone.str.contains(_TEN_DIGITS))
        .then(pl.lit("+1") + digits)
        .otherwise(_by_definition(pl.when(~phone.str.contains(_TEN_DIGITS)).then(phone)))
        .alias("phone"),
        pl.coalesce(days).dt.to_string("%Y-%m-%d").alias("signup_date"),
        pl.col("status").str.to_lowercase().replace("", None).alias("status"),
    )


def _by_definition(phone: pl.Expr) -> pl.Expr:
    """By phonenumbers, once for each distinct number."""

    def read_all(numbers: pl.Series) -> pl.Series:
        known = {text: phone_of(text) or None for text in numbers.unique().drop_nulls()}
        return numbers.replace_strict(known, default=None, return_dtype=pl.String)

    return phone.map_batches(read_all, return_dtype=pl.String)


def groups_of(records: pl.DataFrame) -> pl.Series:
    """For each record the smallest row among those that are the same customer."""
    keys = records.select(pl.col("full_name").str.to_lowercase(), "email", "phone")
    label = records["row"]
    while True:
        former = label
        for name in keys.columns:
            keyed = keys.select(name).with_columns(label=label)
            least = pl.min_horizontal("label", pl.col("label").min().over(name))
            label = keyed.select(pl.when(pl.col(name).is_null()).then("label").otherwise(least)).to_series()
        # A label is a row: the label of that row is as good, and smaller.
        label = label.gather(label)
        if label.equals(former):
            return label.alias("group")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
