"""Which line of whose file an exception comes from, in one line of text for the host."""

from __future__ import annotations

import os
import traceback

_KIT = os.path.dirname(__file__)
LATE = "; there are no files at run time, so import it at the top of plugin.py"
NOT_BROUGHT = "; name its package in requirements.txt, beside plugin.py"


def told(error: BaseException, missing: str = LATE) -> str:
    """``plugin.py:12: ValueError: ..``; the line is the last one that is not the kit's own. `missing` is said of a module
    that is not found."""
    # Not `extract_tb`: that reads source files, and in a component there are none.
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    foreign = [(filename, line) for filename, line in frames if not filename.startswith(_KIT)]
    where = f"{_shown(foreign[-1][0])}:{foreign[-1][1]}: " if foreign else ""
    hint = missing if isinstance(error, ModuleNotFoundError) else ""
    text = " ".join(str(error).split())
    return f"{where}{type(error).__name__}{': ' if text else ''}{text}{hint}"


def _shown(filename: str) -> str:
    """The file as its author knows it: below the folder that was built."""
    parts = filename.replace("\\", "/").split("/")
    return parts[-1] if len(parts) < 2 or parts[-1] != "__init__.py" else "/".join(parts[-2:])
