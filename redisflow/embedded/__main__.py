"""``python -m redisflow.embedded --supervise``: the detached supervisor.

Started by :func:`redisflow.embedded.ensure_running`. It leaves its parent at once
and reports on its standard output, which then ends: ``ready``, or what went wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import get_args

from redisflow.embedded import lifecycle, supervisor, wire
from redisflow.embedded.binaries import Kind, ServerBinary
from redisflow.embedded.places import Places
from redisflow.errors import RedisFlowError


def main() -> None:
    """Supervise a new server, or one that has lost its supervisor."""
    parser = argparse.ArgumentParser(prog="python -m redisflow.embedded")
    parser.add_argument("--supervise", action="store_true", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--idle-s", type=float, required=True)
    parser.add_argument("--wait-s", type=float, required=True)
    parser.add_argument("--kind", choices=get_args(Kind))
    parser.add_argument("--binary", type=Path, help="without it: adopt what runs")
    options = parser.parse_args()
    # The caller waits for this process, so none is left as a zombie of the caller.
    if os.fork():
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    at = Places(options.state, options.socket)
    try:
        if options.binary is None:
            _adopt(at, idle_s=options.idle_s)
        else:
            binary = ServerBinary(options.kind, options.binary)
            _supervise(at, binary, idle_s=options.idle_s, wait_s=options.wait_s)
    except RedisFlowError as error:
        sys.stderr.write(f"{error}\n")
        _report(str(error))


def _supervise(
    at: Places, binary: ServerBinary, *, idle_s: float, wait_s: float
) -> None:
    lock = lifecycle.take_server_lock(at, deadline=time.monotonic() + wait_s)
    if lock is None:
        _report("ready")
        return
    with supervisor.SignalsEndServer() as signals:
        started = supervisor.start(at, binary, server_lock=lock)
        signals.server = started.process
        with supervisor.ready(at, started, listen_s=wait_s) as connection:
            _report("ready")
            supervisor.watch(at, connection, idle_s=idle_s)
        started.process.wait()


def _adopt(at: Places, *, idle_s: float) -> None:
    with (
        contextlib.suppress(OSError, wire.ErrorReply),
        wire.connected(at.socket, timeout_s=None) as connection,
    ):
        connection.ask(f"CLIENT SETNAME {supervisor.CLIENT_NAME}")
        _report("ready")
        supervisor.watch(at, connection, idle_s=idle_s)


def _report(text: str) -> None:
    """Tell the caller, who may have gone, and let go of its pipe."""
    with contextlib.suppress(OSError):
        os.write(1, os.fsencode(text))
    os.dup2(2, 1)


if __name__ == "__main__":
    main()
