"""docker-compose.yml: valid, and what its comments say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


@pytest.fixture(scope="module")
def services() -> dict:
    """Read the services of the compose file."""
    return YAML(typ="safe").load(COMPOSE)["services"]


def test_compose_file_follows_its_schema():
    """It is a compose file by the specification's own schema."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*check, "vendor.compose-spec", COMPOSE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_compose_redis_keeps_what_it_acknowledged(services):
    """Append-only, on a volume, never evicting."""
    command = services["redis"]["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert "redis-data:/data" in services["redis"]["volumes"]


def test_compose_workers_scale_and_wait_for_redis(services):
    """Nothing binds a worker to one host port or name, and Redis is up first."""
    worker = services["worker"]

    assert not {"ports", "container_name"} & worker.keys()
    assert worker["depends_on"]["redis"]["condition"] == "service_healthy"
    assert "healthcheck" in services["redis"]
