"""What people do in the console, in a real browser: aliases, data, executions, purging, signing in and out."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.async_api import Error, FilePayload, Locator, Page, Route, expect

from app.server import create_app
from app.server_process import HttpProtocol
from tests.api.given import push
from tests.conftest import LiveServer, answering
from tests.console.conftest import Console, browsing
from tests.console.given import create_execution, point
from tests.stores.kinds import s3

_HISTORY = """
    query($name: String!) { project(slug: "default") { alias(name: $name) { version datum { name }
        history(first: 50) { nodes { version kind via reason from { name } to { name } actor { name } } } } } }
"""


async def _history(server: LiveServer, name: str) -> dict[str, Any]:
    alias: dict[str, Any] = (await server.run(_HISTORY, name=name))["project"]["alias"]
    return alias


async def _pick(within: Locator | Page, text: str) -> None:
    """Finds a file by what a person would type, and takes the first."""
    await within.get_by_role("searchbox", name="File").fill(text)
    choice = within.get_by_role("list", name="What was found").get_by_role("button")
    await expect(choice).to_have_count(1)
    await choice.click()


async def test_an_alias_is_created_from_a_file_that_was_found_by_its_tag(console: Console) -> None:
    page, server = console.page, console.server
    await push(server, b"a model", name="model-1.pkl", tags=["best"])
    await push(server, b"another", name="model-2.pkl")
    await expect(page.get_by_text("There are no aliases yet")).to_be_visible()
    await page.get_by_role("button", name="Create an alias").click()
    dialog = page.get_by_role("dialog", name="Create an alias")
    await dialog.get_by_label("Name").fill("model prod")
    await expect(dialog.get_by_text("Only letters, digits")).to_be_visible()
    await dialog.get_by_label("Name").fill("model-prod")
    await _pick(dialog, "#best")
    await dialog.get_by_label("Reason").fill("the first")
    await dialog.get_by_role("button", name="Create", exact=True).click()
    await expect(page.get_by_role("row", name="model-prod")).to_contain_text("model-1.pkl")
    alias = await _history(server, "model-prod")
    (change,) = alias["history"]["nodes"]
    assert change == {
        "version": 1,
        "kind": "CREATED",
        "via": "CONSOLE",
        "reason": "the first",
        "from": None,
        "to": {"name": "model-1.pkl"},
        "actor": {"name": "admin"},
    }


async def test_a_move_shows_the_difference_and_what_it_touches_first(console: Console) -> None:
    page, server = console.page, console.server
    first = await push(server, b"a model", name="model-1.pkl", properties={"accuracy": 0.9})
    await push(server, b"a better model", name="model-2.pkl", properties={"accuracy": 0.95})
    for name in ("model-prod", "champion"):
        await point(server, name, first)
    waiting = await create_execution(server, inputs=[{"name": "model", "references": ["datum://model-prod"]}])
    await console.open("/projects/default/aliases/model-prod")
    await page.get_by_role("button", name="Move").click()
    dialog = page.get_by_role("dialog", name="Move model-prod")
    await _pick(dialog, "accuracy=0.95")
    comparison = dialog.get_by_role("region", name="Comparison")
    await expect(comparison.get_by_role("row", name="Name")).to_contain_text("model-1.pkl")
    await expect(comparison.get_by_role("row", name="Name")).to_contain_text("model-2.pkl")
    await expect(comparison.get_by_role("row", name="Properties")).to_contain_text("≠")
    await expect(
        dialog.get_by_text(f"Queued executions stay pinned to the file of now: #{waiting['number']}")
    ).to_be_visible()
    await expect(dialog.get_by_text("Other aliases stay at the file of now: champion")).to_be_visible()
    assert (await _history(server, "model-prod"))["version"] == 1
    await dialog.get_by_role("button", name="Move", exact=True).click()
    await expect(page.get_by_role("list", name="History")).to_contain_text("Version 2")
    assert (await _history(server, "model-prod"))["datum"]["name"] == "model-2.pkl"


async def test_a_move_that_somebody_was_faster_with_is_shown_and_asked_again(console: Console) -> None:
    page, server = console.page, console.server
    files = [await push(server, bytes([n]), name=f"model-{n}.pkl") for n in range(3)]
    await point(server, "model-prod", files[0])
    await console.open("/projects/default/aliases/model-prod")
    await page.get_by_role("button", name="Move").click()
    dialog = page.get_by_role("dialog", name="Move model-prod")
    await _pick(dialog, "model-2.pkl")
    await dialog.get_by_label("Reason").fill("mine")
    await expect(dialog.get_by_role("columnheader", name="model-prod now")).to_be_visible()
    await point(server, "model-prod", files[1], reason="theirs")
    await dialog.get_by_role("button", name="Move", exact=True).click()
    conflict = dialog.get_by_role("alert")
    await expect(conflict).to_contain_text("model-prod was moved to model-1.pkl (version 2) by admin")
    assert await dialog.get_by_label("Reason").input_value() == "mine"
    await dialog.get_by_role("button", name="Move all the same").click()
    await expect(dialog).to_be_hidden()
    changes = (await _history(server, "model-prod"))["history"]["nodes"]
    assert [each["reason"] for each in changes] == ["mine", "theirs", None]


async def test_pointing_back_takes_two_clicks_and_says_that_it_is_one(console: Console) -> None:
    page, server = console.page, console.server
    for n in (1, 2, 3):
        await point(server, "model-prod", await push(server, bytes([n]), name=f"model-{n}.pkl"))
    await console.open("/projects/default/aliases/model-prod")
    await (
        page.get_by_role("listitem").filter(has_text="Version 1").get_by_role("button", name="Point back here").click()
    )
    await page.get_by_role("dialog").get_by_role("button", name="Move", exact=True).click()
    await expect(page.get_by_role("listitem").filter(has_text="Version 4")).to_contain_text("rolled back to 1")
    newest = (await _history(server, "model-prod"))["history"]["nodes"][0]
    assert (newest["kind"], newest["reason"], newest["to"]["name"]) == (
        "ROLLED_BACK",
        "back to version 1",
        "model-1.pkl",
    )


async def test_two_entries_of_a_history_are_compared(console: Console) -> None:
    page, server = console.page, console.server
    await point(server, "data", await push(server, b"1", name="same.csv", tags=["raw"]))
    await point(server, "data", await push(server, b"22", name="same.csv", tags=["clean"]))
    await console.open("/projects/default/aliases/data")
    for version in (1, 2):
        await page.get_by_role("listitem").filter(has_text=f"Version {version}").get_by_label("Compare").check()
    await page.get_by_role("button", name="Compare the two").click()
    comparison = page.get_by_role("dialog", name="Versions 1 and 2").get_by_role("region", name="Comparison")
    await expect(comparison.get_by_role("row", name="Name")).to_contain_text("= Name")
    for name, left, right in (("Size", "1 B", "2 B"), ("Tags", "raw", "clean")):
        row = comparison.get_by_role("row", name=name)
        await expect(row).to_contain_text(f"≠ {name}")
        await expect(row.get_by_role("cell").first).to_have_text(left)
        await expect(row.get_by_role("cell").last).to_have_text(right)


async def test_an_alias_page_says_where_it_pointed_at_a_time(console: Console) -> None:
    page, server = console.page, console.server
    await point(server, "model-prod", await push(server, b"1", name="model-1.pkl"))
    await console.open("/projects/default/aliases/model-prod")
    await page.get_by_role("textbox", name="As of").fill("2020-03-15T12:00:00")
    await expect(page.get_by_text("It did not exist yet.")).to_be_visible()
    # the field knows whole seconds, in the zone that this machine and its browser share
    await page.wait_for_timeout(1100)
    now = await page.evaluate(
        "new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19)"
    )
    await page.get_by_role("textbox", name="As of").fill(now)
    await expect(page.get_by_role("status")).to_contain_text("It pointed at model-1.pkl: version 1")


async def test_views_follow_what_happens_elsewhere(console: Console) -> None:
    page, server = console.page, console.server
    files = [await push(server, bytes([n]), name=f"model-{n}.pkl") for n in range(2)]
    await point(server, "model-prod", files[0])
    await console.open("/projects/default/aliases")
    row = page.get_by_role("row", name="model-prod")
    await expect(row).to_contain_text("model-0.pkl")
    other = await console.context.new_page()
    console.watch(other)
    await other.goto(f"{server.url}/projects/default/aliases/model-prod")
    await expect(other.get_by_role("list", name="History")).to_contain_text("Version 1")
    # a subscription begins some time after the page
    for version in range(2, 40):
        await point(server, "model-prod", files[version % 2 - 1], reason=f"move {version}")
        await page.wait_for_timeout(250)
        if await other.get_by_text(f"move {version}").count():
            break
    await expect(other.get_by_role("list", name="History")).to_contain_text(f"move {version}")
    await expect(row).to_contain_text(f"model-{(version % 2 - 1) % 2}.pkl")


async def test_several_aliases_are_moved_in_one_go(console: Console) -> None:
    page, server = console.page, console.server
    first = await push(server, b"1", name="model-1.pkl")
    await push(server, b"2", name="model-2.pkl")
    for name in ("model-prod", "model-staging", "other"):
        await point(server, name, first)
    await console.open("/projects/default/aliases")
    await page.get_by_role("searchbox", name="Search aliases").fill("model")
    await expect(page.get_by_role("row", name="other")).to_have_count(0)
    await expect(page).to_have_url(f"{server.url}/projects/default/aliases?q=model")
    for name in ("model-prod", "model-staging"):
        await page.get_by_label(f"Choose {name}").check()
    await page.get_by_role("button", name="Move 2 …").click()
    dialog = page.get_by_role("dialog", name="Move 2 aliases")
    await _pick(dialog, "model-2.pkl")
    await dialog.get_by_role("button", name="Move", exact=True).click()
    await expect(dialog).to_be_hidden()
    for name in ("model-prod", "model-staging"):
        await expect(page.get_by_role("row", name=name)).to_contain_text("model-2.pkl")
    assert (await _history(server, "other"))["version"] == 1


async def test_files_are_uploaded_straight_to_the_store_with_their_hashes(console: Console, tmp_path: Path) -> None:
    page = console.page
    files = {"small.txt": b"hello", "large.bin": bytes(9_000_000), "empty.txt": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    await console.open("/projects/default/data")
    await page.get_by_label("Files to upload").set_input_files([tmp_path / name for name in files])
    for name in files:
        sent = page.get_by_role("region", name="Uploads").get_by_role("listitem").filter(has_text=name)
        await expect(sent.get_by_role("status")).to_have_text("done")
        await expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()
    await page.get_by_role("link", name="small.txt").click()
    await expect(page.get_by_text("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")).to_be_visible()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Download").click()
    assert Path(await (await download.value).path()).read_bytes() == b"hello"


async def test_files_go_straight_to_a_bucket_that_the_operator_allows(
    server: LiveServer, seaweedfs: str, tmp_path: Path, has_chromium: None
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(70_000_000))
    app = create_app(replace(server.settings, upload_origins=(seaweedfs,)))
    async with answering(app, http=HttpProtocol) as url, browsing(replace(server, url=url)) as console:
        await server.run(
            "mutation($input: CreateDataStoreInput!) { createDataStore(input: $input) { store { id } } }",
            input={"project": await server.project_id(), "name": "bucket", "isDefault": True, **s3(seaweedfs).spec},
        )
        await console.sign_in()
        await console.open("/projects/default/data")
        await console.page.get_by_label("Files to upload").set_input_files(large)
        sent = console.page.get_by_role("region", name="Uploads").get_by_role("listitem")
        await expect(sent.get_by_role("status")).to_have_text("done", timeout=60_000)
        assert sum(each.startswith(seaweedfs) for each in console.requests) == 2
        assert console.complaints == []


async def test_dropped_files_are_uploaded_and_a_failed_one_is_tried_again(console: Console) -> None:
    page = console.page
    await console.open("/projects/default/data")
    await page.get_by_text("There are no files yet").wait_for()
    await page.route("**/uploads/**", lambda route: route.abort())
    transfer = await page.evaluate_handle(
        """() => { const transfer = new DataTransfer();
        transfer.items.add(new File(["dropped"], "dropped.txt")); return transfer; }"""
    )
    await page.dispatch_event("main > div", "drop", {"dataTransfer": transfer})
    sent = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    await expect(sent.get_by_role("status")).to_contain_text("failed: The store cannot be reached")
    await page.unroute("**/uploads/**")
    await sent.get_by_role("button", name="Try again").click()
    await expect(sent.get_by_role("status")).to_have_text("done")
    await expect(page.get_by_role("row").filter(has_text="dropped.txt")).to_be_visible()
    console.forgive("net::ERR_FAILED")


async def test_uploads_go_on_while_one_looks_at_other_views_and_can_be_cancelled(console: Console) -> None:
    page = console.page
    may_go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_go_on.wait()
        # a cancelled request has no route any more
        with suppress(Error):
            await route.abort()

    await page.route("**/uploads/**", hold)
    await console.open("/projects/default/data")
    await page.get_by_label("Files to upload").set_input_files(
        [FilePayload(name=f"{n}.txt", mimeType="text/plain", buffer=b"x") for n in range(3)]
    )
    sent = page.get_by_role("region", name="Uploads").get_by_role("listitem")
    await expect(sent.nth(0).get_by_role("status")).to_have_text("sending")
    await expect(sent.nth(2).get_by_role("status")).to_have_text("waiting")
    await page.get_by_role("link", name="Aliases").click()
    for each in (2, 0):
        await sent.nth(each).get_by_role("button", name="Cancel").click()
        await expect(sent.nth(each).get_by_role("status")).to_have_text("cancelled")
    may_go_on.set()
    await page.unroute_all(behavior="wait")
    # what was broken off is gone on with by itself
    await expect(sent.nth(1).get_by_role("status")).to_have_text("done")
    await sent.nth(0).get_by_role("button", name="Try again").click()
    await expect(sent.nth(0).get_by_role("status")).to_have_text("done")
    await page.get_by_role("link", name="Data").click()
    await expect(page.get_by_role("table", name="Files").get_by_role("row")).to_have_count(3)
    await page.get_by_role("button", name="Clear what is done").click()
    await expect(sent).to_have_count(0)
    console.forgive("net::ERR_FAILED")


async def test_files_are_searched_and_the_filter_stands_in_the_address(console: Console) -> None:
    page, server = console.page, console.server
    await push(server, b"1", name="images.tar", tags=["raw"], properties={"rows": 5})
    await push(server, b"2", name="labels.csv", tags=["raw"], properties={"rows": 6})
    await push(server, b"3", name="model.pkl")
    await console.open("/projects/default/data?tag=raw")
    rows = page.get_by_role("table", name="Files").get_by_role("row")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Properties").fill("rows=6")
    await expect(rows).to_have_count(2)
    await expect(rows.last).to_contain_text("labels.csv")
    await expect(page).to_have_url(f"{server.url}/projects/default/data?tag=raw&property=rows%3D6")
    await page.get_by_label("Text").fill("nothing is called so")
    await expect(page.get_by_text("No file is like that")).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await expect(rows).to_have_count(4)
    await expect(page.get_by_label("Properties")).to_have_value("")


async def test_tags_and_properties_are_edited_in_place(console: Console) -> None:
    page, server = console.page, console.server
    datum = await push(server, b"1", name="model.pkl", tags=["old"], properties={"accuracy": 0.5})
    await console.open(f"/projects/default/data/{datum}")
    await page.get_by_label("New tag").fill("new")
    await page.get_by_role("button", name="Add").click()
    await expect(page.get_by_label("Remove the tag new")).to_be_visible()
    await page.get_by_label("Remove the tag old").click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Property, as name=value").fill("accuracy=0.9")
    await page.get_by_role("button", name="Set").click()
    await expect(page.get_by_text("0.9", exact=True)).to_be_visible()
    await expect(page.get_by_label("Remove the tag old")).to_have_count(0)
    data = await server.run("query($id: ID!) { datum(id: $id) { tags properties } }", None, id=datum)
    assert data["datum"] == {"tags": ["new"], "properties": {"accuracy": 0.9}}


async def test_a_purge_says_what_blocks_it(console: Console) -> None:
    page, server = console.page, console.server
    datum = await push(server, b"1", name="model.pkl")
    await point(server, "model-prod", datum)
    waiting = await create_execution(server, inputs=[{"name": "model", "references": [f"datum://{datum}"]}])
    await console.open(f"/projects/default/data/{datum}")
    await page.get_by_role("button", name="Purge").click()
    dialog = page.get_by_role("dialog", name="Purge model.pkl")
    purge = dialog.get_by_role("button", name="Purge", exact=True)
    await dialog.get_by_label("Reason").fill("no longer needed")
    await dialog.get_by_label("Type the file's name").fill("model")
    await expect(purge).to_be_disabled()
    await dialog.get_by_label("Type the file's name").fill("model.pkl")
    await purge.click()
    await expect(dialog.get_by_role("alert")).to_contain_text("the alias model-prod points at it")
    await expect(dialog.get_by_role("alert")).to_contain_text(f"execution #{waiting['number']} is unfinished")
    await dialog.get_by_label("Purge it all the same").check()
    await purge.click()
    await expect(page.get_by_text("Its record, history and lineage stay.")).to_be_visible()


async def test_an_execution_takes_an_alias_and_a_file(console: Console) -> None:
    page, server = console.page, console.server
    files = [await push(server, bytes([n]), name=f"model-{n}.pkl") for n in range(2)]
    await point(server, "model-prod", files[0])
    await push(server, b"x", name="images.tar")
    await console.open("/projects/default/executions/new")
    await page.get_by_label("Command").fill("cat $VH_INPUTS_DIR/model/*")
    for place, (name, text) in enumerate((("model", "model-prod"), ("images", "images"))):
        await page.get_by_role("button", name="Add an input").click()
        given = page.get_by_role("group", name=f"Input {place + 1}")
        await given.get_by_label("Name").fill(name)
        if name == "model":
            await given.get_by_role("searchbox").fill(text)
            await expect(given.get_by_role("button", name="model-prod → model-0.pkl")).to_be_visible()
        await _pick(given, text)
    await page.get_by_role("button", name="Create", exact=True).click()
    row = page.get_by_role("region", name="Inputs").get_by_role("row", name="datum://model-prod")
    await expect(row).to_contain_text("model-0.pkl")
    await expect(row).to_contain_text("model-prod version 1")
    await expect(page.get_by_role("region", name="Inputs")).to_contain_text("images.tar")
    # the alias moves on, the execution does not; a copy may do either
    await point(server, "model-prod", files[1])
    await page.reload()
    await expect(row).to_contain_text("≠ model-1.pkl (version 2)")
    await page.get_by_role("button", name="Copy", exact=True).click()
    dialog = page.get_by_role("dialog", name="Copy the execution")
    await expect(dialog.get_by_role("row", name="model-prod")).to_contain_text("model-1.pkl (version 2)")
    await dialog.get_by_label("the files where the aliases point now").check()
    await dialog.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("#2")
    await expect(row).to_contain_text("model-1.pkl")


async def test_an_execution_page_follows_its_log_and_status(console: Console) -> None:
    page, server = console.page, console.server
    created = await create_execution(server, title="speaks")
    await console.open(f"/projects/default/executions/{created['number']}")
    await expect(page.get_by_text("Nothing was said yet")).to_be_visible()
    claimed = await server.run(
        "mutation($input: ClaimExecutionInput!) { claimExecution(input: $input) { lease } }",
        input={"worker": "a test"},
    )
    lease = claimed["claimExecution"]["lease"]
    await expect(page.get_by_text("started", exact=True)).to_be_visible()
    for sequence, message in enumerate(("one", "two"), 1):
        line = {"sequence": sequence, "at": "2026-03-15T12:00:00Z", "stream": "STDOUT", "message": message}
        await server.run(
            "mutation($input: AppendLogsInput!) { appendLogs(input: $input) { execution { id } } }",
            input={"execution": created["id"], "lease": lease, "lines": [line]},
        )
        await expect(page.get_by_role("log")).to_contain_text(message)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("stopping", exact=True)).to_be_visible()


async def test_lineage_is_a_graph_and_a_list(console: Console) -> None:
    page, server = console.page, console.server
    datum = await push(server, b"1", name="raw.csv")
    await point(server, "train-images", datum)
    created = await create_execution(
        server, title="train", inputs=[{"name": "images", "references": [f"datum://{datum}"]}]
    )
    await console.open(f"/projects/default/lineage/datum/{datum}")
    graph = page.locator(".react-flow")
    await expect(graph.locator(".subject-file")).to_contain_text("raw.csv")
    await expect(graph.locator(".subject-file")).to_contain_text("train-images")
    await expect(graph.locator(".subject-execution")).to_contain_text(f"#{created['number']} train")
    await page.get_by_role("button", name="Show as a list").click()
    await expect(page.get_by_role("row", name="raw.csv file")).to_contain_text(f"#{created['number']} train")


async def test_a_store_is_added_checked_and_made_the_default(console: Console, tmp_path: Path) -> None:
    page = console.page
    (tmp_path / "roots" / "more").mkdir(parents=True)
    await console.open("/projects/default/stores")
    await page.get_by_role("button", name="Add a store").click()
    dialog = page.get_by_role("dialog", name="Add a store")
    await dialog.get_by_label("Kind").select_option("local")
    await dialog.get_by_label("Name").fill("more")
    await dialog.get_by_label("Path").fill("/nowhere")
    await dialog.get_by_role("button", name="Add").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await dialog.get_by_label("Path").fill(str(tmp_path / "roots" / "more"))
    await dialog.get_by_role("button", name="Add").click()
    row = page.get_by_role("row", name="more")
    await row.get_by_role("button", name="Check").click()
    await expect(row).to_contain_text("✓ writes, reads and deletes")
    await row.get_by_role("button", name="Make it the default").click()
    await expect(row).to_contain_text("✓ default")


async def test_a_tokens_secret_is_shown_once_and_a_revoked_one_is_gone(console: Console) -> None:
    page, server = console.page, console.server
    await console.open("/tokens")
    await page.get_by_role("button", name="Create a token").click()
    dialog = page.get_by_role("dialog", name="Create a token")
    await dialog.get_by_label("Name").fill("a pipeline")
    await dialog.get_by_role("button", name="Create", exact=True).click()
    secret = await page.get_by_role("dialog", name="The token a pipeline").locator("code").inner_text()
    assert (await server.run("{ viewer { name } }", secret))["viewer"]["name"] == "a pipeline"
    await page.get_by_role("button", name="Done").click()
    assert secret not in await page.content()
    await page.get_by_role("button", name="Revoke a pipeline").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("row", name="a pipeline")).to_have_count(0)
    assert (await server.fails("{ viewer { name } }", secret)).code == "UNAUTHENTICATED"
