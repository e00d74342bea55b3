"""Runs and logbooks that go from one place to another.

`export_run` writes all of a run into a file, as lines of JSON, and `import_run` makes
the same run of it, anywhere: values go as the bytes that they are, so that nobody needs
the key of an encrypted one. `migrate` copies logbooks between any two persistence
backends of TaskFlow, by their public interface.
"""

from __future__ import annotations

from redisflow.moving.checking import Checked, check_export
from redisflow.moving.exporting import Exported, export_run
from redisflow.moving.importing import Imported, import_run

__all__ = [
    "Checked",
    "Exported",
    "Imported",
    "check_export",
    "export_run",
    "import_run",
]
