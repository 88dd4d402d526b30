"""``@weir.transform``: a function that gives several columns, of one row or of whole columns, and how it is called for many
rows at once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence, TypeVar, Union, overload

from . import declared
from .columns import Raw, WrongResult, decode, encode
from .hints import Field, Undeclared, column_type, data_type, result_hint, signature, without_none
from .rows import columns_of, lacks, members_of

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Transform:
    """A declared transform."""

    name: str
    arguments: tuple[Field, ...]
    results: tuple[Field, ...]
    may_be_none: bool
    """Whether it says that a row of its may be ``None``, which is a row of nulls."""
    description: str
    origin: str
    columnar: bool
    function: Callable[..., Any]

    def call(self, arguments: Sequence[Raw], rows: int) -> list[Raw]:
        """The columns of the results for `rows` rows."""
        columns = [decode(column, field.type) for column, field in zip(arguments, self.arguments)]
        given = declared.rows_given(columns, self.arguments, rows)
        if given is None:
            found = self._apply(columns, rows)
        else:
            picked = [[column[row] for row in given] for column in columns]
            found = [declared.spread(values, given, rows) for values in self._apply(picked, len(given))]
        return [encode(values, field.type, f"{self.name}.{field.name}") for values, field in zip(found, self.results)]

    def _apply(self, columns: Sequence[list[Any]], rows: int) -> list[list[Any]]:
        if rows == 0:
            return [[] for _ in self.results]
        return self._at_once(columns, rows) if self.columnar else self._by_rows(columns, rows)

    def _at_once(self, columns: Sequence[list[Any]], rows: int) -> list[list[Any]]:
        members = members_of(self.function(*columns), self.results, self.name)
        found = []
        for field in self.results:
            given = members.get(field.name)
            values = [] if given is None else list(given)
            if len(values) != rows:
                raise WrongResult(f"`{self.name}` returned {len(values)} values of `{field.name}` for {rows} rows")
            if not field.type.nullable and any(value is None for value in values):
                raise WrongResult(lacks(field))
            found.append(values)
        return found

    def _by_rows(self, columns: Sequence[list[Any]], rows: int) -> list[list[Any]]:
        if columns:
            made = list(map(self.function, *columns))
        else:
            made = [self.function() for _ in range(rows)]
        return [list(values) for values in zip(*map(self._values, made))]

    def _values(self, row: Any) -> tuple[Any, ...]:
        """A row's values in the order of the columns."""
        if row is None and self.may_be_none:
            return (None,) * len(self.results)
        members = members_of(row, self.results, self.name)
        for field in self.results:
            if not field.type.nullable and members.get(field.name) is None:
                raise WrongResult(lacks(field))
        return tuple(members.get(field.name) for field in self.results)


@overload
def transform(function: F) -> F: ...
@overload
def transform(
    *, name: Optional[str] = None, description: Optional[str] = None, columnar: bool = False
) -> Callable[[F], F]: ...


def transform(
    function: Optional[F] = None,
    *,
    name: Optional[str] = None,
    description: Optional[str] = None,
    columnar: bool = False,
) -> Union[F, Callable[[F], F]]:
    """Makes a function usable in a job's ``transform``, ``name(a, b).column`` or ``name(*).column``. It returns a row, whose
    class says the columns by its hints: a dataclass, a ``NamedTuple`` or a ``TypedDict``. It stays the function that it is, so
    tests call it as such.

    A row in which an argument is null gives a row of nulls without a call, unless that argument's hint is ``Optional``; so
    does ``None``, where the hint of the result is ``Optional``. An exception fails the row, with the exception and its line.

    With ``columnar=True`` the hints, and those of the class, are ``weir.Column[..]``: the function gets lists with all rows at
    once and returns one object with as many values in each member. The values of a row must depend on nothing but that row.
    """

    def declare(function: F) -> F:
        shown = name or function.__name__
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise Undeclared(f"`{shown}` is not a plain function; a transform returns a row when it is called")
        read = column_type if columnar else data_type
        arguments, _ = signature(function, shown, 0, read, of_result=False)
        of, may_be_none = result_hint(function, shown), False
        if not columnar:
            of, may_be_none = without_none(of)
        found = Transform(
            name=shown,
            arguments=arguments,
            results=columns_of(of, shown, read),
            may_be_none=may_be_none,
            description=declared.description(description, function),
            origin=declared.origin(function),
            columnar=columnar,
            function=function,
        )
        declared.declare(declared.transforms, shown, found)
        return function

    return declare if function is None else declare(function)
