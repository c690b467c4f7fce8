"""The example project, by the very commands of its README."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.running import environment, home_folder, serving

_EXAMPLE = Path(__file__).parents[2] / "examples/digits"


def _commands() -> str:
    """README's session, without the line that only says where the commands and the example are."""
    lines = [line for line in (_EXAMPLE / "README.md").read_text().splitlines() if line.startswith("    ")]
    assert lines[0].endswith("make serve")
    assert lines[1].endswith("cd examples/digits")
    return "\n".join(lines[2:])


def test_readme_leads_from_raw_data_to_a_model_in_production_and_back_by_lineage() -> None:
    with home_folder("example") as home:
        data_dir, here = home / "data", home / "digits"
        shutil.copytree(_EXAMPLE, here)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

        def run(commands: str) -> str:
            done = subprocess.run(
                ["bash", "-euc", commands],
                env={**environment(data_dir), "PATH": path},
                cwd=here,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        def read(command: str) -> Any:
            return json.loads(run(f"{command} --output json"))

        # no Docker engine: the image's own libraries would come from a registry
        worker = {"WAYMARK_LOCAL_WORKER": "1", "WAYMARK_LOCAL_WORKER_USER": getpass.getuser(), "DOCKER_HOST": ""}
        with serving(data_dir, **worker):
            printed = run(_commands())
            assert '"wrong": ' in printed
            assert (here / "predictions.csv").read_text().startswith("image,digit\n")
            (in_production,) = read("waymark alias history model-prod")
            (offered, *_) = read("waymark alias history model-staging")[::-1]
            assert (offered["via"], offered["execution"]["number"]) == ("EXECUTION", 2)
            assert in_production["to"]["id"] == offered["to"]["id"]
            model = read(f"waymark data show {offered['to']['id']}")
            assert model["tags"] == ["digits", "linear"]
            assert model["properties"]["accuracy"] > 0.85
            series = [json.loads(line) for line in run("waymark execution metadata 2 --output json").splitlines()]
            assert [point["values"]["epoch"] for point in series] == list(range(1, 9))
            lineage = read("waymark lineage up datum://predictions")
            names = {node["subject"]["name"] for node in lineage["nodes"] if "name" in node["subject"]}
            code = {"preprocess.py", "train.py", "predict.py"}
            assert names == {"predictions.csv", "model.joblib", "train.npz", "test.npz", "digits.csv", *code}
            deadline = time.monotonic() + 120
            while (task := read("waymark task show 1"))["status"] != "COMPLETE":
                assert time.monotonic() < deadline, task
                time.sleep(0.5)
            assert len(read("waymark alias history model-staging")) == 3
