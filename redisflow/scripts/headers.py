"""The Lua files as `Script` values: headers read, includes spliced, names resolved."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from redisflow.errors import ScriptFailed

_INCLUDE = re.compile(r'^--- @include "([a-z_]+)"\n', re.MULTILINE)
_HEADER = re.compile(r"--\[\[\n(.*?)\n\]\]", re.DOTALL)
_SECTION = re.compile(r"^  (KEYS|ARGV|RETURNS)$")
_ENTRY = re.compile(r"^    (\w+(?:\.\.\.)?) +(\w+(?:\*\d+)?) +\S")
_STATUS = re.compile(r"^    \{'([A-Z]+)'")
_NAME = re.compile(r"\b(?:keys|args)\.\w+")
_CONTINUED = re.compile(r"^(     .*|)$")

#: Longest whole number that an argument may be: as long as Lua's own, and a sign.
_DIGITS = 17

#: Keys that stand for one record; the caller says which by ``of=<atom uuid>``.
RECORD_KEYS = ("atom", "result")

#: Keys that a flow has from its creation on: ``keys.lasting`` in a script stands for
#: those of its own that are among them.
LASTING_KEYS = frozenset(
    {
        *("flow", "atoms", "graph", "missing", "ready", "claims", "workers", "plan"),
        *("changes", "events"),
    }
)

#: Scripts that look at the history themselves.
UNDATED = (
    *("epoch_begin", "flow_create"),
    *("import_begin", "import_finish", "import_save"),
)


@dataclass(frozen=True, slots=True)
class Script:
    """One script as its file describes it.

    Attributes:
        name: the file's name without ``.lua``.
        keys: name and Redis type of each key, in the order of KEYS.
        args: names of the arguments, in the order of ARGV.
        rest: name of the argument that takes all that follow, or None.
        statuses: what the first word of a reply can be.
        guarded: whether it takes the fence of the caller's section.
        sent_at: where in ARGV it takes which sending it is; None if it does not.
        dated: whether it changes a flow, which must not be done in a history of its
            server that nobody has looked at.
        source: the text that the server runs, includes spliced in.
        sha: SHA-1 of the source, in hex.
    """

    name: str
    keys: tuple[tuple[str, str], ...]
    args: tuple[str, ...]
    rest: str | None
    statuses: frozenset[str]
    guarded: bool
    sent_at: int | None
    dated: bool
    source: str
    sha: str

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the arguments that a caller gives."""
        added = {"fence"} if self.guarded else set()
        return tuple(arg for arg in self.args if arg not in added | {"sent"})


def lua_folder() -> Path:
    """Find the Lua files: inside a wheel, or beside the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_lua"
    return inside if inside.is_dir() else package.parent / "scripts" / "lua"


@functools.cache
def catalogue() -> Mapping[str, Script]:
    """Read all scripts, by name.

    Raises:
        ScriptFailed: a file whose header or includes cannot be understood.
    """
    folder = lua_folder()
    return {path.stem: _parse(path) for path in sorted(folder.glob("*.lua"))}


def _parse(path: Path) -> Script:
    text = path.read_text(encoding="utf-8")
    shebang, _, body = text.partition("\n")
    header = _HEADER.search(body)
    if not shebang.startswith("#!lua") or header is None:
        message = f"{path.name}: no #!lua line or no header"
        raise ScriptFailed(message, script=path.stem)
    keys, args, statuses = _read_header(path.stem, header[1])
    records = [name for name, _ in keys if name in RECORD_KEYS]
    if [name for name, _ in keys][len(keys) - len(records) :] != records:
        message = f"{path.name}: atom and result must be the last keys"
        raise ScriptFailed(message, script=path.stem)
    rest, size = None, 1
    if args and args[-1][0].endswith("..."):
        named, kind = args.pop()
        rest, size = named.removesuffix("..."), int(kind.partition("*")[2] or 1)
    body = _splice(path.parent, body, seen=set())
    source = f"{shebang}\n{_resolve(path.stem, body, keys, args, rest, size=size)}"
    return Script(
        name=path.stem,
        keys=tuple(keys),
        args=tuple(name for name, _ in args),
        rest=rest,
        statuses=frozenset(statuses),
        guarded=any(name == "fence" for name, _ in args) and "FENCED" in statuses,
        sent_at=next((n for n, (arg, _) in enumerate(args) if arg == "sent"), None),
        dated="flow" in dict(keys)
        and "no-writes" not in shebang
        and path.stem not in UNDATED,
        source=source,
        # SHA-1 is how the server names scripts; nothing depends on its strength.
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
    )


Entries = list[tuple[str, str]]


def _read_header(name: str, header: str) -> tuple[Entries, Entries, set[str]]:
    """Read the KEYS, the ARGV (name and type each) and the statuses of a script."""
    entries: dict[str, Entries] = {"KEYS": [], "ARGV": []}
    statuses: set[str] = set()
    section = ""
    for line in header.splitlines():
        if found := _SECTION.match(line):
            section = found[1]
        elif not section or _CONTINUED.match(line):
            continue
        elif section == "RETURNS" and (found := _STATUS.match(line)):
            statuses.add(found[1])
        elif section != "RETURNS" and (found := _ENTRY.match(line)):
            entries[section].append((found[1], found[2]))
        else:
            message = f"{name}.lua: the header does not say {line.strip()!r} clearly"
            raise ScriptFailed(message, script=name)
    return entries["KEYS"], entries["ARGV"], statuses


def _resolve(
    name: str, body: str, keys: Entries, args: Entries, rest: str | None, *, size: int
) -> str:
    """Put numbers in the places of names, and checks before everything else.

    Whole numbers are such, and of what follows in records there are whole records: Lua
    would trip over others in the middle, after a write.
    """
    places = {f"keys.{key}": f"KEYS[{n}]" for n, (key, _) in enumerate(keys, 1)}
    lasting = [places[f"keys.{key}"] for key, _ in keys if key in LASTING_KEYS]
    places["keys.lasting"] = ", ".join(lasting)
    for number, (arg, kind) in enumerate(args, 1):
        place = f"ARGV[{number}]"
        places[f"args.{arg}"] = f"tonumber({place})" if kind == "int" else place
    if rest is not None:
        places[f"args.{rest}"] = "rest"
        first = len(args)
        body = (
            f"local rest = {{}}\nfor i = {first + 1}, #ARGV do"
            f" rest[i - {first}] = ARGV[i] end\n{body}"
        )

    checks = "".join(
        f"if not string.find(ARGV[{n}] or '', '^%-?%d+$') or #ARGV[{n}] > {_DIGITS}"
        f" then error({{err = 'ERR {arg} is no whole number'}}) end\n"
        for n, (arg, kind) in enumerate(args, 1)
        if kind == "int"
    )
    if size > 1:
        checks += (
            f"if (#ARGV - {len(args)}) % {size} ~= 0"
            f" then error({{err = 'ERR {rest} has half a record'}}) end\n"
        )
    body = checks + body

    def place_of(match: re.Match[str]) -> str:
        try:
            return places[match[0]]
        except KeyError:
            message = f"{name}.lua: the header has no {match[0]}"
            raise ScriptFailed(message, script=name) from None

    return _NAME.sub(place_of, body)


def _splice(folder: Path, body: str, *, seen: set[str]) -> str:
    """Replace every include by its text, each once, what it needs before it."""

    def text_of(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        text = (folder / "includes" / f"{name}.lua").read_text(encoding="utf-8")
        return _splice(folder, text, seen=seen)

    # The header is for people; the server need not keep it.
    return _INCLUDE.sub(text_of, _HEADER.sub("", body, count=1).lstrip("\n"))
