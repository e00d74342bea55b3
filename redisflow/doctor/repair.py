"""Computing anew what is derived; the truth is left as it is.

A flow is mended by a script that holds for the revision at which it was found wrong:
if somebody has changed it since, it is looked at again. What nodes wait for is counted
in a plan, in bounded steps, as after any change of many records; workers that are alive
go on with it, and are handed out nothing until it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from taskflow import states

from redisflow.doctor.findings import Finding
from redisflow.doctor.flows import judge
from redisflow.doctor.namespace import check_namespace
from redisflow.doctor.snapshot import Snapshot, take_snapshot
from redisflow.engine.plans import carry_on_plan
from redisflow.engine.submissions import Submissions
from redisflow.persistence import RedisBackend
from redisflow.persistence.nodes import parse_nodes
from redisflow.storage import Storage

_BATCH = 500
_TRIES = 5
_PASSING = (states.SUCCESS, states.IGNORE)

#: What a plan counts anew.
_COUNTED = ("missing", "stuck", "unclaimed", "lost-key")


def repair_flow(
    backend: RedisBackend, flow_uuid: str, *, reason: str = ""
) -> list[Finding]:
    """Mend what can be mended of a flow; returns what was found wrong and mended.

    Args:
        backend: where it is.
        flow_uuid: its uuid.
        reason: why, for the journal.

    Raises:
        Locked: others held its lock until the deadline.
        StoreError: the server did not answer.
    """
    keys = backend.keys.of_flow(flow_uuid)
    for _ in range(_TRIES):
        snapshot = take_snapshot(backend.client, keys)
        if snapshot is None or not snapshot.steady:
            return []
        wrong = [
            finding for finding in judge(snapshot, backend.codec) if finding.repairable
        ]
        if not wrong or _mend(backend, snapshot, wrong, reason):
            return wrong
    return []


def _mend(
    backend: RedisBackend, snapshot: Snapshot, wrong: Sequence[Finding], reason: str
) -> bool:
    """Apply what was computed; False if the flow has changed since."""
    uuid = snapshot.keys.flow_uuid
    detail = backend.get_connection().get_flow_details(uuid, lazy=True)
    storage = Storage(detail, backend)
    scripts = backend.scripts_of(uuid)
    rules = {finding.rule for finding in wrong}
    rev = int(snapshot.flow["rev"])
    # Without the structure there is nothing to count.
    recount = (
        snapshot.state == states.RUNNING
        and bool(snapshot.hashes["graph"])
        and any(rule in rules for rule in _COUNTED)
    )
    uuids = _misplaced(snapshot, rules)
    batches = [uuids[n : n + _BATCH] for n in range(0, len(uuids), _BATCH)] or [[]]
    for number, batch in enumerate(batches, 1):
        reply = scripts.call(
            "flow_repair",
            rest=batch,
            who=storage.writer,
            what=",".join(sorted(rules)),
            reason=reason,
            rev=rev,
            unfinished=_unfinished(snapshot),
            recount=int(recount and number == len(batches)),
        )
        if reply.status == "MOVED":
            return False
        (rev,) = reply.fields
    if recount:
        carry_on_plan(storage, scripts, who=storage.writer)
    return True


def _misplaced(snapshot: Snapshot, rules: set[str]) -> list[str]:
    """Name the atoms whose records are not what other keys are made from, in order."""
    scores, records = snapshot.zsets["changes"], snapshot.records
    found: set[str] = set()
    if "changes" in rules:
        for uuid in scores.keys() | records.keys():
            record = records.get(uuid)
            if record is None or scores.get(uuid) != float(record["rev"]):
                found.add(uuid)
    if "nameless" in rules:
        found |= records.keys() - set(snapshot.atoms.values())
    if "unclaimed" in rules:
        found |= {uuid for uuid, record in records.items() if record.get("owner")}
    return sorted(found, key=lambda uuid: int(records.get(uuid, {}).get("place") or 0))


def _unfinished(snapshot: Snapshot) -> int:
    """Count the atoms of the structure that are neither done nor undone."""
    nodes, strange = parse_nodes(snapshot.hashes["graph"])
    if strange or snapshot.flow.get("starter"):
        return int(snapshot.flow["unfinished"])
    return sum(
        snapshot.records[node.atom]["state"] not in _PASSING
        for node in nodes.values()
        if node.atom in snapshot.records
    )


def repair_namespace(backend: RedisBackend) -> list[Finding]:
    """Mend indexes, and drop hints that stay; returns what was wrong and mended.

    Raises:
        StoreError: the server did not answer.
    """
    wrong = [finding for finding in check_namespace(backend) if finding.repairable]
    for finding in wrong:
        _MENDERS[finding.rule](backend, finding)
    return wrong


def _mend_flows(backend: RedisBackend, finding: Finding) -> None:
    key = backend.keys.of_flow(finding.flow).flow
    created = backend.client.execute("HGET", key, "created_at")
    _place(backend, backend.keys.flows, finding.flow, created)


def _mend_books(backend: RedisBackend, finding: Finding) -> None:
    client, key = backend.client, backend.keys.book(finding.flow)
    there = client.execute("EXISTS", key)
    now = b"%d" % client.now_ms()
    _place(backend, backend.keys.books, finding.flow, now if there else None)


def _place(backend: RedisBackend, index: str, uuid: str, since: bytes | None) -> None:
    """Put what is there into an index, and take out what is gone."""
    if since is None:
        backend.client.execute("ZREM", index, uuid)
    else:
        backend.client.execute("ZADD", index, "NX", since, uuid)


def _mend_atoms(backend: RedisBackend, finding: Finding) -> None:
    client, key = backend.client, backend.keys.atom_index
    rows = client.execute("HGETALL", key)
    gone = [atom for atom, flow in rows.items() if flow.decode() == finding.flow]
    client.execute_many([("HDEL", key, atom) for atom in gone])


def _mend_submitted(backend: RedisBackend, finding: Finding) -> None:
    submissions = Submissions(backend)
    submissions.add(finding.flow, backend.client.now_ms())
    if submissions.read(finding.flow) is None:
        submissions.drop(finding.flow)


def _mend_servers(backend: RedisBackend, _finding: Finding) -> None:
    now_ms = backend.client.now_ms()
    backend.client.execute("ZREMRANGEBYSCORE", backend.keys.servers, "-inf", now_ms)


def _drop_hint(backend: RedisBackend, finding: Finding) -> None:
    backend.client.execute("DEL", finding.key)


_MENDERS: Mapping[str, Callable[[RedisBackend, Finding], None]] = {
    "index-flows": _mend_flows,
    "index-books": _mend_books,
    "index-atoms": _mend_atoms,
    "index-submitted": _mend_submitted,
    "index-servers": _mend_servers,
    "hint-stays": _drop_hint,
}
