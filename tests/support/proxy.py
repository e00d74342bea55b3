"""A TCP proxy between client and server that spoils chosen requests.

::

    with Proxy(server.port) as proxy:
        proxy.arm("drop_reply", match=b"EVALSHA", times=1)
        ...  # talk to 127.0.0.1:proxy.port
        assert proxy.hits == 1  # a fault test proves its fault

================  ===========================================================
drop_request      the connection is reset before the server sees the request
late_request      the connection is reset, and the server sees the request only
                  at `Proxy.deliver`
held_request      the server sees the request only then; the client goes on waiting
drop_reply        the server does the work; the connection is reset instead of
                  answering
half_reply        half of the answer comes, then the reset
late_reply        the answer comes `Proxy.late_s` after the server gave it
blackhole         no answer comes, and the connection stays open
refuse            no new connection is let through (`Proxy.refuse`)
================  ===========================================================

A request counts when its bytes contain ``match``, in capitals. Everything else
is passed on as it is.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Literal

Mode = Literal[
    "drop_request",
    "late_request",
    "held_request",
    "drop_reply",
    "half_reply",
    "late_reply",
    "blackhole",
]

_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """One proxy in front of one server; `with` closes it.

    Attributes:
        port: where clients connect, on 127.0.0.1.
        hits: how many requests were spoiled.
        refuse: whether new connections are cut at once.
        late_s: how late an answer is that comes late.
    """

    def __init__(self, server_port: int) -> None:
        self._server = ("127.0.0.1", server_port)
        self._lock = threading.Lock()
        self._mode: Mode | None = None
        self._match = b""
        self._left = 0
        self._links: set[_Link] = set()
        self._kept: list[tuple[_Link, bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.hits = 0
        self.refuse = False
        self.late_s = 1.0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A listener that is only closed leaves its thread in accept() for ever.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def arm(self, mode: Mode, *, match: bytes, times: int | None = 1) -> None:
        """Spoil the next requests that contain ``match``; all of them if None."""
        with self._lock:
            self._mode, self._match = mode, match.upper()
            self._left = 1 << 30 if times is None else times

    def disarm(self) -> None:
        """Pass everything on again."""
        with self._lock:
            self._mode, self._left = None, 0

    def cut(self) -> None:
        """Reset all connections."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()

    def deliver(self) -> None:
        """Let the server see what was kept of requests, and wait for its answers."""
        with self._lock:
            kept, self._kept = self._kept, []
        for link, request in kept:
            link.deliver(request)

    def keep(self, link: _Link, request: bytes) -> None:
        """Keep a request until `deliver`."""
        with self._lock:
            self._kept.append((link, request))

    def fate(self, request: bytes) -> Mode | None:
        """Decide what becomes of a request, and count it."""
        with self._lock:
            if (
                self._mode is None
                or not self._left
                or self._match not in request.upper()
            ):
                return None
            self._left -= 1
            self.hits += 1
            return self._mode

    def reply(self, reply: bytes) -> bytes:
        """Give what is passed on of a reply."""
        return reply

    def forget(self, link: _Link) -> None:
        """Drop a connection that has ended."""
        with self._lock:
            self._links.discard(link)

    def _accept(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                _reset(client)
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:
                _reset(client)
                continue
            link = _Link(self, client, server)
            with self._lock:
                self._links.add(link)
            link.start()


class _Link:
    """One connection through the proxy: a thread for each direction."""

    def __init__(
        self, proxy: Proxy, client: socket.socket, server: socket.socket
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._mode: Mode | None = None
        self._answered = threading.Event()
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        """Begin to copy."""
        for target in (self._requests, self._replies):
            threading.Thread(target=target, daemon=True).start()

    def reset(self) -> None:
        """End it, with a reset towards the client."""
        self._proxy.forget(self)
        _reset(self._client)
        _end(self._server)

    def deliver(self, request: bytes) -> None:
        """Send a request on, and wait for the answer."""
        self._answered.clear()
        self._server.sendall(request)
        assert self._answered.wait(10)

    def _requests(self) -> None:
        """Copy from client to server."""
        with contextlib.suppress(OSError):
            while request := self._client.recv(1 << 16):
                mode = self._proxy.fate(request)
                if mode == "drop_request":
                    break
                if mode in ("late_request", "held_request"):
                    self._proxy.keep(self, request)
                    if mode == "held_request":
                        continue
                    _reset(self._client)
                    return
                self._mode = mode or self._mode
                self._server.sendall(request)
        self.reset()

    def _replies(self) -> None:
        """Copy from server to client, as far as the fault lets through."""
        with contextlib.suppress(OSError):
            while reply := self._server.recv(1 << 16):
                self._answered.set()
                if self._mode == "blackhole":
                    continue
                if self._mode == "late_reply":
                    self._mode = None
                    threading.Event().wait(self._proxy.late_s)
                if self._mode == "half_reply":
                    self._client.sendall(reply[: max(1, len(reply) // 2)])
                if self._mode is not None:
                    break
                self._client.sendall(self._proxy.reply(reply))
        self.reset()


def _reset(each: socket.socket) -> None:
    """End a connection with a reset."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    _end(each)


def _end(each: socket.socket) -> None:
    """End a connection, and wake the thread that reads it."""
    # Closing alone does not wake a thread that is in recv().
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
