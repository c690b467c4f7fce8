"""The cache of inputs: by content, verified, within its limit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from app.worker.cache import InputCache


def _keep(cache: InputCache, folder: Path, content: bytes, *, used: int) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    path = folder / "arrived"
    path.write_bytes(content)
    cache.keep(sha256, path)
    kept = cache.folder / sha256[:2] / sha256
    if kept.exists():
        os.utime(kept, (used, used))
    return sha256


def test_what_is_kept_can_be_taken_again_with_its_hashes(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", limit=100)
    sha256 = _keep(cache, tmp_path, b"content", used=1)
    (tmp_path / "arrived").write_bytes(b"changed by the command")
    taken = cache.take(sha256, tmp_path / "again")
    assert taken is not None
    assert (taken[0], taken[1].md5) == (7, hashlib.md5(b"content").hexdigest())
    assert (tmp_path / "again").read_bytes() == b"content"
    assert cache.take("0" * 64, tmp_path / "other") is None
    assert not (tmp_path / "other").exists()


def test_what_is_not_what_it_was_is_thrown_away(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", limit=100)
    sha256 = _keep(cache, tmp_path, b"content", used=1)
    (cache.folder / sha256[:2] / sha256).write_bytes(b"c0ntent")
    assert cache.take(sha256, tmp_path / "again") is None
    assert not (tmp_path / "again").exists()
    assert not (cache.folder / sha256[:2] / sha256).exists()


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", limit=10)
    old, older = _keep(cache, tmp_path, b"12345", used=1), _keep(cache, tmp_path, b"54321", used=2)
    assert cache.take(old, tmp_path / "used again")
    new = _keep(cache, tmp_path, b"new", used=3)
    assert _keep(cache, tmp_path, b"larger than all", used=4)
    kept = {path.name for path in cache.folder.glob("*/*")}
    assert kept == {old, new}
    assert older not in kept


def test_other_accounts_do_not_get_in(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", limit=10)
    _keep(cache, tmp_path, b"secret", used=1)
    assert cache.folder.stat().st_mode & 0o077 == 0
