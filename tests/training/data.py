"""The events and the spine of the comparison, each made once, in the folder in which it is asked for.

Rides are as `weir generate rides` writes them, a tenth of them out of order: `rides.jsonl` is that log, `rides.parquet` the
same in the order of event time, as a warehouse keeps them. The spine asks for the users of random rides, and for one of
twenty that may not be there, at random moments behind the first week, in no order.
"""

import subprocess
from pathlib import Path

import duckdb

DAYS = 30
FIRST_DAYS = 7


def make(weir, work, events, spine):
    """Paths of the log, of the sorted file and of the spine."""
    log, parquet, asked = (work / name for name in ("log/rides.jsonl", "sorted/rides.parquet", "spine.parquet"))
    made = work / f"complete-{events}-{spine}"
    if made.exists():
        return log, parquet, asked
    for folder in (log.parent, parquet.parent):
        folder.mkdir(exist_ok=True)
    arguments = ["generate", "rides", "--events", events, "--days", DAYS, "--seed", 7, "-o", log]
    subprocess.run([str(argument) for argument in [weir, *arguments]], check=True, stdout=subprocess.DEVNULL)
    database = duckdb.connect()
    database.execute(f"""
        SET enable_progress_bar = false; SET memory_limit = '4GB'; SET temp_directory = '{work}/spilled'; SELECT setseed(0.7);
        CREATE TABLE rides AS SELECT * REPLACE (make_timestamp_ms(event_time) AS event_time) FROM read_json('{log}',
            format = 'newline_delimited', columns = {COLUMNS});
        COPY (FROM rides ORDER BY event_time, event_id) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)""")
    database.execute(f"""
        SET threads = 1;
        COPY (
            WITH asked AS (SELECT range AS n, random() AS who, random() AS moment FROM range({spine}))
            SELECT n, CASE WHEN n % 20 = 0 THEN (who * 200000)::BIGINT ELSE rides.user_id END AS user_id,
                make_timestamp_ms((SELECT epoch_ms(min(event_time)) FROM rides)
                    + (({FIRST_DAYS} + moment * ({DAYS} - {FIRST_DAYS})) * 86400000)::BIGINT) AS event_time
            FROM asked JOIN rides ON rides.event_id = floor(asked.who * {events})::BIGINT ORDER BY hash(n)
        ) TO '{asked}' (FORMAT parquet)""")
    made.touch()
    return log, parquet, asked


COLUMNS = {
    "event_id": "BIGINT",
    "user_id": "BIGINT",
    "action": "VARCHAR",
    "geohash": "VARCHAR",
    "ride_id": "VARCHAR",
    "fare": "DOUBLE",
    "event_time": "BIGINT",
}


def project(folder, source, file_format):
    """A project of weir over a file with the ten features, in three jobs."""
    for part in ("streams", "jobs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    fields = "event_id: bigint, user_id: bigint, action: string, geohash: string, ride_id: string, fare: double"
    (folder / "streams/rides.yaml").write_text(
        f"stream: rides\nfields: {{{fields}, event_time: timestamp}}\nevent_time: event_time\n"
        f'source: {{file: {{path: "{source}"}}}}\nformat: {file_format}\n'
    )
    for name, text in JOBS.items():
        (folder / f"jobs/{name}.yaml").write_text(text)
    return folder


JOBS = {
    "life": """query: |
  SELECT user_id, COUNT(*) AS rides, SUM(fare) AS total, LAST_VALUE(action) AS action FROM rides GROUP BY user_id
emit: {on: change}
""",
    "recent": """query: |
  SELECT user_id, COUNT(*) OVER h AS hour_rides, SUM(fare) OVER d AS day_total, COUNT(*) OVER w AS week_rides,
    AVG(fare) OVER w AS week_mean, MAX(fare) OVER w AS week_most
  FROM rides
  WINDOW h AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' HOUR PRECEDING),
    d AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '1' DAY PRECEDING),
    w AS (PARTITION BY user_id ORDER BY event_time RANGE INTERVAL '7' DAY PRECEDING)
""",
    "days": """query: |
  SELECT user_id, COUNT(*) AS rides, SUM(fare) AS total FROM rides GROUP BY user_id, TUMBLE(event_time, INTERVAL '1' DAY)
""",
}
