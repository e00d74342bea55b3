"""Making a run of an export: nobody sees it before all of it is there.

::

    check ──▶ import_begin ──▶ import_save … ──▶ import_finish ──▶ leave, plan
     file      takes the        records, graph,     the flow's       what was held
     alone     place            journal             own hash         is given back

Until the flow's own hash is there, the flow does not exist for anybody; what an
importer leaves that dies in between are keys of a flow that is gone. The index of flows
names them, so that a collection of garbage takes them; the entry is kept young as long
as the import is under way.

Workers are brought as dead ones that then leave, by the script with which workers do:
so what they held goes back to the others as it always does. The lock comes as a free
one. A flow that comes to another place than it had, under another uuid, gets other
uuids for its atoms, too.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, BinaryIO

from redisflow.engine.loading import check_run_id
from redisflow.engine.submissions import GRACE_MS, Submissions
from redisflow.errors import InvalidState, RedisFlowError
from redisflow.keys import book_uuid_of, flow_uuid_of
from redisflow.moving.checking import Checked
from redisflow.moving.form import read_lines
from redisflow.moving.rewriting import Rewriter, flat
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import Command, run, run_many
from redisflow.persistence.journal import operator_id
from redisflow.persistence.records import RUN_ID_FIELD
from redisflow.persistence.removal import remove_flow
from redisflow.scripts import Argument, Reply

#: What one call brings, at most: bytes, but for one line that is longer, and words.
_BYTES, _WORDS = 2 * 2**20, 8000

#: How often the entry of the index is made young: it is left alone for a minute.
_REFRESH_S = GRACE_MS / 1000 / 6


@dataclass(frozen=True, slots=True)
class Imported:
    """What there is now.

    Attributes:
        run_id: the run's name; None if it has none.
        flow_uuid: of its flow.
        name: the flow's.
        state: the flow's.
        atoms: how many atoms.
        entries: how many entries of the journal were brought.
        given_back: how many items were held by workers, and can be taken again.
        submitted: whether it is left to workers that serve submitted flows.
    """

    run_id: str | None
    flow_uuid: str
    name: str
    state: str
    atoms: int
    entries: int
    given_back: int = 0
    submitted: bool = False


def place_of(
    backend: RedisBackend, checked: Checked, run_id: str | None
) -> tuple[str, str | None]:
    """Tell the uuid and the run id that a run will have.

    Raises:
        ConfigError: the run id cannot be used.
        InvalidState: there is a flow already, or a part of one.
    """
    name = checked.run_id if run_id is None else run_id
    if name is not None:
        check_run_id(name)
    namespace = backend.keys.namespace
    place = checked.flow_uuid if name is None else flow_uuid_of(name, namespace)
    keys = backend.keys.of_flow(place)
    there, parts = run_many(
        backend.client, [("EXISTS", keys.flow), ("EXISTS", keys.plan)]
    )
    if there:
        raise _exists(name or place)
    if parts:
        raise _left(place)
    return place, name


def import_run(
    backend: RedisBackend,
    stream: BinaryIO,
    checked: Checked,
    *,
    run_id: str | None = None,
    source: str = "a file",
    told: Callable[[int], object] = lambda _lines: None,
) -> Imported:
    """Make a run of an export.

    Args:
        backend: where it is to be.
        stream: the file, at its beginning.
        checked: what `check_export` found in it.
        run_id: another name for the run.
        source: what the journal says of where it comes from.
        told: called with the number of lines that are there.

    Raises:
        ConfigError: the run id cannot be used.
        InvalidState: there is a flow already, or a part of one; nothing was changed.
        BadExport: the file is another than was checked; nothing is left of it.
        StoreError: the server did not do it.
    """
    place, name = place_of(backend, checked, run_id)
    work = _Import(backend, checked, place, name, source)
    with work.place_taken():
        for number, record in read_lines(stream):
            work.bring(record)
            told(number)
        work.finish()
    given_back = work.settle()
    return Imported(
        name,
        place,
        *(checked.name, checked.state, len(checked.atoms), checked.entries),
        given_back=given_back,
        submitted=work.submit(),
    )


class _Import:
    """One import, to one place."""

    def __init__(
        self,
        backend: RedisBackend,
        checked: Checked,
        place: str,
        run_id: str | None,
        source: str,
    ) -> None:
        self._backend = backend
        self._checked = checked
        self._place = place
        self._run_id = run_id
        self._source = source
        self._id = secrets.token_hex(8)
        self._scripts = backend.scripts_of(place)
        self._submissions = Submissions(backend)
        self._moved = place != checked.flow_uuid
        self._rewriter = Rewriter(checked, place)
        self._part = 0
        self._words: list[Argument] = []
        self._size = 0
        self._indexed: list[str] = []
        self._fresh_until = 0.0

    @contextlib.contextmanager
    def place_taken(self) -> Iterator[None]:
        """Take the flow's place; give it back if it does not come to an end."""
        keys, client = self._backend.keys, self._backend.client
        run(client, "ZADD", keys.flows, "NX", client.now_ms(), self._place)
        reply = self._scripts.call("import_begin", id=self._id)
        if reply.status == "EXISTS":
            raise _exists(self._run_id or self._place)
        if reply.status == "LEFT":
            raise _left(self._place)
        try:
            self._keep_young()
            yield
        except _Lost as lost:
            raise InvalidState(str(lost)) from None
        except BaseException:
            with contextlib.suppress(RedisFlowError):
                remove_flow(self._backend, self._place, only="gone")
            raise

    def bring(self, record: Mapping[str, Any]) -> None:
        """Bring a line, together with others."""
        words = self._rewriter.words_of(record)
        size = sum(len(word) for word in words if isinstance(word, (bytes, str)))
        if self._words and (
            self._size + size > _BYTES or len(self._words) + len(words) > _WORDS
        ):
            self._send()
        if record["kind"] == "atom" and record["indexed"]:
            self._indexed.append(self._rewriter.atom(record["uuid"]))
        self._words += words
        self._size += size

    def finish(self) -> None:
        """Let the flow be there."""
        self._send()
        book = self._bring_book()
        checked, client = self._checked, self._backend.client
        fields: list[Argument] = []
        for name, value in self._flow_fields(book).items():
            fields += [name, value]
        if self._waits:  # for workers, who look only at what the index names
            self._submissions.add(self._place, client.now_ms())
        reply = self._scripts.call(
            "import_finish",
            rest=fields,
            id=self._id,
            who=operator_id(),
            source=self._source,
            told=client.histories.unnamed,
            names=checked.names,
            records=len(checked.atoms),
            links=checked.links,
            entries=checked.entries,
        )
        self._heed(reply)
        created = checked.flow[b"created_at"]
        run(client, "ZADD", self._backend.keys.flows, created, self._place)

    def settle(self) -> int:
        """Let workers leave, and do what is planned; returns what was given back."""
        given_back = 0
        for worker in self._checked.workers:
            more = 1
            while more:
                reply = self._scripts.call("worker_leave", worker=worker)
                taken, more = reply.fields
                given_back += taken
        while self._scripts.call("plan_step", who=operator_id()).status == "MORE":
            pass
        return given_back

    @property
    def _waits(self) -> bool:
        """Whether the run is left to workers, and has not ended."""
        flow = self._checked.flow
        return int(flow.get(b"submitted", b"0")) > int(flow[b"ended"])

    def submit(self) -> bool:
        """Name a run that was left to workers to those that serve here."""
        if not self._waits:
            return False
        now_ms = self._backend.client.now_ms()
        self._submissions.add(self._place, now_ms)
        self._submissions.call_servers(self._place, now_ms)
        return True

    def _send(self) -> None:
        if self._indexed:
            words = [word for atom in self._indexed for word in (atom, self._place)]
            run(self._backend.client, "HSET", self._backend.keys.atom_index, *words)
        self._part += 1
        self._heed(
            self._scripts.call(
                "import_save", rest=self._words, id=self._id, part=self._part
            )
        )
        self._words, self._size, self._indexed = [], 0, []
        self._keep_young()

    def _heed(self, reply: Reply) -> None:
        if reply.status == "EXISTS":
            raise _Lost(f"a flow {self._place} has come to be meanwhile")
        if reply.status == "STALE":
            raise _Lost(
                f"what was brought of flow {self._place} was removed meanwhile: import"
                " it again"
            )

    def _keep_young(self) -> None:
        """Keep a collection of garbage from what is under way."""
        if monotonic() < self._fresh_until:
            return
        self._fresh_until = monotonic() + _REFRESH_S
        keys, client = self._backend.keys, self._backend.client
        run(client, "ZADD", keys.flows, client.now_ms(), self._place)

    def _flow_fields(self, book: str) -> dict[bytes, bytes]:
        fields = dict(self._checked.flow)
        fields[b"uuid"], fields[b"book"] = self._place.encode(), book.encode()
        for field in (b"expires_at", b"keeping"):
            fields.pop(field, None)  # whoever brings it back wants it to stay
        if self._run_id is not None and self._run_id != self._checked.run_id:
            encoded = self._backend.codec.encode(self._run_id, name=RUN_ID_FIELD)
            fields[RUN_ID_FIELD.encode()] = encoded
        return fields

    def _bring_book(self) -> str:
        """Put the flow into its logbook, which is made if it is not there."""
        checked, keys = self._checked, self._backend.keys
        if not checked.book_uuid:
            return checked.flow[b"book"].decode()
        book, fields = checked.book_uuid, dict(checked.book)
        if checked.own and self._moved:
            book = book_uuid_of(self._place)
            fields[b"uuid"] = book.encode()
            if self._run_id is not None:
                fields[b"name"] = self._run_id.encode()
        entry = f"flow:{checked.flow_uuid}".encode()
        name = fields.pop(entry, checked.flow[b"name"])
        key = keys.book(book)
        commands: list[Command] = [
            ("ZADD", keys.books, "NX", self._backend.client.now_ms(), book)
        ]
        if not run(self._backend.client, "EXISTS", key):
            commands.append(("HSET", key, *flat(fields)))
        commands.append(("HSET", key, f"flow:{self._place}", name))
        run_many(self._backend.client, commands)
        return book


class _Lost(Exception):
    """The place is another's by now: what is there is not to be removed."""


def _exists(name: str) -> InvalidState:
    return InvalidState(
        f"there is a run {name} already: import it under another name (--run-id), or"
        " remove the one that is there (redisflow rm)"
    )


def _left(place: str) -> InvalidState:
    return InvalidState(
        f"a part of flow {place} is there: another import of it is under way, or one"
        f" was cut short, whose rest goes with redisflow rm {place}"
    )
