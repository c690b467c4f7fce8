"""`waymark token`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from app.cli.session import Session, command, fail, rows
from app.settings import Settings

group = typer.Typer(help="Tokens: who may do what.", no_args_is_help=True)

_FIELDS = "id name scopes createdAt lastUsedAt expiresAt projects { slug }"


@command(group, "list")
async def _list(session: Session) -> None:
    """List the tokens that you may manage."""
    data = await session.client.execute(f"{{ viewer {{ tokens {{ {_FIELDS} }} }} }}")
    found = data["viewer"]["tokens"]

    def projects(token: dict[str, list[dict[str, str]] | None]) -> str:
        return "all" if token["projects"] is None else ", ".join(each["slug"] for each in token["projects"])

    session.show(
        found,
        table=lambda: rows(
            "NAME",
            "SCOPES",
            "PROJECTS",
            "LAST USED",
            "EXPIRES",
            "ID",
            of=[
                [t["name"], ", ".join(t["scopes"]), projects(t), t["lastUsedAt"], t["expiresAt"], t["id"]]
                for t in found
            ],
        ),
    )


@command(group, "create")
async def _create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Who acts: changes made with the token carry this name.")],
    scope: Annotated[list[str], typer.Option(help="READ, WRITE, EXECUTE or ADMIN; may be repeated.")],
    limit_to: Annotated[
        list[str] | None, typer.Option(help="Slug of a project that it may see; may be repeated. All if not given.")
    ] = None,
    expires_at: Annotated[datetime | None, typer.Option(help="When it ceases to work, in UTC.")] = None,
) -> None:
    """Create a token. Its secret is shown this once."""
    ids = [await session.project_id_of(slug) for slug in limit_to or []]
    data = await session.client.execute(
        f"mutation($input: CreateTokenInput!) {{ createToken(input: $input) {{ token {{ {_FIELDS} }} secret }} }}",
        {
            "input": {
                "name": name,
                "scopes": [each.upper() for each in scope],
                "projects": ids or None,
                "expiresAt": expires_at and expires_at.replace(tzinfo=UTC).isoformat(),
            }
        },
    )
    made = data["createToken"]
    session.show(made, table=lambda: made["secret"])


@command(group, "revoke")
async def _revoke(session: Session, token_id: Annotated[str, typer.Argument(help="The token's id.")]) -> None:
    """Make a token work no more, at once."""
    data = await session.client.execute(
        f"mutation($input: RevokeTokenInput!) {{ revokeToken(input: $input) {{ token {{ {_FIELDS} }} }} }}",
        {"input": {"id": token_id}},
    )
    token = data["revokeToken"]["token"]
    session.show(token, table=lambda: f"Revoked token {token['name']} ({token['id']})")


@group.command("bootstrap")
def _bootstrap() -> None:
    """Write a new token of the actor `admin` to the data directory, if you have none; the server must be stopped."""
    # the server and all it imports are needed for this command alone
    from app.supervisor import UNABLE_TO_START, create_admin_token

    try:
        typer.echo(f"Wrote a new token to {create_admin_token(Settings.from_environment())}")
    except UNABLE_TO_START as error:
        fail(str(error), "CANNOT_START")
