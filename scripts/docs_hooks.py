"""What mkdocs does beside rendering: a page of the Lua headers, links to examples.

The reference of the scripts is made of their own headers when the site is built, so
that it cannot be out of date. Pages link to examples as they lie in the repository
(``../examples/…``); the site carries a copy of each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

_HEADER = re.compile(r"--\[\[\n(.*?)\n\]\]", re.DOTALL)
_EXAMPLE = re.compile(r"\]\(\.\./(examples/[\w.]+)\)")

_INTRODUCTION = """\
# Scripts

Every change is one of these Lua scripts, which the server runs as a whole or not at
all. What a script takes and what it can answer stands in its header; the client reads
it as the script's signature. Times are the server's, in milliseconds.

Scripts are sent by the SHA-1 of their text (`EVALSHA`), and as text where the server
does not have it. They are safe to be sent twice: a repeated request leaves the same
state and is given the same answer. `heed_sent` is what scripts do with `sent`: a
request that a network kept until its process had sent others is refused, and changes
nothing.
"""


def on_files(files: Files, *, config: Any) -> Files:
    """Add the reference of the scripts, and the examples."""
    files.append(File.generated(config, "scripts.md", content=scripts_page()))
    for path in sorted((ROOT / "examples").glob("*.py")):
        files.append(
            File.generated(config, f"examples/{path.name}", abs_src_path=str(path))
        )
    return files


def on_page_markdown(markdown: str, **_others: Any) -> str:
    """Let links to examples lead to their copies."""
    return _EXAMPLE.sub(r"](\1)", markdown)


def scripts_page() -> str:
    """Write the reference of all scripts."""
    paths = sorted((ROOT / "scripts" / "lua").glob("*.lua"))
    return "\n".join([_INTRODUCTION, *map(_section, paths)])


def _section(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    shebang = text.partition("\n")[0]
    found = _HEADER.search(text)
    if found is None:
        raise ValueError(f"{path.name} has no header")
    lines = [line.removeprefix("  ") for line in found[1].splitlines()]
    first = next(n for n, line in enumerate(lines) if line == "KEYS")
    what = " ".join(" ".join(lines[:first]).split())
    flags = re.search(r"flags=(\S+)", shebang)
    said = f"\n\nFlags: `{flags[1]}`." if flags else ""
    signature = "\n".join(lines[first:]).rstrip()
    return f"## {path.stem}\n\n{what}{said}\n\n```text\n{signature}\n```\n"
