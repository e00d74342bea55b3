"""Plain commands whose errors name the key that is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redisflow.client import Client, ServerError
from redisflow.errors import CorruptKey
from redisflow.scripts import Argument

#: The type of key for the first letter of a command.
_TYPES = {"H": "hash", "Z": "zset", "X": "stream"}

Command = tuple[Argument, ...]


def run(client: Client, *command: Argument) -> Any:
    """Run one command.

    Raises:
        CorruptKey: its key is of another type.
        StoreError: the server did not do it.
    """
    return run_many(client, [command])[0]


def run_many(client: Client, commands: Sequence[Command]) -> list[Any]:
    """Run commands in one round trip; returns their replies in order.

    Raises:
        CorruptKey: a key is of another type.
        StoreError: the server did not do it.
    """
    try:
        return client.execute_many(commands)
    except ServerError as error:
        if error.code == "WRONGTYPE":
            wanted = {
                str(command[1]): _TYPES[str(command[0])[0]]
                for command in commands
                if str(command[0])[0] in _TYPES
            }
            check_types(client, wanted)
        raise


def run_each(client: Client, commands: Sequence[Command]) -> list[Any]:
    """Run commands of which some may be about damaged keys.

    Returns:
        Their replies in order; for a key of another type, the `CorruptKey`.

    Raises:
        StoreError: the server did not do it.
    """
    try:
        return run_many(client, commands)
    except CorruptKey:
        return [_run_alone(client, command) for command in commands]


def _run_alone(client: Client, command: Command) -> Any:
    try:
        return run(client, *command)
    except CorruptKey as error:
        return error


def check_types(client: Client, wanted: Mapping[str, str]) -> None:
    """Look whether keys, if they exist, are of the types that they should be.

    Raises:
        CorruptKey: one of them is not.
    """
    found = client.execute_many([("TYPE", key) for key in wanted])
    for (key, expected), kind in zip(wanted.items(), found, strict=True):
        if kind.decode() not in (expected, "none"):
            message = f"key {key} holds a {kind.decode()}, not a {expected}"
            raise CorruptKey(message, key=key)
