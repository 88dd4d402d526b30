"""``python -m weir.plugin build|test FOLDER``, for `weir plugin` and for whoever has no weir at hand."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from pathlib import Path
from typing import Sequence

from . import declared
from .blame import NOT_BROUGHT, told
from .build import PluginFault, build, test
from .hints import Field
from .tools import ToolError


def main() -> int:
    """Exit codes: 0 done, 1 the plugin is at fault, 2 something is missing on this machine."""
    parser = argparse.ArgumentParser(prog="python -m weir.plugin", description="Plugins in Python")
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("build", help="build a plugin's folder into a component")
    builds.add_argument("folder", type=Path)
    builds.add_argument("--name", help="the plugin's name (default: the folder's)")
    builds.add_argument("--out", type=Path, help="where the component goes (default: FOLDER/dist)")
    tests = commands.add_parser("test", help="run a folder's tests, without WebAssembly")
    tests.add_argument("folder", type=Path)
    commands.add_parser("describe", help="say what the module `plugin` declares, as JSON")
    arguments = parser.parse_args()
    try:
        if arguments.command == "describe":
            return describe()
        folder = arguments.folder.resolve()
        if arguments.command == "test":
            return 1 if test(folder) else 0
        print(build(folder, arguments.name or folder.name, (arguments.out or folder / "dist").resolve()))
    except PluginFault as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    except ToolError as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 2
    return 0


def describe() -> int:
    """Imports `plugin` as the component will; what is wrong with it is said in a few lines."""
    try:
        import plugin  # noqa: F401
    except SyntaxError:
        traceback.print_exc(limit=0)
        return 1
    except Exception as error:
        print(told(error, NOT_BROUGHT), file=sys.stderr)
        return 1

    def shown(fields: Sequence[Field]) -> str:
        return ", ".join(f"{field.name} {field.type}" for field in fields)

    found = {
        "scalars": [
            f"scalar {each.name}({shown(each.arguments)}) -> {each.result}" for each in declared.scalars.values()
        ],
        "transforms": [
            f"transform {each.name}({shown(each.arguments)}) -> ({shown(each.results)})"
            for each in declared.transforms.values()
        ],
        "aggregates": [
            f"aggregate {each.name}({shown([*each.parameters, *each.arguments])}) -> {each.result}"
            for each in declared.aggregates.values()
        ],
        "processes": [
            f"process {each.name}({shown([*each.parameters, *each.arguments])}) -> ({shown(each.results)})"
            for each in declared.processes.values()
        ],
        "decoders": [f"decode payload -> ({shown(each.columns)})" for each in declared.decoders.values()],
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
