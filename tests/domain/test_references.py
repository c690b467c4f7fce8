"""References: what is an id, what is an alias, and what is neither."""

from __future__ import annotations

from uuid import UUID

import pytest

from app.domain.references import Resolution, parse_datum, parse_reference, resolve
from app.errors import BadUserInputError, NotFoundError
from tests.make import World

_ID = "0198f6a0-1234-7abc-8def-0123456789ab"


@pytest.mark.parametrize("text", [_ID, _ID.upper(), _ID.replace("-", "")])
def test_both_forms_of_an_id_are_ids(text: str) -> None:
    assert parse_reference(f"datum://{text}").datum_id == UUID(_ID)
    assert parse_datum(text).datum_id == UUID(_ID)


@pytest.mark.parametrize("name", ["model-prod", "a", "v1.2_x", "0198f6a0-1234", _ID[:-1], "A" * 128, _ID + "0"])
def test_what_has_not_the_form_of_an_id_is_an_alias(name: str) -> None:
    assert parse_reference(f"datum://{name}").alias == name


@pytest.mark.parametrize(
    "text",
    [
        "datum://",
        "datum://{" + _ID + "}",
        "datum://urn:uuid:" + _ID,
        "datum://-a",
        "datum://a b",
        "datum://a/b",
        "datum://" + "a" * 129,
        "ftp://bucket/key",
        "https://",
        "https://exa mple.org/file",
        "https://example.org:99999/file",
        "model-prod",
        "",
    ],
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(BadUserInputError):
        parse_reference(text)


async def test_an_id_never_falls_back_to_an_alias(world: World) -> None:
    datum = await world.a_datum()
    await world.point("there", datum)
    # no such name can be made, so it is put there by force
    async with world.write() as connection:
        await connection.execute("UPDATE alias SET name = $1", _ID)
    async with world.pool.acquire() as connection:
        (found,) = await resolve(connection, world.project_id, [parse_reference(f"datum://{_ID}")])
    assert isinstance(found, NotFoundError)


async def test_aliases_are_case_sensitive(world: World) -> None:
    await world.point("Model", await world.a_datum())
    async with world.pool.acquire() as connection:
        found = await resolve(
            connection, world.project_id, [parse_reference("datum://Model"), parse_reference("datum://model")]
        )
    assert isinstance(found[0], Resolution)
    assert isinstance(found[1], NotFoundError)
