"""Has every contestant make the training set, by turns, and compares what they made: sets.py WEIR FEAST WORK EVENTS SPINE.

FEAST is the Python that has it. Prints for each the medians of the seconds, of the CPU seconds and of the most memory, and
how many values differ from those of DuckDB's `asof` query: whole numbers and texts have to be the same, others within a
billionth. Exits with 1 if a value of weir does.
"""

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import data
import duckdb

HERE = Path(__file__).parent
RUNS = int(os.environ.get("RUNS", "3"))
LIMIT_SECONDS = float(os.environ.get("LIMIT_SECONDS", "900"))
LIMIT_BYTES = int(float(os.environ.get("LIMIT_GB", "12")) * 2**30)
FEATURES = {
    "life__rides": None,
    "life__total": 1e-9,
    "life__action": None,
    "recent__hour_rides": None,
    "recent__day_total": 1e-9,
    "recent__week_rides": None,
    "recent__week_mean": 1e-9,
    "recent__week_most": None,
    "days__rides": None,
    "days__total": 1e-9,
}
# Of Feast's rows these alone do not change between two rides.
BETWEEN_RIDES = ("life__rides", "life__total", "life__action")


def contestants(weir, feast, work, files):
    """What is run, by name: a command that writes `made.parquet` into the folder in which it is started."""
    log, parquet, spine = files

    def of_weir(folder, source, file_format, rule):
        project = data.project(work / folder, source, file_format)
        jobs = ",".join(data.JOBS)
        return [weir, "train", project, "--spine", spine, "--features", jobs, "--as-of", rule, "-o", "made.parquet"]

    def of_duckdb(query, source):
        return [sys.executable, "-B", HERE / "duckdb_set.py", query, source, spine]

    def of_feast(store):
        return [feast, "-W", "ignore", "-B", HERE / "feast_set.py", store, work / "rows.parquet", spine]

    return {
        "weir, Parquet": of_weir("of_parquet", parquet, "parquet", "known"),
        "weir, Parquet, --as-of event": of_weir("of_parquet", parquet, "parquet", "event"),
        "weir, JSON lines, --as-of event": of_weir("of_log", log, "json", "event"),
        "DuckDB asof, Parquet": of_duckdb("asof", parquet),
        "DuckDB windows, Parquet": of_duckdb("windows", parquet),
        "DuckDB asof, JSON lines": of_duckdb("asof", log),
        "Feast duckdb, its join alone": of_feast("duckdb"),
        "Feast file, its join alone": of_feast("file"),
    }


def run(command, folder):
    """Seconds, CPU seconds and the most memory in MB; or why there are none."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
        os.setsid()

    with (folder / "said").open("w") as said:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, preexec_fn=limited)
        pid = 0
        while pid == 0:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid == 0 and time.monotonic() - began > LIMIT_SECONDS:
                os.killpg(process.pid, signal.SIGKILL)
                os.wait4(process.pid, 0)
                return f"ended after {LIMIT_SECONDS:.0f} s"
            time.sleep(0.01)
        seconds = time.monotonic() - began
    if status != 0 or not (folder / "made.parquet").exists():
        words = (folder / "said").read_text().strip().splitlines() or ["nothing said"]
        return f"failed after {seconds:.0f} s: {words[-1][:200]}"
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def different(database, made, expected, names):
    """How many values of each feature differ, and how many rows are missing; nothing where all are the same.

    By what was known, a day is complete when a ride of the next one was known, and not at midnight: between the two the
    days of `known` are not looked at.
    """
    counts = ["count(*) FILTER (made.n IS NULL) AS missing"]
    for name in names:
        near = FEATURES[name]
        ours, theirs = f"made.{name}", f"expected.{name}"
        # A count of nothing is 0 to one and null to another.
        if name.endswith("rides"):
            ours, theirs = f"coalesce({ours}, 0)", f"coalesce({theirs}, 0)"
        apart = f"{ours} IS DISTINCT FROM {theirs}"
        if near is not None:
            apart += f" AND (abs({ours} - {theirs}) > {near} * greatest(1, abs({theirs}))) IS NOT FALSE"
        if name.startswith("days"):
            apart += " AND expected.event_time >= begun.first"
        counts.append(f"count(*) FILTER (made.n IS NOT NULL AND {apart}) AS {name}")
    row = database.execute(f"""
        SELECT {', '.join(counts)} FROM '{expected}' AS expected LEFT JOIN '{made}' AS made USING (n)
        LEFT JOIN begun ON begun.day = time_bucket(INTERVAL 1 DAY, expected.event_time)""").fetchone()
    return {name: count for name, count in zip(["missing", *names], row, strict=True) if count}


def rows_of_feast(database, work, parquet):
    """The features as of each ride, as somebody has computed them for Feast."""
    if (work / "rows.parquet").exists():
        return
    database.execute(f"""
        CREATE VIEW rides AS FROM read_parquet('{parquet}');
        CREATE VIEW spine AS SELECT DISTINCT ON (user_id, event_time) event_id AS n, user_id, event_time FROM rides;
        SET memory_limit = '6GB'; SET temp_directory = '{work}/spilled'""")
    query = (HERE / "asof.sql").read_text().replace("made.parquet", f"{work}/unnamed.parquet")
    database.execute(query)
    database.execute(f"""
        COPY (SELECT * EXCLUDE (n, event_time), event_time AT TIME ZONE 'UTC' AS event_timestamp
            FROM '{work}/unnamed.parquet') TO '{work}/rows.parquet' (FORMAT parquet, COMPRESSION zstd);
        DROP TABLE running""")
    (work / "unnamed.parquet").unlink()


def main(weir, feast, work, events, spine):
    work = Path(work)
    files = data.make(weir, work, int(events), int(spine))
    wanted = os.environ.get("SETS", "")
    all_sets = contestants(weir, feast, work, files)
    sets = {name: command for name, command in all_sets.items() if wanted in name}
    database = duckdb.connect()
    database.execute("SET enable_progress_bar = false")
    if any(name.startswith("Feast") for name in sets):
        rows_of_feast(database, work, files[1])
    folder = {name: work / name.replace(" ", "_").replace(",", "") for name in all_sets}
    taken = {name: [] for name in sets}
    for turn in range(RUNS):
        for name, command in sets.items():
            if taken[name] and isinstance(taken[name][-1], str):
                continue
            taken[name].append(run(command, folder[name]))
            print(f"run {turn + 1}, {name}: {taken[name][-1]}", file=sys.stderr, flush=True)
    expected = folder["DuckDB asof, Parquet"] / "made.parquet"
    if not expected.exists():
        run(all_sets["DuckDB asof, Parquet"], expected.parent)
    database.execute(f"""
        CREATE TABLE begun AS SELECT time_bucket(INTERVAL 1 DAY, event_time) AS day, min(event_time) AS first
        FROM '{files[1]}' GROUP BY day""")
    is_wrong = False
    print(f"{events} rides, {spine} rows of the spine, {len(FEATURES)} features; {os.cpu_count()} cores")
    for name, runs in taken.items():
        if isinstance(runs[-1], str):
            print(f"{name:34} {runs[-1]}")
            continue
        seconds, cpu, memory = (statistics.median(figure) for figure in zip(*runs, strict=True))
        names = BETWEEN_RIDES if name.startswith("Feast") else FEATURES
        differ = different(database, folder[name] / "made.parquet", expected, names)
        print(f"{name:34} {seconds:7.1f} s {cpu:7.1f} CPU s {memory:7.0f} MB   different: {differ or 0}")
        is_wrong |= name.startswith("weir") and bool(differ)
    sys.exit(is_wrong)


main(*sys.argv[1:])
