"""Trees, pictures, workers and keys, as people and programs get them."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import threading
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console
from taskflow import retry, task
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

import redisflow
from redisflow.cli import progress, reports
from redisflow.cli.app import invoke
from redisflow.cli.drawing import FILLS
from redisflow.keys import FlowKeys, flow_uuid_of
from redisflow.looking.clock import ServerClock
from tests.support.eventually import eventually
from tests.support.gates import Gate
from tests.support.screen import environment, lines_of, shown_by

pytestmark = [pytest.mark.timeout(180), pytest.mark.one_server]

_SVG = "{http://www.w3.org/2000/svg}"
_LOAD = 'load <all> & "more"'
#: Atom -> the state in which it is left.
LEFT = {
    "thrice": "REVERTED",
    _LOAD: "REVERTED",
    "left": "REVERTED",
    "right": "REVERTED",
    "break": "REVERTED",
    "after": "PENDING",
}


class Work(task.Task):
    """Does nothing, or fails."""

    def __init__(self, name, message=""):
        super().__init__(name)
        self.message = message

    def execute(self):
        """Do nothing, or fail."""
        if self.message:
            raise RuntimeError(self.message)


def nested():
    """Make a flow with one inside, under a retry, that fails."""
    inner = unordered_flow.Flow("inner").add(Work("left"), Work("right"))
    return linear_flow.Flow("outer", retry=retry.Times(1, name="thrice")).add(
        Work(_LOAD), inner, Work("break", "no disk"), Work("after")
    )


@pytest.fixture
def typed(url, capfd):
    """Type a command; gives what it printed on standard output."""

    def run(*words, status=0):
        capfd.readouterr()
        assert invoke([*words, "--url", url]) == status
        out, err = capfd.readouterr()
        assert status or err == ""
        return out

    return run


@pytest.fixture
def reverted(url):
    """Run the flow to its end."""
    engine = redisflow.load(nested(), run_id="nightly", url=url)
    with contextlib.suppress(RuntimeError):
        engine.run()
    engine.storage.backend.close()


@pytest.fixture
def running(url):
    """Run a flow whose atoms wait, in a thread, and end it with the test."""
    go_on = threading.Event()
    flow = linear_flow.Flow("f").add(Gate("shop.flows.Wait", go_on), Gate("b", go_on))
    engine = redisflow.load(flow, run_id="nightly", url=url)
    engine.compile()
    engine.prepare()
    thread = threading.Thread(target=engine.run)
    thread.start()
    eventually(lambda: engine.storage.get_atom_state("shop.flows.Wait") == "RUNNING")
    yield
    go_on.set()
    thread.join(60)
    engine.storage.backend.close()


# Trees


def test_a_tree_shows_what_is_in_what(reverted, typed):
    """One line an atom, with its state; flows are told by what is in them."""
    lines = typed("tree", "nightly").splitlines()
    assert lines == [
        "outer  REVERTED  retry thrice  REVERTED  (REVERTED 5  PENDING 1)",
        f"├─ {_LOAD}  REVERTED",
        "├─ flow  (REVERTED 2)",
        "│  ├─ left  REVERTED",
        "│  └─ right  REVERTED",
        "├─ break  REVERTED",
        "└─ after  PENDING  to revert",
    ]


def test_a_tree_as_json(reverted, typed):
    """Nodes with what they are in; atoms with state and intention."""
    found = json.loads(typed("tree", "nightly", "-o", "json"))
    nodes = {node["node"]: node for node in found["nodes"]}
    assert (found["name"], found["state"]) == ("outer", "REVERTED")
    atoms = {node["name"]: node for node in nodes.values() if "name" in node}
    assert {name: node["state"] for name, node in atoms.items()} == LEFT
    assert atoms["thrice"]["kind"] == "retry"
    assert nodes[atoms["left"]["in_flow"]]["in_flow"] == atoms["break"]["in_flow"]


def test_long_flows_are_cut_short_in_a_tree(url, typed):
    """Twenty of a flow, those first that say something; --all shows all."""
    flow = unordered_flow.Flow("many").add(*(Work(f"n{n:03}") for n in range(50)))
    redisflow.load(flow, run_id="many", url=url).run()
    lines = typed("tree", "many").splitlines()
    assert len(lines) == 22
    assert lines[-1] == "└─ … 30 more: --all"
    assert len(typed("tree", "many", "--all").splitlines()) == 51


def test_a_flow_without_atoms(url, typed):
    """It is told of by every command that looks at runs."""
    redisflow.load(linear_flow.Flow("empty"), run_id="empty", url=url).run()
    assert typed("tree", "empty") == "empty  SUCCESS  (no atoms)\n"
    assert typed("show", "empty").splitlines()[-1] == "0 atoms"
    assert typed("why", "empty").splitlines()[-1] == "- run 1 has ended: SUCCESS"
    picture = ElementTree.fromstring(typed("graph", "empty", "-f", "svg"))
    assert picture.tag == f"{_SVG}svg"
    assert "0/0" in typed("ls")


# Pictures


def test_an_svg_is_drawn_here(reverted, typed):
    """Well-formed, a box for each atom in the colour of its state, a curve a link."""
    root = ElementTree.fromstring(typed("graph", "nightly", "-f", "svg"))
    assert root.findtext(f"{_SVG}title") == "outer: REVERTED"
    boxes = {}
    for group in root.iter(f"{_SVG}g"):
        name, state = group.findtext(f"{_SVG}title").rsplit(": ", 1)
        (rect,) = group.findall(f"{_SVG}rect")
        assert (rect.get("fill"), rect.get("stroke")) == FILLS[state]
        assert state in [text.text for text in group.findall(f"{_SVG}text")]
        boxes[name] = (state, rect)
    assert {name: state for name, (state, _rect) in boxes.items()} == LEFT
    width, height = float(root.get("width")), float(root.get("height"))
    places = set()
    for _state, rect in boxes.values():
        x, y = float(rect.get("x")), float(rect.get("y"))
        assert x >= 0
        assert x + float(rect.get("width")) <= width
        assert y + float(rect.get("height")) <= height
        places.add((x, y))
    assert len(places) == len(LEFT)
    links = len(list(root.iter(f"{_SVG}path")))
    assert links >= len(LEFT)
    assert links == typed("graph", "nightly").count(" -> ")


def test_other_forms(reverted, typed, tmp_path):
    """Dot and mermaid name each atom and its state; the ending of --to chooses."""
    dot = typed("graph", "nightly")
    assert dot.startswith("digraph flow {")
    assert dot.count("style=filled") == len(LEFT)
    assert dot.count("{") == dot.count("}")
    assert 'label="load <all> & \\"more\\"\\nREVERTED"' in dot
    mermaid = typed("graph", "nightly", "-f", "mermaid")
    assert "flowchart TD" in mermaid
    assert mermaid.count("<br/>") == len(LEFT)
    assert mermaid.count("subgraph") == mermaid.count("  end\n")
    assert "classDef REVERTED fill:#fff3d6" in mermaid
    file = tmp_path / "nightly.svg"
    assert typed("graph", "nightly", "--to", str(file)) == ""
    assert ElementTree.parse(file).getroot().tag == f"{_SVG}svg"
    typed("graph", "nightly", "--to", str(tmp_path / "no" / "folder.svg"), status=2)


def test_an_ending_that_nothing_has_is_refused(reverted, typed, tmp_path):
    """No dot is written into what is called a PNG, unless --format says so."""
    file = tmp_path / "nightly.png"
    typed("graph", "nightly", "--to", str(file), status=2)
    assert not file.exists()
    typed("graph", "nightly", "--to", str(file), "--format", "dot")
    assert file.read_text(encoding="utf-8").startswith("digraph")
    file = tmp_path / "nightly.gv"
    typed("graph", "nightly", "--to", str(file))
    assert file.read_text(encoding="utf-8").startswith("digraph")


def test_a_flow_without_structure_is_told(url, capfd):
    """The picture is empty, and a note says why."""
    redisflow.load(nested(), run_id="left", url=url).storage.backend.close()
    assert invoke(["graph", "left", "--url", url]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("digraph flow {")
    assert err.startswith("redisflow: the flow's structure is not in Redis yet")


def test_a_picture_fits_a_page(url, typed):
    """Many atoms beside each other stand in rows; wide letters count for two."""
    flow = unordered_flow.Flow("many").add(
        *(Work(f"在{n:02}庫" * 9) for n in range(50))
    )
    redisflow.load(flow, run_id="many", url=url).run()
    root = ElementTree.fromstring(typed("graph", "many", "-f", "svg"))
    boxes = [each for each in root.iter(f"{_SVG}rect") if each.get("rx")]
    assert len({(box.get("x"), box.get("y")) for box in boxes}) == 50
    assert float(root.get("width")) < 2500
    labels = [group.find(f"{_SVG}text").text for group in root.iter(f"{_SVG}g")]
    assert max(map(cell_len, labels)) <= 22


def test_links_of_a_picture_lead_downwards(url, typed):
    """Those of a graph flow, too, from box to box."""
    flow = graph_flow.Flow("g")
    tasks = [Work(f"t{n}") for n in range(9)]
    flow.add(*tasks)
    for n in range(6):
        flow.link(tasks[n], tasks[8 - n // 2])
    redisflow.load(flow, run_id="g", url=url).run()
    root = ElementTree.fromstring(typed("graph", "g", "-f", "svg"))
    for path in root.iter(f"{_SVG}path"):
        numbers = [int(n) for n in re.findall(r"-?\d+", path.get("d"))]
        assert numbers[1] < numbers[-1]


# While it runs


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_the_picture_of_a_run_fits(url, columns, monkeypatch):
    """Rows of what is at work, cut in the middle, under each other, with totals."""
    go_on = threading.Event()
    names = [f"shop.flows.orders.{'Reserve' * 9}-{n}" for n in range(3)] + ["在庫" * 30]
    flow = unordered_flow.Flow("f").add(*(Gate(name, go_on) for name in names))
    options = {"executor": "threads", "max_workers": len(names)}
    engine = redisflow.load(flow, run_id="nightly", url=url, **options)
    engine.compile()
    engine.prepare()
    thread = threading.Thread(target=engine.run)
    thread.start()
    states = engine.storage.get_atoms_states
    eventually(lambda: {state for state, _ in states(names).values()} == {"RUNNING"})
    console = Console(
        file=io.StringIO(), force_terminal=True, width=columns, color_system=None
    )
    monkeypatch.setattr(progress, "console_on", lambda _stream: console)
    with progress.Picture() as picture:
        console.file.truncate(0)
        picture.begin(
            "run nightly",
            ServerClock(engine.storage.backend.client),
            engine.storage.mirror,
        )
        frame = console.file.getvalue()
    go_on.set()
    thread.join(60)
    engine.storage.backend.close()
    lines = [line for line in lines_of(frame) if line.strip()]
    assert all(cell_len(line) <= columns for line in lines)
    rows = [line for line in lines if re.search(r" RUNNING {3,}\d", line)]
    assert len(rows) == len(names)
    assert len({cell_len(row.partition("RUNNING")[0]) for row in rows}) == 1
    assert any("0/4" in line for line in lines)
    assert lines[-1].startswith("nightly  RUNNING  1 worker  RUNNING 4")


# Workers and keys


def test_workers_tell_what_they_hold(running, typed):
    """Process, run, lease, and the atom that it is at, for how long."""
    heads, row = typed("workers", "nightly").splitlines()
    assert heads.split("  ")[0] == "WORKER"
    assert re.search(r"nightly +1\d\.\ds +1  shop\.flows\.Wait for \d", row), row
    (worker,) = json.loads(typed("workers", "-o", "json"))["workers"]
    assert (worker["run_id"], worker["name"]) == ("nightly", "f")
    assert 10 < worker["lease_left_s"] <= 15
    (held,) = worker["holds"]
    assert held["atom"] == "shop.flows.Wait"
    assert held["item"].endswith(":execute")
    assert held["since"]


@pytest.mark.parametrize("owner", ["", "gone:4711:0badcafe"])
def test_what_nobody_runs_takes_no_time(reverted, typed, admin, namespace, owner):
    """An atom that was begun has no time without an owner, or with one that is lost."""
    keys = FlowKeys(namespace, flow_uuid_of("nightly", namespace))
    begun = {"state": "RUNNING", "owner": owner, "finished_at": 0}
    admin.hset(keys.atom(admin.hget(keys.atoms, "left")), mapping=begun)
    atoms = json.loads(typed("show", "nightly", "-o", "json"))["atoms"]
    (left,) = (atom for atom in atoms if atom["name"] == "left")
    assert (left["time_s"], left["finished_at"]) == (None, None)
    assert (left["owner"], left["lost"]) == (owner or None, bool(owner))
    assert ("gone:4711 (lost)" in typed("show", "nightly")) is bool(owner)


def test_nobody_works(url, typed):
    """It is told to people; programs get an empty list."""
    assert typed("workers") == "no worker is alive\n"
    assert json.loads(typed("workers", "-o", "json")) == {"workers": []}


def test_workers_of_a_run_that_is_removed(
    reverted, typed, namespace, monkeypatch, admin
):
    """While they are watched, it ends with the status of a lost flow."""
    uuid = flow_uuid_of("nightly", namespace)

    def remove(_seconds):
        admin.delete(*admin.scan_iter(f"*{uuid}*"))

    monkeypatch.setattr(reports, "_pause", remove)
    out = typed("workers", "nightly", "--watch=1", status=4)
    assert out.rstrip() == "no worker is alive"


def test_keys_are_commands_that_can_be_typed(reverted, typed, admin, namespace):
    """Each names a key of the run and reads it; with an atom that atom's come first."""
    out = typed("keys", "nightly", "break")
    said, commands = out.splitlines()[::2], out.splitlines()[1::2]
    assert all(line.startswith("# ") for line in said)
    assert said[0] == "# break: state, owner, times"
    uuid = flow_uuid_of("nightly", namespace)
    keys = FlowKeys(namespace, uuid)
    atom = admin.hget(keys.atoms, "break")
    assert commands[0].endswith(f"HGETALL '{keys.atom(atom)}'")
    records = json.loads(typed("keys", "nightly", "break", "-o", "json"))["keys"]
    assert [record["command"] for record in records] == commands
    for record in records:
        assert record["key"].startswith(f"{namespace}:{{{uuid}}}:")
        if "<" not in record["key"]:
            words = record["command"].split(" -p ")[1].split()[1:]
            admin.execute_command(*(word.strip("'") for word in words))
    typed("keys", "nightly", "nobody", status=2)


# All of them


@pytest.mark.slow
def test_a_reader_who_goes_away_is_no_error(reverted, url):
    """Every command that prints ends in silence, with the status that it has anyway."""
    commands = [
        *(["ls"], ["ls", "-o", "json"], ["ls", "-o", "jsonl"], ["doctor"]),
        *(["show", "nightly"], ["tree", "nightly"], ["why", "nightly"], ["workers"]),
        *(["tail", "nightly"], ["tail", "nightly", "-o", "jsonl"], ["locks"]),
        *(["graph", "nightly"], ["keys", "nightly"], ["show", "nightly", "-o", "json"]),
        *(["tail", "nightly", "-o", "json"], ["doctor", "-o", "json"]),
        *(["rm", "nightly", "--dry-run"], ["gc", "--dry-run", "-o", "json"]),
    ]
    found = shown_by(commands, environment(url), read=False)
    assert len(found) == len(commands)
    for shown in found:
        assert "Traceback" not in shown.err, shown
        assert "Broken" not in shown.err, shown
        assert shown.status in (0, 1 if shown.words[0] == "tail" else 0), shown


@pytest.mark.slow
def test_head_takes_the_first_line(reverted, url):
    """As people do it, with a shell's pipe, and its status."""
    line = f"set -o pipefail; {sys.executable} -m redisflow.cli show nightly | head -1"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("flow outer  REVERTED")


@pytest.mark.slow
def test_colours_can_be_turned_off(reverted, url):
    """By NO_COLOR, and by a terminal that says that it is dumb: not one code."""
    commands = [["show", "nightly"], ["tree", "nightly"], ["ls"], ["tail", "nightly"]]
    for change, coloured in (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ):
        for shown in shown_by(commands, environment(url) | change, columns=80):
            assert ("\x1b[38;5;" in shown.out) is coloured, shown.words
            if "TERM" in change:
                assert "\x1b" not in shown.out
            assert any("REVERTED" in line for line in lines_of(shown.out))


@pytest.mark.parametrize(
    "words",
    [
        ("ls",),
        ("show", "nightly"),
        ("tree", "nightly"),
        ("why", "nightly"),
        ("workers",),
        ("locks",),
    ],
)
def test_what_is_watched_is_read_again(reverted, url, capfd, monkeypatch, words):
    """Until Ctrl-C, with status 130: a paragraph, a document or records a time."""
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(reports, "_pause", pause)
    outs = {}
    for form in ("human", "json", "jsonl"):
        capfd.readouterr()
        assert invoke([*words, "--watch=0.5", "-o", form, "--url", url]) == 130
        outs[form], err = capfd.readouterr()
        assert err == ""
    assert pauses == [0.5] * 9
    paragraphs = re.split(r"\n\n(?=flow|UUID|outer|no )", outs["human"])
    assert len(paragraphs) == 3
    assert outs["json"].count("\n}\n") == 3
    assert len(outs["jsonl"].splitlines()) % 3 == 0
    assert invoke([*words, "--watch", "--url", url]) == 130
    assert pauses[-1] == 2.0


def test_lines_tell_atoms_in_the_order_of_their_changes(url, capfd):
    """Reverts that are seen at once come as they happened: the last atom first."""
    flow = linear_flow.Flow("line").add(*(Work(name) for name in "abc"))
    engine = redisflow.load(flow.add(Work("break", "no disk")), run_id="r", url=url)
    with contextlib.suppress(RuntimeError):
        engine.run()
    progress.Lines().show(engine.storage.mirror)
    engine.storage.backend.close()

    lines = capfd.readouterr().err.splitlines()
    told = [line.split()[1:3] for line in lines if " flow " not in line]
    assert told == [[name, "REVERTED"] for name in ("break", "c", "b", "a")]
