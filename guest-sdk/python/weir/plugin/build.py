"""A plugin's folder -> a component: looks at what it declares, brings its packages, and lets componentize-py build.

The folder holds ``plugin.py`` (with whatever it imports beside it) and perhaps ``requirements.txt``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .tools import Tools, say

_KIT = Path(__file__).resolve().parents[2]
_ENTRY = "weir_component"
_INTERFACES = {
    "scalars": "scalar-functions",
    "transforms": "transformer",
    "aggregates": "aggregate-functions",
    "processes": "processor",
    "decoders": "decoder",
}
_CLASSES = {
    "scalars": "ScalarFunctions",
    "transforms": "Transformer",
    "aggregates": "AggregateFunctions",
    "processes": "Processor",
    "decoders": "Decoder",
}


class PluginFault(Exception):
    """The plugin cannot be built as it is; the message says why."""


def build(folder: Path, name: str, out: Path) -> Path:
    """Builds the component of a folder and gives its path. `name` is the plugin's."""
    source = folder / "plugin.py"
    if not source.is_file():
        raise PluginFault(f"{folder} has no plugin.py; `weir plugin new NAME --lang python` makes a folder that has")
    tools = Tools()
    with tempfile.TemporaryDirectory(prefix="weir-plugin-") as scratch:
        packages = _packages(tools, folder, Path(scratch))
        paths = [folder, _KIT, *packages]
        declared = _declared(folder, paths)
        target = out / f"{name}.wasm"
        say(f"building {name} (about ten seconds)")
        _componentize(tools, paths, declared, Path(scratch), target)
    functions = "; ".join(each for kind in declared.values() for each in kind)
    say(f"{target}, {target.stat().st_size / 1e6:.1f} MB: {functions}")
    return target


def test(folder: Path) -> int:
    """Runs the folder's tests without WebAssembly; gives pytest's exit code."""
    tools = Tools()
    with tempfile.TemporaryDirectory(prefix="weir-plugin-") as scratch:
        paths = [folder, _KIT, *_packages(tools, folder, Path(scratch))]
        command = [tools.program("python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
        return subprocess.run(command, env=_environment(paths), check=False).returncode


def _packages(tools: Tools, folder: Path, scratch: Path) -> list[Path]:
    """Where the packages of requirements.txt are."""
    requirements = folder / "requirements.txt"
    if not requirements.is_file() or not _names_packages(requirements):
        return []
    packages = scratch / "packages"
    say("bringing the packages of requirements.txt")
    tools.pip(["install", "--target", str(packages), "-r", str(requirements)], "requirements.txt cannot be installed")
    for built in sorted(packages.rglob("*")):
        if built.suffix in (".so", ".pyd", ".dylib"):
            package = built.relative_to(packages).parts[0]
            raise PluginFault(
                f"{package} is not pure Python ({built.relative_to(packages)} is machine code), and a plugin runs in "
                "WebAssembly; leave it out of requirements.txt"
            )
    return [packages]


def _names_packages(requirements: Path) -> bool:
    lines = (line.split("#")[0].strip() for line in requirements.read_text().splitlines())
    return any(lines)


def _environment(paths: list[Path]) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, paths))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return environment


def _declared(folder: Path, paths: list[Path]) -> dict[str, list[str]]:
    """The signatures that importing plugin.py declares, by kind; kinds without one are left out."""
    command = [sys.executable, "-m", "weir.plugin", "describe"]
    done = subprocess.run(command, env=_environment(paths), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginFault(f"plugin.py cannot be imported:\n{done.stderr.strip()}")
    declared: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found = {kind: signatures for kind, signatures in declared.items() if signatures}
    if not found:
        decorators = "@weir.scalar, @weir.transform, @weir.aggregate, @weir.process or @weir.decode"
        raise PluginFault(f"plugin.py declares no function; write {decorators} over one")
    return found


def _componentize(tools: Tools, paths: list[Path], declared: dict[str, Any], scratch: Path, target: Path) -> None:
    wit, entry = scratch / "wit", scratch / "entry"
    shutil.copytree(Path(__file__).parent / "wit", wit)
    exports = "\n".join(f"  export {_INTERFACES[kind]};" for kind in declared)
    (wit / "plugin.wit").write_text(f"package weir:feature@0.1.0;\nworld plugin {{\n  import platform;\n{exports}\n}}\n")
    entry.mkdir()
    classes = ", ".join(_CLASSES[kind] for kind in declared)
    (entry / f"{_ENTRY}.py").write_text(f"import plugin\nfrom weir.plugin.exports import {classes}\n")
    component = scratch / "component.wasm"
    command = [tools.program("componentize-py"), "-q", "-d", str(wit), "-w", "plugin", "componentize", "--stub-wasi"]
    for path in [entry, *paths]:
        command += ["-p", str(path)]
    command += [_ENTRY, "-o", str(component)]
    # In an empty folder: componentize-py looks around where it stands.
    done = subprocess.run(command, env=_environment([]), cwd=entry, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginFault(f"componentize-py failed:\n{(done.stderr or done.stdout).strip()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".wasm.part")
    shutil.copyfile(component, aside)
    aside.replace(target)

