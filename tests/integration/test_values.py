"""Values on their way through Redis: what stands there, with a hook and without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet
from taskflow import engines, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow import RedisBackend, Storage
from redisflow.codec import Codec, Hook
from redisflow.errors import CorruptKey, ValueRefused
from tests.support.values import Compress

FLOW = "6f1d0a52-0c1e-4a57-9b1c-5b1f0e3a7d10"
SECRET = "a secret that nobody may read"


class Encrypt:
    """A hook that encrypts with the first of its keys."""

    def __init__(self, *keys: bytes) -> None:
        """Take the keys."""
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encode(self, data: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(data)

    def decode(self, data: bytes) -> bytes:
        """Decrypt."""
        return self._fernet.decrypt(data)


OLD, NEW = Fernet.generate_key(), Fernet.generate_key()

Open = Callable[..., Storage]


@pytest.fixture
def storage_with(url: str) -> Iterator[Open]:
    """Open storages of one flow, each with a codec of its own."""
    backends = []

    def make(hook: Hook | None = None, **options: Any) -> Storage:
        backend = RedisBackend.from_url(url, codec=Codec(hook=hook, **options))
        backends.append(backend)
        return Storage(models.FlowDetail("values", FLOW), backend)

    yield make
    for backend in backends:
        backend.close()


class Atom(task.Task):
    """A task with a result."""

    default_provides = "result"

    def execute(self) -> None:
        """Do nothing."""


def fill(storage: Storage) -> None:
    """Put a secret wherever a value can be."""
    storage.ensure_atoms([Atom("done"), Atom("failed")])
    storage.inject({"injected": [SECRET]})
    storage.save("done", {"a": SECRET})
    failure = Failure.from_exception(ValueError(SECRET))
    storage.save("failed", failure, states.FAILURE)
    storage.update_atom_metadata("done", {"note": SECRET})
    storage.update_flow_metadata({"note": SECRET})


def check(storage: Storage) -> None:
    """Find the secret in all those places again."""
    assert storage.fetch("injected") == [SECRET]
    assert storage.get("done") == {"a": SECRET}
    assert storage.get_execute_failures()["failed"].exception_args == (SECRET,)
    assert storage.flow_meta["note"] == SECRET
    assert storage.mirror.atom("done").detail.meta["note"] == SECRET


def dumps(url: str) -> dict[bytes, bytes]:
    """Return the bytes of all keys."""
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        return {key: client.dump(key) for key in client.scan_iter()}


def everything(url: str) -> bytes:
    """Return all that the server holds, names and values, as one text."""
    parts = []
    with redis.Redis.from_url(url.partition("?")[0]) as client:
        for key in client.scan_iter():
            parts.append(key)
            if client.type(key) == b"hash":
                parts += [part for pair in client.hgetall(key).items() for part in pair]
            elif client.type(key) == b"stream":
                parts.append(repr(client.xrange(key)).encode())
    return b"\n".join(parts)


@pytest.mark.parametrize(
    "hook", [None, Compress(), Encrypt(NEW)], ids=["none", "zlib", "fernet"]
)
def test_a_hook_sees_every_value(
    storage_with: Open, url: str, hook: Hook | None
) -> None:
    """With a hook no value stands in the server as it is; names and states do."""
    fill(storage_with(hook))
    check(storage_with(hook))
    found = everything(url)
    assert (SECRET.encode() in found) is (hook is None)
    for readable in (b"injected", b"meta:note", b"FAILURE", b"done", b"values"):
        assert readable in found


def test_who_lacks_the_hook_is_told_which_key(storage_with: Open, url: str) -> None:
    """Without the hook, or with another key, reading fails and changes nothing."""
    storage = storage_with(Encrypt(OLD))
    storage.inject({"x": 1})
    before = dumps(url)
    for hook in (None, Encrypt(NEW), Compress()):
        with pytest.raises(CorruptKey) as caught:
            storage_with(hook).fetch("x")
        assert f"{{{FLOW}}}:result:" in caught.value.key
        assert caught.value.key in str(caught.value)
    assert dumps(url) == before


def test_keys_are_rotated(storage_with: Open) -> None:
    """Old values are read as long as the old key is known, and no longer."""
    storage_with(Encrypt(OLD)).inject({"old": 1})
    storage_with(Encrypt(NEW, OLD)).inject({"new": 2})
    both = storage_with(Encrypt(OLD, NEW))
    assert (both.fetch("old"), both.fetch("new")) == (1, 2)
    with pytest.raises(CorruptKey):
        storage_with(Encrypt(NEW)).fetch("old")


REFUSED = [object(), [{"a": object()}], "x" * 2000, [[[[[1]]]]]]


@pytest.mark.parametrize("value", REFUSED, ids=["type", "path", "size", "depth"])
def test_what_is_refused_moves_nothing(
    storage_with: Open, url: str, value: Any
) -> None:
    """Every way to store a value names it when it is refused, and no key changes."""
    storage = storage_with(max_bytes=1000, max_depth=4)
    storage.ensure_atoms([Atom("a")])
    storage.inject({"fine": 1})
    before = dumps(url)
    for name, store in {
        "bad": lambda: storage.inject({"fine": 2, "bad": value}),
        "a": lambda: storage.save("a", value),
        "note": lambda: storage.update_flow_metadata({"also": 1, "note": value}),
        "mark": lambda: storage.update_atom_metadata("a", {"mark": value}),
    }.items():
        with pytest.raises(ValueRefused, match=f"'{name}': ") as caught:
            store()
        assert caught.value.name == name
    assert dumps(url) == before


def test_a_hook_that_cannot_write_moves_nothing(storage_with: Open, url: str) -> None:
    """What a hook raises on writing is raised as it is, and no key changes."""

    class Broken:
        def encode(self, data: bytes) -> bytes:
            raise OSError("no key service")

        def decode(self, data: bytes) -> bytes:
            return data

    storage_with().inject({"x": 1})
    before = dumps(url)
    with pytest.raises(OSError, match="no key service"):
        storage_with(Broken()).inject({"y": 1})
    assert dumps(url) == before


def test_a_task_whose_result_is_refused_fails_with_its_name(url: str) -> None:
    """In an engine the refusal is the failure of the task that it names."""

    class Bad(task.Task):
        def execute(self) -> Any:
            return [1, object()]

    flow = linear_flow.Flow("bad").add(Bad("culprit"))
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        engine = engines.load(flow, engine="redisflow", backend=backend)
        with pytest.raises(ValueRefused, match=r"'culprit': \$\[1\]"):
            engine.run()
