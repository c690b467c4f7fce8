"""What a new server needs before anyone can call it: its default store, a project, an actor and a token."""

from __future__ import annotations

from app.database.statements import Connection, Statement
from app.domain.access import Scope
from app.domain.secrets import token_hash

DEFAULT_PROJECT = "default"

_ENSURE_STORE = Statement("""
    INSERT INTO data_store (project_id, name, kind, is_default, config)
    VALUES (NULL, 'default', 'LOCAL', true, :config) ON CONFLICT DO NOTHING
""")

_ENSURE_PROJECT = Statement("""
    INSERT INTO project (slug, name) SELECT :slug, :slug WHERE NOT EXISTS (SELECT FROM project) ON CONFLICT DO NOTHING
""")

_ENSURE_ACTOR = Statement("""
    INSERT INTO actor (name) VALUES (:name) ON CONFLICT (owner_id, name) DO UPDATE SET name = excluded.name
    RETURNING id
""")

# a token that was revoked stays revoked
_ENSURE_TOKEN = Statement("""
    INSERT INTO token (actor_id, name, secret_hash, scopes, created_by)
    VALUES (:actor_id, :name, :secret_hash, :scopes, :actor_id) ON CONFLICT (secret_hash) DO NOTHING
""")


async def ensure_defaults(connection: Connection, *, store_path: str) -> None:
    """Makes the server's default store, a local folder, and the first project. Doing it again changes nothing."""
    await _ENSURE_STORE.fetch(connection, config={"path": store_path})
    await _ENSURE_PROJECT.fetch(connection, slug=DEFAULT_PROJECT)


async def ensure_admin_token(connection: Connection, secret: str) -> None:
    """Makes `secret` a token of the actor `admin`, with every scope and project."""
    await _ensure_token(connection, "admin", secret, Scope.ADMIN)


async def ensure_worker_token(connection: Connection, secret: str) -> None:
    """Makes `secret` a token of the actor `local worker`, which may run executions of every project."""
    await _ensure_token(connection, "local worker", secret, Scope.EXECUTE)


async def _ensure_token(connection: Connection, name: str, secret: str, scope: Scope) -> None:
    actor_id = await _ENSURE_ACTOR.fetchval(connection, name=name)
    await _ENSURE_TOKEN.fetch(connection, actor_id=actor_id, name=name, secret_hash=token_hash(secret), scopes=[scope])
