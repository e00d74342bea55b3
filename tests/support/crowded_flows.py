"""Flows in which many deciders, failures and retries come at the same moment."""

from __future__ import annotations

from typing import Any

from tests.support.flow_crew import Job
from tests.support.random_flows import Branch, Control, Link, Plan, Shape, digest

_BRANCHES = 6
_WORKERS = 5


def _task(name: str, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "provides": (),
        "requires": (),
        "priority": 0,
        "fails": 0,
        "revert_fails": False,
    }
    return Plan(name, **{**values, **changes})


def _job(tree: Branch, plans: list[Plan], controls: list[Control]) -> Job:
    shape = Shape(
        tree,
        {plan.name: plan for plan in plans},
        {control.name: control for control in controls},
    )
    return Job(0, shape, _WORKERS, {}, [{}] * _WORKERS)


def nays(depth: str) -> Job:
    """Make a flow in which several deciders say no to what they lead to."""
    children: list[Branch | str] = ["root"]
    plans = [_task("root")]
    links = []
    for number in range(_BRANCHES):
        names = [f"b{number}", f"c{number}", f"d{number}"]
        plans += map(_task, names)
        start = len(children)
        children += names[:2]
        children.append(Branch("linear", f"f{number}", (names[2],), ()))
        links += [
            Link(0, start, 100, depth),
            Link(start, start + 1),
            Link(start + 1, start + 2),
        ]
    return _job(Branch("graph", "nays", tuple(children), tuple(links)), plans, [])


def nays_and_failures() -> Job:
    """Make a flow in which deciders say no while tasks beside them fail."""
    plans: list[Plan] = []
    controls: list[Control] = []
    children: list[Branch | str] = []
    for number in range(_BRANCHES // 2):
        control = Control(f"r{number}", "times", 3, False, False, False)
        controls.append(control)
        a, b, c, d = (f"{letter}{number}" for letter in "abcd")
        fails = _task(d, requires=(f"{control.name}.v",), fails=70, priority=number)
        plans += [_task(a), _task(b), _task(c), fails]
        links = (Link(0, 1, 100, "NEIGHBORS"), Link(1, 2))
        inside = (a, b, c, d)
        children.append(Branch("graph", f"f{number}", inside, links, control.name))
    return _job(Branch("unordered", "both", tuple(children), ()), plans, controls)


def retries() -> Job:
    """Make a flow whose parts are retried beside each other, and once more around."""
    plans: list[Plan] = []
    controls = [Control("outer", "times", 2, True, False, False)]
    children: list[Branch | str] = []
    for number in range(_BRANCHES // 2):
        control = Control(f"r{number}", "times", 3, False, False, False)
        controls.append(control)
        a, b = f"a{number}", f"b{number}"
        takes = (f"{control.name}.v", "outer.v")
        plans += [_task(a), _task(b, requires=takes, fails=60)]
        children.append(Branch("linear", f"f{number}", (a, b), (), control.name))
    tree = Branch("unordered", "retries", tuple(children), (), "outer")
    return _job(tree, plans, controls)


def turns() -> Shape:
    """Make a flow that tries a part again, leaves a task out, and is then reverted."""
    control = Control("again", "times", 2, False, False, False)
    flaky = _task("flaky", requires=("again.v",), fails=80)
    first, second = (digest("flaky", [value]) % 100 for value in (1, 2))
    assert first < flaky.fails <= second
    tree = Branch(
        "linear",
        "turns",
        (
            "first",
            Branch("linear", "tried", ("before", "flaky"), (), "again"),
            Branch(
                "graph",
                "chosen",
                ("choice", "no", "yes"),
                (Link(0, 1, 100, "NEIGHBORS"), Link(0, 2, 0, "ALL")),
            ),
            "last",
        ),
        (),
    )
    names = ("first", "before", "choice", "no", "yes")
    plans = [flaky, _task("last", fails=100), *map(_task, names)]
    return _job(tree, plans, [control]).shape


def make_turns() -> Any:
    """Make that flow, in a process of its own."""
    return turns().make([])


#: All of them, by name.
CROWDED = {
    "nays-all": nays("ALL"),
    "nays-flow": nays("FLOW"),
    "nays-neighbors": nays("NEIGHBORS"),
    "nays-and-failures": nays_and_failures(),
    "retries": retries(),
}
