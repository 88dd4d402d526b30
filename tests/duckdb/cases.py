"""The joins that are compared, each as weir's query and as DuckDB's.

DuckDB's ASOF JOIN leaves open which of several rows of one time it takes. weir takes the last in the order of the logs,
so the inequality that DuckDB is given goes on with the log and the place in it. DuckDB knows no late rows either: it is
given those that weir's rule lets count, by a window function over each log.
"""

from dataclasses import dataclass

import flights

ALL_IN_TIME_HOURS = 36
# What both queries return, and its type in DuckDB.
RESULT = {
    "n": "BIGINT",
    "tailnum": "VARCHAR",
    "dest": "VARCHAR",
    "departed": "TIMESTAMP",
    "joined": "BIGINT",
    "aircraft": "VARCHAR",
    "joined_at": "TIMESTAMP",
    "delay": "DOUBLE",
}
SELECTED = (
    "d.n, d.tailnum, d.dest, d.t AS departed, "
    "r.n AS joined, r.tailnum AS aircraft, r.t AS joined_at, r.delay AS delay"
)


@dataclass(frozen=True)
class Case:
    # The columns that are the same of both rows.
    on: tuple[str, ...]
    within_hours: int | None = None
    right: str = "landings"
    # Whether each side is the logs of the three airports under UNION ALL.
    is_united: bool = False
    disorder_hours: int = ALL_IN_TIME_HOURS
    # How far behind the newest of its log a row still counts.
    counts_hours: int = ALL_IN_TIME_HOURS
    # What else the job says.
    job: str = ""

    def is_corrected(self):
        """Whether a row may be written again."""
        return self.counts_hours > self.disorder_hours or "change" in self.job

    def _logs(self, side):
        return [f"{side}_{airport}" for airport in flights.AIRPORTS] if self.is_united else [side]

    def _condition(self):
        return " AND ".join(f"d.{column} = r.{column}" for column in self.on)

    def weir_query(self):
        def rows(side):
            logs = [f"SELECT {flights.NAMES} FROM {log}" for log in self._logs(side)]
            return f"({' UNION ALL '.join(logs)})" if self.is_united else side

        within = f" WITHIN INTERVAL '{self.within_hours}' HOUR" if self.within_hours else ""
        return (
            f"SELECT {SELECTED} FROM {rows('departures')} AS d LAST JOIN {rows(self.right)} AS r "
            f"ON {self._condition()}{within}"
        )

    def duckdb_query(self):
        newest = "max(t) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        counts = f"coalesce(t >= {newest} - INTERVAL {self.counts_hours} HOUR, true)"

        def rows(side):
            logs = enumerate(self._logs(side))
            return " UNION ALL ".join(f"(SELECT *, {at} AS log FROM {log} QUALIFY {counts})" for at, log in logs)

        within = f"r.t >= d.t - INTERVAL {self.within_hours} HOUR" if self.within_hours else "true"
        behind_all_logs = len(flights.AIRPORTS)
        return f"""
            WITH departure AS ({rows("departures")}), other AS ({rows(self.right)}),
            pair AS (
                SELECT d, CASE WHEN {within} THEN r END AS r
                FROM departure AS d ASOF LEFT JOIN other AS r
                ON {self._condition()} AND (d.t, {behind_all_logs}, 0) >= (r.t, r.log, r.n))
            SELECT {SELECTED} FROM pair"""


CASES = {
    "aircraft": Case(on=("tailnum",)),
    "aircraft-within": Case(on=("tailnum",), within_hours=48),
    "airport": Case(on=("dest",)),
    "two-columns-within": Case(on=("carrier", "origin"), within_hours=1),
    # Of these columns either side has nulls.
    "same-stream": Case(on=("tailnum",), right="departures"),
    "same-stream-doubles": Case(on=("carrier", "delay"), right="departures"),
    "united": Case(on=("dest",), is_united=True),
    "united-within": Case(on=("carrier", "dest"), within_hours=6, is_united=True),
    "late": Case(on=("tailnum",), disorder_hours=1, counts_hours=41, job="late: {allow: 40h}"),
    "late-within": Case(on=("dest",), within_hours=6, disorder_hours=1, counts_hours=41, job="late: {allow: 40h}"),
    "too-late": Case(on=("dest",), disorder_hours=1, counts_hours=4, job="late: {allow: 3h}"),
    "too-late-united": Case(
        on=("tailnum",), is_united=True, disorder_hours=1, counts_hours=4, job="late: {allow: 3h}"
    ),
    "late-dropped": Case(on=("dest",), disorder_hours=4, counts_hours=4, job="late: {policy: drop}"),
    "late-diverted": Case(
        on=("tailnum",), within_hours=48, disorder_hours=4, counts_hours=4, job="late: {policy: divert}"
    ),
    "on-change": Case(on=("tailnum",), job="emit: {on: change}"),
}
