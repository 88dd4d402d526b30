"""What a plugin finds around it: a log, and neither clock nor randomness. ``print`` goes to the log.

Natively (in tests) the log is standard error and everything else is as Python has it.
"""

from __future__ import annotations

import builtins
import io
import os
import random
import sys
import time
from typing import Any, Callable, Optional

LEVELS = ("debug", "info", "warn", "error")

_to_host: Optional[Callable[[str, str], None]] = None


def log(level: str, message: str) -> None:
    """Writes a line to the host's log under the plugin's name. `level`: debug, info, warn or error."""
    if level not in LEVELS:
        raise ValueError(f"`{level}` is not a level; write one of {', '.join(LEVELS)}")
    if _to_host is None:
        print(f"{level}: {message}", file=sys.__stderr__)
    else:
        _to_host(level, message)


class Forbidden(RuntimeError):
    """A plugin asked for what would make its values different on a replay."""


class _Lines:
    """A text stream whose lines go to the log."""

    encoding = "utf-8"

    def __init__(self, level: str) -> None:
        self._level = level
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            log(self._level, line)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: a line goes when it is whole."""

    def isatty(self) -> bool:
        return False


def seal(to_host: Callable[[str, str], None]) -> None:
    """From now on the surroundings are those of a component."""
    global _to_host
    _to_host = to_host
    sys.stdout = _Lines("info")  # type: ignore[assignment]
    sys.stderr = _Lines("warn")  # type: ignore[assignment]
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"):
        setattr(time, name, _forbidden(f"time.{name}", "take the time from the row, or from `as_of`"))
    for name in ("random", "randint", "randrange", "uniform", "choice", "choices", "shuffle", "sample", "gauss"):
        setattr(random, name, _forbidden(f"random.{name}", "make random.Random(SEED) of a value of the row"))
    for name in ("urandom", "getrandom", "listdir", "scandir", "stat"):
        setattr(os, name, _forbidden(f"os.{name}", "take it from the row"))
    for module in (builtins, io):
        setattr(module, "open", _forbidden("open", "read the file while the plugin is built, outside of functions"))
    sys.meta_path[:] = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") != "PathFinder"]
    sys.meta_path.append(_NoLateImports)


class _NoLateImports:
    """What finds modules in a component once it is built: nothing."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        raise ModuleNotFoundError(f"No module named {name!r} was imported while the plugin was built", name=name)


def _forbidden(name: str, instead: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise Forbidden(f"{name}() is not there in a plugin, whose values must be the same on a replay; {instead}")

    return refuse
