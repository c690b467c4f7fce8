"""Feed positions: the order in which subscriptions follow what is written (see `feeds`).

A row's position is the id of the transaction that last wrote it, above the base of the PostgreSQL cluster it was
written in. Every cluster counts its own transactions; after a dump and restore the base lets the new cluster's count
go on above what was written before. A change of an alias is never before the alias's earlier changes: see `aliases`.
"""

from __future__ import annotations

from app.database.statements import Connection, Statement

#: SQL for the base of this cluster, for the position of the current transaction, and for the position below which
#: nothing can be written any more: that of the oldest transaction which is still open.
BASE = "(SELECT base FROM feed_cluster ORDER BY base DESC LIMIT 1)"
OWN_POSITION = f"({BASE} + pg_current_xact_id()::text::bigint)"
HORIZON = f"({BASE} + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)"

_TABLES = ("alias", "alias_history", "execution")

_CLUSTER = Statement("""
    SELECT feed_cluster.system_identifier AS known, control.system_identifier AS own, feed_cluster.base
    FROM pg_control_system() AS control, feed_cluster ORDER BY base DESC LIMIT 1
""")

_NEW_CLUSTER = Statement(f"""
    INSERT INTO feed_cluster (system_identifier, base)
    SELECT :system_identifier, 1 + greatest(:base ::bigint, {
    ", ".join(f"(SELECT max(feed_position) FROM {table})" for table in _TABLES)
})
    RETURNING base
""")


async def ensure_feed_positions(connection: Connection) -> None:
    """Notices a move to another PostgreSQL cluster; without a new base the feeds would be silent for long after it."""
    await connection.execute("LOCK TABLE feed_cluster IN EXCLUSIVE MODE")
    (cluster,) = await _CLUSTER.fetch(connection)
    if cluster["known"] == cluster["own"]:
        return
    base = await _NEW_CLUSTER.fetchval(connection, system_identifier=cluster["own"], base=cluster["base"])
    position = f"{int(base)} + pg_current_xact_id()::text::bigint"
    for table in _TABLES:
        # in the default, so that writers look nothing up
        await connection.execute(f"ALTER TABLE {table} ALTER COLUMN feed_position SET DEFAULT {position}")
