"""Logging: what a record is about, as fields, and records as JSON.

A record that was made while an atom runs, by redisflow or by the atom's own code, has
the attributes of `FIELDS`; one about a flow has those that are known. Elsewhere they
are empty, so that a format may name them always.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from redisflow.codec import dumps_plain
from redisflow.engine import current
from redisflow.errors import ConfigError

#: run id, flow uuid, atom name, worker id; how many workers the atom has cost before.
FIELDS = ("run", "flow", "atom", "worker", "attempt")

_LEVELS = ("debug", "info", "warning", "error", "critical")


class Fields(logging.Filter):
    """Adds the fields to each record; to be added to a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them; those that the record has stay as they are."""
        about = current()
        known: dict[str, Any] = {}
        if about is not None:
            known = {
                "run": about.run_id,
                "flow": about.flow_uuid,
                "atom": about.atom,
                "worker": about.worker,
                "attempt": about.attempt,
            }
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, known.get(name, ""))
        return True


class TextFormatter(logging.Formatter):
    """Writes a line, with the fields that are known at its end."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's
        """Write the line without a traceback."""
        line = super().formatMessage(record)
        known = _known(record)
        if not known:
            return line
        words = " ".join(f"{name}={value}" for name, value in known.items())
        return f"{line} [{words}]"


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: time, level, logger, message, and the fields."""

    default_msec_format = "%s.%03d"

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        entry: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _plain(record.getMessage()),
            **_known(record),
        }
        if record.exc_info:
            entry["exception"] = _plain(self.formatException(record.exc_info))
        return dumps_plain(entry).decode()


def _known(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: getattr(record, name, "") for name in FIELDS}
    return {
        name: value if isinstance(value, int) else _plain(str(value))
        for name, value in found.items()
        if value != ""
    }


def _plain(text: str) -> str:
    """Write out what UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def configure(*, form: str = "text", level: str = "warning") -> None:
    """Have all records of this process written to standard error.

    Args:
        form: text or json.
        level: debug, info, warning, error or critical.

    Raises:
        ConfigError: one is none of these.
    """
    formatters = {"text": TextFormatter, "json": JsonFormatter}
    if form not in formatters:
        raise ConfigError(f"the log's format is text or json, not {form!r}")
    if level.lower() not in _LEVELS:
        raise ConfigError(f"the log's level is one of {', '.join(_LEVELS)}: {level!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatters[form]())
    handler.addFilter(Fields())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
