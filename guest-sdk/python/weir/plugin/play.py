"""``weir.play``: events played through keyed logic in a test, as the host gives them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Iterable, Mapping, Optional

from . import declared


def play(
    of: type,
    events: Iterable[tuple[int, Mapping[str, Any]]],
    *,
    until: Optional[int] = None,
    parameters: Iterable[Any] = (),
) -> list[tuple[int, Any]]:
    """The rows that one key's events make, each with the time of the event or timer that made it. `of` is a class under
    ``@weir.process``; an event is its time and its columns by name, of which one that is left out is null; events come in
    order. Timers fire as the host fires them, before the first event behind them, and in the end those up to `until`.

    What is remembered goes through its bytes after every step, and rows through their columns, so that a test misses what
    a plugin would miss.

    >>> weir.play(Visits, [(0, {"city": "berlin"})], until=3_600_000, parameters=[30])      # doctest: +SKIP
    """
    found = [each for each in declared.processes.values() if each.memory is of]
    if not found:
        raise TypeError(f"{of!r} is not a class under @weir.process")
    process = found[0]
    constants = list(parameters)
    if len(constants) != len(process.parameters):
        raise TypeError(f"`{process.name}` takes {len(process.parameters)} parameters, and there are {len(constants)}")
    codec = process.codec(constants)
    state, timer = b"", None
    rows: list[tuple[int, Any]] = []

    def step(at: int, call: Any) -> None:
        nonlocal state, timer
        memory = codec.decode(state)
        timer, made = call(memory)
        process.columns([process.values(row) for row in made])
        state = process.write(codec, memory)
        rows.extend((at, row) for row in made)

    def fire_up_to(last: int) -> None:
        while timer is not None and timer <= last:
            at = timer
            step(at, lambda memory: process.fire(memory, at, deepcopy))

    newest = None
    for at, columns in events:
        if newest is not None and at < newest:
            raise ValueError(f"the event of {at} comes behind one of {newest}")
        newest = at
        fire_up_to(at - 1)
        unknown = set(columns) - {field.name for field in process.arguments}
        if unknown:
            raise TypeError(f"`{process.name}` takes no column {', '.join(sorted(unknown))}")
        values = [columns.get(field.name) for field in process.arguments]
        if all(value is not None or field.type.nullable for value, field in zip(values, process.arguments)):
            step(at, lambda memory: process.take(memory, timer, at, values, deepcopy))
    if until is not None:
        fire_up_to(until)
    return rows
