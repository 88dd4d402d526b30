"""Plugins in Python: decorated functions and classes that weir calls as functions of SQL.

>>> import weir
>>> @weir.scalar
... def fahrenheit(celsius: float) -> float:
...     return celsius * 1.8 + 32
>>> fahrenheit(100.0)
212.0

Everything here is plain Python except `exports`, so a plugin's tests run under pytest without WebAssembly.
"""

from .aggregate import aggregate
from .decode import decode
from .hints import Column, Timestamp, Undeclared
from .play import play
from .process import process
from .scalar import scalar
from .surroundings import Forbidden, log
from .transform import transform

__all__ = [
    "Column",
    "Forbidden",
    "Timestamp",
    "Undeclared",
    "aggregate",
    "decode",
    "log",
    "play",
    "process",
    "scalar",
    "transform",
]
