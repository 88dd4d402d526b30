"""Columns as they travel -> lists of Python values, and back. Knows nothing of functions.

A column has one list of values, one byte per row that says whether it is null (none: no row is), and offsets if each row
is a list. Whole columns are converted by list comprehensions: a call per value would cost more than most functions.
"""

from __future__ import annotations

import datetime
import operator
from dataclasses import dataclass
from typing import Any, Sequence

from .hints import DataType

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MILLISECOND = datetime.timedelta(milliseconds=1)
_INT64 = range(-(2**63), 2**63)


@dataclass
class Raw:
    """A column as ``wit/types.wit`` has it. Booleans are bytes; the other values are lists."""

    values: Any
    validity: bytes
    offsets: Sequence[int]


class WrongResult(TypeError):
    """A function returned what its hint does not say."""


def decode(column: Raw, data_type: DataType) -> list[Any]:
    """One Python value per row, ``None`` where it is null. Not to be changed."""
    values = _values(column.values, data_type)
    if data_type.list:
        starts = column.offsets
        values = [values[starts[row] : starts[row + 1]] for row in range(len(starts) - 1)]
    if column.validity:
        return [value if valid else None for value, valid in zip(values, column.validity)]
    return values


def encode(rows: list[Any], data_type: DataType, shown: str) -> Raw:
    """The column of a function's results, one per row; `shown` is the function in messages."""
    validity = b""
    if None in rows if not data_type.list else any(row is None for row in rows):
        validity = bytes(row is not None for row in rows)
    if not data_type.list:
        return Raw(_checked(rows, data_type, shown, bool(validity)), validity, [])
    offsets = [0]
    values: list[Any] = []
    for row in rows:
        if row is not None:
            if not isinstance(row, (list, tuple)):
                raise WrongResult(f"`{shown}` returned {_kind(row)}, and its hint says {data_type}")
            values.extend(row)
        offsets.append(len(values))
    return Raw(_checked(values, data_type, shown, False), validity, offsets)


def _values(values: Any, data_type: DataType) -> Any:
    if data_type.logical == "boolean":
        return [value != 0 for value in values]
    if data_type.as_datetime:
        return [to_datetime(value) for value in values]
    return values


def _checked(values: list[Any], data_type: DataType, shown: str, nulls: bool) -> Any:
    if not nulls and not data_type.as_datetime and _is_plain(values, data_type.logical):
        return bytes(values) if data_type.logical == "boolean" else values
    convert = _CONVERT["datetime" if data_type.as_datetime else data_type.logical]
    filler = _FILLER[data_type.logical]
    try:
        if nulls:
            checked = [filler if value is None else convert(value) for value in values]
        else:
            checked = [convert(value) for value in values]
    except WrongResult as error:
        raise WrongResult(f"`{shown}` returned {error}, and its hint says {data_type}") from None
    return bytes(checked) if data_type.logical == "boolean" else checked


def _is_plain(values: list[Any], logical: str) -> bool:
    """Whether all values are of the very type that travels: told without a call for each of them."""
    if set(map(type, values)) != {_PLAIN[logical]}:
        return False
    if logical in ("bigint", "timestamp"):
        return min(values) in _INT64 and max(values) in _INT64
    return logical != "text" or "".join(values).isascii()


def to_datetime(milliseconds: int) -> datetime.datetime:
    """A moment in UTC. A ``datetime`` knows the years 1 to 9999; others are an ``OverflowError``."""
    return _EPOCH + milliseconds * _MILLISECOND


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return value
    raise WrongResult(_kind(value))


def _bigint(value: Any) -> int:
    if value.__class__ is not int:
        try:
            value = operator.index(value)
        except TypeError:
            raise WrongResult(_kind(value)) from None
    if value not in _INT64:
        raise WrongResult(f"{value}, which 64 bits do not hold")
    return value


def _double(value: Any) -> float:
    if value.__class__ is float:
        return value
    if isinstance(value, (str, bytes)):
        raise WrongResult(_kind(value))
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongResult(_kind(value)) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongResult(_kind(value))
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WrongResult("a text with half a surrogate pair in it") from None
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise WrongResult(_kind(value))
    return bytes(value)


def from_datetime(value: Any) -> int:
    """Milliseconds of a moment, the rest of a millisecond cut off. One without a zone is not a moment."""
    if not isinstance(value, datetime.datetime):
        raise WrongResult(_kind(value))
    if value.tzinfo is None:
        raise WrongResult("a datetime without a time zone (write datetime.timezone.utc)")
    return (value - _EPOCH) // _MILLISECOND


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r}"[:100]


_CONVERT = {
    "boolean": _boolean,
    "bigint": _bigint,
    "double": _double,
    "text": _text,
    "bytes": _bytes,
    "timestamp": _bigint,
    "datetime": from_datetime,
}
_PLAIN: dict[str, type] = {
    "boolean": bool,
    "bigint": int,
    "double": float,
    "text": str,
    "timestamp": int,
    "bytes": bytes,
}
_FILLER: dict[str, Any] = {
    "boolean": False,
    "bigint": 0,
    "double": 0.0,
    "text": "",
    "bytes": b"",
    "timestamp": 0,
}
