"""A server process as its supervisor starts it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading

from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.logs import configure_logs
from app.settings import Settings


def process_app(settings: Settings) -> Starlette:
    """What each server process runs; it ends when its supervisor was killed, so that the next one can have the port."""
    # the supervisor has this module too, and would load for nothing what takes a second to load
    from app.server import create_app

    configure_logs(settings.log_level, settings.log_format)
    parent = multiprocessing.parent_process()
    if parent is not None:
        supervisor = parent

        def follow() -> None:
            supervisor.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=follow, daemon=True, name="follow-supervisor").start()
    app = create_app(settings)
    # what is there now stays; collections then look only at what requests leave, and less often
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    return app


class HttpProtocol(HttpToolsProtocol):
    """uvicorn waits for answers under way before it ends; to streams, which have no end, this one says that it does."""

    def shutdown(self) -> None:
        self.app_state["closing"].set()
        super().shutdown()
