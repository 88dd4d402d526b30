"""States as bytes, and back: what an object remembers are its attributes. Knows nothing of what they are the states of."""

from __future__ import annotations

import marshal
from typing import Any, Mapping, Optional, Sequence

from .columns import to_datetime
from .hints import Field

# Newer formats of marshal share equal objects by reference, so that equal states are different bytes.
_MARSHAL_VERSION = 2


class Codec:
    """States of a class as bytes, under one set of constants. That of a new object is written as no bytes.

    A state with the attributes that a new one has is the tuple of their values, in order of name; one with others is the
    list of its names and values.
    """

    def __init__(self, name: str, of: type, parameters: Sequence[Field], constants: Sequence[Any]) -> None:
        self._name = name
        self._of = of
        self._constants = tuple(
            to_datetime(constant) if field.type.as_datetime and constant is not None else constant
            for constant, field in zip(constants, parameters)
        )
        start = self._new()
        self._names = sorted(self._held(start))
        self._start = self._bytes(start)

    def _new(self) -> Any:
        return self._of(*self._constants)

    def decode(self, state: bytes) -> Any:
        if not state:
            return self._new()
        kept = marshal.loads(state)
        made = self._of.__new__(self._of)
        made.__dict__ = dict(zip(self._names, kept) if kept.__class__ is tuple else kept)
        return made

    def encode(self, state: Any) -> bytes:
        written = self._bytes(state)
        return b"" if written == self._start else written

    def _held(self, state: Any) -> Mapping[str, Any]:
        """The attributes that are kept."""
        return vars(state)

    def _bytes(self, state: Any) -> bytes:
        held = self._held(state)
        kept: Any
        if len(held) == len(self._names) and all(map(held.__contains__, self._names)):
            kept = tuple(map(held.__getitem__, self._names))
        else:
            kept = sorted(held.items())
        written = as_bytes(kept)
        if written is None:
            raise TypeError(self._unwritable(sorted(held.items())))
        return written

    def _unwritable(self, attributes: list[tuple[str, Any]]) -> str:
        for attribute, value in attributes:
            if as_bytes(value) is None:
                kind = type(value).__name__
                return (
                    f"the state of `{self._name}` holds `{attribute}`, a {kind} that cannot be kept; keep None, "
                    "bool, int, float, str, bytes, and lists, tuples, sets and dicts of them (dict(counter), for example)"
                )
        return f"the state of `{self._name}` cannot be kept"


def as_bytes(value: Any) -> Optional[bytes]:
    """A value as it is kept; `None` if it cannot be."""
    try:
        return marshal.dumps(value, _MARSHAL_VERSION)
    except ValueError:
        return None
