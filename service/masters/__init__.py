"""Published customer masters: which one is shown, their Parquet files through a reader, and the past of an id."""
