"""Type hints -> the types of columns. Knows nothing of how values travel."""

from __future__ import annotations

import collections.abc
import datetime
import inspect
import sys
import types
import typing
from dataclasses import dataclass
from typing import Any, Callable, Container, Generic, NewType, Optional, TypeVar

Timestamp = NewType("Timestamp", int)
"""Milliseconds since 1970-01-01T00:00:00Z: ``timestamp`` in SQL, without the cost of a ``datetime``."""

T = TypeVar("T")


class Column(list, Generic[T]):
    """Hint of columnar functions: the values of all rows at once, a plain list. ``Column[float]`` has no null in it,
    ``Column[Optional[float]]`` has ``None`` where a row is null."""


class Undeclared(TypeError):
    """A function whose hints weir cannot use; the message says which and what to write."""


@dataclass(frozen=True)
class DataType:
    """What a hint says: ``logical`` is one of boolean, bigint, double, text, timestamp, bytes."""

    logical: str
    list: bool = False
    nullable: bool = False
    as_datetime: bool = False

    def __str__(self) -> str:
        """As SQL names it."""
        name = {"text": "string"}.get(self.logical, self.logical)
        return f"array<{name}>" if self.list else name


@dataclass(frozen=True)
class Field:
    """A named argument."""

    name: str
    type: DataType


_LOGICAL = {
    bool: "boolean",
    int: "bigint",
    float: "double",
    str: "text",
    bytes: "bytes",
    Timestamp: "timestamp",
    datetime.datetime: "timestamp",
}
_TAKEN = "bool, int, float, str, bytes, datetime, weir.Timestamp, a list of one of these, or Optional of any"


def data_type(hint: Any, where: str) -> DataType:
    """The type that a hint stands for; `where` begins the message if there is none."""
    inner, nullable = without_none(hint)
    is_list = typing.get_origin(inner) is list
    if is_list:
        (inner,) = typing.get_args(inner)
    logical = _LOGICAL.get(inner) if _is_hashable(inner) else None
    if logical is None:
        raise Undeclared(f"{where} is {_shown(hint)}; hints may be {_TAKEN}")
    return DataType(logical, is_list, nullable, inner is datetime.datetime)


def column_type(hint: Any, where: str) -> DataType:
    """The type of the values of a hint ``Column[..]``."""
    if typing.get_origin(hint) is not Column:
        raise Undeclared(f"{where} is {_shown(hint)}; a columnar function takes and returns weir.Column[..]")
    return data_type(typing.get_args(hint)[0], where)


def signature(
    function: Callable[..., Any],
    shown: str,
    skip: int,
    read: Callable[[Any, str], DataType],
    of_result: bool = True,
    only: Optional[Container[str]] = None,
) -> tuple[tuple[Field, ...], Optional[DataType]]:
    """The arguments of a function behind its first `skip`, or `only` those of these names, and its result; `None` if it
    says none."""
    hints = _hints(function, shown)
    fields = []
    for parameter in list(inspect.signature(function).parameters.values())[skip:]:
        if only is not None and parameter.name not in only:
            continue
        where = f"`{parameter.name}` of `{shown}`"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Undeclared(f"{where} is not a plain argument; name each one")
        if parameter.name not in hints:
            raise Undeclared(f"{where} has no type hint; hints may be {_TAKEN}")
        fields.append(Field(parameter.name.lower(), read(hints[parameter.name], where)))
    if "return" not in hints or not of_result:
        return tuple(fields), None
    if hints["return"] is type(None):
        return tuple(fields), None
    return tuple(fields), read(hints["return"], f"the result of `{shown}`")


def result_hint(function: Callable[..., Any], shown: str) -> Any:
    """The hint of a function's result."""
    hints = _hints(function, shown)
    if "return" not in hints:
        raise Undeclared(f"`{shown}` does not say what it returns; write `-> Ride`, say, a dataclass")
    return hints["return"]


_MANY = (list, collections.abc.Iterator, collections.abc.Iterable, collections.abc.Generator, collections.abc.Sequence)


def row_hint(function: Callable[..., Any], where: str) -> Any:
    """The class of the rows that a function makes many of, ``-> Iterator[Visit]``; `None` if it says that it makes none."""
    hint = _hints(function, where).get("return")
    if hint is None or hint is type(None):
        return None
    if typing.get_origin(hint) not in _MANY:
        raise Undeclared(f"{where} returns {_shown(hint)}; write `-> Iterator[Visit]`, say, or None if it makes no rows")
    return typing.get_args(hint)[0]


def members(of: Any, shown: str) -> dict[str, Any]:
    """The hints of a class's members, by name."""
    if not isinstance(of, type):
        raise Undeclared(f"`{shown}` returns {_shown(of)}; a row is a dataclass, a NamedTuple or a TypedDict")
    return _hints(of, shown)


def _hints(function: Callable[..., Any], shown: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception as error:
        raise Undeclared(f"the hints of `{shown}` cannot be read: {error}") from error


def without_none(hint: Any) -> tuple[Any, bool]:
    """What an ``Optional[..]`` is of, and whether it is one."""
    origin = typing.get_origin(hint)
    unions = (typing.Union, types.UnionType) if sys.version_info >= (3, 10) else (typing.Union,)
    if origin not in unions:
        return hint, False
    others = [each for each in typing.get_args(hint) if each is not type(None)]
    return (others[0], True) if len(others) == 1 else (hint, False)


def _is_hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def _shown(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint).replace("typing.", "")
