"""`waymark worker`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from app.cli.session import Session, command
from app.errors import BadUserInputError
from app.logs import configure_logs
from app.settings import Settings
from app.transfer.fetching import FetchLimits
from app.transfer.guard import NetworkGuard
from app.worker.process import account_of
from app.worker.worker import Worker


def register(group: typer.Typer) -> None:
    """Adds the command, which has no commands of its own."""
    command(group, "worker")(_worker)


async def _worker(
    session: Session,
    allow_processes: Annotated[
        bool,
        typer.Option(
            "--allow-processes",
            help="Run commands as processes of this machine. Nothing isolates them: who may create executions can then"
            " do here what this account can, or that of --user.",
        ),
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="The account to run commands as, if the worker is root; nobody if not given.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What the worker is called; the machine's name if not given.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="What it offers, such as gpu; may be repeated. It takes what asks for no more."),
    ] = None,
    parent: Annotated[int | None, typer.Option(hidden=True, help="End when this process, its parent, has.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="How many executions it runs at once.")] = 1,
    work_dir: Annotated[
        Path | None, typer.Option(help="Where executions get their folders; below WAYMARK_DATA_DIR if not given.")
    ] = None,
) -> None:
    """Run executions until SIGTERM or SIGINT; what is under way is then brought to its end, or at a second one dropped.

    The token needs the scope EXECUTE.
    """
    if not allow_processes:
        raise BadUserInputError(
            "A worker runs commands as processes of this machine, which nothing isolates; --allow-processes says that"
            " this is wanted."
        )
    try:
        account = account_of(user)
    except ValueError as error:
        raise BadUserInputError(f"--user: {error}.") from error
    settings = Settings.from_environment()
    configure_logs(settings.log_level, settings.log_format)
    ending = asyncio.Event()
    worker = Worker(
        client=session.client,
        name=name or f"{socket.gethostname()}-{os.getpid()}",
        labels=label or [],
        concurrency=concurrency,
        home=work_dir or settings.data_dir / "work",
        account=account,
        guard=NetworkGuard(settings.allowed_networks),
        limits=FetchLimits(),
    )
    running = asyncio.create_task(worker.run(ending))

    def end() -> None:
        if ending.is_set():
            running.cancel()
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    if parent is not None:
        following = asyncio.create_task(_follow(parent, running))
        running.add_done_callback(lambda _: following.cancel())
    with suppress(asyncio.CancelledError):
        await running


async def _follow(parent: int, running: asyncio.Task[None]) -> None:
    """Drops all work once the parent is gone: it was the server's."""
    async for _ in _seconds():
        if os.getppid() != parent:
            running.cancel()
            return


async def _seconds() -> AsyncIterator[None]:
    while True:
        await asyncio.sleep(1)
        yield
