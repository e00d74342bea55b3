"""Engines as users load them, by TaskFlow and by run id, and what their tasks note."""

from __future__ import annotations

import contextlib

import pytest
from taskflow import engines

import redisflow
from tests.support.installed import announce_plugins


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the backend and the engine."""
    announce_plugins()


@pytest.fixture
def notes():
    """Collect what tasks write down."""
    return []


@pytest.fixture
def load(backend):
    """Load engines as a user of TaskFlow does."""

    def load(flow, **options):
        return engines.load(flow, backend=backend, engine="redisflow", **options)

    return load


@pytest.fixture
def open_run(url):
    """Load engines by a run id; their backends are closed in the end."""
    with contextlib.ExitStack() as stack:

        def open_run(flow, run_id="nightly", **options):
            engine = redisflow.load(flow, run_id=run_id, url=url, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield open_run
