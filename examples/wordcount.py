"""Count the words of all text files under a directory, with several workers.

::

    redisflow run examples/wordcount.py --workers 4 --arg path=/usr/share/doc

::

                    ┌─► count-00 ─┐
    list-files ─────┼─► …         ├─────► total
                    └─► count-31 ─┘

The shape of a TaskFlow flow is settled when it is made, and every worker makes it for
itself. So the number of chunks is an argument, and which files are in a chunk follows
from the listing, which one worker makes and all others read: file number i belongs to
chunk i modulo the number of chunks.

What counts as what:

* A word is a run of letters, in lower case. Text is UTF-8; bytes that are not are
  taken for Latin-1.
* ``*.gz`` files are read through gzip.
* A file with a NUL in its first 8 KiB is binary: skipped, and counted as such.
* A file that cannot be read to its end (no permission, vanished, damaged gzip) adds no
  word; it is counted, and the first 20 are named.
* Symbolic links are not followed, and neither pipes nor sockets are opened, so that
  every file is read once.

All words of a chunk, each with its count, are one value in Redis, which may have
16 MiB. Where a chunk's vocabulary is larger than that, take more chunks.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import stat
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from pathlib import Path
from typing import Any, BinaryIO, cast

from taskflow import task
from taskflow.patterns import linear_flow, unordered_flow

Json = dict[str, Any]

_WORD = re.compile(r"[^\W\d_]+")
_SNIFFED_BYTES = 8192
_LINES_BYTES = 1 << 20
_NAMED = 20


def factory(
    path: str,
    chunks: int = 32,
    top: int = 20,
    limit_mb: float | None = None,
    pause_s: float = 0.0,
) -> linear_flow.Flow:
    """Make the flow.

    Args:
        path: the directory.
        chunks: how many tasks share the files.
        top: how many of the most frequent words to tell.
        limit_mb: stop listing when the files have this size together, as stored.
        pause_s: how long each chunk waits first, for those who want to watch.

    Raises:
        ValueError: there would be no chunk, or a negative number of words.
    """
    if chunks < 1 or top < 0:
        raise ValueError("chunks is at least 1, and top at least 0")
    width = len(str(chunks - 1))
    names = [f"count-{number:0{width}}" for number in range(chunks)]
    counting = unordered_flow.Flow("count").add(
        *(
            CountChunk(name, number=number, of=chunks, pause_s=pause_s)
            for number, name in enumerate(names)
        )
    )
    flow = linear_flow.Flow("wordcount")
    flow.add(ListFiles(str(path), limit_mb), counting, Total(names, top))
    return flow


class ListFiles(task.Task):
    """Lists the files, in an order that does not depend on the file system."""

    def __init__(self, path: str, limit_mb: float | None) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            "list-files", provides="listing"
        )
        self._path = path
        self._limit_mb = limit_mb

    def execute(self) -> Json:
        """Return the directory, the files in it, and what could not be listed."""
        return list_files(self._path, self._limit_mb)


class CountChunk(task.Task):
    """Counts the words of one chunk of the listed files."""

    def __init__(self, name: str, *, number: int, of: int, pause_s: float) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            name, provides=name
        )
        self._number = number
        self._of = of
        self._pause_s = pause_s

    def execute(self, listing: Json) -> Json:
        """Return how often each word occurs in the chunk, and who has counted."""
        time.sleep(self._pause_s)
        mine = listing["files"][self._number :: self._of]
        counted = count_files(listing["path"], mine)
        return {"counted_by_pid": os.getpid(), **counted}


class Total(task.Task):
    """Adds the chunks up."""

    def __init__(self, names: Iterable[str], top: int) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            "total", requires=["listing", *names], provides="total"
        )
        self._top = top

    def execute(self, listing: Json, **chunks: Json) -> Json:
        """Return the sums and the most frequent words."""
        return add_up(listing, chunks.values(), self._top)


def count_words(path: str, top: int = 20, limit_mb: float | None = None) -> Json:
    """Count in this process, one file after the other: the flow's ``total``."""
    listing = list_files(path, limit_mb)
    return add_up(listing, [count_files(listing["path"], listing["files"])], top)


def list_files(path: str, limit_mb: float | None = None) -> Json:
    """List the regular files under a directory, folder by folder, sorted by name.

    Raises:
        NotADirectoryError: it is no directory.
    """
    root = Path(path).resolve()
    if not root.is_dir():
        raise NotADirectoryError(f"{path} is no directory")
    room = float("inf") if limit_mb is None else limit_mb * 1e6
    files: list[str] = []
    unreadable: list[str] = []
    for name, size in _walk(root, unreadable):
        room -= size
        if room < 0:
            break
        files.append(name)
    return {
        "path": str(root),
        "files": files,
        "limited": room < 0,
        "unreadable": unreadable,
    }


def count_files(root: str, names: Iterable[str]) -> Json:
    """Count the words of some files under a directory."""
    words: Counter[str] = Counter()
    files = binary = bytes_read = 0
    unreadable: list[str] = []
    for name in names:
        path = Path(root, name)
        try:
            found = _words_of(path)
            size = path.stat().st_size
        except (OSError, EOFError, zlib.error):
            unreadable.append(name)
            continue
        if found is None:
            binary += 1
            continue
        files += 1
        bytes_read += size
        words.update(found)
    return {
        "files": files,
        "bytes": bytes_read,
        "binary": binary,
        "unreadable": len(unreadable),
        "unreadable_files": nsmallest(_NAMED, unreadable),
        "words": dict(words),
    }


def add_up(listing: Mapping[str, Any], chunks: Iterable[Json], top: int) -> Json:
    """Add chunks up; the order in which they come makes no difference."""
    words: Counter[str] = Counter()
    sums: Counter[str] = Counter(unreadable=len(listing["unreadable"]))
    unreadable: list[str] = list(listing["unreadable"])
    for chunk in chunks:
        words.update(chunk["words"])
        unreadable += chunk["unreadable_files"]
        for what in ("files", "bytes", "binary", "unreadable"):
            sums[what] += chunk[what]
    most_frequent = nsmallest(top, words.items(), key=lambda item: (-item[1], item[0]))
    return {
        "path": listing["path"],
        "limited": listing["limited"],
        "files": sums["files"],
        "bytes": sums["bytes"],
        "skipped_binary": sums["binary"],
        "skipped_unreadable": sums["unreadable"],
        "unreadable": nsmallest(_NAMED, unreadable),
        "words": words.total(),
        "distinct_words": len(words),
        "top": [list(item) for item in most_frequent],
    }


def _walk(root: Path, unreadable: list[str]) -> Iterator[tuple[str, int]]:
    """Give name and size of each regular file; note the folders that stay closed."""

    def note(error: OSError) -> None:
        unreadable.append(os.path.relpath(error.filename, root) + "/")

    for folder, subfolders, names in os.walk(root, onerror=note):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            try:
                found = path.lstat()
            except OSError:
                continue  # removed meanwhile
            if stat.S_ISREG(found.st_mode):
                yield str(path.relative_to(root)), found.st_size


def _words_of(path: Path) -> Counter[str] | None:
    """Count the words of one file; None if it is binary."""
    with path.open("rb") as plain:
        if path.suffix != ".gz":
            return _words_in(plain)
        with gzip.GzipFile(fileobj=plain) as unzipped:
            return _words_in(cast("BinaryIO", unzipped))


def _words_in(stream: BinaryIO) -> Counter[str] | None:
    beginning = stream.read(_SNIFFED_BYTES)
    if b"\0" in beginning:
        return None
    stream.seek(0)
    words: Counter[str] = Counter()
    with io.TextIOWrapper(stream, encoding="utf-8", errors="latin-1-byte") as text:
        while lines := text.readlines(_LINES_BYTES):
            words.update(_WORD.findall("".join(lines).lower()))
    return words


def _take_for_latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("latin-1-byte", _take_for_latin_1)
