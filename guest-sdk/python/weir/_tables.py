"""Tables in and out: data frames, lists of dicts, files. Knows pandas and pyarrow where they are; must not know the server."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import math
import os
from typing import IO, Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Union

try:
    import pandas
except ImportError:
    pandas = None
try:
    import pyarrow.parquet as _parquet
except ImportError:
    _parquet = None

CSV, JSONL, PARQUET = "csv", "jsonl", "parquet"
CONTENT_TYPES = {
    CSV: "text/csv",
    JSONL: "application/x-ndjson",
    PARQUET: "application/vnd.apache.parquet",
}
_ENDINGS = {".csv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL, ".parquet": PARQUET}
_PIECE_BYTES = 1 << 20


class Table(NamedTuple):
    """A table on its way to the server."""

    format: str
    body: Union[bytes, IO[bytes], Iterable[bytes]]
    #: Where that is known.
    length: Optional[int]


def is_frame(value: Any) -> bool:
    """Whether this is a data frame."""
    return pandas is not None and isinstance(value, pandas.DataFrame)


def rows_of(rows: Any) -> Iterable[Mapping[str, Any]]:
    """Rows as dicts, those of a data frame too."""
    dicts: Iterable[Mapping[str, Any]] = rows.to_dict("records") if is_frame(rows) else rows
    return dicts


def of_spine(spine: Any) -> Table:
    """A spine as it is sent."""
    if isinstance(spine, (str, os.PathLike)):
        return _of_file(os.fspath(spine))
    if is_frame(spine):
        return _of_frame(spine)
    if isinstance(spine, Mapping) or not isinstance(spine, Iterable):
        raise TypeError("a spine is a data frame, a list of dicts, or the path of a file")
    return _of_bytes(JSONL, lines(spine))


def lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as one JSON object a line."""
    return b"".join(_line(row) for row in rows)


def _line(row: Mapping[str, Any]) -> bytes:
    if not isinstance(row, Mapping):
        raise TypeError(f"a row is a dict of columns, not {type(row).__name__}")
    plain = {str(name): _plain(value) for name, value in row.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in RFC 3339, those without a zone in UTC; what is not a number is null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if pandas is not None and (value is pandas.NaT or value is pandas.NA):
        return None
    if isinstance(value, datetime.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
        return zoned.isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent; make it a text, a number or a time")


def _of_bytes(format: str, body: bytes) -> Table:
    return Table(format, body, len(body))


def _of_file(path: str) -> Table:
    name = path.lower()
    is_compressed = name.endswith(".gz")
    ending = os.path.splitext(name[: -len(".gz")] if is_compressed else name)[1]
    if ending not in _ENDINGS:
        raise ValueError(f"{path}: its name has to end in .csv, .jsonl or .parquet, which says what it is")
    if is_compressed:
        return Table(_ENDINGS[ending], _unpacked(path), None)
    return Table(_ENDINGS[ending], open(path, "rb"), os.path.getsize(path))


def _unpacked(path: str) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while True:
            piece = file.read(_PIECE_BYTES)
            if not piece:
                return
            yield piece


def _of_frame(frame: Any) -> Table:
    if frame.empty:
        raise ValueError("the spine has no rows")
    if _parquet is None:
        return _of_bytes(JSONL, lines(frame.to_dict("records")))
    zoned = {
        name: frame[name].dt.tz_localize("UTC")
        for name in frame.columns
        if pandas.api.types.is_datetime64_dtype(frame[name].dtype)
    }
    file = io.BytesIO()
    # The index is given back beside the answer: it is no column.
    frame.assign(**zoned).to_parquet(
        file, engine="pyarrow", index=False, coerce_timestamps="ms", allow_truncated_timestamps=True
    )
    return _of_bytes(PARQUET, file.getvalue())


def best_format() -> str:
    """What keeps most of the types of what is read here."""
    return PARQUET if pandas is not None and _parquet is not None else JSONL


def read(format: str, file: IO[bytes], time: str) -> Any:
    """What the server made: a data frame where pandas is, else a list of dicts."""
    if format == PARQUET:
        return _parquet.read_table(file).to_pandas()
    rows: List[Dict[str, Any]] = [json.loads(line) for line in file]
    if pandas is None:
        return rows
    frame = pandas.DataFrame(rows)
    if time in frame:
        frame[time] = pandas.to_datetime(frame[time], utc=True)
    return frame
