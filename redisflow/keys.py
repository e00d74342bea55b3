"""The names of all keys, and the identifiers that they are made of.

Everything about one flow carries the hash tag ``{<flow uuid>}``: one cluster
slot, so that one script is atomic over the whole flow. Indexes have no tag;
they are hints that can be rebuilt, never the truth.

==============================  ======  =======================================
``<ns>:{F}:flow``               hash    name, state, run, rev, metadata
``<ns>:{F}:atom:<uuid>``        hash    one atom: name, state, owner, metadata
``<ns>:{F}:result:<uuid>``      hash    its results and failures, as JSON
``<ns>:{F}:atoms``              hash    atom name -> uuid
``<ns>:{F}:graph``              hash    node number -> kind, atom, links (many: apart)
``<ns>:{F}:missing``            hash    node number -> what it still waits for
``<ns>:{F}:ready``              zset    work that may be taken now
``<ns>:{F}:claims``             hash    work item -> worker and token
``<ns>:{F}:workers``            zset    worker -> lease deadline (server's ms)
``<ns>:{F}:idle``               zset    workers that wait for work
``<ns>:{F}:plan``               hash    a change of many records in progress; items
                                        that workers without a value have declined
``<ns>:{F}:reached``            string  bitmap of nodes, while a plan follows links
``<ns>:{F}:changes``            zset    atom uuid -> rev of its last change
``<ns>:{F}:events``             stream  the journal, one entry per transition
``<ns>:{F}:lock``               hash    held (write, read or empty), fence, deadline
``<ns>:{F}:lock_readers``       zset    owner -> lease deadline (server's ms)
``<ns>:{F}:lock_queue``         zset    owner that waits -> ticket
``<ns>:{F}:lock_owners``        hash    owner -> what it holds or waits for, and who
``<ns>:{F}:lock_wake:<owner>``  list    wake-up hints of one that waits for the lock
``<ns>:{F}:wake:<worker>``      list    wake-up hints of one worker
``<ns>:wake:<server>``          list    and of one that serves submitted flows
``<ns>:book:<uuid>``            hash    a logbook
``<ns>:books``, ``<ns>:flows``  zset    uuids by the time of their creation
``<ns>:atom-index``             hash    atom uuid -> flow uuid, of logbooks' atoms
``<ns>:submitted``              zset    flows left to workers, by time
``<ns>:servers``                zset    workers that serve these -> lease deadline
==============================  ======  =======================================

A lock of its own, that belongs to no flow, has the tag ``{lock:<name>}`` and the same
five keys.

Collections of a flow keep a sentinel from its creation to its deletion, so
that a declared key always exists (a missing one makes scripts fail while a
cluster moves the slot).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cached_property

#: Number of the layout that this version writes; a flow with a higher one is refused.
SCHEMA = 1

_RUN_ID_SPACE = uuid.UUID("6c1f4f5e-0f0e-5d53-9d1c-7c0f6d6a2b11")
_BOOK_SPACE = uuid.UUID("3b7d9a10-52c4-5f6e-9c1b-8e2f40d7a6c3")
_ATOM_SPACE = uuid.UUID("0a4c8e52-7a8b-5b0e-8a6d-54a9d1c3f0e7")


def flow_uuid_of(run_id: str, namespace: str) -> str:
    """Name the flow of a run id: the same uuid in every process of a namespace.

    >>> flow_uuid_of("nightly", "redisflow") == flow_uuid_of("nightly", "redisflow")
    True
    """
    return str(uuid.uuid5(_RUN_ID_SPACE, f"{namespace}/{run_id}"))


def book_uuid_of(flow_uuid: str) -> str:
    """Name the logbook of a flow that is given none: the same, whoever makes it."""
    return str(uuid.uuid5(_BOOK_SPACE, flow_uuid))


def atom_uuid_of(flow_uuid: str, name: str) -> str:
    """Name a new atom of a flow: whoever creates it gives it the same uuid."""
    return str(uuid.uuid5(_ATOM_SPACE, f"{flow_uuid}/{name}"))


def is_utf8(text: str) -> bool:
    """Tell whether a text can be part of a key: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class LockKeys:
    """The keys of one lock, all in one slot.

    >>> LockKeys("redisflow", "lock:nightly").lock
    'redisflow:{lock:nightly}:lock'

    Attributes:
        namespace: what they begin with.
        tag: what they have between the braces.
    """

    namespace: str
    tag: str

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{{{self.tag}}}:{name}"

    @cached_property
    def lock(self) -> str:
        """How it is held, and the fence."""
        return self._key("lock")

    @cached_property
    def lock_readers(self) -> str:
        """Owner -> deadline of its lease, in the server's milliseconds."""
        return self._key("lock_readers")

    @cached_property
    def lock_queue(self) -> str:
        """Owner that waits -> ticket."""
        return self._key("lock_queue")

    @cached_property
    def lock_owners(self) -> str:
        """Owner -> what it holds or waits for, and who it is."""
        return self._key("lock_owners")

    def lock_wake(self, owner: str) -> str:
        """Name the list of wake-up hints of one that waits."""
        return self._key(f"lock_wake:{owner}")


class FlowKeys(LockKeys):
    """The keys of one flow.

    >>> FlowKeys("redisflow", "F").flow
    'redisflow:{F}:flow'
    """

    @property
    def flow_uuid(self) -> str:
        """The flow's uuid: the tag of its keys."""
        return self.tag

    @cached_property
    def flow(self) -> str:
        """The hash of the flow itself."""
        return self._key("flow")

    @cached_property
    def atoms(self) -> str:
        """Name -> uuid of every atom."""
        return self._key("atoms")

    @cached_property
    def graph(self) -> str:
        """Node number -> kind, priority, atom and links."""
        return self._key("graph")

    @cached_property
    def missing(self) -> str:
        """Node number -> how many of its neighbours it still waits for."""
        return self._key("missing")

    @cached_property
    def ready(self) -> str:
        """Work items that may be taken now."""
        return self._key("ready")

    @cached_property
    def claims(self) -> str:
        """Work item -> worker and token."""
        return self._key("claims")

    @cached_property
    def workers(self) -> str:
        """Worker -> deadline of its lease, in the server's milliseconds."""
        return self._key("workers")

    @cached_property
    def idle(self) -> str:
        """Workers that wait for a wake-up."""
        return self._key("idle")

    @cached_property
    def plan(self) -> str:
        """The change of many records that is in progress, and declined items."""
        return self._key("plan")

    @cached_property
    def reached(self) -> str:
        """Which nodes the plan's walk along links has come to: a bitmap."""
        return self._key("reached")

    @cached_property
    def changes(self) -> str:
        """Atom uuid -> revision of its last change."""
        return self._key("changes")

    @cached_property
    def events(self) -> str:
        """The journal."""
        return self._key("events")

    def wake(self, worker: str) -> str:
        """Name the list of wake-up hints of a worker."""
        return self._key(f"wake:{worker}")

    def atom(self, atom_uuid: str) -> str:
        """Name the hash of one atom."""
        return self._key(f"atom:{atom_uuid}")

    def result(self, atom_uuid: str) -> str:
        """Name the hash with the results of one atom."""
        return self._key(f"result:{atom_uuid}")


@dataclass(frozen=True)
class Keys:
    """The keys of a namespace that belong to no single flow."""

    namespace: str

    def of_flow(self, flow_uuid: str) -> FlowKeys:
        """Return the keys of one flow."""
        return FlowKeys(self.namespace, flow_uuid)

    @property
    def books(self) -> str:
        """Uuids of all logbooks, by the time of their creation."""
        return f"{self.namespace}:books"

    @property
    def flows(self) -> str:
        """Uuids of all flows, by the time of their creation."""
        return f"{self.namespace}:flows"

    @property
    def atom_index(self) -> str:
        """Atom uuid -> flow uuid."""
        return f"{self.namespace}:atom-index"

    @property
    def submitted(self) -> str:
        """Uuids of flows that are left to workers, by the time of their submission."""
        return f"{self.namespace}:submitted"

    @property
    def servers(self) -> str:
        """Workers that serve submitted flows -> deadline of their lease."""
        return f"{self.namespace}:servers"

    def of_lock(self, name: str) -> LockKeys:
        """Return the keys of a lock that belongs to no flow."""
        return LockKeys(self.namespace, f"lock:{name}")

    def book(self, book_uuid: str) -> str:
        """Name the hash of one logbook."""
        return f"{self.namespace}:book:{book_uuid}"

    def wake(self, server: str) -> str:
        """Name the list of wake-up hints of a worker that serves submitted flows."""
        return f"{self.namespace}:wake:{server}"
