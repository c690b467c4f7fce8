"""The `waymark` command: one client of the public API, and the way to start the server."""

from __future__ import annotations

import asyncio
import sys
import webbrowser
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import orjson
import typer

from app.cli import alias, data, execution, lineage, project, store, task, token, worker
from app.cli.session import EXIT_CODES_HELP, Output, Session, command, console, fail
from app.client.client import ApiError
from app.errors import BadUserInputError
from app.settings import Settings

app = typer.Typer(
    name="waymark",
    help="Mutable names for immutable files: data sets and models that never change, aliases that point at them, the"
    " history of every move, and runs pinned to exact files.",
    epilog=EXIT_CODES_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(project.group, name="project")
app.add_typer(store.group, name="store")
app.add_typer(data.group, name="data")
app.add_typer(alias.group, name="alias")
app.add_typer(execution.group, name="execution")
app.add_typer(task.group, name="task")
app.add_typer(lineage.group, name="lineage")
app.add_typer(token.group, name="token")
worker.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"waymark {version('waymark')}")
        raise typer.Exit


@app.callback()
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command("serve")
def _serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; WAYMARK_HOST, else 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; WAYMARK_PORT, else 8000. 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many server processes; WAYMARK_WORKERS, else 1.")
    ] = None,
) -> None:
    """Run the server.

    Without WAYMARK_DATABASE_URL it runs its own PostgreSQL below WAYMARK_DATA_DIR, and keeps files there too.
    """
    # the server and all it imports are needed for this command alone
    from app.supervisor import UNABLE_TO_START, serve

    try:
        serve(Settings.from_environment().with_options(host=host, port=port, workers=workers))
    except UNABLE_TO_START as error:
        fail(str(error), "CANNOT_START")


@command(app, "open")
async def _open(
    session: Session,
    is_printed: Annotated[bool, typer.Option("--print", help="Print the link instead of opening it.")] = False,
) -> None:
    """Open the web console in a browser, signed in by a link that works once and for a minute."""
    url = await session.client.session_link()
    if is_printed or session.output is Output.JSON:
        session.show({"url": url}, table=lambda: url)
    elif not await asyncio.to_thread(webbrowser.open, url):
        console.print("There is no browser to be opened here; open this within a minute:")
        session.show(None, table=lambda: url)


@command(app, "query")
async def _query(
    session: Session,
    document: Annotated[str, typer.Argument(help="A GraphQL document, @FILE to read one, or - for standard input.")],
    variables: Annotated[str | None, typer.Option(help="A JSON object of variables.")] = None,
) -> None:
    """Send a GraphQL document as it is, and print the answer as JSON."""
    if document == "-":
        document = sys.stdin.read()
    elif document.startswith("@"):
        document = await asyncio.to_thread(Path(document[1:]).read_text)
    try:
        values = orjson.loads(variables) if variables else {}
    except orjson.JSONDecodeError as error:
        raise BadUserInputError(f"--variables is no JSON: {error}.") from error
    if not isinstance(values, dict):
        raise BadUserInputError("--variables is no JSON object.")
    answer = await session.client.send(document, values)
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
    if failed := answer.get("errors"):
        raise ApiError(failed[0]["message"], failed[0].get("extensions"))


def main() -> None:
    app()
