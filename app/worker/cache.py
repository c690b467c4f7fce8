"""Files that were inputs on this machine before, by their content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.transfer.hashing import Digests, hash_open


@dataclass(frozen=True, slots=True)
class InputCache:
    """A folder of files named by their sha256, up to a total size; what was used longest ago goes first.

    Several workers may share it. Blocking.
    """

    folder: Path
    #: In bytes.
    limit: int

    def take(self, sha256: str, path: Path) -> tuple[int, Digests] | None:
        """Copies a file to `path`; None if it is not here, or not what it was any more."""
        kept = self._path(sha256)
        try:
            with kept.open("rb") as source, path.open("wb") as target:
                size, digests = hash_open(source, target)
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return None
        if digests.sha256 != sha256:
            kept.unlink(missing_ok=True)
            path.unlink()
            return None
        with suppress(FileNotFoundError):
            os.utime(kept)
        return size, digests

    def keep(self, sha256: str, path: Path) -> None:
        """Keeps what `path` is now, if there is room once others have gone."""
        size = path.stat().st_size
        kept = self._path(sha256)
        if size > self.limit or kept.exists():
            return
        self._make_room(size)
        # commands that run as another account find only the inputs of their own execution
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.parent.mkdir(exist_ok=True)
        arriving = kept.with_suffix(f".{os.getpid()}")
        # a copy: the command may write to the file that it was given
        shutil.copyfile(path, arriving)
        arriving.replace(kept)

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _make_room(self, size: int) -> None:
        files = sorted(self._files(), key=lambda each: each[0])
        total = size + sum(each for _, each, _ in files)
        for _, each, path in files:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= each

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """When each was last used, its size and its path."""
        for path in self.folder.glob("*/*"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                yield stat.st_mtime_ns, stat.st_size, path
