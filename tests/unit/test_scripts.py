"""Scripts as typed calls: headers are signatures, and they do not lie."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import ScriptFailed
from redisflow.keys import FlowKeys
from redisflow.scripts import FlowScripts, Script, catalogue, headers, lua_folder
from tests.support.servers import absent

ROOT = Path(__file__).parents[2]

SCRIPT = """#!lua flags=allow-oom
--[[
  Say what it does, in a line
  or two.

  KEYS
    flow     hash    the flow itself
    atom     hash    the atom
  ARGV
    atom     str     its uuid
    limit    int     how many, and a text
                     that goes on
    pairs... bytes   field and value in turn

  RETURNS
    {'OK', n}     done
    {'GONE'}      no such flow,
                  and more about it
]]
--- @include "one"
--- @include "two"
return {'OK', keys.flow, keys.atom, args.limit, #args.pairs}
"""


@pytest.fixture
def folder(tmp_path):
    """Make a folder of Lua files: one script, and includes that need each other."""
    includes = tmp_path / "includes"
    includes.mkdir()
    (includes / "one.lua").write_text('--- @include "two"\n-- this is one\n')
    (includes / "two.lua").write_text('--- @include "three"\n-- this is two\n')
    (includes / "three.lua").write_text("-- this is three\n")
    (tmp_path / "thing_do.lua").write_text(SCRIPT)
    return tmp_path


def parse(folder, text=None):
    """Read the folder's script, or another text in its place."""
    path = folder / "thing_do.lua"
    if text is not None:
        path.write_text(text)
    return headers._parse(path)


def test_header_is_the_signature(folder):
    """Keys with types, arguments, the one that takes the rest, and statuses."""
    script = parse(folder)

    assert script.name == "thing_do"
    assert script.keys == (("flow", "hash"), ("atom", "hash"))
    assert script.args == ("atom", "limit")
    assert script.rest == "pairs"
    assert script.statuses == {"OK", "GONE"}


def test_includes_stand_once_each_after_what_they_need(folder):
    """Dependencies come first, and twice is once."""
    source = parse(folder).source

    assert re.findall(r"this is (\w+)", source) == ["three", "two", "one"]
    assert "@include" not in source


def test_names_are_resolved_to_places(folder):
    """The server sees flags, then numbers of keys and arguments where names stood."""
    source = parse(folder).source

    assert source.startswith("#!lua flags=allow-oom\n")
    assert source.endswith(
        "return {'OK', KEYS[1], KEYS[2], tonumber(ARGV[2]), #rest}\n"
    )
    assert "for i = 3, #ARGV do rest[i - 2] = ARGV[i] end" in source
    assert not re.search(r"--\[\[|RETURNS|\b(keys|args)\.", source)


def test_lasting_keys_are_those_that_a_flow_always_has():
    """Those of its header, but for the lock's, the atom's and that of idlers."""
    source = catalogue()["work_complete"].source
    names = [name for name, _ in catalogue()["work_complete"].keys]

    (places,) = re.findall(r"check_there\((KEYS.*)\)", source)
    lasting = [names[int(place) - 1] for place in re.findall(r"\d+", places)]
    assert set(names) - set(lasting) == {
        *("lock", "lock_readers", "idle", "atom", "result"),
    }


@pytest.mark.parametrize("name", ["keys.result", "args.who"])
@pytest.mark.parametrize("place", ["thing_do.lua", "includes/two.lua"])
def test_name_that_the_header_lacks_is_refused(folder, name, place):
    """In the script and in what it includes, before anything has run."""
    with (folder / place).open("a") as file:
        file.write(f"local x = {name}\n")

    with pytest.raises(ScriptFailed, match=f"the header has no {name}"):
        parse(folder)


def test_sha_is_that_of_the_source(folder):
    """The name under which the server keeps a script is its version."""
    script = parse(folder)

    digest = hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()
    assert script.sha == digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#!lua flags=allow-oom\n", "", "no #!lua line"),
        ("--[[\n", "-- ", "no header"),
        ("    limit    int     how many, and a text", "    limit", "does not say"),
        ("    limit    int     how", "    limit:   int     how", "does not say"),
        ("    {'OK', n} ", "    'OK' ", "does not say"),
    ],
)
def test_header_that_is_not_clear_is_refused(folder, old, new, message):
    """An entry that cannot be read is an error with the file's name, not left out."""
    assert old in SCRIPT
    text = SCRIPT.replace(old, new)
    with pytest.raises(ScriptFailed, match=message) as caught:
        parse(folder, text)

    assert caught.value.script == "thing_do"
    assert "thing_do.lua" in str(caught.value)


def test_records_of_an_atom_are_the_last_keys(folder):
    """The caller's `of` appends them, so nothing may stand behind them."""
    text = SCRIPT.replace("    flow     hash    the flow itself\n", "").replace(
        "    atom     hash    the atom\n",
        "    atom     hash    the atom\n    flow     hash    the flow itself\n",
    )

    with pytest.raises(ScriptFailed, match="must be the last keys"):
        parse(folder, text)


def test_missing_include_is_an_error(folder):
    """A name that no file has is not skipped."""
    (folder / "includes" / "three.lua").unlink()

    with pytest.raises((ScriptFailed, FileNotFoundError), match="three"):
        parse(folder)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("flow_transition", {"to": "RUNNING"}),
        ("flow_transition", {"to": "RUNNING", "forced": 0, "who": "me"}),
        ("flow_transition", {"to": "RUNNING", "forced": 0, "who": "me", "more": 1}),
        ("flow_transition", {"to": "RUNNING", "forced": 0, "what": "me"}),
        ("flow_transition", {"to": "RUNNING", "forced": 0, "who": "me", "rest": ["x"]}),
    ],
)
def test_call_with_other_arguments_is_refused_before_it_is_sent(name, args):
    """Missing, superfluous and misspelt arguments are a TypeError that names them."""
    with Client(parse_url("redis://127.0.0.1:1/0")) as client:
        bound = FlowScripts(client, FlowKeys("ns", "F"))

        with pytest.raises(
            TypeError,
            match=r"flow_transition takes \(to, forced, who, since, act, reason\)",
        ):
            bound.call(name, **args)


def every_script() -> list[Script]:
    """Return all scripts, in order."""
    return list(catalogue().values())


@pytest.mark.parametrize("script", every_script(), ids=lambda script: script.name)
def test_statuses_of_the_header_are_those_of_the_text(script):
    """What a script returns it lists, and what it lists stands in its text."""
    returned = set(re.findall(r"return (?:nil, )?\{'([A-Z]+)'", script.source))

    assert returned <= script.statuses
    assert {s for s in script.statuses if f"'{s}'" not in script.source} == set()


@pytest.mark.parametrize("script", every_script(), ids=lambda script: script.name)
def test_keys_of_the_header_are_keys_of_a_flow(script):
    """The flow, or the lock, comes first; the module that spells keys has them all."""
    first = "lock" if script.name.startswith("lock_") else "flow"
    assert script.keys[0] == (first, "hash")
    for name, _ in script.keys:
        assert hasattr(FlowKeys, name), name


@pytest.mark.parametrize("script", every_script(), ids=lambda script: script.name)
def test_names_of_the_header_are_used(script):
    """No key and no argument is only declared."""
    folder = lua_folder()
    text = (folder / f"{script.name}.lua").read_text(encoding="utf-8")
    text = headers._splice(folder, text, seen=set())
    used = set(re.findall(r"\b(?:keys|args)\.(\w+)", text))
    declared = {*(key for key, _ in script.keys), *script.args} | {script.rest} - {None}

    # Records are declared for the server's sake, and named by record_key.
    assert declared - used <= {"atom", "result"}


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_types_of_the_header_are_known_ones(name):
    """A word of the description that stands where the type should is found."""
    text = (lua_folder() / f"{name}.lua").read_text(encoding="utf-8")
    header = re.search(r"--\[\[\n(.*?)\n\]\]", text, re.DOTALL)
    assert header is not None
    keys, args, _ = headers._read_header(name, header[1])

    assert {kind for _, kind in keys} <= {"hash", "zset", "stream", "string"}
    assert {kind.partition("*")[0] for _, kind in args} <= {"str", "int", "bytes"}


@pytest.mark.parametrize("script", every_script(), ids=lambda script: script.name)
def test_clock_is_read_at_most_once_and_by_the_include(script):
    """TIME stands in now_ms alone, so that a script has one time."""
    assert script.source.count("call('TIME'") <= 1
    body = (lua_folder() / f"{script.name}.lua").read_text(encoding="utf-8")
    assert body.count("now_ms()") <= 1


def test_state_is_written_by_one_include_each():
    """Nothing but change_atom and change_flow tells the journal of a state."""
    writers = {
        path.stem
        for path in lua_folder().rglob("*.lua")
        if "call('XADD'" in path.read_text(encoding="utf-8")
    }

    # note_flow tells of something else: its entries stay in the same state.
    # import_save brings a journal together with the states that it tells of.
    told = {"change_atom", "change_flow", "flow_create"}
    assert writers == {*told, "note_flow", "import_save"}


def test_reads_are_marked_and_writes_are_not():
    """no-writes stands exactly where nothing is written."""
    writing = re.compile(
        r"call\('(?:H(?:SET|DEL|INCRBY)|Z(?:ADD|REM)|XADD|UNLINK|PERSIST)"
    )
    for script in catalogue().values():
        marked = "no-writes" in script.source.partition("\n")[0]
        assert marked != bool(writing.search(script.source)), script.name


@dataclasses.dataclass(frozen=True)
class Helper:
    """A method of the package that calls the script whose name it is given.

    Attributes:
        path: its file.
        place: where in a call of it the script's name stands.
        adds: the names of the arguments that it brings itself.
    """

    path: Path
    place: int
    adds: frozenset[str]


@functools.cache
def package() -> Mapping[Path, ast.Module]:
    """Read the package: file -> its syntax tree."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "redisflow").rglob("*.py"))
    }


def name_of(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def helper_in(path: Path, function: ast.FunctionDef) -> Helper | None:
    """Look whether a method passes a script's name on to ``call``."""
    params = [param.arg for param in (*function.args.posonlyargs, *function.args.args)]
    params = [name for name in params if name != "self"]
    passed_on = {*params, *(param.arg for param in function.args.kwonlyargs)}
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or name_of(node) not in ("call", "_call"):
            continue
        script = node.args[0] if node.args else None
        if any(isinstance(word, ast.Constant) for word in node.args):
            continue  # it names the script itself
        if isinstance(script, ast.Name) and script.id in params:
            adds = {
                keyword.arg
                for keyword in node.keywords
                if not isinstance(keyword.value, ast.Name)
                or keyword.value.id not in passed_on
            }
            adds.discard(None)  # **args: what its own caller names
            return Helper(path, params.index(script.id), frozenset(map(str, adds)))
    return None


@functools.cache
def helpers() -> Mapping[str, list[Helper]]:
    """Find by name the methods that call the script whose name they are given."""
    found: dict[str, list[Helper]] = {}
    for path, tree in package().items():
        for node in ast.walk(tree):
            helper = isinstance(node, ast.FunctionDef) and helper_in(path, node)
            if isinstance(node, ast.FunctionDef) and helper:
                found.setdefault(node.name, []).append(helper)
    return found


def script_called(path: Path, call: ast.Call) -> tuple[str, frozenset[str]] | None:
    """Tell which script is named in a call, and the arguments that a helper adds."""
    near = [Helper(path, 0, frozenset())] if name_of(call) == "call" else []
    if not near:
        known = helpers().get(name_of(call), [])
        near = [helper for helper in known if helper.path == path]
        near = near or [each for each in known if each.path.parent == path.parent]
    for helper in near:
        word = call.args[helper.place] if helper.place < len(call.args) else None
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            return word.value, helper.adds
    return None


def calls_in_package() -> Iterator[tuple[str, ast.Call, frozenset[str]]]:
    """Yield where and how the package calls scripts by their literal names."""
    for path, tree in package().items():
        for node in ast.walk(tree):
            found = isinstance(node, ast.Call) and script_called(path, node)
            if found:
                name, adds = found
                yield f"{path.relative_to(ROOT)}:{node.lineno} {name}", node, adds


@pytest.mark.parametrize(
    ("where", "node", "adds"),
    [pytest.param(*call, id=call[0]) for call in calls_in_package()],
)
def test_package_calls_scripts_by_their_headers(where, node, adds):
    """Exactly the header's arguments; rest and of only where the script has them."""
    script = catalogue()[where.split()[1]]
    named = [*(keyword.arg for keyword in node.keywords), *adds]
    has_records = any(name in ("atom", "result") for name, _ in script.keys)

    assert None not in named, "** hides what is passed"
    assert set(named) - {"of", "rest", "deadline_s"} == set(script.wanted)
    assert ("of" in named) == has_records
    assert "rest" not in named or script.rest is not None


def test_every_script_is_called():
    """No script is left that nothing uses."""
    called = {where.split()[1] for where, _node, _adds in calls_in_package()}

    assert called == set(catalogue())


@pytest.mark.parametrize("script", every_script(), ids=lambda script: script.name)
def test_every_script_has_a_test_that_names_its_statuses(script):
    """A stranger finds the test of a script by its name, and each status in it."""
    test = ROOT / "tests" / "lua" / f"test_{script.name}.py"
    text = test.read_text(encoding="utf-8")

    # Those mean the same everywhere: test_every_script.py.
    expected = script.statuses - {"GONE", "SCHEMA", "LOCKED", "FENCED", "EXPIRES"}
    assert {s for s in expected if not re.search(rf"\b{s}\b", text)} == set()


def flatten(folder: Path) -> None:
    """Write all scripts as the server sees them."""
    command = [sys.executable, "scripts/flatten_lua.py", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)})


def test_flattened_scripts_are_what_the_server_gets(tmp_path):
    """The lint looks at the very text that runs."""
    flatten(tmp_path / "flat")

    texts = {path.stem: path.read_text() for path in (tmp_path / "flat").iterdir()}
    assert texts == {name: f"{each.source}\n" for name, each in catalogue().items()}


def test_flattened_scripts_pass_luacheck(tmp_path):
    """No unused name, no global, no shadowing, in any script with its includes."""
    program = shutil.which("luacheck")
    if program is None:
        absent("luacheck")
    flatten(tmp_path)

    config = ["--config", "scripts/lua/.luacheckrc", "--no-max-line-length"]
    command = [program, "--quiet", "--no-cache", *config, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_scripts_are_found_in_a_checkout():
    """Beside the package here, inside it in a wheel."""
    package = importlib.util.find_spec("redisflow")
    assert package is not None
    assert package.origin is not None
    assert lua_folder() in (
        ROOT / "scripts" / "lua",
        Path(package.origin).parent / "_lua",
    )
