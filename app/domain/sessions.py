"""Sessions: a token's holder in a browser, where a secret of its own stands for the token until signing out."""

from __future__ import annotations

import datetime as dt
import secrets

from app.database.statements import Connection, Statement
from app.domain.access import Caller, Via
from app.domain.secrets import token_hash
from app.domain.tokens import caller_of
from app.errors import UnauthenticatedError

LIFETIME = dt.timedelta(hours=12)
_LINK_LIFETIME = dt.timedelta(minutes=1)

_CREATE = Statement("""
    INSERT INTO session (token_id, secret_hash, is_link, expires_at)
    VALUES (:token_id, :secret_hash, :is_link, clock_timestamp() + :lifetime ::interval)
""")

# a link is good for one session, which takes its row
_REDEEM = Statement("""
    UPDATE session SET secret_hash = :secret_hash, is_link = false,
        expires_at = clock_timestamp() + :lifetime ::interval
    WHERE secret_hash = :link_hash AND is_link AND expires_at > clock_timestamp()
    RETURNING token_id
""")

_AUTHENTICATE = Statement("""
    SELECT token.id, token.actor_id, actor.name, token.scopes, token.project_ids
    FROM session JOIN token ON token.id = session.token_id JOIN actor ON actor.id = token.actor_id
    WHERE session.secret_hash = :secret_hash AND NOT is_link AND session.expires_at > clock_timestamp()
        AND token.revoked_at IS NULL AND (token.expires_at IS NULL OR token.expires_at > clock_timestamp())
""")

_END = Statement("DELETE FROM session WHERE secret_hash = :secret_hash")
_FORGET = Statement("DELETE FROM session WHERE expires_at < clock_timestamp()")


async def create_session(connection: Connection, caller: Caller) -> str:
    """Begins a session of a token; returns its secret, which is not kept."""
    return await _create(connection, caller, is_link=False, lifetime=LIFETIME)


async def create_link(connection: Connection, caller: Caller) -> str:
    """Makes what begins one session of a token, within a minute; returns its secret."""
    return await _create(connection, caller, is_link=True, lifetime=_LINK_LIFETIME)


async def redeem_link(connection: Connection, link: str) -> str:
    """Begins the session that a link is good for; returns its secret."""
    secret = secrets.token_urlsafe(32)
    token_id = await _REDEEM.fetchval(
        connection, secret_hash=token_hash(secret), link_hash=token_hash(link), lifetime=LIFETIME
    )
    if token_id is None:
        raise UnauthenticatedError("This link was used already, or its minute is over. `waymark open` makes another.")
    return secret


async def authenticate_session(connection: Connection, secret: str, via: Via) -> Caller:
    """The caller behind a session; UNAUTHENTICATED if it has ended, or its token is revoked or has expired."""
    row = await _AUTHENTICATE.fetchrow(connection, secret_hash=token_hash(secret))
    if row is None:
        raise UnauthenticatedError("You are signed out, or your token was revoked. Sign in again.")
    return caller_of(row, via)


async def end_session(connection: Connection, secret: str) -> None:
    """Signs out; doing it again changes nothing."""
    await _END.fetch(connection, secret_hash=token_hash(secret))


async def forget_old_sessions(connection: Connection) -> None:
    await _FORGET.fetch(connection)


async def _create(connection: Connection, caller: Caller, *, is_link: bool, lifetime: dt.timedelta) -> str:
    secret = secrets.token_urlsafe(32)
    await _CREATE.fetch(
        connection, token_id=caller.token_id, secret_hash=token_hash(secret), is_link=is_link, lifetime=lifetime
    )
    return secret
