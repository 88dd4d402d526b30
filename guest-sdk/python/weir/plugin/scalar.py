"""``@weir.scalar``: a function of one row, or of whole columns, and how it is called for many rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence, TypeVar, Union, overload

from . import declared
from .columns import Raw, WrongResult, decode, encode
from .hints import DataType, Field, Undeclared, column_type, data_type, signature

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scalar:
    """A declared scalar function."""

    name: str
    arguments: tuple[Field, ...]
    result: DataType
    description: str
    origin: str
    columnar: bool
    function: Callable[..., Any]

    def call(self, arguments: Sequence[Raw], rows: int) -> Raw:
        """The results for `rows` rows."""
        columns = [decode(column, field.type) for column, field in zip(arguments, self.arguments)]
        given = declared.rows_given(columns, self.arguments, rows)
        if given is None:
            results = self._apply(columns, rows)
        else:
            picked = [[column[row] for row in given] for column in columns]
            results = declared.spread(self._apply(picked, len(given)), given, rows)
        return encode(results, self.result, self.name)

    def _apply(self, columns: list[list[Any]], rows: int) -> list[Any]:
        if rows == 0:
            return []
        if self.columnar:
            results = list(self.function(*columns))
            if len(results) != rows:
                raise WrongResult(f"`{self.name}` returned {len(results)} values for {rows} rows")
            return results
        if not columns:
            return [self.function() for _ in range(rows)]
        return list(map(self.function, *columns))


@overload
def scalar(function: F) -> F: ...
@overload
def scalar(
    *, name: Optional[str] = None, description: Optional[str] = None, columnar: bool = False
) -> Callable[[F], F]: ...


def scalar(
    function: Optional[F] = None,
    *,
    name: Optional[str] = None,
    description: Optional[str] = None,
    columnar: bool = False,
) -> Union[F, Callable[[F], F]]:
    """Makes a function usable in SQL by its name. It stays the function that it is, so tests call it as such.

    A row in which an argument is null gives null without a call, unless that argument's hint is ``Optional``; returning
    ``None`` gives null. An exception fails the row, which becomes a dead letter with the exception and its line.

    With ``columnar=True`` the hints are ``weir.Column[..]`` and the function gets lists with all rows at once. It must
    return as many values, and the value of a row must depend on nothing but that row.
    """

    def declare(function: F) -> F:
        shown = name or function.__name__
        read = column_type if columnar else data_type
        arguments, result = signature(function, shown, 0, read)
        if result is None:
            raise Undeclared(f"`{shown}` does not say what it returns; write `-> float`, say")
        found = Scalar(
            name=shown,
            arguments=arguments,
            result=result,
            description=declared.description(description, function),
            origin=declared.origin(function),
            columnar=columnar,
            function=function,
        )
        declared.declare(declared.scalars, shown, found)
        return function

    return declare if function is None else declare(function)
