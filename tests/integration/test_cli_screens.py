"""Every command that reads, as the real program, on terminals and in pipes."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess

import pytest
from rich.cells import cell_len
from taskflow import task
from taskflow.patterns import linear_flow, unordered_flow

import redisflow
from redisflow import ReaderWriterLock, RedisBackend
from redisflow.cli.app import invoke
from tests.support.eventually import eventually
from tests.support.screen import PROGRAM, Screen, environment, shown_by
from tests.support.servers import ONE_KIND_IS_ENOUGH

pytestmark = [pytest.mark.timeout(240), ONE_KIND_IS_ENOUGH]

HOSTILE = "bell\x07 \x1b[31mred [red]markup[/red] :smile: 漢字漢字 \u202egnp"
#: What it must look like wherever it is shown.
SPELLED = r"bell\x07 \x1b[31mred [red]markup[/red] :smile: 漢字漢字 \u202egnp"
SOON_S = 40.0


class Fine(task.Task):
    """Does nothing."""

    def execute(self):
        """Do nothing."""


class Break(task.Task):
    """Fails with a message, one that wants to move the cursor."""

    message = HOSTILE

    def execute(self):
        """Fail."""
        raise OSError(self.message)


@pytest.fixture
def hostile(url):
    """Run a flow whose names are hostile to its end; gives the run id."""
    inner = unordered_flow.Flow("inner").add(*(Fine(f"{HOSTILE}{n}") for n in range(3)))
    flow = linear_flow.Flow(HOSTILE).add(inner, Break("break"))
    engine = redisflow.load(flow, run_id="r1 [red]漢", url=url)
    with contextlib.suppress(OSError):
        engine.run()
    engine.storage.backend.close()
    return "r1 [red]漢"


@pytest.fixture
def program(url):
    """Run the program in a pipe to its end."""

    def run(*words, status=0, **more):
        done = subprocess.run(
            [*PROGRAM, *words],
            env=environment(url) | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == status, done.stderr
        return done.stdout

    return run


COMMANDS = [
    ("ls",),
    ("show", "RUN"),
    ("tree", "RUN"),
    ("why", "RUN"),
    ("why", "RUN", "break"),
    ("tail", "RUN"),
    ("workers",),
    ("locks",),
    ("keys", "RUN"),
]


@pytest.mark.parametrize("words", [(), ("--help",), ("show", "-h")])
def test_help_that_is_piped_has_no_codes(program, words):
    """Not even where the environment asks for colours."""
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS"):
        out = program(*words, status=0 if words else 2, **{name: "1"})
        assert "Usage: redisflow" in out
        assert "\x1b" not in out


@contextlib.contextmanager
def _lock(url):
    """Hold a lock with a hostile name."""
    with (
        contextlib.closing(RedisBackend.from_url(url)) as backend,
        ReaderWriterLock(backend, f"lock {HOSTILE}").write_lock(),
    ):
        yield


def _words(command, run):
    return [run if word == "RUN" else word for word in command]


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.slow
def test_hostile_names_do_not_break_a_terminal(url, hostile, columns):
    """No control codes but colours, no line beyond the edge, names as they are."""
    commands = [_words(command, hostile) for command in COMMANDS]
    with _lock(url):
        screens = shown_by(commands, environment(url), columns=columns)
        for command, shown in zip(COMMANDS, screens, strict=True):
            assert shown.status == (1 if command[0] == "tail" else 0), shown
            text = shown.out
            assert "\x07" not in text, command
            assert "\u202e" not in text, command
            codes = set(re.findall(r"\x1b(?:\[[0-9;?]*[A-Za-z]|.)", text))
            assert all(re.fullmatch(r"\x1b\[[0-9;]*m", code) for code in codes), command
            assert "\x1b[38;5;160m" in codes or command[0] != "show"
            if command[0] in ("ls", "tree", "tail", "locks"):
                widest = max(cell_len(line) for line in shown.lines)
                assert widest <= columns, command
            if command[0] in ("ls", "show", "tree", "why", "tail", "locks"):
                named = "bell" in text or "egnp" in text
                assert named or command == ("why", "RUN"), command


@pytest.mark.slow
def test_pipes_get_whole_names_and_no_codes(url, hostile):
    """What is piped is spelled out, never cut, and never coloured."""
    commands = [_words(command, hostile) for command in COMMANDS]
    for shown in shown_by(commands, environment(url) | {"FORCE_COLOR": "1"}):
        command, text = shown.words, shown.out
        assert shown.status == (1 if command[0] == "tail" else 0), shown.err
        assert "\x1b" not in text, command
        assert "\x07" not in text, command
        if command[0] in ("ls", "show", "tree", "tail"):
            assert SPELLED in text, command
        if command[0] in ("show", "why"):
            assert text.count("[red]markup[/red]") >= 1, command


def test_json_and_lines_say_the_same(url, hostile, capsys):
    """One document, or one record a line; names in them are the names."""

    def program(*words, status=0):
        capsys.readouterr()
        assert invoke([*words, "--url", url]) == status
        return capsys.readouterr().out

    for command, member in (
        (("ls",), "runs"),
        (("show", "RUN"), "atoms"),
        (("tree", "RUN"), "nodes"),
        (("why", "RUN"), "reasons"),
        (("tail", "RUN"), "entries"),
        (("workers",), "workers"),
        (("locks",), "locks"),
        (("keys", "RUN"), "keys"),
    ):
        words, status = _words(command, hostile), 1 if command[0] == "tail" else 0
        document = json.loads(program(*words, "-o", "json", status=status))
        lines = program(*words, "-o", "jsonl", status=status).splitlines()
        records = [json.loads(line) for line in lines]
        assert [_still(each) for each in document[member]] == list(map(_still, records))
    found = json.loads(program("ls", "-o", "json"))["runs"]
    assert [run["name"] for run in found] == [HOSTILE]


def _still(record):
    """Leave out what changes while one looks."""
    return {k: v for k, v in record.items() if k not in ("lease_left_s", "time_s")}


LONG = "acme.warehouse.inventory.synchronisation.FetchLevelsOfEveryCentre"


@pytest.fixture
def wordy(url):
    """Run a flow of many long and wide names that fails with a long message."""
    names = [f"{LONG}-{n}" for n in range(6)] + ["在庫を確保する" * 9, "pay"]
    inner = unordered_flow.Flow("inner").add(*map(Fine, names))
    broken = Break(f"{LONG}-broken")
    broken.message = "no answer from the other side, " * 30
    flow = linear_flow.Flow("warehouses-" * 9).add(inner, broken)
    engine = redisflow.load(flow, run_id="nightly-" * 9, url=url)
    with contextlib.suppress(OSError):
        engine.run()
    engine.storage.backend.close()
    return "nightly-" * 9


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.slow
def test_long_names_push_nothing_off_a_terminal(url, wordy, columns):
    """States stand in every row, names can be told apart, and no line is too wide."""
    commands = [
        *(["ls"], ["show", wordy], ["tree", wordy], ["tail", wordy], ["why", wordy]),
        ["doctor", wordy],
    ]
    screens = shown_by(commands, environment(url), columns=columns)
    for shown in screens:
        assert shown.lines or shown.words[0] == "doctor"
        assert all(cell_len(line) <= columns for line in shown.lines), shown.lines
    ls, show, tree, tail, why, _doctor = (shown.lines for shown in screens)
    assert all(word in ls[0] for word in ("STATE", "DONE", "CHANGED"))
    assert "REVERTED" in ls[1]
    head = next(place for place, line in enumerate(show) if line.startswith("ATOM"))
    table = show[head + 1 : head + 10]
    assert [line.count("REVERTED") for line in table] == [1] * 9
    assert len({line.partition("REVERTED")[0] for line in table}) == 9
    assert [line.count("REVERTED") for line in tree[-9:]] == [1] * 9
    assert sum(" → " in line for line in tail) >= 4 * 9
    message = " ".join(" ".join(why).split())
    assert "no answer from the other side, no answer" in message
    assert all(line.startswith(("- ", "  ")) for line in why[4:]), why


@pytest.mark.slow
def test_no_color(url, hostile):
    """NO_COLOR turns colours off on terminals, too."""
    where = environment(url) | {"NO_COLOR": "1"}
    with Screen("ls", columns=80, environment=where) as screen:
        assert screen.end() == 0
        assert not re.search(r"\x1b\[(3\d|9\d)", screen.written)


def test_errors_are_broken_between_words(url):
    """A path stays in one piece, however long; all else is as wide as the terminal."""
    path = f"/no/such/{'folder-of-mine/' * 8}flow.py"
    words, where = ("show", path), environment(url)
    with Screen(*words, columns=30, environment=where, errors=True) as screen:
        assert screen.end() == 2
        first, *others = lines = screen.lines
    assert first.startswith("redisflow: ")
    assert all(line.startswith("  ") for line in others)
    assert all(cell_len(line) <= 30 for line in lines if path not in line)
    piped = shown_by([words], where)[0].err
    assert " ".join(line.strip() for line in lines) == piped.strip()


@pytest.mark.slow
def test_a_terminal_is_watched_until_ctrl_c(url, hostile):
    """--watch takes the screen, fits it, and leaves the last reading on it."""
    words = ("show", hostile, "--watch=0.2")
    with Screen(*words, columns=80, rows=6, environment=environment(url)) as screen:
        eventually(lambda: screen.written.count("\x1b[H") > 2, SOON_S)
        frame = screen.written.split("\x1b[H")[1].split("\x1b[J")[0]
        assert frame.count("\n") == 5
        assert "every 0.2 s, Ctrl-C ends" in frame
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
        assert screen.process.stderr.read() == b""
        after = screen.written.rpartition("\x1b[?1049l")[2]
        assert "REVERTED" in after


@pytest.mark.slow
def test_a_pipe_that_is_watched_ends_with_its_reader(url, hostile):
    """Readings follow each other; when the reader goes, the program ends in silence."""
    process = subprocess.Popen(
        [*PROGRAM, "ls", "--watch=0.1", "-o", "jsonl"],
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        for _ in range(3):
            assert json.loads(process.stdout.readline())["state"] == "REVERTED"
        process.stdout.close()
        assert process.wait(SOON_S) == 0
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_shells_complete_runs_and_atoms(hostile, program):
    """What a shell offers: commands, ids of runs, names of atoms, states."""

    def offered(*typed):
        words = " ".join(["redisflow", *typed])
        return program(
            _REDISFLOW_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(typed)),
        ).splitlines()

    assert "why" in offered("w")
    assert offered("ls", "--state", "SU") == ["SUCCESS", "SUSPENDING", "SUSPENDED"]
    assert any("漢" in line for line in offered("show", "r1"))
    assert offered("show", "nope") == [""]
