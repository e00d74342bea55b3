"""The rules of a flow's structure, and of the counts that are derived from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from taskflow import states

from redisflow.doctor.findings import Finding
from redisflow.doctor.snapshot import Snapshot
from redisflow.persistence.nodes import Node, parse_nodes

_PASSING = (states.SUCCESS, states.IGNORE)
_PASSING_INTENTIONS = (states.EXECUTE, states.IGNORE)
_CLEAR = ("", states.PENDING, states.REVERTED, states.IGNORE)

#: What the plan's hash holds beside the plan.
_NOTES = ("fresh", "declined:", "lack:")


def judge(snapshot: Snapshot, found: Callable[..., Finding]) -> Iterator[Finding]:
    """Give what is wrong with the structure and with what is derived from it."""
    yield from _changes(snapshot, found)
    yield from _plan(snapshot, found)
    nodes, strange = parse_nodes(snapshot.hashes["graph"])
    key = snapshot.keys.graph
    for name in strange:
        yield found("graph", f"node {name} is not understood", key=key)
    # While a run is started, and until then, the structure is not all there.
    loading = bool(snapshot.flow.get("starter"))
    if strange or loading:
        return
    if not nodes:
        if (count := snapshot.flow.get("nodes", "0")) != "0":
            yield found("graph", f"it has no nodes, of {count}", key=key)
        return
    broken = list(_links(snapshot, nodes, found))
    yield from broken
    if not broken:
        yield from _counts(snapshot, nodes, found)


def _changes(snapshot: Snapshot, found: Callable[..., Finding]) -> Iterator[Finding]:
    key = snapshot.keys.changes
    for uuid, score in snapshot.zsets["changes"].items():
        if uuid not in snapshot.records:
            yield found("changes", f"{uuid} is no atom", key=key)
        elif score != float(snapshot.records[uuid]["rev"]):
            yield found(
                "changes",
                f"{snapshot.name_of(uuid)} has rev {score:.0f} in it, its record says"
                f" {snapshot.records[uuid]['rev']}",
                key=key,
            )
    for uuid in snapshot.records.keys() - snapshot.zsets["changes"].keys():
        yield found("changes", f"{snapshot.name_of(uuid)} is not in it", key=key)


def _plan(snapshot: Snapshot, found: Callable[..., Finding]) -> Iterator[Finding]:
    plan = {
        name: value
        for name, value in snapshot.hashes["plan"].items()
        if not name.startswith(_NOTES)
    }
    key = snapshot.keys.plan
    if (snapshot.flow["planned"] == "1") != bool(plan):
        said = "a plan" if snapshot.flow["planned"] == "1" else "no plan"
        yield found("planned", f"the flow says {said}, and it holds {plan}", key=key)
    if plan and not snapshot.live:
        yield found("plan-waits", "nobody is alive to carry it on", key=key)


def _links(
    snapshot: Snapshot, nodes: Mapping[int, Node], found: Callable[..., Finding]
) -> Iterator[Finding]:
    """Look at the nodes, their atoms, and whether links go both ways."""
    key = snapshot.keys.graph
    count = snapshot.flow.get("nodes", "")
    if sorted(nodes) != list(range(len(nodes))) or count != str(len(nodes)):
        yield found(
            "graph", f"it has {len(nodes)} nodes, of {count or 'none'}", key=key
        )
    forth = {(node.number, other) for node in nodes.values() for other in node.after}
    back = {(other, node.number) for node in nodes.values() for other in node.before}
    for one, other in sorted(forth ^ back):
        yield found("graph", f"the link {one} to {other} goes one way only", key=key)
    for one, other in sorted(forth):
        if one >= other or other not in nodes:
            yield found("graph", f"the link {one} to {other} leads nowhere", key=key)
    yield from _places(snapshot, nodes, found)


def _places(
    snapshot: Snapshot, nodes: Mapping[int, Node], found: Callable[..., Finding]
) -> Iterator[Finding]:
    """Compare the nodes' atoms with the nodes that the atoms name."""
    key = snapshot.keys.graph
    placed = {node.atom: node.number for node in nodes.values() if node.atom}
    for uuid, number in placed.items():
        if uuid not in snapshot.records:
            yield found("graph", f"node {number} has no atom {uuid}", key=key)
        elif snapshot.records[uuid].get("node") != str(number):
            yield found(
                "graph",
                f"{snapshot.name_of(uuid)} says node"
                f" {snapshot.records[uuid]['node'] or 'none'}, and stands at {number}",
                key=snapshot.keys.atom(uuid),
            )
    for uuid, record in snapshot.records.items():
        if record.get("node") and uuid not in placed:
            yield found(
                "graph",
                f"{snapshot.name_of(uuid)} says node {record['node']}, which has"
                " another atom",
                key=snapshot.keys.atom(uuid),
            )


def _counts(
    snapshot: Snapshot, nodes: Mapping[int, Node], found: Callable[..., Finding]
) -> Iterator[Finding]:
    """Count anew what is counted as the flow goes on."""
    unfinished = sum(
        snapshot.records[node.atom]["state"] not in _PASSING
        for node in nodes.values()
        if node.atom
    )
    if snapshot.flow["unfinished"] != str(unfinished):
        yield found(
            "unfinished",
            f"{snapshot.flow['unfinished']} are counted, {unfinished} are",
            key=snapshot.keys.flow,
        )
    if snapshot.state != states.RUNNING or snapshot.flow["planned"] == "1":
        return  # it is counted when the run goes on, or being counted
    yield from _waiting(snapshot, nodes, found)


def _waiting(
    snapshot: Snapshot, nodes: Mapping[int, Node], found: Callable[..., Finding]
) -> Iterator[Finding]:
    reverting = snapshot.flow.get("reverting") == "1"
    counted = snapshot.hashes["missing"]
    forward = missing_of(snapshot, nodes)
    told = {name: n for name, n in counted.items() if not name.endswith(":revert")}
    if not reverting and told != {str(n): str(count) for n, count in forward.items()}:
        wrong = sorted(
            number
            for number in nodes
            if told.get(str(number), "0") != str(forward.get(number, 0))
        )
        yield found(
            "missing",
            f"nodes {wrong[:10]} wait for another number of nodes than is counted",
            key=snapshot.keys.missing,
        )
    if reverting or snapshot.flow["resolving"] or snapshot.flow["halt"] != "0":
        return
    offered = {item.partition(":")[0] for item in snapshot.zsets["ready"]}
    offered |= {item.partition(":")[0] for item in snapshot.hashes["claims"]}
    for node in nodes.values():
        record = snapshot.records.get(node.atom)
        if (
            record is not None
            and (record["state"] or states.PENDING) == states.PENDING
            and record["intention"] == states.EXECUTE
            and not forward.get(node.number)
            and f"{node.number:08d}" not in offered
        ):
            yield found(
                "stuck",
                f"{snapshot.name_of(node.atom)} waits for nothing, and nobody is"
                " offered it",
                key=snapshot.keys.ready,
            )


def missing_of(snapshot: Snapshot, nodes: Mapping[int, Node]) -> dict[int, int]:
    """Count from the states how many of its predecessors each node waits for."""
    missing: dict[int, int] = {}
    for number in sorted(nodes):  # links lead to higher numbers
        missing[number] = sum(
            1
            for other in nodes[number].before
            if missing[other] or not _passes(snapshot, nodes[other])
        )
    return {number: count for number, count in missing.items() if count}


def _passes(snapshot: Snapshot, node: Node) -> bool:
    """Tell whether a node holds nothing back that comes after it."""
    if not node.atom:
        return True
    record = snapshot.records[node.atom]
    return record["state"] in _PASSING and record["intention"] in _PASSING_INTENTIONS
