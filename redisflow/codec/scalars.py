r"""Values without parts that JSON lacks, there and back.

========================  ==================================================
``{"$int": …}``           decimal text; hexadecimal beyond 2,048 bits, where
                          decimal is slow and limited by the interpreter
``{"$float": …}``         ``"nan"``, ``"inf"``, ``"-inf"``
``{"$complex": …}``       ``[real, imaginary]``
``{"$decimal": …}``       its text
``{"$str": …}``           text with lone surrogates as ``\udc80`` and each
                          backslash doubled
``{"$bytes": …}``         base64; also ``$bytearray``
``{"$datetime": …}``      ISO 8601, then ``[Europe/Berlin]`` for a ZoneInfo
                          and ``[fold=1]``; also ``$time``. A fixed offset that
                          has a name is ``[text, name]``
``{"$date": …}``          ISO 8601
``{"$timedelta": …}``     ``[days, seconds, microseconds]``
``{"$uuid": …}``          its text
========================  ==================================================

Loaders take anything that JSON can hold and raise ``ValueError`` or another
plain exception for what they do not understand.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import re
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

from redisflow.codec.refusal import Refusal, name_of

_DECIMAL_BITS = 2048
_INT = re.compile(r"-?[0-9]+|-?0x[0-9a-f]+")
_ESCAPE = re.compile(r"\\(?:\\|u(d[89a-f][0-9a-f]{2}))|\\")
# The one shape of a key that ZoneInfo gets: no dots, so no way out of its folders.
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_STAMP = re.compile(rf"([^\[\]]+)(?:\[({_ZONE.pattern})\])?(?:\[fold=(1)\])?")


def dump_big_int(value: int) -> object:
    """Return an int that needs more than 64 bits as JSON."""
    exact = value.bit_length() <= _DECIMAL_BITS
    return {"$int": str(value) if exact else hex(value)}


def _load_int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError("not an integer")
    return int(text, 16 if "x" in text else 10)


def dump_float(value: float) -> object:
    """Return a float as JSON, tagged if it is not finite."""
    return value if math.isfinite(value) else {"$float": repr(value)}


def _load_float(text: str) -> float:
    if text not in ("nan", "inf", "-inf"):
        raise ValueError("not one of nan, inf, -inf")
    return float(text)  # a new nan each time: a set may hold several


def is_utf8(value: str) -> bool:
    """Tell whether a text has no lone surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def dump_text(value: str) -> object:
    """Return a str as JSON, tagged if it cannot be UTF-8."""
    if is_utf8(value):
        return value
    escaped = value.replace("\\", "\\\\").encode(errors="backslashreplace")
    return {"$str": escaped.decode()}


def load_text(stored: object) -> str:
    """Return the str that :func:`dump_text` wrote."""
    if type(stored) is str:
        return stored
    if type(stored) is dict and stored.keys() == {"$str"}:
        return _load_surrogates(_text(stored["$str"]))
    raise ValueError(f"a text is needed, not {type(stored).__name__}")


def _load_surrogates(text: str) -> str:
    def unescape(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        if found[0] == "\\":
            raise ValueError("a stray backslash")
        return "\\"

    return _ESCAPE.sub(unescape, text)


def _dump_complex(value: complex) -> object:
    return [dump_float(value.real), dump_float(value.imag)]


def _load_complex(stored: object) -> complex:
    real, imag = _list(stored, 2)
    return complex(_float_part(real), _float_part(imag))


def _load_decimal(text: str) -> decimal.Decimal:
    # A thread's own context may let anything pass as nan.
    return decimal.Decimal(text, decimal.Context(traps=[decimal.InvalidOperation]))


def _float_part(stored: object) -> float:
    if type(stored) is float:
        return stored
    if type(stored) is dict and stored.keys() == {"$float"}:
        return _load_float(stored["$float"])
    raise ValueError(f"a float is needed, not {type(stored).__name__}")


def _dump_stamp(value: datetime.datetime | datetime.time) -> object:
    zone = value.tzinfo
    text = value.isoformat()
    if type(zone) is zoneinfo.ZoneInfo and zone.key and _ZONE.fullmatch(zone.key):
        text += f"[{zone.key}]"
    elif zone is not None and type(zone) is not datetime.timezone:
        raise Refusal(
            f"its time zone is a {name_of(type(zone))}; a datetime.timezone or a "
            "zoneinfo.ZoneInfo with a key can be stored",
            value,
        )
    if value.fold:
        text += "[fold=1]"
    if type(zone) is datetime.timezone:
        name = zone.tzname(None)
        if name != datetime.timezone(zone.utcoffset(None)).tzname(None):
            return [text, dump_text(name)]
    return text


def _load_stamp(
    parse: Callable[[str], Any], stored: object
) -> datetime.datetime | datetime.time:
    name = None
    if type(stored) is list:
        stored, name = _list(stored, 2)
    found = _STAMP.fullmatch(_text(stored))
    if not found:
        raise ValueError("not a time")
    value: datetime.datetime | datetime.time = parse(found[1])
    if name is not None:
        offset = value.utcoffset()
        if offset is None:
            raise ValueError("a named offset without offset")
        value = value.replace(tzinfo=datetime.timezone(offset, load_text(name)))
    if found[2]:
        value = value.replace(tzinfo=_zone(found[2]))
    return value.replace(fold=1) if found[3] else value


def _zone(key: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(key)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"time zone {key:.100} is not known on this host") from error


def _dump_timedelta(value: datetime.timedelta) -> object:
    return [value.days, value.seconds, value.microseconds]


def _load_timedelta(stored: object) -> datetime.timedelta:
    parts = _list(stored, 3)
    if any(type(part) is not int for part in parts):
        raise ValueError("three integers are needed")
    return datetime.timedelta(*parts)


def _dump_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _load_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(stored: object) -> str:
    if type(stored) is not str:
        raise ValueError(f"a text is needed, not {type(stored).__name__}")
    return stored


def _list(stored: object, length: int) -> list[Any]:
    if type(stored) is not list or len(stored) != length:
        raise ValueError(f"a list of {length} is needed")
    return stored


def _of_text(load: Callable[[str], object]) -> Callable[[object], object]:
    return lambda stored: load(_text(stored))


#: Type -> its tag, and what makes the text or list that stands behind the tag.
DUMPERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bytes: ("$bytes", _dump_bytes),
    bytearray: ("$bytearray", _dump_bytes),
    complex: ("$complex", _dump_complex),
    datetime.date: ("$date", datetime.date.isoformat),
    datetime.datetime: ("$datetime", _dump_stamp),
    datetime.time: ("$time", _dump_stamp),
    datetime.timedelta: ("$timedelta", _dump_timedelta),
    decimal.Decimal: ("$decimal", str),
    uuid.UUID: ("$uuid", str),
}

#: Tag -> what turns that text or list into the value again.
LOADERS: dict[str, Callable[[object], object]] = {
    "$bytearray": _of_text(lambda text: bytearray(_load_bytes(text))),
    "$bytes": _of_text(_load_bytes),
    "$complex": _load_complex,
    "$date": _of_text(datetime.date.fromisoformat),
    "$datetime": lambda stored: _load_stamp(datetime.datetime.fromisoformat, stored),
    "$decimal": _of_text(_load_decimal),
    "$float": _of_text(_load_float),
    "$int": _of_text(_load_int),
    "$str": _of_text(_load_surrogates),
    "$time": lambda stored: _load_stamp(datetime.time.fromisoformat, stored),
    "$timedelta": _load_timedelta,
    "$uuid": _of_text(uuid.UUID),
}
