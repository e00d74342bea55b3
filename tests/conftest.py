"""What all tests share: real servers, a namespace each, a seed, a clean machine."""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import signal
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from pytest_redis import factories

from tests.support.servers import KINDS, Server, absent, executable

# How long an example takes is the server's business, and fixtures of one test
# serve all of its examples.
hypothesis.settings.register_profile(
    "redisflow",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("redisflow")

#: No tests: a program of its own, with what only `make fuzz` installs.
collect_ignore = ["fuzz"]

_LONG_PATH = 70

#: In CI the second server has one in so many of the tests that are about the first one;
#: the seed says which.
_SHARE = 3 if os.environ.get("CI") else 1

redis_server = factories.redis_proc(executable=executable("redis"))
valkey_server = factories.redis_proc(executable=executable("valkey"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the seed of an earlier run."""
    parser.addoption("--seed", type=int, help="seed of tests that draw lots")
    parser.addoption("--flow", type=int, help="number of the one flow to be run")
    parser.addoption(
        "--seconds", type=int, default=60, help="for how long there are storms"
    )
    parser.addoption("--storm", type=int, help="number of the one storm to be had")


def pytest_configure(config: pytest.Config) -> None:
    """Choose a seed, and a folder for the servers, or take those of the whole run."""
    # A shell that starts the tests in the background has Ctrl-C ignored, in programs
    # that they start, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # In a worker of pytest-xdist.
    for option, value in getattr(config, "workerinput", {}).get("ours", {}).items():
        setattr(config.option, option, value)
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(2**32)
    if not config.option.redis_datadir:
        # The path of a unix socket has room for about 100 letters.
        short = len(tempfile.gettempdir()) < _LONG_PATH
        folder = tempfile.mkdtemp(prefix="rf-", dir=None if short else "/tmp")
        config.option.redis_datadir = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist what was chosen; it has the command line only."""
    chosen = node.config.option
    node.workerinput["ours"] = {
        "seed": chosen.seed,
        "redis_datadir": chosen.redis_datadir,
    }


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave long tests to one server, but for the slow run; in CI to some of it."""
    left_out = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or callspec.params.get("server") != "redis":
            continue
        if item.get_closest_marker("one_server"):
            item.add_marker(pytest.mark.slow)
            lot = zlib.crc32(f"{config.option.seed} {item.nodeid}".encode())
            if lot % _SHARE:
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed, so that the run can be repeated."""
    return f"seed: {config.option.seed} (repeat with --seed)"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of this run."""
    return int(request.config.option.seed)


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's server and state folder out of the tests."""
    monkeypatch.delenv("REDISFLOW_URL", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session", params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    """Start a server of each kind, one for the whole session."""
    kind = request.param
    if executable(kind) is None:
        absent(f"{kind}-server")
    executor = request.getfixturevalue(f"{kind}_server")
    server = Server(kind, executor.port, executor.process.pid)
    with server.connect() as admin:
        admin.config_set("save", "")  # no snapshots: nobody reads them
    return server


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    """Open a plain client on the test's server, to look at keys."""
    with server.connect() as client:
        yield client


@pytest.fixture
def namespace(request: pytest.FixtureRequest, admin: redis.Redis) -> Iterator[str]:
    """Name a namespace of this test alone; at its end no other key may exist.

    Names that begin with this one are the test's too.
    """
    test = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.lower())
    name = f"rf-{test[:48]}-{secrets.token_hex(4)}"  # at most 64 characters
    yield name
    strangers = [key for key in admin.scan_iter() if not key.startswith(name)]
    admin.flushdb()
    assert not strangers, f"keys outside the namespace {name}: {strangers[:10]}"


@pytest.fixture
def url(server: Server, namespace: str) -> str:
    """Return the URL of the test's server and namespace."""
    return f"{server.url}?namespace={namespace}"
