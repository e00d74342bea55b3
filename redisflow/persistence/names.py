"""Names, uuids and states that can be stored, told from those that cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable

from taskflow import states

from redisflow.errors import InvalidState, ValueRefused

ATOM_STATES = (
    states.PENDING,
    states.RUNNING,
    states.SUCCESS,
    states.FAILURE,
    states.REVERTING,
    states.REVERTED,
    states.REVERT_FAILURE,
    states.RETRYING,
    states.IGNORE,
)

FLOW_STATES = (
    states.PENDING,
    states.RUNNING,
    states.SUCCESS,
    states.FAILURE,
    states.REVERTED,
    states.SUSPENDING,
    states.SUSPENDED,
    states.RESUMING,
)

INTENTIONS = tuple(states.INTENTIONS)

#: A uuid is part of keys, and of a hash tag; tags that begin with ``lock:`` are taken.
_UUID = re.compile(r"(?!lock:)[^\s{}\x00-\x1f\x7f]+")


def as_name(name: object) -> str:
    """Return a name that can be part of a key or a field.

    Raises:
        ValueRefused: it is no text, or text that no server can give back.
    """
    kind = type(name).__name__
    if not isinstance(name, str):
        message = f"the name {name!r} is not text but {kind}"
        raise ValueRefused(message, path="$", type_name=kind)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        message = f"the name {name!r} has lone surrogates"
        raise ValueRefused(message, path="$", type_name=kind) from error
    return name


def as_uuid(uuid: object) -> str:
    """Return a uuid that can be part of a key; it need not look like one.

    Raises:
        ValueRefused: it is no text, or empty, or has spaces or braces.
    """
    text = as_name(uuid)
    if not _UUID.fullmatch(text):
        message = f"{text!r} cannot be the uuid of anything: it is part of keys"
        raise ValueRefused(message, path="$", type_name="str")
    return text


def as_state(state: str, known: Iterable[str], what: str) -> str:
    """Return a state that exists.

    Raises:
        InvalidState: TaskFlow has no such state.
    """
    if state not in known:
        raise InvalidState(f"{state!r} is not a state of {what}: {', '.join(known)}")
    return state
