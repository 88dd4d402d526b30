"""The programs that building and testing need, in an environment of their own below the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

# Pinned, since the bytes of a component come from it.
REQUIREMENTS = ("componentize-py==0.25.1", "pytest>=8,<10")
OLDEST = (3, 10)


class ToolError(Exception):
    """Something is missing on this machine; the message says what brings it."""


def say(text: str) -> None:
    """A line of progress."""
    print(f"weir: {text}", file=sys.stderr, flush=True)


class Tools:
    """An environment that has componentize-py and pytest."""

    def __init__(self) -> None:
        if sys.version_info < OLDEST:
            have, need = ".".join(map(str, sys.version_info[:2])), ".".join(map(str, OLDEST))
            raise ToolError(f"Python {need} or newer is needed to build plugins, and this is {have}; set WEIR_PYTHON to one")
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._folder = cache / "weir" / f"python-tools-{sys.version_info[0]}.{sys.version_info[1]}-1"
        self._install()

    def _install(self) -> None:
        ready = self._folder / "ready"
        if ready.exists() and ready.read_text() == "\n".join(REQUIREMENTS):
            return
        say(f"installing {' and '.join(REQUIREMENTS)} into {self._folder} (once)")
        try:
            venv.create(self._folder, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ToolError(
                f"an environment cannot be made in {self._folder}: {error}; on Debian: apt-get install python3-venv"
            ) from error
        self.pip(["install", *REQUIREMENTS], "the tools cannot be installed")
        ready.write_text("\n".join(REQUIREMENTS))

    def program(self, name: str) -> str:
        """The path of one of the environment's programs."""
        return str(self._folder / ("Scripts" if os.name == "nt" else "bin") / name)

    def pip(self, arguments: list[str], failed: str) -> None:
        """Runs pip; its last lines are the reason if it fails."""
        command = [self.program("python"), "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = "\n  ".join(done.stderr.strip().splitlines()[-4:])
            raise ToolError(f"{failed} (pip asks the index that PIP_INDEX_URL or pip.conf names):\n  {reason}")
