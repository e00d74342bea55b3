"""``redisflow tree``: the flows of a run in each other, with all atoms' states."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.console import BAD
from redisflow.cli.layout import is_fitted, print_parts, shortened
from redisflow.cli.options import (
    READING_STATUS,
    Output,
    OutputOption,
    RunArgument,
    Url,
    WatchOption,
)
from redisflow.cli.reports import Report, show_report
from redisflow.cli.states import counts_text, state_text, to_be_done
from redisflow.looking.atoms import state_of
from redisflow.looking.flows import FlowView, find_flow, read_view
from redisflow.looking.nesting import flows_of
from redisflow.looking.texts import printable, worker_text
from redisflow.looking.unreadable import backend_to_look
from redisflow.persistence.nodes import BEGIN, END, RETRY, Node
from redisflow.persistence.records import META_RUN_ID, AtomRecord

EPILOG = f"""\
[bold]Examples[/bold]

redisflow tree nightly

redisflow tree nightly --all --watch

redisflow tree nightly -o jsonl | jq 'select(.kind == "retry")'

Atoms of one flow stand in an order in which they can run. Redis keeps the name of the
outermost flow only; an inner one is told by what is in it.

{READING_STATUS}
"""

#: Atoms of one flow that are shown, unless all are wanted.
_ROWS = 20
#: Wider than any name; and what is left of a name in the narrowest place.
_NO_LIMIT, _LEAST_NAME = 2**20, 12
_KINDS = {BEGIN: "flow", RETRY: "retry"}
_DULL = ("SUCCESS", "PENDING", "IGNORE", "REVERTED")


@dataclass(slots=True)
class _Flow:
    """A flow and what is in it.

    Attributes:
        number: of its beginning; -1 for what all is in.
        retry: its retry controller.
        children: numbers of its atoms and of the beginnings of the flows in it.
        counts: its atoms, and those of flows in it, by state.
    """

    number: int
    retry: int | None = None
    children: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def tree(
    run: RunArgument,
    *,
    every: Annotated[
        bool, typer.Option("--all", "-a", help=f"All atoms, not {_ROWS} of a flow.")
    ] = False,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show the flows of a run in each other, with the states of their atoms."""
    with contextlib.closing(backend_to_look(url)) as backend:
        uuid = find_flow(backend, run)

        def read() -> Report:
            view = read_view(backend, uuid)
            return Report(
                human=lambda console: _print(view, console, every=every),
                document=lambda: {
                    "run_id": view.record.meta.get(META_RUN_ID),
                    "flow_uuid": uuid,
                    "name": view.record.fields["name"],
                    "state": view.record.state or "PENDING",
                    "nodes": list(_records(view)),
                },
                records=lambda: _records(view),
            )

        show_report(read, output, watch)


def _print(view: FlowView, console: Console, *, every: bool) -> None:
    fields = view.record.fields
    name = Text(printable(fields["name"]), "bold")
    state = state_text(view.record.state or "PENDING")
    if not view.nodes:
        print_parts(console, [name, state])
        console.print("the flow's structure is not in Redis yet")
        return
    drawn = _Drawing(view, every=every)
    first, *others = drawn.lines(console.width if is_fitted(console) else _NO_LIMIT)
    print_parts(console, [name, state, first])
    for line in others:
        console.print(line, no_wrap=True, overflow="ellipsis")


class _Drawing:
    """The lines of a tree."""

    def __init__(self, view: FlowView, *, every: bool) -> None:
        by_uuid = {atom.uuid: atom for atom in view.atoms}
        nodes = self._nodes = view.nodes
        self._atoms = {n: by_uuid.get(node.atom) for n, node in nodes.items()}
        self._every = every
        self._flows = _collect(nodes, self._atoms)

    def lines(self, width: int) -> Iterator[Text]:
        """Draw the tree; the first line is the outermost flow's, without its name.

        Names are cut where a line would be wider than so many cells.
        """
        outermost = self._flows[-1].children
        stack = [(number, "", "") for number in reversed(outermost)]
        while stack:
            number, lead, indent = stack.pop()
            if number < 0:
                yield Text(f"{lead}… {-number:,} more: --all", "dim")
                continue
            line = self._line(number, width - len(lead))
            yield Text.assemble(lead, line)
            if number in self._flows:
                shown = self._shown(self._flows[number].children)
                for place, child in reversed(list(enumerate(shown))):
                    last = place == len(shown) - 1
                    branch = indent + ("└─ " if last else "├─ ")
                    further = indent + ("   " if last else "│  ")
                    stack.append((child, branch, further))

    def _shown(self, children: Sequence[int]) -> list[int]:
        """Leave out what says least; a number below 0 stands for so many of those."""
        if self._every or len(children) <= _ROWS:
            return list(children)
        telling = [number for number in children if self._tells(number)]
        dull = [number for number in children if not self._tells(number)]
        kept = {*telling, *dull[: max(0, _ROWS - len(telling))]}
        return [*(c for c in children if c in kept), -(len(children) - len(kept))]

    def _tells(self, number: int) -> bool:
        atom = self._atoms[number]
        return atom is None or state_of(atom) not in _DULL

    def _line(self, number: int, room: int) -> Text:
        if number not in self._flows:
            return _atom_text(self._atoms[number], self._nodes[number], room)
        found = self._flows[number]
        outermost = number == self._flows[-1].children[0]
        line = Text("" if outermost else "flow  ")
        counts = counts_text(found.counts) if found.counts else Text("no atoms")
        if found.retry is not None:
            line.append("retry ")
            controller, node = self._atoms[found.retry], self._nodes[found.retry]
            room -= line.cell_len + counts.cell_len + len("  ()")
            line.append_text(_atom_text(controller, node, room)).append("  ")
        return Text.assemble(line, "(", counts, ")")


def _collect(
    nodes: Mapping[int, Node], atoms: Mapping[int, AtomRecord | None]
) -> dict[int, _Flow]:
    """Gather what is in each flow; what all is in is number -1."""
    around = flows_of(nodes)
    flows = {-1: _Flow(-1)}
    flows |= {n: _Flow(n) for n, node in nodes.items() if node.kind == BEGIN}
    for number, node in nodes.items():
        flow = flows[around[number]]
        if node.kind == RETRY and flow.number >= 0:
            flow.retry = number
        elif node.kind != END:
            flow.children.append(number)
        if (atom := atoms[number]) is not None:
            flow.counts[state_of(atom)] += 1
    for number in sorted(flows, reverse=True):  # inner flows have higher numbers
        if number >= 0:
            flows[around[number]].counts.update(flows[number].counts)
    return flows


def _atom_text(atom: AtomRecord | None, node: Node, room: int) -> Text:
    if atom is None:
        return Text(f"{node.atom} (its record is missing)", BAD)
    line = Text.assemble("  ", state_text(state_of(atom)), to_be_done(atom))
    if atom.owner:
        line.append(f"  by {worker_text(atom.owner)}")
    if node.asks:
        line.append("  (deciders are asked)")
    name = shortened(printable(atom.name), max(_LEAST_NAME, room - line.cell_len))
    return Text.assemble(name, line)


def _records(view: FlowView) -> Iterator[dict[str, Any]]:
    by_uuid = {atom.uuid: atom for atom in view.atoms}
    nodes = view.nodes
    around = flows_of(nodes)
    for number, node in nodes.items():
        if node.kind == END:
            continue
        record: dict[str, Any] = {
            "node": number,
            "kind": _KINDS.get(node.kind, "task"),
            "in_flow": around[number] if around[number] >= 0 else None,
        }
        if (atom := by_uuid.get(node.atom)) is not None:
            record |= {
                "name": atom.name,
                "uuid": atom.uuid,
                "state": state_of(atom),
                "intention": str(atom.detail.intention),
                "owner": atom.owner or None,
                "asks_deciders": node.asks,
            }
        yield record
