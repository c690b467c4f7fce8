"""What is there before a test opens the console."""

from __future__ import annotations

from typing import Any

from tests.conftest import LiveServer

_SET = "mutation($input: SetAliasInput!) { setAlias(input: $input) { alias { version } } }"
_CREATE = "mutation($input: CreateExecutionInput!) { createExecution(input: $input) { execution { id number } } }"


async def point(server: LiveServer, name: str, datum: str, **more: Any) -> None:
    await server.run(_SET, input={"project": await server.project_id(), "name": name, "datum": datum, **more})


async def create_execution(server: LiveServer, **more: Any) -> dict[str, Any]:
    given = {"project": await server.project_id(), "command": ["true"], **more}
    created: dict[str, Any] = (await server.run(_CREATE, input=given))["createExecution"]["execution"]
    return created
