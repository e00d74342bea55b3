"""What must hold when a storm is over: of each flow, of each worker, of the server.

Three witnesses are compared: the keys, the journals in them, and what the workers wrote
down themselves. A storm that breaks none of this has had no effect but delay.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

from tests.support.linearizable import Call, order_of
from tests.support.random_flows import Shape
from tests.support.records import Flow
from tests.support.replay import NotAllowed, Replay
from tests.support.storm.drawing import StormyFlow
from tests.support.storm.raging import Tempest
from tests.support.storm.working import COMMON, ENDS, an_atom
from tests.support.verdict import (
    broken_executions,
    broken_order,
    broken_records,
)
from tests.support.workloads import Note, whole_lines

#: Keys of a namespace that belong to no single flow, and to no worker.
_INDEXES = frozenset({"books", "flows", "atom-index", "submitted", "servers"})

_FIELDS = {
    "SUCCESS": "results",
    "FAILURE": "failure",
    "REVERTED": "revert_results",
    "REVERT_FAILURE": "revert_failure",
}


def judge(tempest: Tempest) -> list[str]:
    """Name all that must hold now and does not."""
    broken = [*_workers(tempest), *_server(tempest), *_common(tempest)]
    notes, answers = _notes(tempest), _answers(tempest)
    for stormy in tempest.storm.flows:
        flow = Flow(tempest.admin, tempest.keys(stormy.run_id))
        broken += [
            f"{stormy.run_id}: {what}"
            for what in (
                *_end(tempest, stormy, flow),
                *broken_records(flow),
                *_by_taskflow(stormy, flow),
                *broken_executions(flow, notes[stormy.run_id]),
                *_answered(flow, answers[flow.keys.flow_uuid]),
                *_charged(tempest, flow),
            )
        ]
    return broken


def _workers(tempest: Tempest) -> Iterator[str]:
    """Look at what the workers tell of themselves."""
    for name, report in tempest.reports():
        for error in report["errors"]:
            yield f"{name} met an error that is none of ours: {error}"
        if report["left"]:
            yield f"{name} has left: {report['left']}"


def _server(tempest: Tempest) -> Iterator[str]:
    """Look for keys that belong to nothing, and for keys that will end."""
    uuids = [tempest.keys(flow.run_id).flow_uuid for flow in tempest.storm.flows]
    tags = {f"{{{uuid}}}" for uuid in [*uuids, tempest.common]}
    for key in tempest.admin.scan_iter():
        namespace, _, rest = key.partition(":")
        kind, _, _ = rest.partition(":")
        known = kind in tags or kind in _INDEXES or kind in {"book", "wake"}
        if namespace != "storm" or not known:
            yield f"a key of nobody's: {key}"
        ends = tempest.admin.pttl(key)
        if (ends != -1) != ("wake:" in key) and ends != -2:
            yield f"{key} ends in {ends} ms"


def _end(tempest: Tempest, stormy: StormyFlow, flow: Flow) -> Iterator[str]:
    """Look whether the flow has ended, and all workers know how."""
    state = flow.fields["state"]
    if state not in ENDS:
        yield f"it is {state}"
    for name, report in tempest.reports():
        told = report["outcomes"].get(stormy.run_id)
        if told != state:
            yield f"{name} was told {told}, the flow is {state}"


def _by_taskflow(stormy: StormyFlow, flow: Flow) -> Iterator[str]:
    """Look whether TaskFlow would have done the same."""
    if "cancelled" in flow.fields:  # which TaskFlow does not have
        yield from broken_order(flow)
        return
    try:
        Replay(_at_once(stormy.shape), stormy.shared).play(flow.journal)
    except NotAllowed as error:
        yield f"TaskFlow would not have done it: {error}"


def _at_once(shape: Shape) -> Shape:
    """Make the same flow of tasks that take no time."""
    plans = {
        name: dataclasses.replace(plan, takes_ms=0)
        for name, plan in shape.plans.items()
    }
    return Shape(shape.tree, plans, shape.controls)


def _answered(flow: Flow, answers: Mapping[tuple[str, str], Any]) -> Iterator[str]:
    """Compare what workers sent, and were answered, with what was recorded."""
    ended = {
        (name, claim.token): claim.end
        for name, claims in flow.claims.items()
        for claim in claims
    }
    last = {name: claims[-1].token for name, claims in flow.claims.items() if claims}
    for (name, token), end in ended.items():
        if end and not any(
            state == end for _, state, _ in answers.get((name, token), ())
        ):
            yield f"{name} was ended by {token} in {end}, which nobody had sent"
    for (name, token), rows in answers.items():
        for answer, state, digest in rows:
            found = ended.get((name, token))
            if answer == "ok" and found != state:
                yield f"{name} was said to be {state} by {token}, it is {found}"
            if answer in {"stale", "not applied"} and found == state and len(rows) == 2:
                yield f"{state} of {name} by {token} was refused, and is recorded"
            if answer == "ok" and last[name] == token:
                yield from _kept(flow, name, state, digest)


def _kept(flow: Flow, name: str, state: str, digest: str) -> Iterator[str]:
    """Look whether the last result of an atom is the one that was acknowledged."""
    atom = flow.atoms[name]
    if atom["type"] != "task" or atom["state"] != state:
        return
    found = flow.digest(name, _FIELDS[state])
    if found != digest:
        yield f"{name} is {state} with another result than was acknowledged"


def _charged(tempest: Tempest, flow: Flow) -> Iterator[str]:
    """Look whether only those have lost an atom that were struck."""
    for name in flow.atoms:
        for entry in flow.taken_back(name):
            if int(entry.worker.split(":")[1]) not in tempest.struck:
                yield f"{name} was taken from one that nothing was done to: {entry}"


def _notes(tempest: Tempest) -> Mapping[str, list[Note]]:
    found: dict[str, list[Note]] = defaultdict(list)
    for line in _lines(tempest, "notes"):
        run_id, note = line
        found[run_id].append(Note(**note))
    return found


def _answers(tempest: Tempest) -> Mapping[str, dict[tuple[str, str], list[Any]]]:
    """Read what was sent and answered: flow -> atom, token -> rows."""
    found: dict[str, dict[tuple[str, str], list[Any]]] = defaultdict(dict)
    for answer, flow, name, token, state, digest in _lines(tempest, "answers"):
        rows = found[flow].setdefault((name, token), [])
        rows.append((answer, state, digest))
    return found


def _common(tempest: Tempest) -> Iterator[str]:  # noqa: C901  one pass over one file
    """Look whether the calls about each common atom have an order."""
    histories: dict[str, list[Call]] = {name: [] for name in COMMON}
    for duty in tempest.duties:
        begun: dict[int, list[Any]] = {}
        for kind, number, *about in _read(whole_lines(duty.file("calls"))):
            if kind == "begin":
                begun[number] = about
                continue
            (answer, at), (atom, what, since) = about, begun.pop(number)
            if answer is not None:
                histories[atom].append(Call(_frozen(what), answer, since, at))
        for atom, what, since in begun.values():
            if what != "read":
                call = Call(_frozen(what), None, since, inf, lost=True)
                histories[atom].append(call)
    for atom, history in histories.items():
        if order_of(history, "PENDING", an_atom) is None:
            lost = sum(call.lost for call in history)
            yield f"{len(history)} calls on {atom}, {lost} lost, have no order"


def _frozen(what: Any) -> Any:
    return what if isinstance(what, str) else tuple(what)


def _lines(tempest: Tempest, suffix: str) -> Iterator[Any]:
    for duty in tempest.duties:
        yield from _read(whole_lines(duty.file(suffix)))


def _read(lines: Iterable[str]) -> Iterator[Any]:
    """Read lines of JSON; one that its writer's death has cut short is left out."""
    for line in lines:
        if line.endswith("]"):
            yield json.loads(line)


def tell(tempest: Tempest) -> str:
    """Tell people what is known of a storm: what happened, and what is left."""
    lines = [*tempest.account, f"happened: {dict(tempest.happened)}"]
    for stormy in tempest.storm.flows:
        keys = tempest.keys(stormy.run_id)
        fields = tempest.admin.hgetall(keys.flow)
        lines.append(f"{stormy.run_id}: {fields}")
        names = {uuid: name for name, uuid in tempest.admin.hgetall(keys.atoms).items()}
        rows = tempest.admin.xrevrange(keys.events, count=12)
        for number, row in reversed(rows):
            atom = names.get(row["atom"], "the flow") or "the flow"
            text = (
                f"  {number} {row['rev']} {atom}: {row['from']} -> {row['to']} "
                f"({row['intention']}) by {row['worker']}"
            )
            lines += [text]
        for name in ("ready", "workers"):
            rows = tempest.admin.zrange(getattr(keys, name), 0, 5, withscores=True)
            lines.append(f"  {name}: {rows}")
        for name in ("claims", "plan"):
            lines.append(f"  {name}: {tempest.admin.hgetall(getattr(keys, name))}")
    for duty in tempest.duties:
        log = duty.file("log")
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        lines += [f"{duty.name}:", *(f"  {line}" for line in text.splitlines()[-6:])]
    return "\n".join(lines)
