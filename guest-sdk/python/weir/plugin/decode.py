"""``@weir.decode``: a function that makes a row of a payload, and how it is called for many payloads at once."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence, TypeVar, Union, overload

from . import declared
from .blame import told
from .columns import Raw, WrongResult, encode
from .hints import Field, Undeclared, data_type, result_hint, signature
from .rows import columns_of, lacks, members_of

F = TypeVar("F", bound=Callable[[bytes], Any])


@dataclass(frozen=True)
class Decoder:
    """The declared decoder."""

    name: str
    columns: tuple[Field, ...]
    origin: str
    function: Callable[[bytes], Any]

    def decode(self, payloads: Sequence[bytes], wanted: Sequence[str]) -> tuple[list[Raw], list[tuple[int, str]]]:
        """The columns of these names, and which payloads are refused and why."""
        rows: list[Mapping[str, Any]] = []
        refused: dict[int, str] = {}
        for at, payload in enumerate(payloads):
            try:
                rows.append(members_of(self.function(bytes(payload)), self.columns, self.name))
            # Also what ends a program, which a payload is not to do.
            except BaseException as error:
                rows.append({})
                refused[at] = told(error)
        fields = {field.name: field for field in self.columns}
        columns = [self._column(rows, fields[name], refused) for name in wanted]
        return columns, sorted(refused.items())

    def _column(self, rows: list[Mapping[str, Any]], field: Field, refused: dict[int, str]) -> Raw:
        """The column; payloads whose value does not fit are refused on the way."""
        values = [row.get(field.name) for row in rows]
        for at, value in enumerate(values):
            if at not in refused and value is None and not field.type.nullable:
                refused[at] = lacks(field)
        try:
            return encode(values, field.type, field.name)
        except WrongResult:
            pass
        for at, value in enumerate(values):
            try:
                encode([value], field.type, field.name)
            except WrongResult as error:
                refused.setdefault(at, str(error))
                values[at] = None
        return encode(values, field.type, field.name)


@overload
def decode(function: F) -> F: ...
@overload
def decode() -> Callable[[F], F]: ...


def decode(function: Optional[F] = None) -> Union[F, Callable[[F], F]]:
    """Makes a format of a function: it gets a message's payload and returns a row, whose class says the columns by its type
    hints: a dataclass, a ``NamedTuple`` or a ``TypedDict``. It stays the function that it is, so tests call it as such.

    An exception refuses the payload, which becomes a dead letter with the exception and its line. A stream is read by it
    with ``format: {plugin: NAME}``.
    """
    return _declare if function is None else _declare(function)


def _declare(function: F) -> F:
    shown = function.__name__
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise Undeclared(f"`{shown}` is not a plain function; a decoder returns a row when it is called")
    arguments, _ = signature(function, shown, 0, data_type, of_result=False)
    if [str(field.type) for field in arguments] != ["bytes"] or arguments[0].type.nullable:
        raise Undeclared(f"`{shown}` takes a payload and nothing else; write def {shown}(payload: bytes)")
    columns = columns_of(result_hint(function, shown), shown)
    declared.declare_decoder(Decoder(shown, columns, declared.origin(function), function))
    return function
