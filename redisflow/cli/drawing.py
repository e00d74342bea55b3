"""Pictures of a flow: as dot, as mermaid, and as SVG that is laid out here.

Gates of flows are small dots, since links lead through them. The SVG stands in layers:
each node is one layer below the last of those before it, and within a layer nodes are
ordered by where their neighbours are, in a few passes up and down. A layer that would
be too wide for a page stands in several rows. That is quick and good enough for some
hundred atoms; dot draws fewer crossings.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from redisflow.cli.layout import shortened
from redisflow.looking.atoms import state_of
from redisflow.looking.flows import FlowView
from redisflow.looking.nesting import begins_of, flows_of
from redisflow.looking.texts import printable
from redisflow.persistence.nodes import BEGIN, END, GATES, RETRY

#: State -> fill and border.
FILLS: Mapping[str, tuple[str, str]] = {
    "PENDING": ("#f4f4f4", "#8a8a8a"),
    "RUNNING": ("#cfe8ff", "#1f6fb2"),
    "SUCCESS": ("#d3f2d3", "#2b7d2b"),
    "FAILURE": ("#ffd2d2", "#b22222"),
    "REVERTING": ("#ffe9b8", "#a87400"),
    "REVERTED": ("#fff3d6", "#a87400"),
    "REVERT_FAILURE": ("#ffb3b3", "#8b0000"),
    "RETRYING": ("#e6dcff", "#6a45b8"),
    "IGNORE": ("#ffffff", "#c0c0c0"),
}
_SVG = "http://www.w3.org/2000/svg"
_UNKNOWN = ("#ffffff", "#8a8a8a")

_WIDTH, _HEIGHT, _GATE = 170, 44, 12
_ACROSS, _DOWN, _MARGIN = 24, 46, 20
_SHOWN = 22
_IN_A_ROW = 12
_PASSES = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A node as it is drawn.

    Attributes:
        label: the atom's name; empty for gates.
        state: the atom's state; empty for gates.
        kind: of the node.
        flow: number of the flow around it.
        begin: of the end of a flow the number of its beginning; else -1.
        after: numbers of the nodes that follow.
    """

    label: str
    state: str
    kind: str
    flow: int
    begin: int
    after: Sequence[int]

    @property
    def is_gate(self) -> bool:
        """Whether it is the beginning or the end of a flow."""
        return self.kind in GATES


@dataclass(frozen=True, slots=True)
class Picture:
    """A flow to be drawn.

    Attributes:
        title: the flow's name and state.
        boxes: number -> node, every link leading to a higher number.
    """

    title: str
    boxes: Mapping[int, Box]

    @classmethod
    def of(cls, view: FlowView) -> Picture:
        """Make the picture of a flow."""
        nodes = view.nodes
        by_uuid = {atom.uuid: atom for atom in view.atoms}
        around, begins = flows_of(nodes), begins_of(nodes)
        boxes = {}
        for number, node in nodes.items():
            atom = by_uuid.get(node.atom)
            boxes[number] = Box(
                label=printable(node.atom if atom is None else atom.name),
                state="" if atom is None else state_of(atom),
                kind=node.kind,
                flow=around[number],
                begin=begins.get(number, -1),
                after=node.after,
            )
        state = view.record.state or "PENDING"
        return cls(f"{printable(view.record.fields['name'])}: {state}", boxes)


# dot


def to_dot(picture: Picture) -> str:
    """Write a picture for Graphviz."""
    lines = [
        "digraph flow {",
        f"  label={_dotted(picture.title)}; labelloc=t; fontname=sans;",
        "  node [fontname=sans, fontsize=11];",
    ]
    for number, depth in _nested(picture.boxes):
        lines.append("  " * (depth + 1) + _dot_line(picture.boxes, number))
    lines += [
        f"  n{number} -> n{other};"
        for number, box in picture.boxes.items()
        for other in box.after
    ]
    return "\n".join([*lines, "}", ""])


def _dot_line(boxes: Mapping[int, Box], number: int) -> str:
    if number not in boxes:
        return "}"
    box = boxes[number]
    if box.kind == BEGIN:
        return f"subgraph cluster_{number} {{ color=gray; n{number} [shape=point];"
    if box.kind == END:
        return f"n{number} [shape=point];"
    fill, border = FILLS.get(box.state, _UNKNOWN)
    shape = "hexagon" if box.kind == RETRY else "box"
    label = _dotted(f"{box.label}\n{box.state}")
    return (
        f"n{number} [label={label}, shape={shape}, style=filled,"
        f' fillcolor="{fill}", color="{border}"];'
    )


def _dotted(text: str) -> str:
    """Quote a text for dot."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


# mermaid


def to_mermaid(picture: Picture) -> str:
    """Write a picture for mermaid."""
    lines = ["---", f"title: {_quoted(picture.title)}", "---", "flowchart TD"]
    for number, depth in _nested(picture.boxes):
        lines.append("  " * (depth + 1) + _mermaid_line(picture.boxes, number))
    lines += [
        f"  n{number} --> n{other}"
        for number, box in picture.boxes.items()
        for other in box.after
    ]
    found = {box.state for box in picture.boxes.values() if box.state}
    for state in sorted(found):
        fill, border = FILLS.get(state, _UNKNOWN)
        lines.append(f"  classDef {state} fill:{fill},stroke:{border},color:#222")
    return "\n".join([*lines, ""])


def _mermaid_line(boxes: Mapping[int, Box], number: int) -> str:
    if number not in boxes:
        return "end"
    box = boxes[number]
    if box.kind == BEGIN:
        return f'subgraph flow{number} [" "]; n{number}(( ))'
    if box.kind == END:
        return f"n{number}(( ))"
    label = "".join(
        char if char.isalnum() or char in " _-." else f"#{ord(char)};"
        for char in box.label
    )
    opened, closed = ("{{", "}}") if box.kind == RETRY else ("[", "]")
    return f'n{number}{opened}"{label}<br/>{box.state}"{closed}:::{box.state}'


def _quoted(text: str) -> str:
    """Quote a text for the head of a mermaid picture, which is YAML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _nested(boxes: Mapping[int, Box]) -> Iterable[tuple[int, int]]:
    """Give nodes flow by flow, with their depth; -1 closes a flow."""
    inside: dict[int, list[int]] = {}
    ends = {}
    for number, box in boxes.items():
        if box.kind == END:
            ends[box.begin] = number
        else:
            inside.setdefault(box.flow, []).append(number)
    stack = [(number, 0) for number in reversed(inside.get(-1, []))]
    while stack:
        number, depth = stack.pop()
        yield number, depth
        if number in boxes and boxes[number].kind == BEGIN:
            stack.append((-1, depth))
            if number in ends:
                stack.append((ends[number], depth + 1))
            children = reversed(inside.get(number, []))
            stack += [(child, depth + 1) for child in children]


# SVG


def to_svg(picture: Picture) -> str:
    """Lay a picture out in layers, and write it as SVG."""
    places = _places(picture.boxes)
    right = max((x for x, _y in places.values()), default=0) + _WIDTH / 2 + _MARGIN
    bottom = max((y for _x, y in places.values()), default=0) + _HEIGHT + _MARGIN
    right = max(right, 12 * len(picture.title))
    title = html.escape(picture.title)
    size = f'width="{right:.0f}" height="{bottom:.0f}"'
    lines = [
        f'<svg xmlns="{_SVG}" {size} font-family="sans-serif" font-size="12">',
        f"<title>{title}</title>",
        f'<rect {size} fill="white"/>',
        f'<text x="{_MARGIN}" y="{_MARGIN}" font-size="14">{title}</text>',
    ]
    lines += [
        _curve(places[number], places[other])
        for number, box in picture.boxes.items()
        for other in box.after
    ]
    lines += [_shape(box, *places[n]) for n, box in picture.boxes.items()]
    return "\n".join([*lines, "</svg>", ""])


def _places(boxes: Mapping[int, Box]) -> dict[int, tuple[float, float]]:
    """Give each node the middle of its upper edge."""
    rows = [
        layer[start : start + _IN_A_ROW]
        for layer in _ordered(boxes, _layers(boxes))
        for start in range(0, len(layer), _IN_A_ROW)
    ]
    widest = max((len(row) for row in rows), default=0)
    places = {}
    y = 2.0 * _MARGIN
    for row in rows:
        left = _MARGIN + (widest - len(row)) * (_WIDTH + _ACROSS) / 2
        for at, number in enumerate(row):
            places[number] = (left + at * (_WIDTH + _ACROSS) + _WIDTH / 2, y)
        only_gates = all(boxes[number].is_gate for number in row)
        y += (_GATE if only_gates else _HEIGHT) + _DOWN
    return places


def _layers(boxes: Mapping[int, Box]) -> list[list[int]]:
    """Put each node below the last of those before it."""
    depth = dict.fromkeys(boxes, 0)
    for number in sorted(boxes):
        for other in boxes[number].after:
            depth[other] = max(depth[other], depth[number] + 1)
    layers: list[list[int]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for number in sorted(boxes):
        layers[depth[number]].append(number)
    return layers


def _ordered(boxes: Mapping[int, Box], layers: list[list[int]]) -> list[list[int]]:
    """Order each layer by the mean place of its neighbours, up and down."""
    before: dict[int, list[int]] = {number: [] for number in boxes}
    for number, box in boxes.items():
        for other in box.after:
            before[other].append(number)
    place = {number: at for layer in layers for at, number in enumerate(layer)}

    def mean(number: int, links: Sequence[int]) -> float:
        found = [place[other] for other in links]
        return sum(found) / len(found) if found else place[number]

    for turn in range(_PASSES):
        down = turn % 2 == 0
        for layer in layers if down else reversed(layers):
            layer.sort(
                key=lambda number: mean(
                    number, before[number] if down else boxes[number].after
                )
            )
            place.update({number: at for at, number in enumerate(layer)})
    return layers


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    y1 += _GATE / 2
    middle = (y1 + y2) / 2
    return (
        f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{middle:.0f} {x2:.0f},{middle:.0f}'
        f' {x2:.0f},{y2:.0f}" fill="none" stroke="#999"/>'
    )


def _shape(box: Box, x: float, y: float) -> str:
    if box.is_gate:
        return f'<circle cx="{x:.0f}" cy="{y + _GATE / 2:.0f}" r="4" fill="#999"/>'
    fill, border = FILLS.get(box.state, _UNKNOWN)
    label = shortened(box.label, _SHOWN)
    left, corner = x - _WIDTH / 2, 16 if box.kind == RETRY else 4
    return (
        f"<g><title>{html.escape(box.label)}: {box.state}</title>"
        f'<rect x="{left:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}"'
        f' rx="{corner}" fill="{fill}" stroke="{border}"/>'
        f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">'
        f"{html.escape(label)}</text>"
        f'<text x="{x:.0f}" y="{y + 34:.0f}" text-anchor="middle" font-size="10"'
        f' fill="#333">{box.state}</text></g>'
    )
