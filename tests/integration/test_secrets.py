"""Passwords and secret values are in no text that anybody gets to see."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import secrets
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import redis
from rich.console import Console
from rich.traceback import Traceback
from taskflow import engines
from taskflow.persistence import backends, models

import redisflow
from redisflow.cli.app import invoke
from redisflow.client.access import COMMANDS
from redisflow.config import parse_url
from redisflow.errors import RedisFlowError, SubmissionDiffers
from tests.support.eventually import eventually
from tests.support.storages import Noop
from tests.support.submitted import FLOWS

ROOT = Path(redisflow.__file__).parents[1]
PROGRAM = (sys.executable, "-m", "redisflow.cli")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.one_server]


@pytest.fixture
def marker():
    """Make up a password that occurs nowhere else."""
    return f"hush{secrets.token_hex(8)}"


@pytest.fixture
def url(server, admin, namespace, marker):
    """Make a user with that password; returns a URL that has it."""
    commands = [f"+{name.lower()}" for name in (*COMMANDS, "INFO")]
    rule = ("on", f">{marker}", f"~{namespace}:*", "-@all", *commands)
    admin.execute_command("ACL", "SETUSER", "rf-secret", *rule)
    yield f"redis://rf-secret:{marker}@127.0.0.1:{server.port}/0?namespace={namespace}"
    admin.execute_command("ACL", "DELUSER", "rf-secret")


@pytest.fixture
def environment(url):
    """Give the program's environment: the URL, and all the words that it can make."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    debug = {"REDISFLOW_DEBUG": "1", "REDISFLOW_URL": url}
    return {**os.environ, "PYTHONPATH": path, **debug}


LOUD = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"


def everything(server):
    """Return all keys and what they hold, as one text."""
    with contextlib.closing(redis.Redis.from_url(server.url)) as admin:
        return b"".join(key + (admin.dump(key) or b"") for key in admin.scan_iter())


def command_lines():
    """Return the command lines of all processes that can be seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return b"\n".join(found)


def test_a_run_with_debug_logs_tells_no_password(  # noqa: PLR0917  fixtures
    environment, tmp_path, server, admin, marker, namespace
):
    """Neither logs, nor tracebacks, nor workers' command lines, nor keys have it."""
    (tmp_path / "flows.py").write_text(LOUD + FLOWS)
    order = ("run", "flows.py:gated", "-w", "2", "--store", f"gate={tmp_path}/gate")
    process = subprocess.Popen(
        [*PROGRAM, *order, "--run-id", "r1"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    eventually(lambda: b"redisflow.engine.child" in command_lines(), 30)
    eventually(lambda: list(admin.scan_iter(f"{namespace}:*:claims")), 30)
    seen = command_lines()
    for number in "01":
        (tmp_path / f"gate{number}").touch()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"DEBUG" in err
    text = seen + out + err + everything(server)
    assert marker.encode() not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("show", "nothing"),
        ("run", "nothing:at_all"),
        ("show", "--url", "{closed}", "r1"),
        ("show", "--url", "{query}", "r1"),
        ("show", "{url}"),
        ("show", "r1", "{url}"),
        ("show", "r1", "{query}"),
        ("{url}",),
        ("show", "--{url}"),
        ("run", "{url}"),
        ("run", "flows.py", "--run-id", "{url}" * 4),
        ("submit", "flows.py", "--store", "{marker}"),
        ("submit", "flows.py", "--store", "={marker}"),
        ("show", "--url", "rediss{at}", "r1"),
        ("show", "--url", "redis+sentinel{at}/x?sentinel_password={marker}", "r1"),
        ("show", "--url", "redis+cluster{at}/3", "r1"),
        ("show", "--url", "redis{at}/a", "r1"),
        ("show", "--url", "redis://{marker}", "r1"),
        ("show", "--url", "bad{at}/a", "r1"),
        ("show", "--url", "redis://u:{marker}#x@h", "r1"),
        ("show", "--url", "redis://u:{marker}/x@h", "r1"),
        ("show", "--url", "redis://u:{marker}?x@h", "r1"),
        ("show", "--url", "redis://u:x@{marker}@127.0.0.1:1?deadline_s=0.1", "r1"),
    ],
)
def test_no_error_of_the_program_tells_a_password(  # noqa: PLR0917  fixtures
    arguments, environment, url, marker, monkeypatch, capsys, tmp_path
):
    """Whatever is wrong, with tracebacks too."""
    monkeypatch.chdir(tmp_path)
    for name in ("REDISFLOW_URL", "REDISFLOW_DEBUG"):
        monkeypatch.setenv(name, environment[name])
    at = f"://u:{marker}@127.0.0.1:1"
    words = {
        "url": url,
        "at": at,
        "marker": marker,
        "closed": f"redis{at}?deadline_s=0.1",
        "query": f"redis://127.0.0.1:1?deadline_s=0.1&password={marker}",
    }
    filled = [argument.format_map(words) for argument in arguments]
    invoke(filled)
    told = capsys.readouterr()
    text = told.out + told.err
    assert text
    # A host that cannot be told from a password is told, as a host.
    if "redis://{marker}" not in arguments:
        assert marker not in text


def test_objects_and_logs_of_the_library_tell_no_password(url, marker, caplog):
    """Reprs, TaskFlow's logs, errors with their causes, also as rich shows them."""
    caplog.set_level(logging.DEBUG)
    conf = {"connection": url}
    with contextlib.closing(backends.fetch(conf)) as backend:
        detail = models.FlowDetail("f", "f-1")
        book = models.LogBook("b")
        book.add(detail)
        backend.get_connection().save_logbook(book)
        engine = engines.load(
            Noop("a"),
            flow_detail=detail,
            book=book,
            backend=backend,
            engine="redisflow",
        )
        engine.run()
        objects = [
            *(backend, backend.client, backend.config, backend.get_connection()),
            *(engine, engine.storage, engine.storage.lock, detail, book),
            redisflow.ReaderWriterLock(backend, "nightly"),
        ]
        for each in objects:
            assert marker not in repr(each)
            assert marker not in str(each)
    assert marker not in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("@127", "x@127"),  # another password
        lambda url: url.replace("rf-secret:", "nobody:"),
        lambda url: url.replace("?", "&x=").replace("/0", "/0?x=1"),
        lambda url: url + "&deadline_s=many",
        lambda url: url + "&ssl_password=also-hush",
        lambda url: url.replace("redis://", "rediss://"),
        lambda url: url.replace("redis://", "redis+cluster://").replace("/0", ""),
        lambda url: url.replace("redis://", "redis+sentinel://") + "&deadline_s=0.2",
    ],
    ids=["pass", "user", "option", "number", "ssl", "tls", "cluster", "sentinel"],
)
def test_no_error_of_the_library_tells_a_password(url, marker, change):
    """The message, the causes' messages and rich's traceback do not."""
    with pytest.raises(RedisFlowError) as caught:
        redisflow.RedisBackend.from_url(change(url)).client.execute("TIME")
    error = caught.value
    console = Console(file=io.StringIO(), width=200)
    console.print(Traceback.from_exception(type(error), error, error.__traceback__))
    text = "".join(traceback.format_exception(error))
    text += console.file.getvalue() + repr(error) + str(error.__dict__)
    assert marker not in text
    assert "also-hush" not in text


def test_a_configuration_hides_each_of_its_passwords(marker):
    """In the repr, in the URL to be shown, and in what is made of both."""
    config = parse_url(
        f"rediss+sentinel://u:{marker}@h/main?sentinel_password={marker}"
        f"&ssl_password={marker}"
    )
    assert marker not in f"{config!r} {config} {config.safe_url()} {config.address}"


# Values


SECRETS = """
from taskflow import task
from taskflow.patterns import linear_flow

class Login(task.Task):
    default_provides = ("api_token", "session", "total")

    def execute(self, db_password, card):
        return db_password + "1", {"user": "me", "password": db_password}, card

def factory(password="none"):
    return linear_flow.Flow("login").add(Login("login"))
"""


@pytest.mark.parametrize("output", ["human", "json"])
def test_the_program_masks_values_by_their_names(output, environment, tmp_path, marker):
    """What says that it is secret, at any depth, and what --mask names."""
    (tmp_path / "flows.py").write_text(SECRETS)
    done = subprocess.run(
        [
            *PROGRAM,
            "run",
            "flows.py",
            "-w",
            "1",
            "--store",
            f"db_password=p{marker}",
            "--store",
            f"card=c{marker}",
            "--mask",
            "card",
            "--mask",
            "tot*",
            "-o",
            output,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert marker not in done.stdout + done.stderr
    if output == "json":
        document = json.loads(done.stdout)
        assert document["store"] == {"db_password": "***", "card": "***"}
        assert document["results"] == {
            "api_token": "***",
            "session": {"user": "me", "password": "***"},
            "total": "***",
        }
    else:
        assert done.stdout.splitlines() == [
            "api_token = '***'",
            "session = {'user': 'me', 'password': '***'}",
            "total = '***'",
        ]


def test_a_submission_that_differs_tells_no_secret_argument(url, marker):
    """Which argument differs is told; of a secret one, not how."""

    def submit(password, path):
        arguments = {"password": password, "options": {"token": path}}
        redisflow.submit("shop:make", run_id="r1", url=url, factory_kwargs=arguments)

    submit(f"{marker}1", f"{marker}2")
    with pytest.raises(SubmissionDiffers) as caught:
        submit(f"{marker}3", f"{marker}4")
    assert "kwargs['password'] ***, not ***" in str(caught.value)
    assert "'token': '***'" in str(caught.value)
    assert marker not in str(caught.value)
