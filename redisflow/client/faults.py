"""What an error of redis-py means for the call that met it.

A `Fault` answers three questions: which exception the caller gets, whether
another attempt may do better, and whether the change may have been made. It is
told by the code that the server's reply begins with, not by redis-py's classes:
from inside scripts many errors have no class of their own.

==================================================  ===========  ==========
what came back                                      again?       becomes
==================================================  ===========  ==========
connection refused, reset, timed out                yes          Unavailable
LOADING READONLY TRYAGAIN CLUSTERDOWN MASTERDOWN
BUSY, no primary, slots not covered                 yes          Unavailable
a change that too few replicas have confirmed       yes          Unavailable
MISCONF NOREPLICAS, too many clients                yes          Refused
wrong password, NOPERM and ACL texts of scripts,
OOM, DENIED, MOVED without a cluster                no           Refused
certificate or host name not good; not RESP         no [1]_      Unavailable
any other error reply                               no           ServerError
==================================================  ===========  ==========

.. [1] a host name without an address: only until the server was reached once

Scripts of ours check everything before they write, so an error reply says that
nothing was changed. A lost connection says nothing, except where redis-py's
message tells that it was never made.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import redis
from redis.exceptions import (
    AskError,
    AuthorizationError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    RedisClusterException,
    TryAgainError,
)
from redis.sentinel import MasterNotFoundError

from redisflow.client.replication import NotReplicated
from redisflow.errors import Outcome, Refused, StoreError, Unavailable

#: All that redis-py raises; a cluster's own errors stand apart from its others.
REDIS_ERRORS = (redis.RedisError, RedisClusterException)

#: Codes that redis-py takes off the text, since a class stands for them. The
#: subclasses come before their bases.
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (OutOfMemoryError, "OOM"),
    (NoPermissionError, "NOPERM"),
    (redis.ReadOnlyError, "READONLY"),
    (TryAgainError, "TRYAGAIN"),
    (MasterDownError, "MASTERDOWN"),
    (ClusterDownError, "CLUSTERDOWN"),
    (AskError, "MOVED"),
    # "TTL exhausted.": a slot that is being moved, for longer than redis-py waits.
    (ClusterError, "TRYAGAIN"),
)
_NOT_READY = frozenset(
    {"BUSY", "CLUSTERDOWN", "LATE", "LOADING", "MASTERDOWN", "READONLY", "TRYAGAIN"}
)
_NOT_NOW = frozenset({"MISCONF", "NOREPLICAS"})
_NEVER = frozenset({"DENIED", "MOVED", "NOPERM", "OOM"})

#: How Redis and Valkey say NOPERM about a command inside a script.
_SCRIPT_ACL = re.compile(r"The user executing the script can't|ACL failure in script")

_NO_TLS = (
    "without TLS it is redis://; where the server asks for a client's certificate,"
    " give it ssl_certfile and ssl_keyfile"
)

_CODE = re.compile(r"([A-Z]{3,})(?: |$)")
_NOT_CONNECTED = re.compile(r"Error -?\d+ connecting to|Timeout connecting to")


class ServerError(StoreError):
    """An error reply that only the caller can explain.

    Attributes:
        code: its first word, such as ``WRONGTYPE``; ``ERR`` where there is none.
        text: all of it, code included.
    """

    def __init__(self, message: str, *, text: str, outcome: Outcome) -> None:
        super().__init__(message, outcome=outcome)
        found = _CODE.match(text)
        self.code = found[1] if found else "ERR"
        self.text = text


class NoSentinel(redis.ConnectionError):
    """No sentinel answers.

    Attributes:
        failures: what each of them met.
    """

    def __init__(self, failures: Sequence[Exception]) -> None:
        super().__init__("no sentinel answers")
        self.failures = failures


@dataclass(frozen=True, slots=True)
class Fault:
    """What one failed attempt means.

    Attributes:
        kind: the exception that the caller gets in the end.
        reason: the cause, in a line.
        outcome: what became of the change in this attempt.
        passing: whether another attempt may do better.
        network: whether the connection failed, and not the server.
    """

    kind: type[Unavailable | Refused | ServerError]
    reason: str
    outcome: Outcome
    passing: bool = False
    network: bool = False

    def error(self, address: str, outcome: Outcome, waited_s: float) -> StoreError:
        """Make the exception for the caller."""
        doubt = "; what was sent may have been done" if outcome == "unknown" else ""
        if self.kind is ServerError:
            message = f"{address} answered: {self.reason}{doubt}"
            return ServerError(message, text=self.reason, outcome=outcome)
        if self.kind is Refused:
            return Refused(f"{address} refused: {self.reason}{doubt}", outcome=outcome)
        after = f" within {waited_s:.3g} s" if self.passing else ""
        message = f"{address} cannot be used{after}: {self.reason}{doubt}"
        return Unavailable(message, outcome=outcome)


def judge(error: Exception, *, sent: bool, seen: bool) -> Fault:
    """Tell what an error means.

    Args:
        error: one of `REDIS_ERRORS`.
        sent: False if the call itself had not been sent.
        seen: whether this server has answered before.
    """
    doubt: Outcome = "unknown" if sent else "not applied"
    match error:
        case redis.AuthenticationError() | AuthorizationError():
            return refused(str(error))
        case NoSentinel() | MasterNotFoundError():
            return _no_primary(error, seen=seen)
        case redis.ConnectionError() | redis.TimeoutError():
            return _no_connection(error, doubt, seen=seen)
        case redis.InvalidResponse():
            reason = f"not a Redis server, or one that expects TLS ({error})"
            return hopeless(reason, doubt)
        case RedisClusterException():
            return _no_cluster(error, doubt, seen=seen)
        case _:
            return _reply(error, sent=sent)


def _passing(
    reason: str, outcome: Outcome = "not applied", *, network: bool = False
) -> Fault:
    return Fault(Unavailable, reason, outcome, passing=True, network=network)


def hopeless(reason: str, outcome: Outcome = "not applied") -> Fault:
    """Describe a server that no further attempt will reach."""
    return Fault(Unavailable, reason, outcome)


def refused(reason: str, *, passing: bool = False) -> Fault:
    """Describe a server that said no."""
    return Fault(Refused, reason, "not applied", passing=passing)


def _reply(error: Exception, *, sent: bool) -> Fault:
    if isinstance(error, NotReplicated):
        return _passing(str(error), "unknown")
    text = reply_text(error)
    found = _CODE.match(text)
    code = found[1] if found else "ERR"
    if code in _NOT_READY:
        return _passing(text)
    if code in _NOT_NOW:
        return refused(text, passing=True)
    if code == "MOVED":
        text = f"it is part of a cluster, use redis+cluster:// ({text})"
    # Whatever goes wrong before our own command is sent is about the connection.
    if code in _NEVER or _SCRIPT_ACL.search(text) or not sent:
        return refused(text)
    return Fault(ServerError, text, "not applied")


def reply_text(error: BaseException) -> str:
    """Give the server's text back the code that redis-py took off."""
    text = str(error)
    for cls, code in _CODES:
        if isinstance(error, cls):
            return text if text.startswith(code) else f"{code} {text}"
    return text


def _no_connection(error: Exception, doubt: Outcome, *, seen: bool) -> Fault:
    text = str(error)
    if "max number of clients" in text:
        return refused(text, passing=True)
    if isinstance(error, MaxConnectionsError | redis.BusyLoadingError):
        return _passing(text)
    causes = list(_causes(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return hopeless(text)
    # A server without TLS waits for the rest of what it takes for a command.
    if not seen and any("_ssl.c" in str(each) for each in causes):
        return hopeless(f"{text} ({_NO_TLS})")
    # A name without an address is a typing error, or a server on its way back.
    unknown_name = any(isinstance(each, socket.gaierror) for each in causes)
    outcome: Outcome = "not applied" if _NOT_CONNECTED.match(text) else doubt
    passing = seen or not unknown_name
    return Fault(Unavailable, text, outcome, passing=passing, network=True)


def _no_primary(error: Exception, *, seen: bool) -> Fault:
    if not isinstance(error, NoSentinel):
        reason = "no sentinel knows a primary of that name that is up"
        return _passing(reason, network=True)
    if not seen and any(
        isinstance(each, redis.AuthenticationError) for each in error.failures
    ):
        return refused(
            "the sentinels' password (sentinel_password) is wrong or missing"
        )
    faults = [_no_connection(each, "not applied", seen=seen) for each in error.failures]
    # What waiting does not mend comes first.
    found = next((fault for fault in faults if not fault.passing), faults[-1])
    return replace(found, reason=f"no sentinel answers: {found.reason}")


def _no_cluster(error: Exception, doubt: Outcome, *, seen: bool) -> Fault:
    causes = list(_causes(error))
    for each in causes:
        if isinstance(each, redis.AuthenticationError | NoPermissionError):
            return refused(reply_text(each))
    if any("Cluster mode is not enabled" in str(each) for each in causes):
        return refused("it is not a cluster: redis:// is for a single server")
    if not re.search(r"connected|covered|could not agree", str(error)):
        return Fault(ServerError, str(error), "not applied")
    network = [each for each in causes if isinstance(each, redis.ConnectionError)]
    return _passing(str(network[-1] if network and not seen else error), doubt)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
