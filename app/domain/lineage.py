"""Lineage: what a file or run came from, and what came of it, breadth-first.

The walk goes level by level with a set of what it has seen, so that a node is visited once however many paths lead to
it; each level is one statement for all the walks of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from app.database.statements import Connection, Statement, columns
from app.errors import BadUserInputError

DEEPEST = 100
MOST_NODES = 5_000
# an execution may use one file many times; past this many edges for each node wanted, the walk counts as cut off
_EDGES_PER_NODE = 4


class Direction(StrEnum):
    UPSTREAM = "UPSTREAM"
    DOWNSTREAM = "DOWNSTREAM"
    BOTH = "BOTH"


class EdgeKind(StrEnum):
    INPUT = "INPUT"
    OUTPUT = "OUTPUT"


class SubjectKind(StrEnum):
    DATUM = "DATUM"
    EXECUTION = "EXECUTION"


@dataclass(frozen=True, slots=True)
class Subject:
    kind: SubjectKind
    id: UUID


@dataclass(frozen=True, slots=True)
class Edge:
    """INPUT: from a file to the run that used it; OUTPUT: from a run to a file that it made."""

    from_id: UUID
    to_id: UUID
    kind: str
    input_name: str | None
    reference: str | None
    alias_version: int | None

    @property
    def start(self) -> Subject:
        return Subject(SubjectKind.DATUM if self.kind == EdgeKind.INPUT else SubjectKind.EXECUTION, self.from_id)

    @property
    def end(self) -> Subject:
        return Subject(SubjectKind.EXECUTION if self.kind == EdgeKind.INPUT else SubjectKind.DATUM, self.to_id)


@dataclass(frozen=True, slots=True)
class Question:
    """A walk from one subject, at most `depth` edges far and `max_nodes` nodes wide."""

    root: Subject
    direction: Direction
    depth: int
    max_nodes: int


@dataclass(slots=True)
class Lineage:
    #: The subjects found, the root first, each with its distance from the root.
    depths: dict[Subject, int]
    #: Every edge between them that the walk met, each once.
    edges: dict[Edge, None] = field(default_factory=dict)
    #: Whether there is more beyond `depth` or `max_nodes`.
    truncated: bool = False


_EDGE = columns(Edge, "edge")

# no sort and no aggregate, so that the limit ends a wide fan early
_EDGES = {
    Direction.DOWNSTREAM: Statement(f"""
        SELECT {_EDGE} FROM (
            SELECT file.datum_id AS from_id, file.execution_id AS to_id, 'INPUT' AS kind, input.name AS input_name,
                file.reference, file.alias_version
            FROM execution_input_file AS file JOIN execution_input AS input ON input.id = file.input_id
            WHERE file.datum_id = ANY(:data ::uuid[])
            UNION ALL
            SELECT produced_by, id, 'OUTPUT', NULL, NULL, NULL FROM datum
            WHERE produced_by = ANY(:executions ::uuid[]) AND produced_by IS NOT NULL
        ) AS edge LIMIT :most
    """),
    Direction.UPSTREAM: Statement(f"""
        SELECT {_EDGE} FROM (
            SELECT file.datum_id AS from_id, file.execution_id AS to_id, 'INPUT' AS kind, input.name AS input_name,
                file.reference, file.alias_version
            FROM execution_input AS input JOIN execution_input_file AS file ON file.input_id = input.id
            WHERE input.execution_id = ANY(:executions ::uuid[]) AND file.datum_id IS NOT NULL
            UNION ALL
            SELECT produced_by, id, 'OUTPUT', NULL, NULL, NULL FROM datum
            WHERE id = ANY(:data ::uuid[]) AND produced_by IS NOT NULL
        ) AS edge LIMIT :most
    """),
}


def require_bounds(depth: int, max_nodes: int) -> None:
    if not 0 <= depth <= DEEPEST:
        raise BadUserInputError(f"depth is {depth}; expected 0 to {DEEPEST}.")
    if not 1 <= max_nodes <= MOST_NODES:
        raise BadUserInputError(f"maxNodes is {max_nodes}; expected 1 to {MOST_NODES}.")


async def trace(connection: Connection, questions: Sequence[Question]) -> dict[Question, Lineage]:
    """Walks all the questions at once: a statement a level and direction, however many questions there are."""
    found = {question: Lineage({question.root: 0}) for question in questions}
    for direction in _EDGES:
        walks = {
            question: found[question] for question in questions if question.direction in (direction, Direction.BOTH)
        }
        await _walk(connection, direction, walks)
    return found


async def _walk(connection: Connection, direction: Direction, walks: Mapping[Question, Lineage]) -> None:
    frontiers = {question: {question.root} for question in walks}
    seen = {question: {question.root} for question in walks}
    level = 0
    while frontiers:
        most = _EDGES_PER_NODE * sum(question.max_nodes for question in frontiers) + 1
        edges = await _edges_of(connection, direction, set().union(*frontiers.values()), most)
        level += 1
        for question, frontier in list(frontiers.items()):
            lineage = walks[question]
            lineage.truncated |= len(edges) >= most
            reached: set[Subject] = set()
            for edge in edges:
                here, there = (edge.start, edge.end) if direction is Direction.DOWNSTREAM else (edge.end, edge.start)
                if here not in frontier:
                    continue
                if there not in lineage.depths:
                    if level > question.depth or len(lineage.depths) >= question.max_nodes:
                        lineage.truncated = True
                        continue
                    lineage.depths[there] = level
                if there not in seen[question]:
                    seen[question].add(there)
                    reached.add(there)
                lineage.edges[edge] = None
            if reached and level <= question.depth:
                frontiers[question] = reached
            else:
                del frontiers[question]


async def _edges_of(connection: Connection, direction: Direction, subjects: set[Subject], most: int) -> list[Edge]:
    by_kind = {kind: [each.id for each in subjects if each.kind is kind] for kind in SubjectKind}
    rows = await _EDGES[direction].fetch(
        connection, data=by_kind[SubjectKind.DATUM], executions=by_kind[SubjectKind.EXECUTION], most=most
    )
    return [Edge(*row) for row in rows]
