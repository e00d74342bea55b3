"""What ``make demo`` shows: a flow outlives a worker, and a saga is undone.

First it counts words with four workers (`wordcount.py`), kills one of them with
``SIGKILL`` while it is at work, and compares the end result with a plain count in one
process. Then it runs a saga whose third step fails (`provision.py`).

The status is 0 only if a worker was killed at work, another one did its work again, the
counts are the same, and the saga was undone in reverse order.

Without ``--url`` and ``REDISFLOW_URL`` the embedded server is used; it ends itself when
nobody has been connected for ten minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import provision
import wordcount
from taskflow import states

from redisflow.engine.factories import FactoryCall
from redisflow.engine.processes import LocalRun
from redisflow.storage import Mirror

_HERE = Path(__file__).resolve().parent
_CHUNKS = 36
_LIMIT_MB = 6.0
_LEAST_MB = 4.0


def main() -> int:
    """Run both parts; returns the exit status."""
    parser = argparse.ArgumentParser(description="Shows what redisflow does.")
    parser.add_argument("--path", help="count the words of this directory")
    parser.add_argument("--url", help="use this server")
    arguments = parser.parse_args()
    logging.basicConfig(format="   redisflow says: %(message)s", stream=sys.stdout)
    good = show_a_death(arguments.path or a_directory(), arguments.url)
    good &= show_a_saga(arguments.url)
    print("\nAll went as it should." if good else "\nSomething went WRONG, see above.")
    return 0 if good else 1


def a_directory() -> str:
    """Choose a directory of this machine that has some text in it."""
    candidates = ["/usr/share/doc", sysconfig.get_path("stdlib")]
    for path in candidates:
        if Path(path).is_dir() and _megabytes(path) >= _LEAST_MB:
            return path
    return candidates[-1]


# A worker dies


class Sabotage:
    """Kills a worker of a run that is at work on a chunk.

    Args:
        local: the run.
        when: how many chunks have to be counted first.

    Attributes:
        victim: the pid of the one that was killed, or 0.
        chunk: the chunk that it was counting.
    """

    def __init__(self, local: LocalRun, when: int) -> None:
        self.victim = 0
        self.chunk = ""
        self._local = local
        self._when = when

    def watch(self, mirror: Mirror) -> None:
        """Kill, once, when it is time; called whenever the flow may have changed."""
        if self.victim or len(_chunks(mirror, states.SUCCESS)) < self._when:
            return
        for pid in self._local.pids:
            if chunk := self._freeze(mirror, pid):
                done = len(_chunks(mirror, states.SUCCESS))
                print(f"   {done} of {_CHUNKS} chunks are counted: kill -9 {pid}")
                print(f"   (that worker was at work on {chunk})")
                os.kill(pid, signal.SIGKILL)
                self.victim, self.chunk = pid, chunk
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _freeze(self, mirror: Mirror, pid: int) -> str | None:
        """Stop a worker where it is; returns what it is at work on, if anything."""
        os.kill(pid, signal.SIGSTOP)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return None
        for _ in range(2):  # what it had sent before may be recorded after the first
            mirror.sync()
        held = [
            name
            for name in _chunks(mirror, states.RUNNING)
            if mirror.atoms[name].owner.split(":")[-2:-1] == [str(pid)]
        ]
        return held[0] if held else None


def show_a_death(path: str, url: str | None) -> bool:
    """Count words with four workers, of which one is killed."""
    print(f"1. Counting the words of the files under {path}")
    print(f"   (the first {_LIMIT_MB:.0f} MB of them at most) with 4 workers.")
    kwargs = {"path": path, "chunks": _CHUNKS, "limit_mb": _LIMIT_MB, "pause_s": 0.15}
    call = FactoryCall.of(f"{_HERE}/wordcount.py", kwargs=kwargs)
    with LocalRun(call, workers=4, url=url) as local:
        print(f"   The run id is {local.run_id}.")
        sabotage = Sabotage(local, when=_CHUNKS // 3)
        begin = time.monotonic()
        state = local.run(sabotage.watch)
        print(f"   The flow ended in {state}, {time.monotonic() - begin:.1f} s after.")
        if state != states.SUCCESS:
            local.raise_failures()
        total = local.results()["total"]
        taken_over = sabotage.chunk and _tell_who_took_over(local, sabotage)
    if not sabotage.victim:
        print("   WRONG: no worker was killed, the flow was over too soon")
    _tell_total(total)
    return bool(_compare(total, path)) and bool(taken_over)


def _tell_who_took_over(local: LocalRun, sabotage: Sabotage) -> bool:
    storage = local.engine.storage
    heir: int = storage.get(sabotage.chunk)["counted_by_pid"]
    attempt = storage.mirror.atom(sabotage.chunk).attempt
    print(f"   Worker {heir} took {sabotage.chunk} over from worker {sabotage.victim}.")
    return heir != sabotage.victim and attempt == 1


def _tell_total(total: dict[str, Any]) -> None:
    top = ", ".join(f"{word} {count:,}" for word, count in total["top"][:5])
    binary, unreadable = total["skipped_binary"], total["skipped_unreadable"]
    print(f"   {total['words']:,} words in {total['files']:,} files.")
    print(f"   Most often: {top}.")
    print(f"   Skipped: {binary} binary files, {unreadable} that could not be read.")


def _compare(total: dict[str, Any], path: str) -> bool:
    begin = time.monotonic()
    plain = wordcount.count_words(path, limit_mb=_LIMIT_MB)
    took_s = time.monotonic() - begin
    same = plain == total
    verdict = "the same" if same else "WRONG: NOT the same"
    print(f"   A plain count in one process, {took_s:.1f} s:")
    print(f"   {plain['words']:,} words in {plain['files']:,} files: {verdict}.")
    return same


def _chunks(mirror: Mirror, state: str) -> list[str]:
    return [
        name
        for name, record in mirror.atoms.items()
        if name.startswith("count-") and record.detail.state == state
    ]


def _megabytes(path: str) -> float:
    """Add up the sizes of the files under a directory, until it is enough."""
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                size += Path(folder, name).lstat().st_size
        if size >= _LEAST_MB * 1e6:
            break
    return size / 1e6


# A saga is undone


def show_a_saga(url: str | None) -> bool:
    """Run a flow whose third step fails, and look at what is left of it."""
    print("\n2. Provisioning a server with 3 workers; the third of four steps fails.")
    with tempfile.TemporaryDirectory(prefix="redisflow-demo-") as folder:
        kwargs = {"cloud": folder}
        call = FactoryCall.of(f"{_HERE}/provision.py", kwargs=kwargs)
        with LocalRun(call, workers=3, url=url) as local:
            state = local.run()
            failures = local.engine.storage.get_execute_failures()
        cloud = provision.Cloud(Path(folder))
        history, left = cloud.history(), cloud.things()
    print(f"   The flow ended in {state}:")
    for name, failure in failures.items():
        print(f"   {name}: {failure.exception_str}")
    created = [entry["id"] for entry in history if entry["change"] == "create"]
    deleted = [entry["id"] for entry in history if entry["change"] == "delete"]
    print(f"   created, in order: {', '.join(created)}")
    print(f"   removed, in order: {', '.join(deleted)}")
    print(f"   left over: {', '.join(left) or 'nothing'}")
    undone = deleted == created[::-1] and len(created) == 2 and not left
    if not undone:
        print("   WRONG: it was not undone in reverse order")
    return undone and state == states.REVERTED


if __name__ == "__main__":
    sys.exit(main())
