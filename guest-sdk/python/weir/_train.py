"""A training set from order to table. Knows the routes below /v1/train; must not know what a spine looks like."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time as clock
import warnings
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, List, Mapping, Optional, Union

from . import _tables
from ._errors import TrainingFailed, WeirError, WeirWarning
from ._http import Http

#: It is asked how far the server is after so many seconds, and then less often, up to the second number.
_FIRST_ASKED, _LAST_ASKED = 0.05, 1.0
#: A result up to this size is not put on the disk.
_IN_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True)
class Progress:
    """How far a training set is."""

    #: waiting, running, done or failed.
    state: str
    #: Events that were read of the history.
    events: int
    #: From 0 to 1, once it is known.
    share: Optional[float]
    #: How many training sets are made before this one, while it waits.
    ahead: Optional[int]

    @staticmethod
    def of(status: Mapping[str, Any]) -> Progress:
        progress = status.get("progress", {})
        return Progress(status["state"], progress.get("events", 0), progress.get("share"), status.get("ahead"))

    def __str__(self) -> str:
        if self.state == "waiting":
            return f"weir: waiting, {self.ahead or 0} before this one"
        share = "" if self.share is None else f", {self.share:.0%} of the spine's rows answered"
        return f"weir: {self.state}, {self.events:,} events read{share}"


Told = Callable[[Progress], None]


class _Line:
    """A line on a terminal that is written over."""

    def __init__(self) -> None:
        self._drawn = False

    def __call__(self, progress: Progress) -> None:
        sys.stderr.write(f"\r\x1b[2K{progress}")
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def train(
    http: Http,
    table: _tables.Table,
    query: Dict[str, str],
    progress: Union[Told, bool, None],
) -> Any:
    """Orders a training set, waits for it and reads it; whatever happens, nothing of it stays on the server."""
    format = _tables.best_format()
    headers = {"Content-Type": _tables.CONTENT_TYPES[table.format]}
    if table.length is not None:
        headers["Content-Length"] = str(table.length)
    query = {**query, "spine_format": table.format, "format": format}
    with contextlib.ExitStack() as left:
        if hasattr(table.body, "close"):
            left.callback(table.body.close)
        status = http.json("POST", "/v1/train", query, table.body, headers)
    path = f"/v1/train/{status['id']}"
    try:
        status = _wait(http, path, status, progress)
        for warning in status.get("warnings", []):
            warnings.warn(warning, WeirWarning, stacklevel=4)
        if status["state"] != "done":
            raise TrainingFailed(status.get("reason", "the training set failed without a reason"))
        with _fetched(http, f"{path}/result") as file:
            return _tables.read(format, file, query["time"])
    finally:
        # It may be gone already, or the server: what is told is what went wrong before.
        with contextlib.suppress(WeirError):
            http.json("DELETE", path)


def _wait(http: Http, path: str, status: Dict[str, Any], progress: Union[Told, bool, None]) -> Dict[str, Any]:
    line = _Line()
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    tell: Optional[Told] = line if progress is True else (progress or None)
    pause = _FIRST_ASKED
    try:
        while status["state"] in ("waiting", "running"):
            if tell is not None:
                tell(Progress.of(status))
            clock.sleep(pause)
            pause = min(pause * 1.5, _LAST_ASKED)
            status = http.json("GET", path)
        if tell is not None:
            tell(Progress.of(status))
        return status
    finally:
        line.clear()


@contextlib.contextmanager
def _fetched(http: Http, path: str) -> Any:
    file: IO[bytes]
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        with http.open("GET", path, headers={"Accept": "*/*"}) as answer:
            shutil.copyfileobj(answer, file, 1 << 20)
            expected = answer.headers.get("Content-Length")
        if expected is not None and file.tell() != int(expected):
            raise WeirError("the training set broke off on its way; ask for it again")
        file.seek(0)
        yield file


def names(features: Any) -> List[str]:
    """Features as a list: of one text with commas, or of several."""
    given = [features] if isinstance(features, str) else list(features)
    found = [name.strip() for each in given for name in each.split(",") if name.strip()]
    if not found:
        raise ValueError("name a feature, as JOB:FEATURE, or JOB for all of its features")
    return found
