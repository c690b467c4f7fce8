"""What every command has: a connection to the server, a project, a form of output, and exit codes."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, get_type_hints

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.client.client import ApiError, Client, UnreachableError
from app.errors import AppError
from app.settings import ClientSettings

# what is piped into another program is not folded to the width of a screen
console = Console() if sys.stdout.isatty() else Console(width=250)
errors = Console(stderr=True)

EXIT_CODES: Mapping[str, int] = {
    "UNAUTHENTICATED": 3,
    "FORBIDDEN": 3,
    "NOT_FOUND": 4,
    "CONFLICT": 5,
    "ALREADY_EXISTS": 5,
    "IDEMPOTENCY_MISMATCH": 5,
    "BAD_USER_INPUT": 6,
    "LIMIT_EXCEEDED": 6,
    "WRONG_STATE": 7,
    "ALIAS_IN_USE": 7,
    "DATUM_PURGED": 7,
    "CHECKSUM_MISMATCH": 8,
    "STORE_UNAVAILABLE": 9,
}
_UNREACHABLE = 9
_UNEXPECTED = 1
_INTERRUPTED = 130

EXIT_CODES_HELP = (
    "Exit codes: 0 done; 1 an unexpected error; 2 a wrong command line; 3 not signed in or not allowed; 4 not found;"
    " 5 a conflict, or it exists already; 6 wrong input; 7 not possible in this state (in use, purged, ended);"
    " 8 the bytes are not those announced; 9 the server or a store cannot be reached."
)


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table for people, or JSON for scripts.")]
ProjectOption = Annotated[
    str | None, typer.Option("--project", "-p", help="The project's slug, else WAYMARK_PROJECT, else 'default'.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="The server's address, else WAYMARK_URL, else the server of this machine.")
]
TokenOption = Annotated[
    str | None, typer.Option("--token", help="The token, else WAYMARK_TOKEN, else that of this machine's server.")
]


@dataclass
class Session:
    """One command's connection and output."""

    client: Client
    project: str
    output: Output

    @cached_property
    def progress_wanted(self) -> bool:
        return self.output is Output.TABLE and errors.is_terminal

    async def project_id(self) -> str:
        return await self.project_id_of(self.project)

    async def project_id_of(self, slug: str) -> str:
        found = await self.client.execute("query($slug: String!) { project(slug: $slug) { id } }", {"slug": slug})
        if found["project"] is None:
            raise ApiError(f"There is no project {slug!r}; `waymark project list` shows yours.", {"code": "NOT_FOUND"})
        return str(found["project"]["id"])

    def show(self, data: Any, *, table: Callable[[], Table | str]) -> None:
        """Prints the data as JSON, or what `table` makes of them."""
        if self.output is Output.JSON:
            sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode() + "\n")
        else:
            made = table()
            # text as it is: a file's name may look like markup
            console.print(Text(made) if isinstance(made, str) else made, soft_wrap=isinstance(made, str))

    def line(self, data: Any, *, text: str) -> None:
        """Prints one of many things, at once: a line of JSON, or the text."""
        sys.stdout.write((orjson.dumps(data).decode() if self.output is Output.JSON else text) + "\n")
        sys.stdout.flush()


def rows(*columns: str, of: list[list[Any]]) -> Table:
    """A plain table; None is shown as a dash."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in of:
        table.add_row(*(Text("-" if cell is None else str(cell), overflow="fold") for cell in row))
    return table


def pairs(values: Mapping[str, Any]) -> Table:
    """A table of one thing's fields; those that are None are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in values.items():
        if value is not None:
            table.add_row(Text(name, style="bold"), Text(str(value), overflow="fold"))
    return table


def command(group: typer.Typer, name: str) -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Registers an asynchronous command whose first parameter is the Session; adds the options every command has."""

    def register(function: Callable[..., Awaitable[None]]) -> None:
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name])
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]

        def run(**arguments: Any) -> None:
            # a command with forms of output of its own gets to know which was asked for
            forms = {} if "output" not in hints else {"output": arguments["output"]}
            common = {key: arguments.pop(key) for key in ("output", "project", "url", "token")}
            arguments |= forms
            _exit_with_code(_call(function, arguments, **common))

        kind = inspect.Parameter.KEYWORD_ONLY
        usual_output = inspect.Parameter("output", kind, default=Output.TABLE, annotation=OutputOption)
        signature = inspect.Signature(
            [parameter.replace(kind=kind) for parameter in own]
            + [each for each in [usual_output] if "output" not in hints]
            + [
                inspect.Parameter("project", kind, default=None, annotation=ProjectOption),
                inspect.Parameter("url", kind, default=None, annotation=UrlOption),
                inspect.Parameter("token", kind, default=None, annotation=TokenOption),
            ]
        )
        vars(run).update(__signature__=signature)
        run.__doc__ = function.__doc__
        group.command(name)(run)

    return register


async def _call(
    function: Callable[..., Awaitable[None]],
    arguments: dict[str, Any],
    *,
    output: StrEnum,
    project: str | None,
    url: str | None,
    token: str | None,
) -> None:
    settings = ClientSettings.from_environment()
    client = Client(
        url or settings.url or _left_by_server(settings, "address", "a server: give --url or WAYMARK_URL"),
        token or settings.token or _left_by_server(settings, "token", "a token: give --token or WAYMARK_TOKEN"),
        via="CLI",
    )
    async with client:
        form = Output.JSON if output == Output.JSON else Output.TABLE
        await function(Session(client, project or settings.project, form), **arguments)


def _left_by_server(settings: ClientSettings, name: str, what: str) -> str:
    """What `waymark serve` on this machine left in its data directory."""
    try:
        return (settings.data_dir / name).read_text().strip()
    except OSError as error:
        raise UnreachableError(
            f"There is no running server of this machine in {settings.data_dir}, and so not {what}."
            " `waymark serve` starts one."
        ) from error


def _exit_with_code(work: Any) -> None:
    try:
        asyncio.run(work)
    except ApiError as error:
        fail(error.message, error.code)
    except AppError as error:
        fail(error.message, error.code)
    except UnreachableError as error:
        fail(str(error), "STORE_UNAVAILABLE")
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), "BAD_USER_INPUT")


def fail(message: str, code: str) -> None:
    """Says what went wrong on standard error, and exits with the code of its kind."""
    errors.print(Text.assemble(("Error ", "bold red"), (f"{code}: ", "red"), message), soft_wrap=True)
    raise typer.Exit(EXIT_CODES.get(code, _UNEXPECTED))
