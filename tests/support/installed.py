"""TaskFlow's plug-ins of this checkout, also where it is on the path but not installed.

TaskFlow finds backends and engines by the entry points of installed distributions.
`make test` installs this folder; where only ``PYTHONPATH`` names it, what the
installation would say is taken from pyproject.toml.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def announce_plugins() -> None:
    """Let TaskFlow find this checkout's plug-ins, unless it is installed."""
    try:
        importlib.metadata.distribution("redisflow")
    except importlib.metadata.PackageNotFoundError:
        folder = tempfile.mkdtemp(prefix="redisflow-plugins-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _describe(Path(folder))
        sys.path.append(folder)


def _describe(folder: Path) -> None:
    """Write what the installation would have written, as far as plug-ins go."""
    project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
