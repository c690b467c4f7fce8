"""Actors and their tokens. Only hashes of tokens are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller, Scope, Via
from app.domain.projects import load_projects
from app.domain.secrets import new_token, token_hash
from app.domain.validation import require_text
from app.errors import BadUserInputError, ForbiddenError, NotFoundError, UnauthenticatedError


@dataclass(frozen=True, slots=True)
class Actor:
    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Token:
    id: UUID
    actor_id: UUID
    name: str
    scopes: list[str]
    project_ids: list[UUID] | None
    created_at: dt.datetime
    created_by: UUID | None
    last_used_at: dt.datetime | None
    expires_at: dt.datetime | None


_ACTORS = Statement(f"SELECT {columns(Actor, 'actor')} FROM actor WHERE id = ANY(:ids ::uuid[])")

# last_used_at moves at most once a minute, so that authenticating is a read
_AUTHENTICATE = Statement("""
    WITH known AS (
        SELECT token.id, token.actor_id, actor.name, token.scopes, token.project_ids, token.last_used_at
        FROM token JOIN actor ON actor.id = token.actor_id
        WHERE token.secret_hash = :secret_hash AND token.revoked_at IS NULL
            AND (token.expires_at IS NULL OR token.expires_at > clock_timestamp())
    ), used AS (
        UPDATE token SET last_used_at = clock_timestamp() FROM known
        WHERE token.id = known.id
            AND (known.last_used_at IS NULL OR known.last_used_at < clock_timestamp() - interval '1 minute')
    )
    SELECT id, actor_id, name, scopes, project_ids FROM known
""")

_IN_FORCE = Statement("""
    SELECT id FROM token
    WHERE id = ANY(:ids ::uuid[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")

# a token named as its creator acts as its creator; else as the creator's actor of that name, made when missing
_CREATE = Statement(f"""
    WITH named AS (
        INSERT INTO actor (name, owner_id)
        SELECT :name, :creator_id WHERE :name <> (SELECT name FROM actor WHERE id = :creator_id)
        ON CONFLICT (owner_id, name) DO UPDATE SET name = excluded.name
        RETURNING id
    ), made AS (
        INSERT INTO token (actor_id, name, secret_hash, scopes, project_ids, created_by, expires_at)
        SELECT coalesce((SELECT id FROM named), :creator_id), :name, :secret_hash, :scopes, :project_ids, :creator_id,
            :expires_at
        RETURNING *
    )
    SELECT {columns(Token, "made")} FROM made
""")

# an unlimited administrator manages every token; others see their own and those they created
_VISIBLE = "(:everyone OR token.actor_id = :actor_id OR token.created_by = :actor_id) AND token.revoked_at IS NULL"

_LIST = Statement(f"SELECT {columns(Token, 'token')} FROM token WHERE {_VISIBLE} ORDER BY created_at, id")

_REVOKE = Statement(f"""
    UPDATE token SET revoked_at = clock_timestamp() WHERE id = :id AND {_VISIBLE} RETURNING {columns(Token, "token")}
""")


async def load_actors(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Actor]:
    return {row["id"]: Actor(*row) for row in await _ACTORS.fetch(connection, ids=ids)}


async def authenticate(connection: Connection, secret: str, via: Via) -> Caller:
    """The caller behind a token; an unknown, revoked or expired one is UNAUTHENTICATED."""
    row = await _AUTHENTICATE.fetchrow(connection, secret_hash=token_hash(secret))
    if row is None:
        raise UnauthenticatedError("This token is unknown, revoked or expired.")
    return caller_of(row, via)


def caller_of(row: Iterable[Any], via: Via) -> Caller:
    """The caller that a token's row tells of: its id, that of its actor, the actor's name, scopes and projects."""
    token_id, actor_id, name, scopes, project_ids = row
    return Caller(
        token_id=token_id,
        actor_id=actor_id,
        name=name,
        scopes=frozenset(Scope(scope) for scope in scopes),
        project_ids=None if project_ids is None else frozenset(project_ids),
        via=via,
    )


async def tokens_in_force(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of the tokens that are neither revoked nor expired."""
    return {row["id"] for row in await _IN_FORCE.fetch(connection, ids=ids)}


async def create_token(
    connection: Connection,
    caller: Caller,
    *,
    name: str,
    scopes: Sequence[Scope],
    project_ids: Sequence[UUID] | None,
    expires_at: dt.datetime | None,
) -> tuple[Token, str]:
    """Makes a token that may do no more than its creator; returns it with its secret, which is not kept."""
    require_text("name", name, longest=128)
    if not scopes:
        raise BadUserInputError("scopes is empty; name at least one of READ, WRITE, EXECUTE, ADMIN.")
    if beyond := [scope for scope in scopes if not caller.may(scope)]:
        raise ForbiddenError(f"A token cannot have more than its creator: {', '.join(beyond)} is beyond yours.")
    if project_ids is None and caller.project_ids is not None:
        project_ids = sorted(caller.project_ids)
    if project_ids is not None and not project_ids:
        raise BadUserInputError("projects is empty; leave it out for all that you may see.")
    if project_ids is not None:
        known = await load_projects(connection, project_ids)
        if missing := [each for each in project_ids if each not in known or not caller.sees(each)]:
            raise NotFoundError(f"There is no project {missing[0]}.")
    if expires_at is not None and expires_at <= dt.datetime.now(dt.UTC):
        raise BadUserInputError(f"expiresAt is {expires_at.isoformat()}, which is past.")
    secret = new_token()
    (row,) = await _CREATE.fetch(
        connection,
        name=name,
        creator_id=caller.actor_id,
        secret_hash=token_hash(secret),
        scopes=sorted(set(scopes)),
        project_ids=project_ids and sorted(set(project_ids)),
        expires_at=expires_at,
    )
    return Token(*row), secret


async def list_tokens(connection: Connection, caller: Caller) -> list[Token]:
    return [Token(*row) for row in await _LIST.fetch(connection, **_view(caller))]


async def revoke_token(connection: Connection, caller: Caller, token_id: UUID | None) -> Token:
    row = await _REVOKE.fetchrow(connection, id=token_id, **_view(caller))
    if row is None:
        raise NotFoundError(f"There is no token {token_id}.")
    return Token(*row)


def _view(caller: Caller) -> dict[str, object]:
    return {
        "everyone": caller.project_ids is None and caller.may(Scope.ADMIN),
        "actor_id": caller.actor_id,
    }
