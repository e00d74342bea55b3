"""The codec that a process's environment names, for those who are given none.

``REDISFLOW_CODEC=module:name`` is a `Codec`, or a function without arguments that makes
one. It is imported like any module of the user's; whoever sets a process's environment
decides what it runs. Nothing in Redis ever names a codec.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Any

from redisflow.codec import Codec
from redisflow.errors import ConfigError

ENVIRONMENT = "REDISFLOW_CODEC"


def codec_of_environment() -> Codec:
    """Return the codec that the environment names, or else the usual one.

    Raises:
        ConfigError: it cannot be imported, or is no codec.
    """
    reference = os.environ.get(ENVIRONMENT)
    return _codec_of(reference) if reference else Codec()


@functools.cache
def _codec_of(reference: str) -> Codec:
    module_name, _, name = reference.partition(":")
    if not name.isidentifier() or not all(
        part.isidentifier() for part in module_name.split(".")
    ):
        raise ConfigError(f"{ENVIRONMENT} {reference!r}: write it as module:name")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m has it: modules of the current folder
    try:
        found: Any = getattr(importlib.import_module(module_name), name)
        made = found if isinstance(found, Codec) else found()
    except Exception as error:
        kind = type(error).__name__
        raise ConfigError(f"{ENVIRONMENT} {reference!r}: {kind}: {error}") from error
    if not isinstance(made, Codec):
        kind = type(made).__name__
        raise ConfigError(f"{ENVIRONMENT} {reference!r} gives a {kind}, not a Codec")
    return made
