"""`waymark project`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.session import Session, command, rows

group = typer.Typer(help="Projects: the scope of everything.", no_args_is_help=True)

_FIELDS = "id slug name createdAt"


@command(group, "list")
async def _list(session: Session) -> None:
    """List the projects that you may see."""
    found: list[dict[str, str]] = []
    after = None
    while True:
        data = await session.client.execute(
            f"query($after: String) {{ projects(first: 500, after: $after) {{ nodes {{ {_FIELDS} }}"
            " pageInfo { hasNextPage endCursor } } }",
            {"after": after},
        )
        found += data["projects"]["nodes"]
        after = data["projects"]["pageInfo"]["endCursor"]
        if not data["projects"]["pageInfo"]["hasNextPage"]:
            break
    session.show(
        found,
        table=lambda: rows(
            "SLUG", "NAME", "CREATED", "ID", of=[[p["slug"], p["name"], p["createdAt"], p["id"]] for p in found]
        ),
    )


@command(group, "create")
async def _create(
    session: Session,
    slug: Annotated[str, typer.Argument(help="Its short, unique name.")],
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
) -> None:
    """Create a project."""
    data = await session.client.execute(
        f"mutation($input: CreateProjectInput!) {{ createProject(input: $input) {{ project {{ {_FIELDS} }} }} }}",
        {"input": {"slug": slug, "name": name}},
    )
    project = data["createProject"]["project"]
    session.show(project, table=lambda: f"Created project {project['slug']} ({project['id']})")
