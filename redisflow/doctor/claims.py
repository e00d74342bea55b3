"""The rules of who holds what: claims, owners, leases, the lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from taskflow import states

from redisflow.doctor.findings import Finding
from redisflow.doctor.snapshot import Snapshot
from redisflow.persistence.nodes import parse_nodes

#: The states of an atom while a worker holds an item of it.
_HELD_IN = {
    "execute": (states.RUNNING,),
    "revert": (states.REVERTING,),
    "retry": (states.RETRYING, states.RUNNING),
    "decide": ("", states.PENDING),
}


def judge(snapshot: Snapshot, found: Callable[..., Finding]) -> Iterator[Finding]:
    """Give what is wrong with who holds what."""
    rows = snapshot.hashes["claims"]
    held = {
        item: tuple(row.split(" ", 1)) for item, row in rows.items() if item[0] != "#"
    }
    counted = {item[1:]: count for item, count in rows.items() if item[0] == "#"}
    key = snapshot.keys.claims
    holders = Counter(claim[0] for claim in held.values())
    if counted != {worker: str(count) for worker, count in holders.items()}:
        yield found("claims-count", f"{counted} are counted, held: {held}", key=key)
    yield from _owners(snapshot, held, found)
    resolving = snapshot.flow["resolving"]
    if resolving and resolving not in held:
        yield found(
            "unclaimed",
            f"the flow says that {resolving} is held",
            key=snapshot.keys.flow,
        )
    for item in sorted(held.keys() & snapshot.zsets["ready"].keys()):
        yield found("held-twice", f"{item} is held, and offered", key=key)
    for worker in sorted(holders.keys() - snapshot.live):
        yield found(
            "taken-over",
            f"{worker} is not alive: whoever is takes over what it held",
            key=key,
        )
    if snapshot.over:
        yield from _left_over(snapshot, held, found)
    yield from _lock(snapshot, found)


def _owners(
    snapshot: Snapshot,
    held: dict[str, tuple[str, ...]],
    found: Callable[..., Finding],
) -> Iterator[Finding]:
    """Compare claims with what the atoms say of themselves."""
    nodes, _ = parse_nodes(snapshot.hashes["graph"])
    owned: dict[str, str] = {}
    for item, claim in held.items():
        number, _, kind = item.partition(":")
        if kind == "resolve" and snapshot.flow["resolving"] != item:
            yield found(
                "resolving",
                f"{item} is held, the flow says {snapshot.flow['resolving'] or 'none'}",
                key=snapshot.keys.flow,
            )
        if kind not in _HELD_IN:
            continue
        node = nodes.get(int(number)) if number.isdigit() else None
        record = snapshot.records.get(node.atom) if node else None
        if node is None or record is None:
            yield found("claim", f"{item} is of no atom", key=snapshot.keys.claims)
            continue
        owned[node.atom] = claim[0]
        told = (record.get("owner"), record.get("token"))
        if told != claim or record["state"] not in _HELD_IN[kind]:
            yield found(
                "claim",
                f"{item} is held by {' '.join(claim)}, the atom says"
                f" {record.get('owner') or 'nobody'} {record.get('token')},"
                f" {record['state']}",
                key=snapshot.keys.atom(node.atom),
            )
    for uuid, record in snapshot.records.items():
        if record.get("owner") and uuid not in owned:
            yield found(
                "unclaimed",
                f"{snapshot.name_of(uuid)} says that {record['owner']} holds it",
                key=snapshot.keys.atom(uuid),
            )


def _left_over(
    snapshot: Snapshot,
    held: dict[str, tuple[str, ...]],
    found: Callable[..., Finding],
) -> Iterator[Finding]:
    """Look at what a run must not leave behind; workers may come before the next."""
    for name, what in (("ready", snapshot.zsets["ready"]), ("claims", held)):
        if what:
            yield found(
                "left-over",
                f"the run is over, and there is {sorted(what)[:5]}",
                key=getattr(snapshot.keys, name),
            )


def _lock(snapshot: Snapshot, found: Callable[..., Finding]) -> Iterator[Finding]:
    lock, now = snapshot.hashes["lock"], snapshot.now_ms
    key = snapshot.keys.lock
    deadline = lock.get("deadline", "")
    if lock.get("held") == "write" and deadline.isdigit() and int(deadline) < now:
        yield found(
            "lock-waits",
            f"the lease of its writer, {lock.get('who')}, is over: the next who comes"
            " is let in",
            key=key,
        )
    for owner, until in snapshot.zsets["lock_readers"].items():
        if until < now:
            yield found(
                "lock-waits",
                f"the lease of its reader {owner} is over: the next who comes is let"
                " in",
                key=snapshot.keys.lock_readers,
            )
