"""Rows that a plugin makes: objects of a class whose hints are the columns. Knows nothing of who makes them."""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Mapping, Sequence

from .columns import WrongResult
from .hints import DataType, Field, Undeclared, data_type, members


def columns_of(of: Any, shown: str, read: Callable[[Any, str], DataType] = data_type) -> tuple[Field, ...]:
    """The columns that a class says: a dataclass, a ``NamedTuple`` or a ``TypedDict``, whose hints `read` reads."""
    columns = [Field(name, read(hint, f"`{name}` of `{shown}`")) for name, hint in members(of, shown).items()]
    if not columns:
        raise Undeclared(f"`{shown}` returns a class without hints; write a dataclass whose fields are the columns")
    return tuple(columns)


def members_of(row: Any, columns: Sequence[Field], shown: str) -> Mapping[str, Any]:
    """A row's values by the names of the columns."""
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "_asdict"):
        return row._asdict()  # type: ignore[no-any-return]
    if dataclasses.is_dataclass(row):
        return {field.name: getattr(row, field.name) for field in columns}
    raise WrongResult(f"`{shown}` returned {type(row).__name__}, which is not a row")


def lacks(field: Field) -> str:
    """What is said of a null where none may be."""
    return f"`{field.name}` is None, and its hint is not Optional"
