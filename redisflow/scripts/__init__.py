"""Lua scripts as typed calls: the header of a script is its signature.

Every change of a flow is one script under ``scripts/lua`` (in a wheel:
``redisflow/_lua``), named ``<noun>_<verb>.lua``. Its header names KEYS, ARGV and
every status that it can return; this module reads the header and builds the
call from it, so a header cannot lie:

* KEYS are attributes of `redisflow.keys.FlowKeys`; ``atom`` and ``result`` are
  the records of the atom that the call is about. The caller names no key.
* ARGV arrive in Lua by name and type as ``args.<name>``; the last one may end in
  ``...`` and then takes the rest of the arguments as a list.
* RETURNS lists the statuses. A reply with another one is a bug and says so.

What a script says is ``keys.<name>`` and ``args.<name>``, in its includes too
(``--- @include "name"``, spliced once each, dependencies first). The loader puts KEYS
and ARGV with their numbers in the places of these names: they cost nothing on the
server, and one that the header does not have is an error before anything has run.

A script is called by its sha, which is its version, so workers of different
releases share a server. All scripts may run twice for one request: the client
sends again after a lost reply, and the script recognises what it has done. What comes
only after it was sent again is not done at all: see `redisflow.scripts.sendings`.

A status that means the same everywhere (``GONE``, ``SCHEMA``, ``FENCED``) is raised
here as its exception; all others go back to the caller as a `Reply`.

A script that takes ``fence`` gets it from the flow's lock, a `Guard`: callers do not
give it. Where it answers ``LOCKED``, it waits its turn in the lock's queue and runs in
a section of its own.
"""

from __future__ import annotations

from redisflow.scripts.calls import FlowScripts, Reply, Scripts
from redisflow.scripts.guard import Guard
from redisflow.scripts.headers import Script, catalogue, lua_folder
from redisflow.scripts.sendings import Argument

__all__ = [
    "Argument",
    "FlowScripts",
    "Guard",
    "Reply",
    "Script",
    "Scripts",
    "catalogue",
    "lua_folder",
]
