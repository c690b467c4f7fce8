"""Projects: the scope of everything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from app.database import tables
from app.database.statements import Connection, Statement, columns
from app.domain.access import Caller
from app.domain.paging import Listing, Order
from app.domain.validation import require_name, require_text
from app.errors import ForbiddenError


@dataclass(frozen=True, slots=True)
class Project:
    id: UUID
    slug: str
    name: str
    created_at: dt.datetime

    @property
    def project_id(self) -> UUID:
        return self.id


_BY_ID = Statement(f"SELECT {columns(Project, 'project')} FROM project WHERE id = ANY(:ids ::uuid[])")
_BY_SLUG = Statement(f"SELECT {columns(Project, 'project')} FROM project WHERE slug = ANY(:slugs ::text[])")
_CREATE = Statement(f"""
    INSERT INTO project (slug, name, created_by) VALUES (:slug, :name, :actor_id)
    RETURNING {columns(Project, "project")}
""")

PROJECTS = Listing(
    tables.project,
    Project,
    parent=None,
    orders={"slug": Order(("slug",))},
    conditions={"visible": tables.project.c.id == bindparam("visible", type_=ARRAY(Uuid)).any_()},
)


async def load_projects(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, Project]:
    return {row["id"]: Project(*row) for row in await _BY_ID.fetch(connection, ids=ids)}


async def load_projects_by_slug(connection: Connection, slugs: Sequence[str]) -> dict[str, Project]:
    return {row["slug"]: Project(*row) for row in await _BY_SLUG.fetch(connection, slugs=slugs)}


async def create_project(connection: Connection, caller: Caller, *, slug: str, name: str | None) -> Project:
    """Makes a project; a token limited to projects cannot, as it would neither see it nor learn of its slug."""
    if caller.project_ids is not None:
        raise ForbiddenError("Creating projects needs a token for all projects; yours is limited to some.")
    require_name("slug", slug)
    name = require_text("name", name, longest=256) if name is not None else slug
    (row,) = await _CREATE.fetch(connection, slug=slug, name=name, actor_id=caller.actor_id)
    return Project(*row)
