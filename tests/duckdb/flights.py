"""A year of departures from New York and of the landings they led to, as logs that weir reads and as tables of DuckDB.

Both are in order of scheduled departure, so that the true times come out of order as they do in life, by up to 32 hours;
and they are to the minute, so that many are the same. `n` is the place in the log. Each log is there whole and by airport.
"""

import zipfile

import duckdb

SIDES = ("departures", "landings")
AIRPORTS = ("ewr", "jfk", "lga")
NAMES = "n, tailnum, carrier, origin, dest, delay, t"
FIELDS = "{n: bigint, tailnum: string, carrier: string, origin: string, dest: string, delay: double, t: timestamp}"
FLIGHTS_PER_FILE = 80_000


def read(archive, work):
    """A database with a table for each log."""
    zipfile.ZipFile(archive).extract("flights.csv", work)
    database = duckdb.connect()
    database.execute(f"""
        CREATE TABLE flights AS
        SELECT *, row_number() OVER (ORDER BY scheduled, carrier, flight, origin) AS n,
            scheduled + to_minutes(coalesce(dep_delay, 0)) AS departed
        FROM (SELECT *, time_hour + to_minutes(minute) AS scheduled FROM read_csv(
            '{work}/flights.csv', nullstr = ['NA', ''], types = {{'time_hour': 'TIMESTAMP'}}));
        CREATE TABLE departures AS
        SELECT n, tailnum, carrier, origin, dest, dep_delay::DOUBLE AS delay, departed AS t FROM flights;
        CREATE TABLE landings AS
        SELECT n, tailnum, carrier, origin, dest, arr_delay::DOUBLE AS delay, departed + to_minutes(air_time) AS t
        FROM flights WHERE air_time IS NOT NULL""")
    for side in SIDES:
        for airport in AIRPORTS:
            database.execute(
                f"CREATE TABLE {side}_{airport} AS SELECT * FROM {side} WHERE origin = '{airport.upper()}'"
            )
    return database


def write_logs(database, folder):
    """Each log as a folder of files, which weir reads in the order of their names."""
    for (log,) in database.execute("SELECT table_name FROM duckdb_tables() WHERE table_name <> 'flights'").fetchall():
        (folder / log).mkdir(parents=True)
        (newest,) = database.execute(f"SELECT max(n) FROM {log}").fetchone()
        for part in range(newest // FLIGHTS_PER_FILE + 1):
            database.execute(f"""
                COPY (SELECT * REPLACE (epoch_ms(t) AS t) FROM {log} WHERE n // {FLIGHTS_PER_FILE} = {part} ORDER BY n)
                TO '{folder}/{log}/{part}.jsonl.gz' (FORMAT json, COMPRESSION gzip)""")
