"""Retry-safe mutations: the caller's key claims the id of what the mutation makes.

The claim is part of the mutation's transaction, so a concurrent twin waits for it, and a mutation that fails leaves no
claim behind. Keys are kept seven days, by actor, project and mutation.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.database.statements import Connection, Statement
from app.domain.access import Caller
from app.domain.validation import require_text
from app.errors import IdempotencyMismatchError

_CLAIM = Statement("""
    INSERT INTO idempotency (actor_id, project_id, mutation, key, input_hash)
    VALUES (:actor_id, :project_id, :mutation, :key, :input_hash)
    ON CONFLICT (actor_id, project_id, mutation, key) DO UPDATE
        SET input_hash = excluded.input_hash, result_id = uuidv7(), created_at = clock_timestamp()
        WHERE idempotency.created_at < clock_timestamp() - interval '7 days'
    RETURNING result_id
""")

_EARLIER = Statement("""
    SELECT input_hash, result_id FROM idempotency
    WHERE actor_id = :actor_id AND project_id = :project_id AND mutation = :mutation AND key = :key
""")

_FORGET = Statement("DELETE FROM idempotency WHERE created_at < clock_timestamp() - interval '7 days'")


@dataclass(frozen=True, slots=True)
class Request:
    """A mutation's key and the fingerprint of its input."""

    mutation: str
    key: str
    input_hash: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The id that belongs to a key; `replayed` when an earlier request has used it up."""

    result_id: UUID
    replayed: bool


async def claim(connection: Connection, caller: Caller, project_id: UUID, request: Request) -> Claim:
    """Claims the request's key; IDEMPOTENCY_MISMATCH when it was used with another input."""
    require_text("idempotencyKey", request.key, longest=256)
    scope = {
        "actor_id": caller.actor_id,
        "project_id": project_id,
        "mutation": request.mutation,
        "key": request.key,
    }
    result_id = await _CLAIM.fetchval(connection, input_hash=request.input_hash, **scope)
    if result_id is not None:
        return Claim(result_id, replayed=False)
    (earlier,) = await _EARLIER.fetch(connection, **scope)
    if earlier["input_hash"] != request.input_hash:
        raise IdempotencyMismatchError(
            f"idempotencyKey {request.key!r} was used for another {request.mutation}; use a new key for a new input."
        )
    return Claim(earlier["result_id"], replayed=True)


async def forget_old_claims(connection: Connection) -> None:
    await _FORGET.fetch(connection)
