"""Every page of the console: who may see it, what it loads, that everybody can use it, and GraphiQL."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.async_api import expect

from app.api import console as built
from tests.api.given import push
from tests.conftest import LiveServer
from tests.console.conftest import Console, browsing
from tests.console.given import create_execution, point

_LARGEST_FIRST_PAGE = 200_000


async def _pages(server: LiveServer) -> list[str]:
    """The addresses of all views, with something in each."""
    name = "a-folder/" * 20 + "<b>model</b> & more.pkl"
    datum = await push(
        server, b"1", name=name, tags=["best", "t" * 60], properties={"accuracy": 0.9, "p" * 60: "v" * 200}
    )
    await point(server, "model-prod", datum, reason="the first")
    await point(server, "a" * 128, datum, reason="because " * 100)
    execution = await create_execution(
        server,
        title="train",
        parameters={"lr": 0.1},
        inputs=[{"name": "model", "references": ["datum://model-prod"]}],
    )
    project = "/projects/default"
    return [
        f"{project}/aliases",
        f"{project}/aliases/{'a' * 128}",
        f"{project}/data",
        f"{project}/data/{datum}",
        f"{project}/executions",
        f"{project}/executions/{execution['number']}",
        f"{project}/executions/new",
        f"{project}/lineage/datum/{datum}",
        f"{project}/stores",
        "/tokens",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
async def test_every_page_is_for_everybody(console: Console, scheme: str, size: Sequence[int]) -> None:
    page = console.page
    pages = await _pages(console.server)
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    for path in pages:
        await console.open(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.get_by_text("Loading", exact=False)).to_have_count(0)
        assert await console.faults() == [], path
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0], f"{path} is too wide"


async def test_dialogs_are_for_everybody_and_closed_by_escape(console: Console) -> None:
    page = console.page
    _, alias, _, datum, _, execution, *_ = await _pages(console.server)
    for path, button in (
        (alias, "Move"),
        (datum, "Purge"),
        (execution, "Copy"),
        ("/projects/default/stores", "Add a store"),
        ("/tokens", "Create a token"),
    ):
        await console.open(path)
        await page.get_by_role("button", name=button, exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_be_visible()
        await expect(dialog.get_by_text("Loading", exact=False)).to_have_count(0)
        assert await console.faults() == [], button
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()


async def test_who_is_not_signed_in_is_asked_to_and_signing_out_ends_it(console: Console) -> None:
    page, server = console.page, console.server
    (cookie,) = await console.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("waymark_session", True, "Strict")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("heading", name="Sign in to Waymark")).to_be_visible()
    assert await console.context.cookies() == []
    assert await console.faults() == []
    await console.open("/projects/default/data")
    await page.get_by_label("Token").fill(server.token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Data")).to_be_visible()


async def test_a_wrong_token_is_refused_in_words(console: Console) -> None:
    page = console.page
    await console.forget_session()
    await console.open("/")
    await page.get_by_label("Token").fill("nonsense")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page.get_by_label("Token")).to_have_value("nonsense")
    console.forgive("status of 401")


async def test_a_session_that_ends_takes_nothing_that_was_entered(console: Console) -> None:
    page, server = console.page, console.server
    await console.open("/projects/default/executions/new")
    await page.get_by_label("Command").fill("a long command")
    await console.context.clear_cookies()
    await page.get_by_role("button", name="Create", exact=True).click()
    dialog = page.get_by_role("dialog", name="You are signed out")
    await dialog.get_by_label("Token").fill(server.token)
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_label("Command")).to_have_value("a long command")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("#1")
    console.forgive("status of 401")


async def test_who_may_only_read_is_offered_no_changes(console: Console) -> None:
    page, server = console.page, console.server
    pages = await _pages(server)
    reader = await server.new_token("a reader", "READ")
    await console.forget_session()
    async with server.client(reader) as client:
        await page.goto(await client.session_link())
    for path in pages:
        if path.endswith("/new"):
            continue
        await console.open(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(page.get_by_text("Loading", exact=False)).to_have_count(0)
        for name in ("Create", "Move", "Point back", "Upload", "Purge", "Add", "Stop", "Revoke", "Copy the execution"):
            await expect(page.get_by_role("button", name=name)).to_have_count(0)


async def test_graphiql_has_the_sessions_access_and_subscriptions(console: Console) -> None:
    page, server = console.page, console.server
    await _pages(server)
    await console.open("/graphiql")
    for name in ("MoveAlias", "CreateExecution", "History"):
        await expect(page.get_by_role("tab", name=name)).to_be_visible()
    await page.get_by_role("tab", name="History").click()
    # GraphiQL's own tabs have buttons within, and its editor dims the number of the last line
    assert await console.faults(exclude=[".graphiql-tabs", ".monaco-editor .line-numbers"]) == []
    run = page.get_by_role("button", name=re.compile("Execute query"))
    await run.click()
    await page.get_by_role("menuitem", name="History").click()
    answer = page.locator(".result-window")
    await expect(answer).to_contain_text('"the first"')
    await run.click()
    await page.get_by_role("menuitem", name="Changes").click()
    datum = await push(server, b"2", name="model-2.pkl")
    # a subscription begins some time after the click
    for attempt in range(40):
        await point(server, f"subscribed-{attempt}", datum)
        await page.wait_for_timeout(250)
        if await answer.get_by_text("subscribed").count():
            break
    await expect(answer).to_contain_text("model-2.pkl")


async def test_graphiql_asks_who_is_not_signed_in(console: Console) -> None:
    page, server = console.page, console.server
    await console.forget_session()
    await console.open("/graphiql")
    await page.get_by_label("Token").fill(server.token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("tab", name="MoveAlias")).to_be_visible()


async def test_a_list_grows_as_one_scrolls(console: Console) -> None:
    page, server = console.page, console.server
    await push(server, b"1", name="first.pkl")
    async with server.pool.acquire() as connection:
        await connection.execute("""
            INSERT INTO datum (project_id, store_id, object_key, name, size, checksum_evidence, origin, status,
                created_by)
            SELECT project_id, store_id, 'key-' || n, 'file-' || n, n, 'VERIFIED', 'UPLOAD', 'AVAILABLE', created_by
            FROM datum, generate_series(1, 1000) AS n
        """)
    await console.open("/projects/default/data")
    await page.get_by_role("link", name="file-", exact=False).first.wait_for()
    for _ in range(2000):
        await page.mouse.wheel(0, 3000)
        await page.wait_for_timeout(20)
        if await page.get_by_role("link", name="first.pkl").count():
            break
    await expect(page.get_by_role("link", name="first.pkl")).to_be_visible()
    # only what is seen is in the page
    assert await page.get_by_role("row").count() < 100
    # a file's page begins at its top, and who comes back is where the list was
    await page.get_by_role("link", name="first.pkl").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("first.pkl")
    assert await page.evaluate("scrollY") == 0
    await page.go_back()
    await expect(page.get_by_role("link", name="first.pkl")).to_be_in_viewport()


def test_the_first_page_is_small() -> None:
    static = Path(built.__file__).parents[1] / "console" / "static"
    loaded = re.findall(r'(?:src|href)="/(assets/[^"]+)"', (static / "index.html").read_text())
    assert loaded
    assert sum(len(gzip.compress((static / each).read_bytes())) for each in loaded) < _LARGEST_FIRST_PAGE


async def test_another_language_and_zone_are_the_browsers_own(server: LiveServer, console: Console) -> None:
    await _pages(server)
    async with browsing(server, locale="de-DE", timezone_id="Pacific/Auckland") as other:
        await other.sign_in()
        await other.open("/projects/default/aliases/model-prod")
        times = other.page.locator(".timeline time")
        at = await times.get_attribute("datetime")
        assert at is not None
        shown = await other.page.evaluate(
            "at => new Intl.DateTimeFormat('de-DE', {dateStyle: 'medium', timeStyle: 'medium',"
            " timeZone: 'Pacific/Auckland'}).format(new Date(at))",
            at,
        )
        await expect(times).to_have_text(shown)
        assert at in (await times.get_attribute("title") or "")
        other.assert_clean()
