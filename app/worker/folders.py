"""The folders and files that a command finds, as valohai-utils expects them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.worker.process import Account

# what paths read as in logs, wherever they are on this machine
SHOWN = "/valohai"


@dataclass(frozen=True, slots=True)
class Folders:
    """One attempt's own."""

    home: Path
    #: Whom a process runs as, where that is not who the worker is.
    account: Account | None
    #: Whether the command runs in a container, where all this is below /valohai.
    in_container: bool = False

    @property
    def owner(self) -> int | None:
        """Whose files the command makes, where that is not who the worker is; None too where it may be anybody's."""
        return self.account.pw_uid if self.account is not None and not self.in_container else None

    @property
    def repository(self) -> Path:
        return self.home / "repository"

    @property
    def inputs(self) -> Path:
        return self.home / "inputs"

    @property
    def outputs(self) -> Path:
        return self.home / "outputs"

    @property
    def config(self) -> Path:
        return self.home / "config"

    def make(self) -> None:
        """Makes them, for the account that commands run as. Blocking."""
        self.home.mkdir(parents=True)
        for folder in (self.repository, self.inputs, self.outputs, self.config):
            folder.mkdir()
        if self.in_container:
            # the image says whom the command runs as there
            for folder in (self.repository, self.outputs):
                folder.chmod(0o777)
        elif self.account is not None:
            self.home.chmod(0o711)
            for folder in (self.repository, self.outputs):
                os.chown(folder, self.account.pw_uid, self.account.pw_gid)

    def as_seen(self, path: Path) -> str:
        """How the command calls one of its files or folders."""
        return f"{SHOWN}/{path.relative_to(self.home)}" if self.in_container else str(path)

    def environment(self, execution: Mapping[str, Any], declared: Mapping[str, str]) -> dict[str, str]:
        """What the command sees: the folders, the ids, and what the execution declares; nothing of the worker's."""
        return {
            "VH_REPOSITORY_DIR": self.as_seen(self.repository),
            "VH_INPUTS_DIR": self.as_seen(self.inputs),
            "VH_OUTPUTS_DIR": self.as_seen(self.outputs),
            "VH_CONFIG_DIR": self.as_seen(self.config),
            "VH_EXECUTION_ID": execution["id"],
            "VH_PROJECT_ID": execution["project"]["id"],
            "VH_JOB_ID": f"exec-{execution['id']}",
            **declared,
        }

    def write_config(self, execution: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        """The execution, its inputs and parameters as JSON, and as YAML, of which JSON is a part. Blocking."""
        described = {
            "valohai.execution-id": execution["id"],
            "valohai.execution-title": execution["title"],
            "valohai.execution-counter": execution["number"],
            "valohai.execution-step": execution["step"],
            "valohai.execution-image": execution["image"],
            "valohai.project-id": execution["project"]["id"],
        }
        for name, content in (
            ("execution", described),
            ("inputs", inputs),
            ("parameters", execution["parameters"]),
        ):
            text = json.dumps(content, indent=2)
            for suffix in ("json", "yaml"):
                (self.config / f"{name}.{suffix}").write_text(text)
