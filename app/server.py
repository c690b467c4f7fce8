"""The application of one server process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from app.api import links, sessions
from app.api.console import console_routes
from app.api.http import HEALTH_ROUTES, RequestLog, graphql_routes
from app.api.services import Services
from app.database.engine import Prepare, create_pool, prepare
from app.domain.feeds import Feeds
from app.domain.housekeeping import keep_house
from app.domain.secrets import SecretBox
from app.settings import Settings, SettingsError
from app.stores.registry import StoreRegistry
from app.transfer.guard import NetworkGuard


def create_app(settings: Settings, *, prepare_connection: Prepare = prepare) -> Starlette:
    """One server process's application. It connects to what is there; `settings` must name database and secret key."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        if settings.database_url is None or settings.secret_key is None:
            raise SettingsError("create_app needs WAYMARK_DATABASE_URL and WAYMARK_SECRET_KEY.")
        async with AsyncExitStack() as stack:
            pool = await create_pool(
                settings.database_url, size=settings.database_pool_size, prepare=prepare_connection
            )
            stack.push_async_callback(pool.close)
            guard = NetworkGuard(settings.allowed_networks)
            stores = StoreRegistry(guard)
            stack.push_async_callback(stores.aclose)
            services = Services(
                settings,
                pool,
                SecretBox(settings.secret_key),
                guard,
                stores,
                Feeds(pool, most_per_token=settings.max_streams),
            )
            app.state.services = services
            housekeeping = keep_house(pool, stores, services.secrets, services.housekeeping_due)
            for work in (housekeeping, services.feeds.run()):
                stack.push_async_callback(_cancel, asyncio.create_task(work))
            yield {"closing": services.closing}

    return Starlette(
        routes=[
            *graphql_routes(settings),
            *links.ROUTES,
            *HEALTH_ROUTES,
            *sessions.ROUTES,
            *console_routes(settings),
        ],
        middleware=[Middleware(RequestLog)],
        exception_handlers={HTTPException: links.refuse, 500: links.refuse},
        lifespan=lifespan,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
