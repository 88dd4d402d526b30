"""The training set by one query: duckdb_set.py QUERY RIDES SPINE, written where it is started."""

import sys
from pathlib import Path

import duckdb
from data import COLUMNS

query, rides, spine = sys.argv[1:]
if rides.endswith(".parquet"):
    source = f"FROM read_parquet('{rides}')"
else:
    lines = f"read_json('{rides}', format = 'newline_delimited', columns = {COLUMNS})"
    source = f"SELECT * REPLACE (make_timestamp_ms(event_time) AS event_time) FROM {lines}"
database = duckdb.connect("database")
# The order of the rows is that of the spine's numbers, which are compared.
database.execute(f"""
    SET preserve_insertion_order = false; SET enable_progress_bar = false;
    CREATE VIEW spine AS FROM read_parquet('{spine}')""")
# The rides are read once.
database.execute(f"CREATE TEMP TABLE rides AS {source}")
database.execute(Path(__file__).with_name(f"{query}.sql").read_text())
