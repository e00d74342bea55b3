"""Commands packed in one step, where hiredis is there to do it."""

from __future__ import annotations

from typing import Any

from redis.exceptions import DataError

try:
    import hiredis
except ImportError:
    _HIREDIS = False
else:
    _HIREDIS = True


class HiredisPacker:
    """What redis-py does with hiredis, but for words that are no text, bytes or number.

    redis-py first looks at each word whether it is a buffer to be copied. None is: here
    that is an error, as is any other word that hiredis does not take.
    """

    def pack(self, *words: Any) -> tuple[bytes]:
        """Pack one command; the first word may be several, as in ``CONFIG GET``.

        Raises:
            DataError: a word is neither text nor bytes nor a number.
        """
        first = words[0]
        if " " in first:
            words = (*first.split(), *words[1:])
        try:
            return (hiredis.pack_command(words),)
        except TypeError as error:
            raise DataError(str(error)) from error


def packer() -> HiredisPacker | None:
    """Return what redis-py is to pack with; None: with what it has."""
    return HiredisPacker() if _HIREDIS else None
