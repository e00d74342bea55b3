"""Values that are shown to people, without those whose names say that they are secret.

A name is secret if one of its words is: ``db_password``, ``apiKey``, ``AUTH-TOKEN``;
not ``keyboard`` or ``monkey``. Further names are given as patterns with ``*`` and
``?``. Names are those of results and of values in the store, keys of dicts and fields
of dataclasses at any depth. What stands under one is replaced whole.
"""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

#: What is shown in place of a value.
MASKED = "***"

_SECRET = frozenset(
    {
        *("apikey", "auth", "authorization", "cookie", "credential", "credentials"),
        *("key", "keys", "passphrase", "passwd", "password", "passwords", "pin", "pw"),
        *("pwd", "secret", "secrets", "signature", "token", "tokens"),
    }
)
#: Where the words of a name end: at what is no letter, and before a capital.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ENDS = ("password", "passwd", "secret", "token", "apikey", "passphrase")


class Mask:
    """Replaces what is secret in values.

    >>> Mask(["card*"]).of({"user": "me", "db_password": "x", "cards": [1]})
    {'user': 'me', 'db_password': '***', 'cards': '***'}

    Args:
        patterns: further names, in any case.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def hides(self, name: object) -> bool:
        """Tell whether the value of a name is not to be shown."""
        if not isinstance(name, str):
            return False
        lower = name.lower()
        if any(fnmatch.fnmatchcase(lower, each) for each in self._patterns):
            return True
        words = [word.lower() for word in _WORDS.findall(name)]
        return not _SECRET.isdisjoint(words) or bool(
            words and words[-1].endswith(_ENDS)
        )

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return named values without what is secret."""
        return {
            name: MASKED if self.hides(name) else self.of(value)
            for name, value in values.items()
        }

    def of(self, value: Any) -> Any:
        """Return a value without what is secret in it; it stays as it is itself."""
        kind = type(value)
        if kind is dict:
            return {
                key: MASKED if self.hides(key) else self.of(part)
                for key, part in value.items()
            }
        if kind in (list, tuple):
            return kind(self.of(part) for part in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._fields(value)
        return value

    def _fields(self, value: Any) -> Any:
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            shown = MASKED if self.hides(field.name) else self.of(part)
            if shown is not part:
                object.__setattr__(made, field.name, shown)
        return made
