"""Flows of several processes whose values are encrypted, as docs/values.md has it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import redisflow

ROOT = Path(redisflow.__file__).parents[1]
PROGRAM = (sys.executable, "-m", "redisflow.cli")
MARKER = "hush-this-is-plaintext"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.one_server]

FLOWS = f"""
from taskflow import retry, task
from taskflow.patterns import linear_flow

class Keep(task.Task):
    default_provides = "kept"

    def execute(self, card):
        self.update_progress(0.5)
        return {{card: [card, "{MARKER}"]}}

    def revert(self, **kwargs):
        return "{MARKER} reverted"

class Break(task.Task):
    def execute(self, kept):
        error = ValueError("{MARKER} in an error")
        error.add_note("{MARKER} in a note")
        raise error from KeyError("{MARKER} in a cause")

    def revert(self, **kwargs):
        raise OSError("{MARKER} in a revert")

class Try(retry.ForEach):
    def __init__(self, name, which, **kwargs):
        super().__init__(which, name=name, **kwargs)

def good(word):
    return linear_flow.Flow("good").add(Keep("keep", inject={{"word": word}}))

def bad(word):
    controller = Try("try", ["{MARKER}-1", "{MARKER}-2"], provides="which")
    return linear_flow.Flow("bad", controller).add(Keep("keep"), Break("break"))

def breaks(word):
    raise RuntimeError("{MARKER} in a factory")
"""


@pytest.fixture
def cli(url, tmp_path):
    """Run the program with the page's module, and a key."""
    page = (ROOT / "docs" / "values.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(# encryption\.py\n.*?)```", page, re.DOTALL)
    (tmp_path / "encryption.py").write_text(module)
    (tmp_path / "flows.py").write_text(FLOWS)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "REDISFLOW_URL": url}

    def run(*arguments, key):
        more = {}
        if key is not None:
            more = {"REDISFLOW_CODEC": "encryption:codec", "ENCRYPTION_KEYS": key}
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            cwd=tmp_path,
            env=environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def key():
    """Make a key."""
    return Fernet.generate_key().decode()


def everything(admin):
    """Return all that the server holds: names, fields, members, entries."""
    parts = []
    for name in admin.scan_iter():
        match admin.type(name):
            case "hash":
                found = admin.hgetall(name)
            case "zset":
                found = admin.zrange(name, 0, -1, withscores=True)
            case "list":
                found = admin.lrange(name, 0, -1)
            case "stream":
                found = admin.xrange(name)
            case "string":
                found = repr(admin.execute_command("GETRANGE", name, 0, -1))
        parts.append(f"{name} {found}")
    return "\n".join(parts)


@pytest.fixture
def raw(server):
    """Open a client that takes bytes for text of one byte a letter."""
    import redis  # noqa: PLC0415

    options = {"decode_responses": True, "encoding": "latin-1"}
    with contextlib.closing(redis.Redis(port=server.port, **options)) as client:
        yield client


def test_no_value_of_a_run_is_plain(cli, key, raw):
    """Results, failures, notes, histories, reverts, injected and metadata."""
    order = ("-w", 2, "--store", f"card={MARKER}", "--arg", f"word={MARKER}")
    good = cli("run", "flows.py:good", *order, "--run-id", "r1", key=key)
    assert good.returncode == 0, good.stderr
    assert MARKER in good.stdout
    bad = cli("run", "flows.py:bad", *order, "--run-id", "r2", key=key)
    assert bad.returncode == 1, bad.stderr
    assert f"{MARKER} in an error" in bad.stderr + bad.stdout
    found = everything(raw)
    assert "REVERT_FAILURE" in found
    assert "keep" in found
    assert MARKER not in found


def test_no_argument_of_a_submission_is_plain(cli, key, raw):
    """What a flow was submitted with is for workers with the key."""
    order = ("--store", f"card={MARKER}", "--arg", f"word={MARKER}")
    for number, factory in enumerate(("good", "bad", "breaks")):
        done = cli(
            "submit", f"flows:{factory}", *order, "--run-id", f"r{number}", key=key
        )
        assert done.returncode == 0, done.stderr
    assert MARKER not in everything(raw)
    # Who has no key serves none of them, says so, and spoils nothing.
    stranger = cli("worker", "--allow", "flows", "--once", key=None)
    assert "Traceback" not in stranger.stderr
    assert MARKER not in stranger.stderr
    done = cli("worker", "--allow", "flows", "--once", key=key)
    assert done.returncode == 0, done.stderr
    found = everything(raw)
    assert "SUCCESS" in found
    assert MARKER not in found


def test_without_the_key_states_are_seen_and_values_are_an_error(cli, key):
    """One line names the key in Redis; with another key it is the same."""
    order = ("run", "flows.py:good", "-w", 1, "--store", f"card={MARKER}")
    order = (*order, "--arg", "word=w", "--run-id", "r1")
    assert cli(*order, key=key).returncode == 0
    for other in (None, Fernet.generate_key().decode()):
        again = cli(*order, key=other)
        assert again.returncode == 4, again.stderr
        last = again.stderr.splitlines()[-1]
        assert re.match(
            r"redisflow: \S+:\{\S+\}:\S+: not a value that can be read", last
        )
        assert "Traceback" not in again.stderr
        assert MARKER not in again.stderr + again.stdout
        shown = cli("show", "r1", key=other)
        assert shown.returncode == 0, shown.stderr
        assert "SUCCESS" in shown.stdout


def test_failures_without_the_key_are_told_as_such(cli, key):
    """A failed flow is shown with its states; its texts are not readable."""
    order = ("run", "flows.py:bad", "-w", 1, "--store", f"card={MARKER}")
    assert cli(*order, "--arg", "word=w", "--run-id", "r1", key=key).returncode == 1
    shown = cli("show", "r1", key=None)
    assert "Traceback" not in shown.stderr
    assert MARKER not in shown.stdout + shown.stderr
    assert shown.returncode == 0, shown.stderr
    assert "REVERT_FAILURE" in shown.stdout


@pytest.mark.parametrize(
    ("codec", "says"),
    [
        ("encryption", "write it as module:name"),
        ("no_such_module:codec", "ModuleNotFoundError"),
        ("encryption:nothing", "AttributeError"),
        ("encryption:codec", "KeyError: 'ENCRYPTION_KEYS'"),
        ("encryption:os", "TypeError"),
        ("os:getcwd", "gives a str, not a Codec"),
    ],
)
def test_a_codec_that_cannot_be_used(  # noqa: PLR0917  fixtures
    codec, says, url, monkeypatch, cli, tmp_path
):
    """Says what is wrong with the variable, before anything is connected."""
    monkeypatch.setenv("REDISFLOW_CODEC", codec)
    monkeypatch.delenv("ENCRYPTION_KEYS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(redisflow.errors.ConfigError, match="REDISFLOW_CODEC") as caught:
        redisflow.RedisBackend.from_url(url)
    assert says in str(caught.value)
