"""`make bench-console`: how soon the console's pages can be used, and how smoothly they move, small beside large.

A project of 50 aliases and 50 files and one of 5,000 aliases and 200,000 files take turns in one server, each round in
a browser that has seen nothing yet. A page can be used once its first row is there and the page is at rest.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
from playwright.async_api import Browser, Page
from rich.console import Console
from rich.table import Table

from app.client.client import Client
from app.database.embedded import EmbeddedPostgres
from tests.console.chromium import CHROMIUM, chromium
from tests.running import serving

_SIZES = {"small": (50, 50), "large": (5_000, 200_000)}
_VIEWS = ("aliases", "data")
_TURNS = 300

_FILL = """
    WITH own AS (
        INSERT INTO project (slug, name) VALUES ('{slug}', '{slug}') RETURNING id
    ), file AS (
        INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status, tags,
            created_by)
        SELECT own.id, data_store.id, '{slug}-' || n, 'file-' || n || '.parquet', n, 'VERIFIED', 'UPLOAD', 'AVAILABLE',
            ARRAY['tag-' || n % 50], actor.id
        FROM own, data_store, actor, generate_series(1, {files}) AS n WHERE actor.name = 'admin'
        RETURNING id, project_id, size
    ), alias AS (
        INSERT INTO alias (project_id, name, datum_id, version)
        SELECT project_id, 'alias-' || n, id, 1
        FROM generate_series(1, {aliases}) AS n JOIN file ON file.size = (n - 1) % {files} + 1
        RETURNING id, project_id, datum_id
    )
    INSERT INTO alias_history (project_id, alias_id, version, kind, to_datum_id, actor_id, via, change_set_id)
    SELECT alias.project_id, alias.id, 1, 'CREATED', alias.datum_id, actor.id, 'API', uuidv7()
    FROM alias, actor WHERE actor.name = 'admin'
"""

# one file that 250 executions took, each of which made another of it
_LINEAGE = """
    WITH root AS (
        SELECT datum.* FROM datum JOIN project ON project.id = project_id WHERE slug = 'small' ORDER BY id LIMIT 1
    ), run AS (
        INSERT INTO execution (project_id, number, title, command, status, created_by)
        SELECT project_id, n, 'run ' || n, '{true}', 'COMPLETE', created_by FROM root, generate_series(1, 250) AS n
        RETURNING id, project_id, created_by
    ), input AS (
        INSERT INTO execution_input (project_id, execution_id, position, name, "references", keep_directories, optional)
        SELECT project_id, id, 0, 'images', '{}', 'NONE', false FROM run
        RETURNING id, project_id, execution_id
    ), taken AS (
        INSERT INTO execution_input_file (project_id, execution_id, input_id, position, reference, datum_id)
        SELECT input.project_id, execution_id, input.id, 0, 'datum://' || root.id, root.id FROM input, root
    ), made AS (
        INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status, produced_by,
            created_by)
        SELECT run.project_id, store_id, run.id, 'model.pkl', 1, 'VERIFIED', 'EXECUTION', 'AVAILABLE', run.id,
            run.created_by
        FROM run, root
    )
    SELECT id FROM root
"""

# a list's first row, and then nothing left to do
_ROW = "tbody tr, .rows [role=cell] a"
_READY = """
    there => new Promise(done => {
        const look = () => document.querySelector(there)
            ? requestIdleCallback(() => done(performance.now()))
            : requestAnimationFrame(look);
        look();
    })
"""
_LOADED = """
    Object.entries(Object.groupBy(performance.getEntriesByType('resource'), each => each.initiatorType))
        .map(([kind, entries]) => [kind, entries.reduce((sum, each) => sum + each.transferSize, 0)])
"""
_WATCH_FRAMES = """
    window.frames_ = []; let last = performance.now();
    const frame = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
"""


async def _fill(data_dir: Path) -> str:
    """Makes both projects; returns the id of the file that the lineage is of."""
    connection = await asyncpg.connect(EmbeddedPostgres(data_dir / "postgres").url())
    for slug, (aliases, files) in _SIZES.items():
        await connection.execute(_FILL.format(slug=slug, aliases=aliases, files=files))
    root = await connection.fetchval(_LINEAGE)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    return str(root)


async def _opened(browser: Browser, client: Client, path: str, there: str = _ROW) -> tuple[Page, float]:
    """A page of a browser without a cache, and the milliseconds until it could be used."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    # signed in without a look at the console, which would then be known
    await context.request.get(await client.session_link(), max_redirects=0)
    await page.goto(f"{client.url}{path}")
    return page, await page.evaluate(_READY, there)


async def _watched(page: Page, move: Callable[[Page, int], Awaitable[None]]) -> list[float]:
    """How many milliseconds each frame took while a person moved about."""
    await page.evaluate(_WATCH_FRAMES)
    for turn in range(_TURNS):
        await move(page, turn)
        await page.wait_for_timeout(16)
    frames: list[float] = await page.evaluate("window.frames_")
    return frames


async def _scroll(page: Page, _: int) -> None:
    await page.mouse.wheel(0, 1000)


async def _pan(page: Page, turn: int) -> None:
    await page.mouse.move(640 + 200 * math.sin(turn / 10), 500 + 200 * math.cos(turn / 10))


def _told(frames: list[float]) -> str:
    slow = sum(frame > 50 for frame in frames)
    return (
        f"{sum(frames) / 1000:.1f} s: median frame {statistics.median(frames):.1f} ms, longest {max(frames):.0f} ms,"
        f" {slow} of {len(frames)} longer than 50 ms"
    )


async def run(data_dir: Path, rounds: int, console: Console) -> None:
    root = await _fill(data_dir)
    url, token = ((data_dir / name).read_text().strip() for name in ("address", "token"))
    ready: dict[tuple[str, str], list[float]] = defaultdict(list)
    loaded: dict[str, Any] = {}
    async with Client(url, token) as client, chromium() as browser:
        for _ in range(rounds):
            for view in _VIEWS:
                for size in _SIZES:
                    page, milliseconds = await _opened(browser, client, f"/projects/{size}/{view}")
                    ready[view, size].append(milliseconds)
                    loaded[view] = dict(await page.evaluate(_LOADED))
                    await page.context.close()
        page, _ = await _opened(browser, client, "/projects/large/data")
        scrolled = _told(await _watched(page, _scroll))
        rows = await page.evaluate(
            "Math.max(...[...document.querySelectorAll('[aria-rowindex]')].map(e => e.ariaRowIndex))"
        )
        page, drawn = await _opened(browser, client, f"/projects/small/lineage/datum/{root}", ".react-flow__node")
        loaded["lineage"] = dict(await page.evaluate(_LOADED))
        await page.mouse.move(640, 800)
        await page.mouse.down()
        panned = _told(await _watched(page, _pan))
        page, _ = await _opened(browser, client, "/graphiql", ".monaco-editor")
        loaded["graphiql"] = dict(await page.evaluate(_LOADED))
    table = Table("page", "small, ms", "large, ms", "ratio", "loaded, kB", box=None)
    for view, sizes in loaded.items():
        kilobytes = ", ".join(f"{kind} {size / 1000:.0f}" for kind, size in sizes.items())
        if view not in _VIEWS:
            table.add_row(view, "", "", "", kilobytes)
            continue
        small, large = (statistics.median(ready[view, size]) for size in _SIZES)
        table.add_row(view, f"{small:.0f}", f"{large:.0f}", f"{large / small:.2f}", kilobytes)
    console.print(table)
    console.print(f"{rows} of {_SIZES['large'][1]} files scrolled by in {scrolled}")
    console.print(f"a lineage of 501 there after {drawn:.0f} ms, dragged about for {panned}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    if CHROMIUM is None:
        parser.error("Chromium is not installed; make browser installs it.")
    # not below a home folder: PostgreSQL may run as another account, which must reach it
    home = Path(tempfile.mkdtemp(prefix="waymark-console-"))
    home.chmod(0o711)
    try:
        with serving(home / "data", WAYMARK_LOG_LEVEL="WARNING"):
            asyncio.run(run(home / "data", rounds, Console(width=140)))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
