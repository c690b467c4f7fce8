"""Logs: structured, in one format, and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.logs import configure_logs


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _fail() -> None:
    password = "hunter2"  # what a traceback must not show
    raise RuntimeError(f"after {len(password)} characters")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_no_values_of_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", form)
    try:
        _fail()
    except RuntimeError as error:
        structlog.get_logger("waymark").error("unexpected error", exc_info=error)
    logged = capsys.readouterr().err
    assert "RuntimeError" in logged
    assert "after 7 characters" in logged
    assert "'hunter2'" not in logged.replace('password = "hunter2"', "")


def test_json_logs_are_an_object_a_line_with_the_requests_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", "json")
    structlog.contextvars.bind_contextvars(request_id="abc")
    structlog.get_logger("waymark").info("first", status=200)
    logging.getLogger("library").warning("second %s", "one")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first["event"], first["status"], first["request_id"], first["level"]) == ("first", 200, "abc", "info")
    assert (second["event"], second["logger"]) == ("second one", "library")
