"""Joins departures to landings in weir and in DuckDB, and compares every row.

check.py WEIR FLIGHTS WORK [CASE ..]: exits with 1 if any row differs.
"""

import random
import subprocess
import sys
import time
from pathlib import Path

import flights
from cases import CASES, RESULT

KILLS = 4
SECONDS_TO_A_KILL = 1.0


class Project:
    """A folder with one job over the logs, whose rows are in `rows`."""

    def __init__(self, weir, folder, logs, case, shards):
        self.weir, self.folder = weir, folder
        for part in ("streams", "jobs"):
            (folder / part).mkdir(parents=True)
        for log in logs.iterdir():
            (folder / f"streams/{log.name}.yaml").write_text(
                f"stream: {log.name}\nfields: {flights.FIELDS}\nevent_time: t\ndisorder: {case.disorder_hours}h\n"
                f'source: {{file: {{path: "{log}/*.jsonl.gz"}}}}\n'
            )
        # A row that may be written again says its revision.
        meta = "true" if case.is_corrected() else "false"
        (folder / "jobs/compared.yaml").write_text(
            f"query: {case.weir_query()}\n{case.job}\nsinks: [{{file: {{path: rows, meta: {meta}}}}}]\n"
        )
        (folder / "weir.yaml").write_text(f"shards: {shards}\ncheckpoint: {{every: 100ms}}\n")

    def _start(self):
        with (self.folder / "log").open("w") as log:
            return subprocess.Popen([self.weir, "run", self.folder, "--until-end"], stdout=log, stderr=log)

    def run(self):
        code = self._start().wait()
        if code != 0:
            sys.exit(f"weir ended with {code}: {(self.folder / 'log').read_text()}")

    def _finished(self):
        return len(list(self.folder.glob("rows/*.jsonl")))

    def kill(self):
        """Starts weir and kills it some time after its next rows are there; says whether it was still running."""
        before, process = self._finished(), self._start()
        while process.poll() is None and self._finished() == before:
            time.sleep(0.005)
        time.sleep(random.uniform(0, SECONDS_TO_A_KILL))
        process.kill()
        return process.wait() < 0


def different(database, case, rows):
    """Prints some of the rows that only one side has, and returns how many they are.

    Of rows that may be written again the last counts; all others must have been written once.
    """
    names = ", ".join(RESULT)
    columns, last = RESULT, ""
    if case.is_corrected():
        columns = RESULT | {"_weir": "STRUCT(revision BIGINT)"}
        last = "QUALIFY row_number() OVER (PARTITION BY n ORDER BY _weir.revision DESC) = 1"
    database.execute(f"""
        CREATE OR REPLACE TABLE written AS
        SELECT {names} FROM read_json('{rows}/*.jsonl', format = 'newline_delimited', columns = {columns}) {last};
        CREATE OR REPLACE TABLE apart AS
        (SELECT 'weir' AS found_by, * FROM (FROM written EXCEPT ALL FROM expected)) UNION ALL
        (SELECT 'DuckDB' AS found_by, * FROM (FROM expected EXCEPT ALL FROM written))""")
    for row in database.execute("FROM apart ORDER BY n LIMIT 10").fetchall():
        print("\n", *row, file=sys.stderr, end="")
    (count,) = database.execute("SELECT count(*) FROM apart").fetchone()
    return count


def check(weir, database, work, name):
    """Prints what one case gives; says whether any row differs."""
    case, counts = CASES[name], []
    database.execute(f"CREATE OR REPLACE TABLE expected AS {case.duckdb_query()}")
    rows, joined = database.execute("SELECT count(*), count(joined) FROM expected").fetchone()
    print(f"{name:20} rows {rows}, joined {joined}, different", end="", flush=True)
    for way, shards, kills in (("1 shard", 1, 0), ("2 shards", 2, 0), ("killed", 2, KILLS)):
        project = Project(weir, work / name / way, work / "logs", case, shards)
        killed = sum(project.kill() for _ in range(kills))
        project.run()
        counts.append(different(database, case, project.folder / "rows"))
        times = f" {killed} times" if kills else ""
        print(f" {counts[-1]} ({way}{times})", end="", flush=True)
    print()
    return any(counts)


def main(weir, archive, work, *names):
    if unknown := set(names) - set(CASES):
        sys.exit(f"compare: case {', '.join(sorted(unknown))} not found; the cases are {', '.join(CASES)}")
    work = Path(work)
    database = flights.read(archive, work)
    flights.write_logs(database, work / "logs")
    sys.exit(any([check(weir, database, work, name) for name in names or CASES]))


main(*sys.argv[1:])
