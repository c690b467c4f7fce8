"""Relay connections over keyset-paged listings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import strawberry

from app.api.context import Info
from app.api.scalars import given
from app.domain.paging import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    Listing,
    Page,
    Query,
    Slice,
    decode_cursor,
    encode_cursor,
)
from app.errors import BadUserInputError

NodeType = TypeVar("NodeType")

First = Annotated[
    int | None,
    strawberry.argument(
        description=f"How many from the start, at most {MAX_PAGE_SIZE}; {DEFAULT_PAGE_SIZE} if not said."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Only what comes after this cursor.")]
Last = Annotated[
    int | None, strawberry.argument(description=f"How many from the end, at most {MAX_PAGE_SIZE}; not with first.")
]
Before = Annotated[str | None, strawberry.argument(description="Only what comes before this cursor.")]


@strawberry.type(description="What lies beyond a page.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether there is more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there is more before this page.")
    start_cursor: str | None = strawberry.field(description="The first item's cursor.")
    end_cursor: str | None = strawberry.field(description="The last item's cursor; give it as after for the next page.")


@strawberry.type(description="One item of a page.")
class Edge(Generic[NodeType]):
    cursor: str = strawberry.field(description="This item's place in the list, in this order.")
    node: NodeType = strawberry.field(description="The item.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[NodeType]):
    slice: strawberry.Private[Slice[Any]]
    make: strawberry.Private[Callable[[Any], Any]]
    order: strawberry.Private[str]
    count: strawberry.Private[Callable[[Info], Awaitable[int]]]

    @strawberry.field(description="The items with their cursors.")
    def edges(self) -> list[Edge[NodeType]]:
        return [
            Edge(cursor=self._cursor(place), node=self.make(record)) for place, record in enumerate(self.slice.records)
        ]

    @strawberry.field(description="The items.")
    def nodes(self) -> list[NodeType]:
        return [self.make(record) for record in self.slice.records]

    @strawberry.field(description="What lies beyond this page.")
    def page_info(self) -> PageInfo:
        return PageInfo(
            has_next_page=self.slice.has_next,
            has_previous_page=self.slice.has_previous,
            start_cursor=self._cursor(0) if self.slice.records else None,
            end_cursor=self._cursor(-1) if self.slice.records else None,
        )

    @strawberry.field(description="How many there are on all pages; counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        return await self.count(info)

    def _cursor(self, place: int) -> str:
        return encode_cursor(self.order, self.slice.keys[place])


async def connect(
    info: Info,
    listing: Listing[Any],
    parent: UUID,
    make: Callable[[Any], Any],
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    order: str | None = None,
    descending: bool | None = None,
    where: tuple[tuple[str, Any], ...] = (),
) -> Connection[Any]:
    """One page below `parent`, its records made into GraphQL objects by `make`."""
    first, after, last, before = given(first), given(after), given(last), given(before)
    if first is not None and last is not None:
        raise BadUserInputError("first and last are both given; page from one end.")
    size = page_size("first", first) if last is None else page_size("last", last)
    order = order or next(iter(listing.orders))
    backward = last is not None

    def key(cursor: str | None) -> tuple[Any, ...] | None:
        return None if cursor is None else decode_cursor(cursor, order, listing.key_types(order))

    page = Page(
        size=size,
        backward=backward,
        bound=key(before if backward else after),
        limit=key(after if backward else before),
    )
    query = Query(page, order, descending, where)
    found = await info.context.loaders.page(listing, parent, query, info.context.selected(info))

    async def count(info: Info) -> int:
        return await info.context.loaders.count(listing, parent, Query(where=where))

    return Connection(slice=found, make=make, order=order, count=count)


def page_size(argument: str, size: int | None) -> int:
    if given(size) is None or size is None:
        return DEFAULT_PAGE_SIZE
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise BadUserInputError(f"{argument} is {size}; expected 0 to {MAX_PAGE_SIZE}. Page with after or before.")
    return size
