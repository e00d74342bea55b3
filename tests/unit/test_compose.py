"""docker-compose.yml and Dockerfile: valid, and what they run does what it should.

There is no Docker here: each service's own command runs by hand, with the paths and
addresses of its container mapped to this host.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import redis
from ruamel.yaml import YAML
from taskflow import task
from taskflow.patterns import linear_flow

import redisflow
from tests.support.eventually import eventually
from tests.support.own_server import free_port
from tests.support.servers import absent

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PASSWORD, ADMIN = "0badcafe", "cafe0bad"
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def services() -> dict:
    """Read the services of the compose file."""
    return YAML(typ="safe").load(COMPOSE)["services"]


@pytest.fixture(scope="module")
def scrape_config() -> dict:
    """Read how Prometheus finds the workers."""
    text = (ROOT / "docker" / "prometheus.yml").read_text(encoding="utf-8")
    (config,) = YAML(typ="safe").load(text)["scrape_configs"]
    return config


def on_this_host(text: str, folder: Path, port: int) -> str:
    """Map what a service says of its container to this host."""
    for inside, here in (
        ("$$", "$"),
        ("/etc/redisflow", os.fspath(ROOT / "docker")),
        ("/tmp/users.acl", os.fspath(folder / "users.acl")),
        ("/data", os.fspath(folder)),
        ("0.0.0.0", "127.0.0.1"),
        ("@redis:6379", f"@127.0.0.1:{port}"),
        ("${REDISFLOW_PASSWORD:?set it in .env}", PASSWORD),
        ("${ALLOW:-examples}", "examples"),
    ):
        text = text.replace(inside, here)
    return text


@contextlib.contextmanager
def running(command: list[str], **more):
    """Run a command meanwhile; SIGTERM ends it."""
    with subprocess.Popen(command, text=True, **more) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture
def serve(services, tmp_path):
    """Run the service redis on a port, as often as it is asked for."""
    if shutil.which("redis-server") is None:
        absent("redis-server")

    @contextlib.contextmanager
    def serve(port):
        command = [
            on_this_host(word, tmp_path, port) for word in services["redis"]["command"]
        ]
        command[-1] = command[-1].rstrip() + f" --port {port} --bind 127.0.0.1\n"
        own = {**os.environ, "REDISFLOW_PASSWORD": PASSWORD, "ADMIN_PASSWORD": ADMIN}
        with running(command, env=own, cwd=tmp_path, stdout=subprocess.DEVNULL):
            eventually(lambda: is_healthy(port))
            yield

    return serve


@pytest.fixture
def environment(services, serve, tmp_path):
    """Run the service redis; gives the environment of the others."""
    port = free_port()
    with serve(port):
        urls = services["worker"]["environment"]
        mapped = {k: on_this_host(v, tmp_path, port) for k, v in urls.items()}
        yield {**os.environ, **mapped, "PATH": f"{BIN}:{os.environ['PATH']}"}


def is_healthy(port: int) -> bool:
    """Ask as the service's health check does."""
    with (
        contextlib.suppress(redis.ConnectionError),
        redis.Redis(port=port, username="health", password="-") as client,
    ):
        return bool(client.ping())
    return False


def entry_point() -> list[str]:
    """Read what the image runs."""
    (found,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.MULTILINE)
    return [found]


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
    config = (ROOT / "docker" / "redis.conf").read_text(encoding="utf-8")

    assert "appendonly yes\n" in config
    assert "maxmemory-policy noeviction\n" in config
    assert "redis-data:/data" in services["redis"]["volumes"]
    assert "--dir /data" in services["redis"]["command"][-1]


def test_compose_workers_scale_and_wait_for_redis(services):
    """Nothing binds a worker to one host port or name, and Redis is up first."""
    worker = services["worker"]

    assert not {"ports", "container_name"} & worker.keys()
    assert worker["depends_on"]["redis"]["condition"] == "service_healthy"
    assert "healthcheck" in services["redis"]


def test_compose_publishes_on_this_host_only(services):
    """Whatever is published, other hosts cannot reach it; Redis is not published."""
    published = [port for one in services.values() for port in one.get("ports", ())]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in services["redis"]
    assert services["cli"]["profiles"] == ["cli"]


def test_compose_mounts_files_that_exist(services):
    """What is mounted from this folder is there."""
    mounts = [m for one in services.values() for m in one["volumes"] if m[0] == "."]

    assert mounts
    assert all((ROOT / mount.partition(":")[0]).is_file() for mount in mounts)


def test_compose_user_is_the_documented_one():
    """The rule for workers is word for word that of the page on security."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ACL SETUSER (.+)$", page, re.MULTILINE)
    users = (ROOT / "docker" / "users.acl").read_text(encoding="utf-8").splitlines()

    # Nobody logs in as this one; older servers read their append-only file as it.
    assert users[0] == "user default off resetpass ~* &* +@all"
    assert users[-1] == f"user {line}"


def test_image_is_locked_and_not_root():
    """Hashes for all that is installed; the last user is not root; SIGTERM drains."""
    assert "--require-hashes -r requirements/image.txt" in DOCKERFILE
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["redisflow"]
    assert "STOPSIGNAL SIGTERM\n" in DOCKERFILE
    locked = (ROOT / "requirements" / "image.txt").read_text(encoding="utf-8")
    packages = re.split(r"\n(?=[a-z])", locked)[1:]
    assert {"redis", "prometheus-client", "hatchling"} <= {
        package.partition("==")[0].partition("[")[0] for package in packages
    }
    assert all("--hash=sha256:" in package for package in packages)


def test_image_is_built_of_files_that_are_sent_to_it():
    """What the Dockerfile copies is in the folder, and not ignored."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    files = [file for line in copied for file in line.split()]

    assert set(files) == sent
    assert all((ROOT / file).exists() for file in files)


def test_services_work_together(services, scrape_config, environment, tmp_path):
    """Redis, a worker, a submission by the command, and a scrape as Prometheus does.

    The worker is healthy by the image's own check, and SIGTERM drains it.
    """
    assert scrape_config["dns_sd_configs"][0]["names"] == ["worker"]
    inside = str(scrape_config["dns_sd_configs"][0]["port"])
    words = [on_this_host(w, tmp_path, 0) for w in services["worker"]["command"]]
    assert words[words.index("--metrics-port") + 1] == inside
    here = str(free_port())
    words[words.index("--metrics-port") + 1] = here
    environment["METRICS_PORT"] = here

    with running(
        [*entry_point(), *words],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.PIPE,
    ) as worker:
        check = Path(services["worker"]["healthcheck"]["test"][-1]).name
        assert f"/opt/redisflow/{check}" in DOCKERFILE
        eventually(lambda: healthy(check, environment), 30)
        done = subprocess.run(
            [
                *entry_point(),
                *("submit", "examples.wordcount", "--wait"),
                *("--arg", f"path={ROOT / 'docker'}"),
            ],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        address = f"http://127.0.0.1:{here}{scrape_config['metrics_path']}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            text = answer.read().decode()
        worker.terminate()
        _, said = worker.communicate(timeout=30)

    assert re.search(r'^redisflow_atoms_total{.*state="SUCCESS"} [1-9]', text, re.M)
    assert "SIGTERM: drained" in said
    assert worker.returncode == 0
    assert not healthy(check, environment)


def healthy(check: str, environment: dict[str, str]) -> bool:
    """Run the image's health check."""
    command = [sys.executable, ROOT / "docker" / check]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return done.returncode == 0


def test_runs_are_there_after_a_restart(serve):
    """What scripts have written is in the append-only file, and is read from it."""
    port = free_port()
    url = f"redis://worker:{PASSWORD}@127.0.0.1:{port}/0"
    flow = linear_flow.Flow("f").add(task.FunctorTask(lambda: 7, name="a"))
    with serve(port):
        engine = redisflow.load(flow, run_id="kept", url=url)
        with contextlib.closing(engine.storage.backend):
            engine.run()
    with serve(port):
        again = redisflow.load(flow, run_id="kept", url=url)
        with contextlib.closing(again.storage.backend):
            assert again.storage.get_flow_state() == "SUCCESS"
            assert again.storage.get("a") == 7


@pytest.mark.parametrize("name", ["REDISFLOW_PASSWORD", "ADMIN_PASSWORD"])
def test_password_that_would_be_another_is_refused(services, tmp_path, name):
    """What would mean something to sed, or to the ACL file, starts no server."""
    command = [on_this_host(word, tmp_path, 0) for word in services["redis"]["command"]]
    own = {"REDISFLOW_PASSWORD": PASSWORD, "ADMIN_PASSWORD": ADMIN, name: "a&b"}
    done = subprocess.run(
        command, env={**os.environ, **own}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "letters and digits only" in done.stderr) == (1, True)


def test_strangers_are_kept_out(environment):
    """Without the password nothing but the health check's ping is answered."""
    url = environment["REDISFLOW_URL"]
    with redis.Redis.from_url(
        url.replace(f"worker:{PASSWORD}", f"admin:{ADMIN}")
    ) as admin:
        assert admin.bgrewriteaof()
    with (
        redis.Redis.from_url(url.replace(f"worker:{PASSWORD}@", "")) as nobody,
        pytest.raises(redis.AuthenticationError),
    ):
        nobody.ping()
    with redis.Redis.from_url(url.replace("worker:", "health:")) as health:
        assert health.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            health.get("redisflow:flows")
    with (
        redis.Redis.from_url(url) as worker,
        pytest.raises(redis.exceptions.NoPermissionError),
    ):
        worker.get("elsewhere")
