"""``@weir.aggregate``: a class whose objects are the states of a function of many rows, and how they are folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence, TypeVar, Union, overload

from . import declared
from .columns import Raw, decode, encode
from .hints import DataType, Field, Undeclared, data_type, signature
from .state import Codec

C = TypeVar("C", bound=type)

ALGEBRAS = ("exact", "ordered", "approximate")


@dataclass(frozen=True)
class Aggregate:
    """A declared aggregate function."""

    name: str
    parameters: tuple[Field, ...]
    arguments: tuple[Field, ...]
    result: DataType
    algebra: str
    description: str
    origin: str
    state: type

    def _codec(self, constants: Sequence[Any]) -> Codec:
        return Codec(self.name, self.state, self.parameters, constants)

    def update(
        self, constants: Sequence[Any], states: Sequence[bytes], groups: Sequence[int], times: Sequence[int],
        arguments: Sequence[Raw],
    ) -> list[bytes]:
        """Adds rows to states: row `i` belongs to ``states[groups[i]]``. Rows with a null that is not taken are left out."""
        codec = self._codec(constants)
        columns = [decode(column, field.type) for column, field in zip(arguments, self.arguments)]
        given = declared.rows_given(columns, self.arguments, len(groups))
        if given is not None:
            groups, times = [groups[row] for row in given], [times[row] for row in given]
            columns = [[column[row] for row in given] for column in columns]
        touched: dict[int, Any] = {}
        rows = zip(*columns) if columns else iter([()] * len(groups))
        for group, time, values in zip(groups, times, rows):
            state = touched.get(group)
            if state is None:
                state = touched[group] = codec.decode(states[group])
            state.update(time, *values)
        updated = list(states)
        for group, state in touched.items():
            updated[group] = codec.encode(state)
        return updated

    def merge(
        self, constants: Sequence[Any], states: Sequence[bytes], groups: Sequence[int], group_count: int
    ) -> list[bytes]:
        """Folds states into one per group, from the earliest to the latest."""
        codec = self._codec(constants)
        merged: dict[int, Any] = {}
        for state, group in zip(states, groups):
            if not state:
                continue
            later = codec.decode(state)
            held = merged.setdefault(group, later)
            if held is not later:
                held.merge(later)
        return [codec.encode(merged[group]) if group in merged else b"" for group in range(group_count)]

    def finish(self, constants: Sequence[Any], states: Sequence[bytes], as_of: Sequence[int]) -> Raw:
        """The value of each state at its moment."""
        codec = self._codec(constants)
        values = [codec.decode(state).finish(moment) for state, moment in zip(states, as_of)]
        return encode(values, self.result, self.name)


@overload
def aggregate(of: C) -> C: ...
@overload
def aggregate(
    *, name: Optional[str] = None, description: Optional[str] = None, algebra: str = "ordered"
) -> Callable[[C], C]: ...


def aggregate(
    of: Optional[C] = None,
    *,
    name: Optional[str] = None,
    description: Optional[str] = None,
    algebra: str = "ordered",
) -> Union[C, Callable[[C], C]]:
    """Makes a class usable in SQL as an aggregate, by its name in snake case. An object is the state of some rows of one
    key; what it must remember are its attributes, at most 64 KiB.

    ``update(self, time, ..)`` adds a row of event time `time` (milliseconds), ``merge(self, later)`` the state of a later
    stretch of rows, ``finish(self, as_of)`` gives the value at that moment. Arguments of ``__init__`` are constants that
    a query gives before the others.

    ``algebra`` says what the host may do: ``exact`` if no order and no cut of the rows can change a bit of the value,
    ``ordered`` (the default) if rows must come in the order of event time, ``approximate`` for estimates.
    """

    def declare(of: C) -> C:
        shown = name or declared.snake_case(of.__name__)
        if algebra not in ALGEBRAS:
            raise Undeclared(f"`{algebra}` is not an algebra of `{shown}`; write one of {', '.join(ALGEBRAS)}")
        for method in ("update", "merge", "finish"):
            if not callable(getattr(of, method, None)):
                raise Undeclared(f"`{shown}` has no method `{method}`; an aggregate has update, merge and finish")
        if "__slots__" in vars(of):
            raise Undeclared(f"`{shown}` has __slots__; its state are plain attributes, so leave them out")
        parameters: tuple[Field, ...] = ()
        if "__init__" in vars(of):
            parameters, _ = signature(of.__init__, shown, 1, data_type)
        arguments, _ = signature(of.update, shown, 2, data_type)
        _, result = signature(of.finish, shown, 2, data_type)
        if result is None:
            raise Undeclared(f"`finish` of `{shown}` does not say what it returns; write `-> float`, say")
        found = Aggregate(
            name=shown,
            parameters=parameters,
            arguments=arguments,
            result=result,
            algebra=algebra,
            description=declared.description(description, of),
            origin=declared.origin(of),
            state=of,
        )
        declared.declare(declared.aggregates, shown, found)
        return of

    return declare if of is None else declare(of)
