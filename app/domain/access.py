"""Who is calling, and what they may do. Every read and write is decided here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.errors import ForbiddenError, NotFoundError


class Scope(StrEnum):
    READ = "READ"
    WRITE = "WRITE"
    EXECUTE = "EXECUTE"
    ADMIN = "ADMIN"


class Via(StrEnum):
    """The way by which a change came."""

    API = "API"
    CLI = "CLI"
    CONSOLE = "CONSOLE"
    EXECUTION = "EXECUTION"


_IMPLIED = {
    Scope.READ: {Scope.READ},
    Scope.WRITE: {Scope.READ, Scope.WRITE},
    Scope.EXECUTE: {Scope.READ, Scope.EXECUTE},
    Scope.ADMIN: set(Scope),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The actor behind a request, by the token it came with."""

    token_id: UUID
    actor_id: UUID
    name: str
    scopes: frozenset[Scope]
    #: None means every project, also those to come.
    project_ids: frozenset[UUID] | None
    via: Via = Via.API

    def may(self, scope: Scope) -> bool:
        return any(scope in _IMPLIED[own] for own in self.scopes)

    def sees(self, project_id: UUID | None) -> bool:
        """Whether rows of this project exist for the caller; None is the server's own."""
        return self.project_ids is None or project_id is None or project_id in self.project_ids

    def require(self, scope: Scope, project_id: UUID | None) -> None:
        """Refuses what the caller may not do; a project that the caller cannot see reads as one that never existed.

        `project_id` None is for what belongs to the whole server.
        """
        if not self.sees(project_id):
            raise NotFoundError(f"There is no project {project_id}.")
        if not self.may(scope):
            own = ", ".join(sorted(self.scopes))
            raise ForbiddenError(f"This needs a token with scope {scope}; yours has {own}.")
