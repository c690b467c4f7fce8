"""What tests of workers share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home() -> Iterator[Path]:
    # not pytest's own folder: commands run as another account, which must reach it
    folder = Path(tempfile.mkdtemp(prefix="waymark-worker-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)
