"""The component's exports, called by the host. Imported inside a component only: `wit_world` is generated there."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, TypeVar

from componentize_py_types import Err
from wit_world.imports import platform, types

from . import declared
from .blame import told
from .columns import Raw
from .hints import DataType, Field
from .surroundings import seal

T = TypeVar("T")

_CASES = {
    "boolean": types.Values_Booleans,
    "bigint": types.Values_Int64s,
    "double": types.Values_Float64s,
    "text": types.Values_Texts,
    "timestamp": types.Values_Int64s,
    "bytes": types.Values_Blobs,
}
_sealed = False


def _to_host(level: str, message: str) -> None:
    platform.log(platform.Level[level.upper()], message)


def _answer(give: Callable[[], T]) -> T:
    """What a function gives; an exception as the error that the interface has for it."""
    global _sealed
    if not _sealed:
        # Not earlier: while the component is built there is no host to log to.
        seal(_to_host)
        _sealed = True
    try:
        return give()
    # Also what ends a program, which a plugin is not to do.
    except BaseException as error:
        raise Err(told(error)) from None


def _type(of: DataType) -> types.DataType:
    return types.DataType(types.LogicalType[of.logical.upper()], of.list)


def _fields(fields: Sequence[Field]) -> list[types.Field]:
    return [types.Field(field.name, _type(field.type)) for field in fields]


def _raw(columns: Sequence[types.Column]) -> list[Raw]:
    return [Raw(column.values.value, column.validity, column.offsets) for column in columns]


def _column(raw: Raw, of: DataType) -> types.Column:
    return types.Column(_CASES[of.logical](raw.values), raw.validity, list(raw.offsets))


def _columns(made: Sequence[Raw], fields: Sequence[Field]) -> list[types.Column]:
    return [_column(raw, field.type) for raw, field in zip(made, fields)]


def _constants(literals: Sequence[Any]) -> list[Any]:
    return [getattr(literal, "value", None) for literal in literals]


class ScalarFunctions:
    """``weir:feature/scalar-functions``"""

    def describe(self) -> list[Any]:
        from wit_world.exports.scalar_functions import FunctionInfo

        return [
            FunctionInfo(each.name, _fields(each.arguments), _type(each.result), each.description)
            for each in declared.scalars.values()
        ]

    def call(self, name: str, args: list[types.Column], rows: int) -> types.Column:
        function = declared.scalars[name]
        return _answer(lambda: _column(function.call(_raw(args), rows), function.result))


class Transformer:
    """``weir:feature/transformer``"""

    def describe(self) -> list[Any]:
        from wit_world.exports.transformer import TransformInfo

        return [
            TransformInfo(each.name, _fields(each.arguments), _fields(each.results), each.description)
            for each in declared.transforms.values()
        ]

    def call(self, name: str, args: list[types.Column], rows: int) -> list[types.Column]:
        function = declared.transforms[name]
        return _answer(lambda: _columns(function.call(_raw(args), rows), function.results))


class Decoder:
    """``weir:feature/decoder``"""

    def describe(self) -> list[types.Field]:
        (decoder,) = declared.decoders.values()
        return _fields(decoder.columns)

    def decode(self, payloads: list[bytes], wanted: list[str]) -> Any:
        from wit_world.exports.decoder import Decoded, Refusal

        (decoder,) = declared.decoders.values()
        of = {field.name: field.type for field in decoder.columns}

        def give() -> Any:
            columns, refused = decoder.decode(payloads, wanted)
            return Decoded(
                [_column(raw, of[name]) for raw, name in zip(columns, wanted)],
                [Refusal(at, reason) for at, reason in refused],
            )

        return _answer(give)


class Processor:
    """``weir:feature/processor``"""

    def describe(self) -> list[Any]:
        from wit_world.exports.processor import ProcessInfo

        return [
            ProcessInfo(
                each.name, _fields(each.parameters), _fields(each.arguments), _fields(each.results), each.description
            )
            for each in declared.processes.values()
        ]

    def on_events(
        self, name: str, params: list[Any], states: list[bytes], timers: list[Optional[int]], counts: list[int],
        times: list[int], args: list[types.Column],
    ) -> Any:
        function = declared.processes[name]
        constants, columns = _constants(params), _raw(args)
        return _answer(
            lambda: _progress(function, function.on_events(constants, states, timers, counts, times, columns))
        )

    def on_timer(self, name: str, params: list[Any], states: list[bytes], times: list[int]) -> Any:
        function = declared.processes[name]
        return _answer(lambda: _progress(function, function.on_timer(_constants(params), states, times)))


def _progress(function: Any, made: Any) -> Any:
    from wit_world.exports.processor import Progress

    return Progress(made.states, made.timers, made.taken, made.made_by, _columns(made.rows, function.results))


class AggregateFunctions:
    """``weir:feature/aggregate-functions``"""

    def describe(self) -> list[Any]:
        from wit_world.exports.aggregate_functions import AggregateInfo, Algebra

        return [
            AggregateInfo(
                each.name,
                _fields(each.parameters),
                _fields(each.arguments),
                _type(each.result),
                Algebra[each.algebra.upper()],
                each.description,
            )
            for each in declared.aggregates.values()
        ]

    def update(
        self, name: str, params: list[Any], states: list[bytes], groups: list[int], times: list[int],
        args: list[types.Column],
    ) -> list[bytes]:
        function = declared.aggregates[name]
        return _answer(lambda: function.update(_constants(params), states, groups, times, _raw(args)))

    def merge(
        self, name: str, params: list[Any], states: list[bytes], groups: list[int], group_count: int
    ) -> list[bytes]:
        function = declared.aggregates[name]
        return _answer(lambda: function.merge(_constants(params), states, groups, group_count))

    def finish(self, name: str, params: list[Any], states: list[bytes], as_of: list[int]) -> types.Column:
        function = declared.aggregates[name]
        return _answer(lambda: _column(function.finish(_constants(params), states, as_of), function.result))
