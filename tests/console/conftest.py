"""The console in headless Chromium, on a live server, watched for what it asks for and says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, expect

from tests.conftest import LiveServer
from tests.console.chromium import CHROMIUM, chromium

# a machine may be busy with other tests
expect.set_options(timeout=30_000)

_AXE = Path(__file__).parents[2] / "app" / "console" / "node_modules" / "axe-core" / "axe.min.js"


@dataclass
class Console:
    """A browser's page, and what it asked for and said meanwhile."""

    server: LiveServer
    context: BrowserContext
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", self._requested)
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def sign_in(self) -> None:
        async with self.server.client() as client:
            await self.page.goto(await client.session_link())
        await self.page.get_by_role("heading", name="Aliases").wait_for()

    async def forget_session(self) -> None:
        # a page that is still there would ask for something as nobody
        await self.page.goto("about:blank")
        await self.context.clear_cookies()

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.server.url}{path}")

    async def faults(self, *, exclude: Sequence[str] = ()) -> list[str]:
        """What axe-core finds serious on the page as it is, outside the elements that selectors exclude."""
        # run by the browser's debugger, so that the page's policy stays as it is
        await self.page.evaluate(_AXE.read_text())
        found: list[dict[str, Any]] = await self.page.evaluate(
            "exclude => axe.run({exclude}).then(found => found.violations)", [[each] for each in exclude]
        )
        return [
            f"{each['id']}: {each['help']}: {node['html']}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def forgive(self, complaint: str) -> None:
        """Takes back what the browser itself says of a failure that a test has caused."""
        self.complaints[:] = [each for each in self.complaints if complaint not in each]

    def assert_clean(self) -> None:
        """Nothing went to another host, and the browser's console stayed empty."""
        own = urlsplit(self.server.url).netloc
        # what a page makes itself has no host
        elsewhere = [
            url for url in self.requests if urlsplit(url).netloc != own and urlsplit(url).scheme not in ("data", "blob")
        ]
        assert elsewhere == []
        assert self.complaints == []


@asynccontextmanager
async def browsing(server: LiveServer, **options: Any) -> AsyncIterator[Console]:
    """A new browser with nothing in it; `options` are those of a Playwright context."""
    async with chromium() as browser:
        context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(30_000)
        console = Console(server, context, await context.new_page())
        console.watch(console.page)
        yield console


@pytest.fixture
def has_chromium(request: pytest.FixtureRequest) -> None:
    if CHROMIUM is None and not request.config.getoption("--require-chromium"):
        pytest.skip("Chromium is not installed; make test-console installs it")


@pytest.fixture
async def console(server: LiveServer, has_chromium: None) -> AsyncIterator[Console]:
    """A browser that is signed in; at the end it must have asked no other host, and complained of nothing."""
    async with browsing(server) as console:
        await console.sign_in()
        yield console
        console.assert_clean()
