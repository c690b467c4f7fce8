"""`waymark open`: the console, signed in."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import aiohttp

from tests.conftest import LiveServer
from tests.running import waymark


async def _open(server: LiveServer, home: Path, *arguments: str, **more: str) -> str:
    run = partial(
        waymark, home, "open", *arguments, cwd=home, WAYMARK_URL=server.url, WAYMARK_TOKEN=server.token, **more
    )
    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_browser_is_opened_at_a_link_that_signs_in(server: LiveServer, tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    await _open(server, tmp_path, BROWSER=str(browser))
    link = opened.read_text().strip()
    assert link.startswith(f"{server.url}/session/links/")
    async with aiohttp.ClientSession() as session, session.get(link, allow_redirects=False) as response:
        assert "waymark_session" in response.cookies


async def test_without_a_browser_the_link_is_printed(server: LiveServer, tmp_path: Path) -> None:
    assert f"{server.url}/session/links/" in await _open(server, tmp_path, BROWSER="", PATH="")
    assert (await _open(server, tmp_path, "--print")).startswith(f"{server.url}/session/links/")
