"""Worker processes that die at chosen moments, as by ``kill -9``.

The processes find their deaths in their environment. Each death happens as often as it
is meant to, in whichever process comes to it first: who dies has made a file before.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from redisflow import observing
from redisflow.codec import dumps_plain, loads_plain
from redisflow.errors import ConfigError
from redisflow.observing import Observer, Work

_DEATHS, _FOLDER = "REDISFLOW_TEST_DEATHS", "REDISFLOW_TEST_FOLDER"
_OBSERVER = "REDISFLOW_TEST_OBSERVER"

Moment = Literal["before execute", "after execute", "after record"]
Kind = Literal["execute", "revert", "retry"]


@dataclass(frozen=True, slots=True)
class Death:
    """A death of the worker that does something.

    ::

        before execute      it has claimed the atom; the atom's code has not begun
        after execute       the code has ended; nobody has been told what came of it
        after record        what came of it is stored; what the worker was handed
                            with the answer, it does not begin: that goes back

    Attributes:
        atom: the atom's name.
        moment: when.
        times: how often; the next worker that comes there lives.
        kind: execute, revert, or retry.

    Raises:
        ConfigError: there is no such moment or kind, or it would never happen.
    """

    atom: str
    moment: Moment = "before execute"
    times: int = 1
    kind: Kind = "execute"

    def __post_init__(self) -> None:
        _check("moment", self.moment, get_args(Moment))
        _check("kind", self.kind, get_args(Kind))
        if self.times < 1:
            raise ConfigError(f"times is at least 1, not {self.times}")


def _check(name: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ConfigError(f"{name} is one of {', '.join(known)}, not {given!r}")


def environment_of(deaths: Sequence[Death], folder: Path) -> Mapping[str, str]:
    """Return what has worker processes die.

    Args:
        deaths: which.
        folder: an empty one, where they count.
    """
    if not deaths:
        return {}
    return {
        observing.ENVIRONMENT: f"{__name__}:arm",
        _DEATHS: dumps_plain([asdict(death) for death in deaths]).decode(),
        _FOLDER: os.fspath(folder),
        _OBSERVER: os.environ.get(observing.ENVIRONMENT, ""),
    }


def check_happened(deaths: Sequence[Death], folder: Path) -> None:
    """Check that workers have died as often as they were meant to.

    Raises:
        AssertionError: they have not; what was tested was something else.
    """
    for number, death in enumerate(deaths):
        happened = len(list(folder.glob(f"{number}-*")))
        if happened < death.times:
            raise AssertionError(f"{death} happened {happened} times")


def arm() -> None:
    """Have this process die as its environment says."""
    os.environ[observing.ENVIRONMENT] = os.environ.pop(_OBSERVER)
    observing.from_environment()  # the user's own, which learn what it is about to do
    told = loads_plain(os.environ[_DEATHS])
    observing.add(_Dying([Death(**death) for death in told], os.environ[_FOLDER]))


class _Dying(Observer):
    def __init__(self, deaths: Sequence[Death], folder: str) -> None:
        self._deaths = list(enumerate(deaths))
        self._folder = Path(folder)

    def began(self, work: Work) -> None:
        self._die(work, "before execute")

    def doing(self, work: Work) -> AbstractContextManager[object]:
        return self._around(work)

    @contextlib.contextmanager
    def _around(self, work: Work) -> Iterator[None]:
        try:
            yield
        finally:
            self._die(work, "after execute")

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        del state, error
        self._die(work, "after record")

    def _die(self, work: Work, moment: Moment) -> None:
        for number, death in self._deaths:
            meant = (death.atom, death.kind, death.moment)
            if meant != (work.atom, work.kind, moment):
                continue
            if self._may(number, death.times):
                os.kill(os.getpid(), signal.SIGKILL)

    def _may(self, number: int, times: int) -> bool:
        """Whether this death has not happened often enough; notes that it does."""
        for time in range(times):
            with contextlib.suppress(FileExistsError):
                (self._folder / f"{number}-{time}").touch(exist_ok=False)
                return True
        return False
