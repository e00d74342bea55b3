"""Several servers that belong together: with a replica and sentinels, or a cluster."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from tests.support.eventually import eventually
from tests.support.own_server import OwnServer, free_port
from tests.support.proxy import Proxy
from tests.support.servers import absent, executable

_SLOTS = 16384
_SENTINELS = 3

#: What sentinels know their primary by.
SERVICE = "main"

_SENTINEL_CONF = """\
port {port}
bind 127.0.0.1
dir {folder}
logfile sentinel.log
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 3000
"""


class Watched:
    """A primary, a replica that follows it, and three sentinels; `with` ends them all.

    Everybody reaches the primary through a proxy, the replica too: `cut_link`
    makes what the primary sends to its replica disappear.

    Args:
        kind: ``"redis"`` or ``"valkey"``.
        folder: for their data.

    Attributes:
        primary: the first one.
        replica: takes over.
        url: of the service, by its sentinels.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            soon = ("--repl-diskless-sync-delay", "0")
            self.primary = OwnServer(kind, folder / "primary", *soon)
            stack.callback(self.primary.close)
            self._proxy = stack.enter_context(Proxy(self.primary.port))
            follows = ("--replicaof", f"127.0.0.1 {self._proxy.port}")
            self.replica = OwnServer(kind, folder / "replica", *soon, *follows)
            stack.callback(self.replica.close)
            eventually(self._followed, 30)
            ports = [
                stack.enter_context(_sentinel(kind, folder / f"s{n}", self._proxy.port))
                for n in range(_SENTINELS)
            ]
            self._sentinels = [
                redis.Redis(port=port, decode_responses=True) for port in ports
            ]
            for client in self._sentinels:
                stack.callback(client.close)
            eventually(self._agreed, 30)
            hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
            self.url = f"redis+sentinel://{hosts}/{SERVICE}/0?deadline_s=20"
            self._stack = stack.pop_all()

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _followed(self) -> bool:
        return _role(self.replica, "master_link_status") == "up"

    def _agreed(self) -> bool:
        """Whether each sentinel knows the replica and the others."""
        known: list[Any] = [
            client.sentinel_master(SERVICE) for client in self._sentinels
        ]
        return all(
            row["num-slaves"] == 1 and row["num-other-sentinels"] == _SENTINELS - 1
            for row in known
        )

    @property
    def failed_over(self) -> bool:
        """Whether the replica has taken over, and a sentinel tells so."""
        told = self._sentinels[0].execute_command(
            "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
        )
        is_told = int(told[1]) == self.replica.port
        return is_told and _role(self.replica, "role") == "master"

    def demote(self) -> None:
        """Tell the first primary what it has missed: that it is a replica now."""
        self.primary.client.replicaof("127.0.0.1", self.replica.port)

    def cut_link(self) -> None:
        """From now on nothing that the primary sends reaches its replica."""
        hits = self._proxy.hits
        self._proxy.arm("blackhole", match=b"\r\nACK\r\n", times=1)
        eventually(lambda: self._proxy.hits > hits)

    def pause(self) -> None:
        """Stop the first primary as a frozen machine does."""
        self.primary.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let the first primary go on, as if nothing had been."""
        self.primary.process.send_signal(signal.SIGCONT)


def _role(server: OwnServer, field: str) -> str:
    with contextlib.suppress(redis.RedisError):
        return str(server.client.info("replication").get(field))
    return ""


@contextlib.contextmanager
def _sentinel(kind: str, folder: Path, primary: int) -> Any:
    """Start a sentinel; gives its port."""
    program = executable(kind) or absent(f"{kind}-server")
    folder.mkdir()
    port = free_port()
    text = _SENTINEL_CONF.format(
        port=port, folder=folder, service=SERVICE, primary=primary
    )
    (folder / "sentinel.conf").write_text(text, encoding="utf-8")
    process = subprocess.Popen([program, "sentinel.conf", "--sentinel"], cwd=folder)
    try:
        with contextlib.closing(redis.Redis(port=port)) as client:
            eventually(lambda: _answers(client), 30)
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


class Cluster:
    """Three servers that share the slots; `with` ends them.

    Args:
        kind: ``"redis"`` or ``"valkey"``.
        folder: for their data.
        options: of the servers' command line, name and value in turn.

    Attributes:
        nodes: the servers.
        hosts: where they listen, as URLs name them.
    """

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        joins = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes: list[OwnServer] = []
        with contextlib.ExitStack() as stack:
            for number in range(3):
                node = OwnServer(kind, folder / str(number), *joins, *options)
                stack.callback(node.close)
                self.nodes.append(node)
            self._ids = {
                node.port: node.client.execute_command("CLUSTER", "MYID")
                for node in self.nodes
            }
            for number, node in enumerate(self.nodes):
                first, last = number * _SLOTS // 3, (number + 1) * _SLOTS // 3 - 1
                say: Any = node.client.execute_command
                say("CLUSTER", "ADDSLOTSRANGE", first, last)
                say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                say("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
            for node in self.nodes:
                eventually(lambda node=node: is_up(node), 30)  # type: ignore[misc]
            self._stack = stack.pop_all()
        self.hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def slot_of(self, key: str) -> int:
        """Number the slot of a key."""
        say: Any = self.nodes[0].client.execute_command
        return int(say("CLUSTER", "KEYSLOT", key))

    def owner(self, slot: int) -> OwnServer:
        """Find the server that serves a slot."""
        rows = self.nodes[0].client.execute_command("CLUSTER", "SLOTS")
        ports = [row[2][1] for row in rows if row[0] <= slot <= row[1]]
        return next(node for node in self.nodes if node.port in ports)

    def migrate(self, slot: int) -> OwnServer:
        """Move a slot to another server, key by key, as an operator does."""
        source = self.owner(slot)
        target = next(node for node in self.nodes if node is not source)

        def setslot(node: OwnServer, *words: object) -> None:
            node.client.execute_command("CLUSTER", "SETSLOT", slot, *words)

        setslot(target, "IMPORTING", self._ids[source.port])
        setslot(source, "MIGRATING", self._ids[target.port])
        while keys := self.keys_in(source, slot):
            for key in keys:
                source.client.execute_command(
                    *("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", key)
                )
        for node in (target, source, *self.nodes):
            setslot(node, "NODE", self._ids[target.port])
        return target

    @staticmethod
    def keys_in(node: OwnServer, slot: int) -> Iterable[str]:
        """Name keys of a slot that a server has, 100 at most."""
        found: list[str] = node.client.execute_command(
            "CLUSTER", "GETKEYSINSLOT", slot, 100
        )
        return found


def is_up(server: OwnServer) -> bool:
    """Tell whether a server of a cluster knows who serves each slot."""
    with contextlib.suppress(redis.RedisError):  # it may be loading
        return "cluster_state:ok" in server.client.execute_command("CLUSTER", "INFO")
    return False
