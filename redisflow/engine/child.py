"""A worker process of `redisflow.engine.children`.

It reads its task from standard input, takes part in the flow until the run is over, and
ends with status 0 then, however the run ended: the parent looks for itself. What keeps
it from taking part it tells through the pipe that the task names.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any

from redisflow.codec import Codec, dumps_plain, loads_plain
from redisflow.engine.factories import FactoryCall
from redisflow.engine.loading import load
from redisflow.engine.shared import SharedEngine
from redisflow.engine.signals import handle
from redisflow.errors import RedisFlowError
from redisflow.observing import from_environment

_FATAL = 70  # EX_SOFTWARE of sysexits.h

#: Characters of an error's text that are reported: more would not fit into a pipe.
_MESSAGE_LIMIT = 4000


def main() -> int:
    """Run one worker; returns its exit status."""
    task: dict[str, Any] = loads_plain(sys.stdin.buffer.read())
    report: int = task["report"]
    sys.path[:] = [os.fsdecode(entry.encode("latin-1")) for entry in task["path"]]
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Several workers share it: whole lines, also where Python is not to buffer.
        sys.stdout.reconfigure(line_buffering=True, write_through=False)
    os.set_inheritable(report, False)  # noqa: FBT003  # the library's signature
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  # for good
    try:
        from_environment()
        engine = _engine_of(task)
    except Exception as error:  # noqa: BLE001  # the parent decides
        return _report(report, error)
    handle(signal.SIGTERM, lambda *_about: engine.drain())
    try:
        engine.run()
    except RedisFlowError as error:
        if engine.outcome_known:
            return 0
        return _report(report, error)
    except Exception as error:  # noqa: BLE001  # most often the flow's own failure
        return 0 if engine.outcome_known else _report(report, error)
    return 0


def _engine_of(task: dict[str, Any]) -> SharedEngine:
    codec = Codec()
    call = FactoryCall(
        task["reference"],
        codec.decode(task["args"].encode("latin-1"), key="the arguments"),
        codec.decode(task["kwargs"].encode("latin-1"), key="the arguments"),
    )
    return load(
        call.make_flow(),
        run_id=task["run_id"],
        url=task["url"],
        worker_tag=task["tag"],
        **task["options"],
    )


def _report(pipe: int, error: Exception) -> int:
    message = str(error) if isinstance(error, RedisFlowError) else repr(error)
    report = {
        "fatal": True,
        "error": type(error).__name__,
        "message": message[:_MESSAGE_LIMIT],
    }
    os.write(pipe, dumps_plain(report))
    return _FATAL


if __name__ == "__main__":
    sys.exit(main())
