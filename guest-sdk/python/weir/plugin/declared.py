"""What a plugin declares: its functions by name, as the decorators find them."""

from __future__ import annotations

import re
from typing import Any, Callable, Optional, Sequence

from .hints import Field, Undeclared

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

scalars: dict[str, Any] = {}
"""By name in SQL."""
transforms: dict[str, Any] = {}
"""By name in a job's ``transform``."""
aggregates: dict[str, Any] = {}
processes: dict[str, Any] = {}
decoders: dict[str, Any] = {}
"""One at most."""


def declare(functions: dict[str, Any], name: str, function: Any) -> None:
    """Adds a function. Two of one name are a mistake, unless it is the same one imported anew."""
    if not _NAME.fullmatch(name):
        raise Undeclared(f"`{name}` is not a name in SQL; write [a-z][a-z0-9_]*, or give name=\"..\"")
    for kind in (scalars, transforms, aggregates, processes):
        other = kind.get(name)
        if other is not None and other.origin != function.origin:
            raise Undeclared(f"`{name}` is declared twice: in {other.origin} and in {function.origin}")
    functions[name] = function


def declare_decoder(decoder: Any) -> None:
    """Sets the decoder. Another one is a mistake."""
    for other in decoders.values():
        if other.origin != decoder.origin:
            raise Undeclared(f"a plugin has one decoder, and there are two: {other.origin} and {decoder.origin}")
    decoders[decoder.name] = decoder


def rows_given(columns: Sequence[Sequence[Any]], fields: Sequence[Field], rows: int) -> Optional[list[int]]:
    """The rows without a null that a function does not take; `None` if those are all."""
    required = [column for column, field in zip(columns, fields) if not field.type.nullable and None in column]
    if not required:
        return None
    return [row for row in range(rows) if all(column[row] is not None for column in required)]


def spread(values: Sequence[Any], given: Sequence[int], rows: int) -> list[Any]:
    """The values of the given rows in their places; nothing in the others."""
    whole: list[Any] = [None] * rows
    for row, value in zip(given, values):
        whole[row] = value
    return whole


def description(given: Optional[str], documented: Callable[..., Any]) -> str:
    """A sentence for people: what was given, or the first paragraph of the documentation."""
    text = given if given is not None else (documented.__doc__ or "")
    return " ".join(text.strip().split("\n\n")[0].split())[:1000]


def snake_case(name: str) -> str:
    """``LongVisits`` -> ``long_visits``"""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def origin(of: Any) -> str:
    """Where it is written, as ``module.name``."""
    return f"{of.__module__}.{of.__qualname__}"


def clear() -> None:
    """Forgets all functions, between tests."""
    scalars.clear()
    transforms.clear()
    aggregates.clear()
    processes.clear()
    decoders.clear()
