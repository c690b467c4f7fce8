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

import structlog
import typer

from app.cli.session import Session, command
from app.errors import BadUserInputError
from app.logs import configure_logs
from app.settings import Settings
from app.transfer.fetching import FetchLimits
from app.transfer.guard import NetworkGuard
from app.worker.cache import InputCache
from app.worker.container import docker_engine
from app.worker.process import Account, account_of, may_run
from app.worker.run import Machine
from app.worker.worker import Worker

log = structlog.get_logger("waymark.worker")


def register(group: typer.Typer) -> None:
    """Adds the command, which has no commands of its own."""
    command(group, "worker")(_worker)


async def _worker(
    session: Session,
    allow_processes: Annotated[
        bool,
        typer.Option(
            "--allow-processes",
            help="Run commands as processes of this machine where the step has no image, or there is no Docker engine."
            " Nothing isolates them: who may create executions can then do here what this account can, or that of"
            " --user.",
        ),
    ] = False,
    allow_mount: Annotated[
        list[Path] | None,
        typer.Option(help="A path of this machine that steps may mount, or mount from below; may be repeated."),
    ] = None,
    path: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that processes look for programs in before the usual ones; may be repeated."),
    ] = None,
    cache_size: Annotated[
        int, typer.Option(min=0, help="How many MB of inputs are kept for later executions; 0 for none.")
    ] = 10_000,
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

    Steps that name an image run in containers if a Docker engine answers (at DOCKER_HOST, or on this machine).
    The token needs the scope EXECUTE.
    """
    try:
        account = account_of(user)
    except ValueError as error:
        raise BadUserInputError(f"--user: {error}.") from error
    settings = Settings.from_environment()
    configure_logs(settings.log_level, settings.log_format)
    await _warn_of_unreachable(account, path or [])
    home = (work_dir or settings.data_dir / "work").resolve()
    async with docker_engine() as engine:
        if engine is not None:
            await engine.clear(home)
        elif not allow_processes:
            raise BadUserInputError(
                "There is no Docker engine to run containers with. Without one, commands run as processes of this"
                " machine, which nothing isolates; --allow-processes says that this is wanted."
            )
        machine = Machine(
            engine=engine,
            processes=allow_processes,
            account=account,
            path=os.pathsep.join([*(str(each.absolute()) for each in path or []), os.defpath]),
            mounts=allow_mount or [],
            cache=InputCache(home / "cache", cache_size * 10**6) if cache_size else None,
        )
        await _work(
            Worker(
                client=session.client,
                name=name or f"{socket.gethostname()}-{os.getpid()}",
                labels=label or [],
                concurrency=concurrency,
                home=home,
                machine=machine,
                guard=NetworkGuard(settings.allowed_networks),
                limits=FetchLimits(),
            ),
            parent,
        )


async def _warn_of_unreachable(account: Account | None, path: list[Path]) -> None:
    if account is None:
        return
    for python in [folder / "python" for folder in path]:
        if python.exists() and not await may_run(account, str(python)):
            log.warning(
                "commands run as an account that cannot reach this Python; they find another one, or none",
                python=str(python),
                account=account.pw_name,
                instead="name another account: --user, or WAYMARK_LOCAL_WORKER_USER for the worker of `waymark serve`",
            )


async def _work(worker: Worker, parent: int | None) -> None:
    """Runs a worker until this process is told to end, or its parent has ended."""
    ending = asyncio.Event()
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
