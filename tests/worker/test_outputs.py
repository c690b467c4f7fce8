"""What the worker opens of what a command has made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.worker.outputs import open_below


def test_a_plain_file_is_opened_however_deep_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("content")
    with open_below(tmp_path, "a/b/c", owner=os.geteuid()) as file:
        assert file.read() == b"content"


def test_no_link_is_followed_be_it_the_file_or_a_folder_on_the_way(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (tmp_path / "secret").write_text("secret")
    (outputs / "file").symlink_to(tmp_path / "secret")
    (outputs / "folder").symlink_to(tmp_path)
    for name in ("file", "folder/secret"):
        with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
            open_below(outputs, name)


def test_pipes_folders_and_files_of_others_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").write_text("")
    for name in ("pipe", "folder"):
        with pytest.raises(PermissionError, match="plain file"):
            open_below(tmp_path, name)
    with pytest.raises(PermissionError, match="command's own"):
        open_below(tmp_path, "other", owner=os.geteuid() + 1)
