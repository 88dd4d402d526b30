"""A weir server, as its users see it. Knows its routes; must not know how requests travel."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Union
from urllib.parse import quote

from . import _tables, _train
from ._errors import BadRequest
from ._http import Http

Features = Union[str, Sequence[str]]
Moment = Union[str, int, datetime.datetime]


@dataclass(frozen=True)
class Pushed:
    """What became of events."""

    #: How many are durable.
    accepted: int
    #: The others, each with its place from 0 and the reason.
    rejected: List[Dict[str, Any]] = field(default_factory=list)
    #: With ``wait``, whether lookups see them.
    visible: Optional[bool] = None


@dataclass(frozen=True)
class Feature:
    """One feature of a job."""

    #: As lookups and training sets are asked for it: JOB:FEATURE.
    name: str
    type: str
    version: int
    description: Optional[str] = None
    owner: Optional[str] = None
    #: Whether it is computed when it is asked for.
    derived: bool = False
    #: The fields of a request, or columns of a spine, that it is computed of.
    request: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A job, and what can be asked of it."""

    name: str
    #: running, paused, failed, ..
    state: str
    #: The columns that say whom to ask about; none for a job that cannot be looked up.
    entity: List[str] = field(default_factory=list)
    features: List[Feature] = field(default_factory=list)
    #: Why it does not run, where it does not.
    reason: Optional[str] = None
    #: The fields that its derived features take of a request, with their types.
    request: Dict[str, str] = field(default_factory=dict)


class Client:
    """A running ``weir serve``.

    ``token`` is that of its weir.yaml; without it the variable ``WEIR_TOKEN`` is taken. ``timeout`` is how many seconds of
    silence are waited for.
    """

    def __init__(self, url: str, token: Optional[str] = None, timeout: float = 60.0) -> None:
        self._http = Http(url, token, timeout)

    def __repr__(self) -> str:
        return f"Client({self._http.url!r})"

    def train(
        self,
        spine: Any,
        features: Features,
        as_of: str = "known",
        serving_delay: Optional[str] = None,
        time: Optional[str] = None,
        status: bool = False,
        with_log: bool = False,
        progress: Union[_train.Told, bool, None] = None,
    ) -> Any:
        """The rows of a spine, each with its features as a lookup at its moment answered: a ``pandas.DataFrame``, or a list of
        dicts where pandas is missing.

        ``spine`` is a data frame, a list of dicts, or the path of a .csv, .jsonl or .parquet file: the columns of the jobs'
        keys, the moment (``time``, by default ``event_time``; times without a zone are UTC) and any others. ``features`` names
        JOB:FEATURE, or JOB for all of its features. ``as_of="event"`` counts all events that had happened by then, whenever
        they were known. ``serving_delay``, such as "200ms", is how long after it was known an event is in lookups. ``status``
        adds what lookups call each value. ``with_log`` reads of streams with an archive also what their logs have behind it.
        ``progress`` is told how far it is; True writes a line on stderr, as is the default
        on a terminal.
        """
        query = {
            "features": ",".join(_train.names(features)),
            "as_of": as_of,
            "time": time if time is not None else "event_time",
            "status": "true" if status else "false",
        }
        if with_log:
            query["with_log"] = "true"
        if serving_delay is not None:
            query["serving_delay"] = serving_delay
        made = _train.train(self._http, _tables.of_spine(spine), query, progress)
        if _tables.is_frame(spine) and _tables.is_frame(made):
            made.index = spine.index
        return made

    def lookup(
        self,
        features: Features,
        *entities: Mapping[str, Any],
        as_of: Optional[Moment] = None,
        request: Optional[Mapping[str, Any]] = None,
    ) -> List[Dict[str, Any]]:
        """The values of each entity by JOB:FEATURE, in the order of the entities; of a job alone, all of its features.

        >>> client.lookup("user_day", {"user_id": "u1"})      # doctest: +SKIP
        [{'user_day:rides': 2, 'user_day:mean_fare': 16.75}]

        ``request`` has the fields that derived features are computed of, for all entities; one that is different for an entity
        stands in its own ``"request"``:

        >>> client.lookup("user_day:ratio", {"user_id": "u1"}, request={"amount": 45})      # doctest: +SKIP
        [{'user_day:ratio': 3.0}]
        """
        values = []
        for row in self.lookup_answer(features, *entities, as_of=as_of, meta=False, request=request)["rows"]:
            if "error" in row:
                raise BadRequest(f"{json.dumps(row.get('entity'))}: {row['error']}")
            values.append({name: value["value"] for name, value in row["features"].items()})
        return values

    def lookup_answer(
        self,
        features: Features,
        *entities: Mapping[str, Any],
        as_of: Optional[Moment] = None,
        meta: bool = True,
        request: Optional[Mapping[str, Any]] = None,
    ) -> Dict[str, Any]:
        """The same with all that the server says: statuses, windows, times, errors of single entities."""
        asked: Dict[str, Any] = {"features": _train.names(features), "entities": list(entities)}
        if as_of is not None:
            asked["as_of"] = as_of
        if request is not None:
            asked["request"] = dict(request)
        body = _tables.lines([asked])
        answer: Dict[str, Any] = self._http.json("POST", "/v1/lookup", None if meta else {"meta": "false"}, body)
        return answer

    def push(
        self,
        stream: str,
        events: Union[Mapping[str, Any], Iterable[Mapping[str, Any]]],
        wait: bool = False,
        idempotency_key: Optional[str] = None,
    ) -> Pushed:
        """Posts events; they are durable when this returns, and with ``wait`` in lookups. Events that are sent again with the
        same key within a day count once."""
        rows: Iterable[Mapping[str, Any]] = [events] if isinstance(events, Mapping) else _tables.rows_of(events)
        headers = {"Content-Type": _tables.CONTENT_TYPES[_tables.JSONL]}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        path = f"/v1/streams/{quote(stream, safe='')}/events"
        answer = self._http.json("POST", path, {"wait": "visible"} if wait else None, _tables.lines(rows), headers)
        return Pushed(answer["accepted"], answer["rejected"], answer.get("visible"))

    def features(self) -> List[Job]:
        """Every job, with the features that can be asked for."""
        jobs = self._http.json("GET", "/v1/jobs")["jobs"]
        return [_job(self._http.json("GET", f"/v1/jobs/{quote(job['job'], safe='')}")) for job in jobs]


def _job(described: Mapping[str, Any]) -> Job:
    name = described["job"]
    features = [
        Feature(
            f"{name}:{each['name']}",
            each["type"],
            each["version"],
            each.get("description"),
            each.get("owner"),
            each.get("derived", False),
            each.get("request", []),
        )
        for each in described.get("features", [])
    ]
    entity, request = described.get("entity") or [], described.get("request") or {}
    return Job(name, described["state"], entity, features, described.get("reason"), request)
