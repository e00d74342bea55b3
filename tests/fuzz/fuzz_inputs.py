"""Coverage-guided fuzzing of what reads bytes of others: the decoder and the URLs.

``make fuzz SECONDS=60`` installs atheris, which is no dependency of anything else, and
runs this. The first byte of an input says which of the readers gets the rest. Anything
but a value or an error of ours is a find, and so is what takes seconds.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["redisflow.codec", "redisflow.config"]):
    from redisflow.codec import Codec
    from redisflow.config import from_conf, parse_url
    from redisflow.errors import ConfigError, CorruptKey, ValueRefused

CODEC = Codec()


def one_input(data: bytes) -> None:
    """Give an input to one of the readers; raises what is a find."""
    kind, rest = data[:1], data[1:]
    if kind < b"\x60":
        with contextlib.suppress(CorruptKey):
            value = CODEC.decode(rest, key="key")
            with contextlib.suppress(ValueRefused):
                CODEC.encode(value)
    elif kind < b"\xa0":
        with contextlib.suppress(CorruptKey):
            CODEC.encode_failure(CODEC.decode_failure(rest, key="key"))
    else:
        text = rest.decode("utf-8", "surrogateescape")
        read = parse_url if kind < b"\xd0" else _from_conf
        with contextlib.suppress(ConfigError):
            config = read(text)
            shown = f"{config!r} {config.address}"
            password = config.password or ""
            assert len(password) < 12 or f":{password}@" not in shown


def _from_conf(text: str) -> object:
    return from_conf({"connection": text, "hostname": "h", "port": 1})


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
