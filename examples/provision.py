"""A saga: steps that are undone, last one first, when a later one fails.

::

    redisflow run examples/provision.py --workers 3 --arg cloud=./cloud
    redisflow run examples/provision.py --arg cloud=./cloud --arg fail=false

::

    reserve-address ──► create-volume ──► boot-server ──► register-name
                                          fails, unless told otherwise

Each step, done or undone, is taken by whichever worker is free. Should a worker die in
the middle of one, another does that step again: so each hands the cloud a key that is
the same however often the step is repeated (`redisflow.current`), and the cloud acts
once for each key. This cloud is a folder with a file for each thing that exists, and
``cloud.log``, to which every change that was really made adds one line.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskflow import task
from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

import redisflow


class NoRoom(RuntimeError):
    """The cloud has no host for another server."""


def factory(
    cloud: str,
    fail: bool = True,  # noqa: FBT001, FBT002  # --arg fail=false gives it by name
    step_s: float = 0.2,
) -> linear_flow.Flow:
    """Make the flow.

    Args:
        cloud: a folder that all workers see; it is made if it is not there.
        fail: whether there is no room for the server.
        step_s: how long each step takes.
    """
    where = Cloud(Path(cloud), step_s)
    flow = linear_flow.Flow("provision")
    flow.add(
        Step(where, "reserve-address", thing="address"),
        Step(where, "create-volume", thing="volume", needs=["address"]),
        Step(where, "boot-server", thing="server", needs=["volume"], fail=fail),
        Step(where, "register-name", thing="name", needs=["address", "server"]),
    )
    return flow


class Cloud:
    """An imaginary cloud, of which a repeated request asks nothing new.

    Args:
        folder: where it keeps what it has.
        step_s: how long it takes for anything.
    """

    def __init__(self, folder: Path, step_s: float = 0.0) -> None:
        self._folder = folder
        self._step_s = step_s

    def create(self, thing: str, *, key: str, made_from: dict[str, str]) -> str:
        """Make a thing, or find what an earlier request with this key has made.

        Returns:
            The id of the thing.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        time.sleep(self._step_s)
        identity = f"{thing}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        draft = self._folder / f".{secrets.token_hex(8)}"
        draft.write_text(json.dumps({"id": identity, "made_from": made_from}))
        try:
            os.link(draft, self._folder / identity)  # fails if it is there already
        except FileExistsError:
            return identity
        finally:
            draft.unlink()
        self._log("create", identity, key)
        return identity

    def delete(self, identity: str, *, key: str) -> None:
        """Remove a thing, unless an earlier request has."""
        time.sleep(self._step_s)
        try:
            (self._folder / identity).unlink()
        except FileNotFoundError:
            return
        self._log("delete", identity, key)

    def things(self) -> list[str]:
        """Name what exists."""
        return sorted(
            path.name for path in self._folder.glob("*-*") if path.name != "cloud.log"
        )

    def history(self) -> list[dict[str, Any]]:
        """Return every change that was made, in order."""
        log = self._folder / "cloud.log"
        return [json.loads(line) for line in log.read_text().splitlines()]

    def _log(self, change: str, identity: str, key: str) -> None:
        entry = {"change": change, "id": identity, "pid": os.getpid(), "key": key}
        with (self._folder / "cloud.log").open("a") as log:
            log.write(json.dumps(entry) + "\n")


class Step(task.Task):
    """Makes one thing in the cloud, and removes it when a later step fails."""

    def __init__(
        self,
        cloud: Cloud,
        name: str,
        *,
        thing: str,
        needs: Sequence[str] = (),
        fail: bool = False,
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            name, provides=thing, requires=needs
        )
        self._cloud = cloud
        self._thing = thing
        self._fail = fail

    def execute(self, **made_from: str) -> str:
        """Make the thing.

        Raises:
            NoRoom: this step was told to fail.
        """
        if self._fail:
            self._say("failed: there is no room")
            raise NoRoom(f"no host has room for another {self._thing}")
        identity = self._cloud.create(
            self._thing, key=idempotency_key(), made_from=made_from
        )
        self._say(f"done: {identity}")
        return identity

    def revert(self, result: str | Failure, **_others: Any) -> None:
        """Remove the thing, if this step has made one."""
        if isinstance(result, Failure):
            self._say("nothing to undo")
            return
        self._cloud.delete(result, key=idempotency_key())
        self._say(f"undone: {result}")

    def _say(self, what: str) -> None:
        print(f"[worker {os.getpid()}] {self.name} {what}", flush=True)


def idempotency_key() -> str:
    """Return the key of the step that is running.

    Raises:
        RuntimeError: it does not run on redisflow's engine.
    """
    current = redisflow.current()
    if current is None:
        raise RuntimeError('this flow needs engine="redisflow"')
    return current.idempotency_key
