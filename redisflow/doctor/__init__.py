"""The doctor: looks whether what is stored is whole, and mends what can be computed.

Three looks, each a function that gives `Finding` values and changes nothing:

* `check_server`: settings that cost data or work sooner or later;
* `check_namespace`: indexes against flows, and keys that belong to nothing;
* `check_flow`: the rules that hold between the keys of one flow after every script.

What is *derived* can be computed again: counters, the order of changes, sentinels,
indexes. `repair_flow` and `repair_namespace` do that, through scripts that look at the
lock like any other, and touch nothing else. States, intentions, results and the journal
are the truth: damage there is told and left for a person.

A flow that is at work while it is looked at is read until it stands still for long
enough, a few times; if it does not, only what needs one key is judged, with a note.
"""

from __future__ import annotations

from redisflow.doctor.findings import RULES, Finding, Severity
from redisflow.doctor.flows import check_flow
from redisflow.doctor.namespace import check_namespace
from redisflow.doctor.repair import repair_flow, repair_namespace
from redisflow.doctor.server import check_server

__all__ = [
    "RULES",
    "Finding",
    "Severity",
    "check_flow",
    "check_namespace",
    "check_server",
    "repair_flow",
    "repair_namespace",
]
