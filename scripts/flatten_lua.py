"""Write every script as the server sees it into a folder, for luacheck."""

from __future__ import annotations

import argparse
from pathlib import Path

from redisflow.scripts import catalogue


def main() -> None:
    """Flatten all scripts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for script in catalogue().values():
        path = folder / f"{script.name}.lua"
        path.write_text(script.source + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
