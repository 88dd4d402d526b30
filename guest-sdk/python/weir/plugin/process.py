"""``@weir.process``: a class whose objects are what is remembered of a key, and how events and timers reach them."""

from __future__ import annotations

import dataclasses
import inspect
import operator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Callable, Mapping, Optional, Sequence, TypeVar, Union, overload

from . import declared
from .columns import Raw, WrongResult, decode, encode
from .hints import Field, Undeclared, data_type, row_hint, signature
from .rows import columns_of, lacks, members_of
from .state import Codec, as_bytes

C = TypeVar("C", bound=type)

MOST_ROWS = 1000
"""So many may one event or timer make."""
MOST_STATE_BYTES = 65_536


@dataclass(frozen=True)
class Progress:
    """What came of a call, as ``wit/process.wit`` has it."""

    states: list[bytes]
    timers: list[Optional[int]]
    taken: list[int]
    made_by: list[int]
    rows: list[Raw]


@dataclass(frozen=True)
class Process:
    """Declared keyed logic."""

    name: str
    parameters: tuple[Field, ...]
    arguments: tuple[Field, ...]
    results: tuple[Field, ...]
    description: str
    origin: str
    memory: type
    defaults: Mapping[str, bytes]
    """What the class itself says of its attributes, as bytes."""

    def codec(self, constants: Sequence[Any]) -> Codec:
        """The memories of keys as bytes."""
        return _Memories(self, constants)

    def on_events(
        self, constants: Sequence[Any], states: Sequence[bytes], timers: Sequence[Optional[int]], counts: Sequence[int],
        times: Sequence[int], arguments: Sequence[Raw],
    ) -> Progress:
        """Gives events to keys: of each in order, up to its timer. Events with a null that is not taken are passed over."""
        codec = self.codec(constants)
        columns = [decode(column, field.type) for column, field in zip(arguments, self.arguments)]
        rows_given = declared.rows_given(columns, self.arguments, len(times))
        given = None if rows_given is None else set(rows_given)
        events = list(zip(*columns)) if columns else [()] * len(times)
        progress = Progress(list(states), list(timers), [], [], [])
        rows: list[Any] = []
        first = 0
        for key, count in enumerate(counts):
            memory, timer, event = None, timers[key], first
            # The host fires a timer that lies before the next event, and gives that event again.
            while event < first + count and (event == first or timer is None or timer >= times[event]):
                if given is None or event in given:
                    if memory is None:
                        memory = codec.decode(states[key])
                    timer, made = self.take(memory, timer, times[event], events[event], self.values)
                    rows += made
                    progress.made_by.extend([event] * len(made))
                event += 1
            if memory is not None:
                progress.states[key] = self.write(codec, memory)
                progress.timers[key] = timer
            progress.taken.append(event - first)
            first += count
        progress.rows.extend(self.columns(rows))
        return progress

    def on_timer(self, constants: Sequence[Any], states: Sequence[bytes], times: Sequence[int]) -> Progress:
        """Fires the timers of keys."""
        codec = self.codec(constants)
        progress = Progress([], [], [0] * len(states), [], [])
        rows: list[Any] = []
        for key, (state, at) in enumerate(zip(states, times)):
            memory = codec.decode(state)
            timer, made = self.fire(memory, at, self.values)
            rows += made
            progress.made_by.extend([key] * len(made))
            progress.states.append(self.write(codec, memory))
            progress.timers.append(timer)
        progress.rows.extend(self.columns(rows))
        return progress

    def take(
        self, memory: Any, timer: Optional[int], at: int, values: Sequence[Any], keep: Callable[[Any], Any]
    ) -> tuple[Optional[int], list[Any]]:
        """Gives an event to a key under its timer: the timer from then on, and what is kept of each row made."""
        vars(memory)["timer"] = timer
        made = self._all(memory.on_event(at, *values), "on_event", keep)
        following = self._timer(memory)
        return None if following is None else max(following, at), made

    def fire(self, memory: Any, at: int, keep: Callable[[Any], Any]) -> tuple[Optional[int], list[Any]]:
        """Fires a key's timer: the next one, and what is kept of each row made."""
        vars(memory)["timer"] = None
        made = self._all(memory.on_timer(at), "on_timer", keep)
        following = self._timer(memory)
        if following is not None and following <= at:
            raise ValueError(
                f"on_timer of `{self.name}` set the timer to {following}, which is not later than {at}, when it fired"
            )
        return following, made

    def _all(self, made: Any, method: str, keep: Callable[[Any], Any]) -> list[Any]:
        rows = [] if made is None else list(map(keep, islice(made, MOST_ROWS + 1)))
        if len(rows) > MOST_ROWS:
            raise WrongResult(f"{method} of `{self.name}` makes more than {MOST_ROWS} rows at one time")
        return rows

    def _timer(self, memory: Any) -> Optional[int]:
        """The timer, taken out of the memory."""
        timer = vars(memory).pop("timer", None)
        if timer is None:
            return None
        try:
            timer = operator.index(timer)
        except TypeError:
            kind = type(timer).__name__
            raise WrongResult(f"the timer of `{self.name}` is {kind} {timer!r}; write milliseconds, or None") from None
        if not -(2**63) <= timer < 2**63:
            raise WrongResult(f"the timer of `{self.name}` is {timer}, which 64 bits do not hold")
        if not hasattr(self.memory, "on_timer"):
            raise WrongResult(f"`{self.name}` set its timer, and has no method `on_timer`")
        return timer

    def write(self, codec: Codec, memory: Any) -> bytes:
        """The memory of a key as bytes."""
        written = codec.encode(memory)
        if len(written) > MOST_STATE_BYTES:
            raise ValueError(f"a state of `{self.name}` has {len(written)} bytes, and may have {MOST_STATE_BYTES}")
        return written

    def values(self, row: Any) -> tuple[Any, ...]:
        """A row's values as they are now: what becomes of its lists later is not told."""
        members = members_of(row, self.results, self.name)
        found = (members.get(field.name) for field in self.results)
        return tuple(value[:] if isinstance(value, (list, bytearray)) else value for value in found)

    def columns(self, rows: Sequence[tuple[Any, ...]]) -> list[Raw]:
        """The columns of rows' values."""
        columns = []
        for at, field in enumerate(self.results):
            values = [row[at] for row in rows]
            if not field.type.nullable and any(value is None for value in values):
                raise WrongResult(lacks(field))
            columns.append(encode(values, field.type, field.name))
        return columns


class _Memories(Codec):
    """What keys remember, without what the class says in the same words, and without the timer, which the host keeps."""

    def __init__(self, process: Process, constants: Sequence[Any]) -> None:
        self._defaults = process.defaults
        super().__init__(process.name, process.memory, process.parameters, constants)

    def _new(self) -> Any:
        made = super()._new()
        vars(made).pop("timer", None)
        return made

    def _held(self, state: Any) -> Mapping[str, Any]:
        held = vars(state)
        if self._defaults.keys().isdisjoint(held):
            return held
        return {name: value for name, value in held.items() if self._defaults.get(name, b"") != as_bytes(value)}


@overload
def process(of: C) -> C: ...
@overload
def process(*, name: Optional[str] = None, description: Optional[str] = None) -> Callable[[C], C]: ...


def process(
    of: Optional[C] = None, *, name: Optional[str] = None, description: Optional[str] = None
) -> Union[C, Callable[[C], C]]:
    """Makes a class usable in SQL as keyed logic, ``FROM TABLE(name(TABLE t PARTITION BY k))``, by its name in snake case.
    An object is what is remembered of one key: its attributes, at most 64 KiB. A key whose object is as a new one is, and
    whose timer is not set, is forgotten.

    ``on_event(self, at, ..)`` takes an event of that time (milliseconds); the arguments behind are columns of the table,
    found by their names. ``on_timer(self, at)`` is called when the timer fires. Both make rows with ``yield``, or return a
    list of them; ``-> Iterator[Visit]`` says their class: a dataclass, a ``NamedTuple`` or a ``TypedDict``. ``self.timer`` is
    when the timer fires, in milliseconds, or ``None``: set it, or clear it with ``None``. It fires behind the events of its
    time, once.

    Arguments of ``__init__`` are constants that a query gives behind the table; of a dataclass, the fields without a default.
    """

    def declare(of: C) -> C:
        shown = name or declared.snake_case(of.__name__)
        if "__slots__" in vars(of):
            raise Undeclared(f"`{shown}` has __slots__; what it remembers are plain attributes, so leave them out")
        _check_method(of, shown, "on_event", "def on_event(self, at: int, city: str)")
        if hasattr(of, "on_timer"):
            _check_method(of, shown, "on_timer", "def on_timer(self, at: int)")
        if getattr(of, "timer", None) is not None:
            raise Undeclared(f"`timer` of `{shown}` is what says when `on_timer` is called; call the other thing otherwise")
        arguments, _ = signature(of.on_event, shown, 2, data_type, of_result=False)
        found = Process(
            name=shown,
            parameters=_parameters(of, shown),
            arguments=arguments,
            results=columns_of(_row_class(of, shown), shown),
            description=declared.description(description, of),
            origin=declared.origin(of),
            memory=of,
            defaults=_defaults(of, shown),
        )
        declared.declare(declared.processes, shown, found)
        # Read before it is set, it is not set.
        of.timer = None
        return of

    return declare if of is None else declare(of)


def _check_method(of: type, shown: str, method: str, like: str) -> None:
    found = getattr(of, method, None)
    if not callable(found):
        raise Undeclared(f"`{shown}` has no method `{method}`; write {like}")
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise Undeclared(f"`{method}` of `{shown}` is not a plain function or generator; leave out async")
    given = len(inspect.signature(found).parameters)
    if given < 2 or method == "on_timer" and given > 2:
        raise Undeclared(f"`{method}` of `{shown}` takes other arguments; write {like}")


def _row_class(of: type, shown: str) -> Any:
    """The class of the rows, as one of the methods says it, or both."""
    methods = [method for method in ("on_event", "on_timer") if hasattr(of, method)]
    said = [row_hint(getattr(of, method), f"`{method}` of `{shown}`") for method in methods]
    classes = [each for each in said if each is not None]
    if not classes:
        raise Undeclared(f"`{shown}` does not say what rows it makes; write `-> Iterator[Visit]`, say, a dataclass")
    if any(each is not classes[0] for each in classes):
        raise Undeclared(f"`on_event` and `on_timer` of `{shown}` say different rows; they make rows of one class")
    return classes[0]


def _parameters(of: type, shown: str) -> tuple[Field, ...]:
    if dataclasses.is_dataclass(of):
        constant = {field.name for field in dataclasses.fields(of) if _has_no_default(field)}
        fields, _ = signature(of, shown, 0, data_type, of_result=False, only=constant)
        return fields
    if "__init__" not in vars(of):
        return ()
    fields, _ = signature(of.__init__, shown, 1, data_type, of_result=False)
    return fields


def _has_no_default(field: Any) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _defaults(of: type, shown: str) -> dict[str, bytes]:
    """What attributes are that an object does not have itself."""
    found = {}
    for attribute in dir(of):
        value = inspect.getattr_static(of, attribute)
        if attribute.startswith("__") or callable(value) or as_bytes(value) is None:
            continue
        if isinstance(value, (list, dict, set, bytearray)) and not attribute.isupper():
            kind = type(value).__name__
            raise Undeclared(
                f"`{attribute}` of `{shown}` is a {kind} that all keys would share; make it in __init__, or write its name "
                "in capitals if it never changes"
            )
        found[attribute] = as_bytes(value) or b""
    return found
