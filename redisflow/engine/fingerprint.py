"""Telling whether two processes mean the same flow.

Processes may build a flow in different orders, and number its nodes differently. So
every node has a label made of names alone, and the fingerprint is a digest of all
labels with their links, together with the options that all workers of a run must share.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from taskflow.deciders import Depth
from taskflow.flow import LINK_DECIDER, LINK_DECIDER_DEPTH

from redisflow.codec import dumps_plain
from redisflow.engine.compiling import ATOMS, FLOW, FLOW_END, Graph, Link


def fingerprint_of(graph: Graph, options: Mapping[str, bool]) -> str:
    """Digest a graph and the options that all workers of a run must share."""
    labels = _labels(graph)
    rows = sorted(
        [
            labels[position],
            str(int(getattr(item, "priority", 0) or 0)),
            *sorted(labels[other] + _condition(link) for other, link in links.items()),
        ]
        for position, (item, links) in enumerate(
            zip(graph.items, graph.after, strict=True)
        )
    )
    content = dumps_plain([rows, sorted(options.items())])
    return hashlib.sha256(content).hexdigest()[:32]


def _labels(graph: Graph) -> Sequence[str]:
    """Name every node by names alone: an atom's own, a flow's by all that is in it."""
    labels = [""] * len(graph)
    inside: defaultdict[int, list[str]] = defaultdict(list)
    for position in reversed(range(len(graph))):  # what is in a flow before the flow
        kind, item = graph.kinds[position], graph.items[position]
        if kind in ATOMS:
            labels[position] = f"atom {item.name}"
        elif kind == FLOW:
            content = dumps_plain([item.name, sorted(inside.pop(position, []))])
            digest = hashlib.sha256(content).hexdigest()[:16]
            labels[position] = f"flow {item.name} {digest}"
        if kind != FLOW_END:
            inside[graph.flows[position]].append(labels[position])
    for position, kind in enumerate(graph.kinds):
        if kind == FLOW_END:
            start = graph.positions[graph.items[position]]
            labels[position] = f"{labels[start]} end"
    return labels


def _condition(link: Link) -> str:
    if LINK_DECIDER not in link:
        return ""
    reach = link.get(LINK_DECIDER_DEPTH) or Depth.ALL
    return f" if, {reach.name}"
