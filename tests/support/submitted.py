"""Flows to submit, as a file, and a serving worker in a thread of the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from redisflow.engine.allowing import Allowed
from redisflow.engine.serving import Serving
from redisflow.persistence import RedisBackend

FLOWS = """\
import os, pathlib, time
from taskflow import task
from redisflow.errors import NotFound
from taskflow.patterns import linear_flow, unordered_flow

def note(line):
    file = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (line + "\\n").encode())
    os.close(file)

class Add(task.Task):
    default_provides = "total"

    def execute(self, x, y=1):
        return x + y

class Work(task.Task):
    def execute(self):
        note(f"{self.name} {os.getpid()}")
        time.sleep(0.1)

class Gate(task.Task):
    def execute(self, gate):
        while not pathlib.Path(gate + self.name[-1]).exists():
            time.sleep(0.02)

class Break(task.Task):
    def execute(self):
        raise OSError("the disk is full")

def factory():
    return linear_flow.Flow("sum").add(Add("add"))

def work(name, n=4):
    flow = unordered_flow.Flow(name)
    return flow.add(*(Work(f"{name}-{i}") for i in range(n)))

def gated(n=2):
    return unordered_flow.Flow("gated").add(*(Gate(f"gate-{i}") for i in range(n)))

def failing():
    return linear_flow.Flow("failing").add(Break("break"))

def raises():
    note("raises")
    raise KeyError("no such host")

def misses():
    note("misses")
    raise NotFound("no such order")
"""

#: More of them: with a class that only one module of a process can register.
BOXES = (
    FLOWS
    + """\

import dataclasses
from redisflow.codec import register

@register(name="submitted.Box")
@dataclasses.dataclass
class Box:
    what: str

class Fill(task.Task):
    default_provides = ("box", "left")

    def execute(self):
        return Box("all"), 0

def boxed():
    return linear_flow.Flow("boxed").add(Fill("fill"), Add("add", inject={"x": 1}))
"""
)


class Served:
    """A serving worker in a thread.

    Attributes:
        serving: the worker.
        lines: what it has told.
        error: what it raised.
    """

    def __init__(self, url: str, allow: str, *, flows: int, burst: bool) -> None:
        self.lines: list[str] = []
        self.error: Exception | None = None
        self._backend = RedisBackend.from_url(url)
        self.serving = Serving(
            self._backend,
            Allowed([allow]),
            tell=self._tell,
            flows=flows,
            lease_s=2.0,
            burst=burst,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def told(self, words: str) -> list[str]:
        """Return the lines in which something was told."""
        return [line for line in self.lines if words in line]

    def join(self) -> None:
        """Wait for its end, and raise what it raised."""
        self._thread.join(20)
        assert not self._thread.is_alive(), self.lines
        if self.error is not None:
            raise self.error

    def end(self) -> None:
        """Drain it."""
        self.serving.drain()
        self._thread.join(20)
        self._backend.close()

    def _run(self) -> None:
        try:
            self.serving.serve()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _tell(self, run_id: str, words: str, error: BaseException | None) -> None:
        self.lines.append(f"{run_id}: {words}{f': {error!r}' if error else ''}")


@contextlib.contextmanager
def served_by(url: str, allow: str) -> Iterator[Callable[..., Served]]:
    """Give a function that starts serving workers; all end with the block."""
    with contextlib.ExitStack() as stack:

        def start(*, flows: int = 4, burst: bool = False) -> Served:
            served = Served(url, allow, flows=flows, burst=burst)
            stack.callback(served.end)
            return served

        yield start
