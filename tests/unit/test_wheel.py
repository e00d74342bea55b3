"""What users install: the wheel, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Looks at the package from where it is installed.
LOOK = """
import sys
from importlib import resources

import redisflow.errors

assert redisflow.errors.__file__.startswith(sys.prefix), redisflow.errors.__file__
lua = resources.files("redisflow") / "_lua"
print(*sorted(script.name for script in lua.iterdir() if script.name.endswith(".lua")))
"""

#: Asks the server for a flow that does not exist, by a script.
RUN = """
import sys

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import FlowLost
from redisflow.keys import FlowKeys
from redisflow.scripts import FlowScripts

url, namespace = sys.argv[1:]
with Client(parse_url(url)) as client:
    try:
        scripts = FlowScripts(client, FlowKeys(namespace, "F"))
        scripts.call("flow_sync", since=0, limit=1)
    except FlowLost as error:
        print(error.key)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", folder], cwd=ROOT, check=True)
    return next(folder.glob("redisflow-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel in a fresh environment, and return the Python of that.

    What the wheel depends on is taken from the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    paths = sysconfig.get_paths(
        scheme="venv", vars={"base": str(folder), "platbase": str(folder)}
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(paths["purelib"])
    # A path file read at start-up; path files inside that folder, such as the one
    # of this checkout's editable install, are not read again.
    dependencies = Path(paths["purelib"], "dependencies.pth")
    dependencies.write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def run(python: Path, program: str, *args: str) -> str:
    """Run a program far from the checkout, and return what it printed."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    process = subprocess.run(
        [python, "-c", program, *args],
        cwd=python.parent,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_wheel_holds_all_the_lua(wheel: Path):
    """Every script and include of the checkout is in it, under the package."""
    checkout = ROOT / "scripts" / "lua"
    expected = {
        f"redisflow/_lua/{path.relative_to(checkout).as_posix()}"
        for path in checkout.rglob("*.lua")
    }

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert expected
    assert expected == {name for name in names if name.endswith(".lua")}


def test_wheel_holds_nothing_else_than_the_package(wheel: Path):
    """Neither tests nor tools are installed; types and licence are."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.split("/")[0].split("-")[0] for name in names} == {"redisflow"}
    assert "redisflow/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_is_found_by_taskflow(wheel: Path):
    """Backend and engine are entry points under the names of their URLs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/entry_points.txt"))
        lines = archive.read(name).decode().splitlines()

    for scheme in ("redis", "rediss", "unix", "redisflow"):
        assert f"{scheme} = redisflow.persistence:RedisBackend" in lines
    assert "redisflow = redisflow.engine:SharedEngine" in lines
    assert "redisflow = redisflow.cli:main" in lines


def test_installed_package_finds_its_lua(python: Path):
    """The scripts are read from inside the installed package."""
    expected = sorted(path.name for path in (ROOT / "scripts" / "lua").glob("*.lua"))

    assert run(python, LOOK).split() == expected


def test_installed_package_runs_a_script(python: Path, url: str, namespace: str):
    """Client, loader and Lua of the installed package work together."""
    assert run(python, RUN, url, namespace).strip() == f"{namespace}:{{F}}:flow"
