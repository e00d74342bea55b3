"""The client against real servers, through a proxy where something has to fail."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from time import monotonic

import pytest
import redis

from redisflow.client import Client, ServerError
from redisflow.client.access import COMMANDS
from redisflow.config import parse_url
from redisflow.errors import ConfigError, Refused, Unavailable
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

COUNT = "#!lua\nreturn {'COUNT', redis.call('INCR', KEYS[1])}"


def _sha(source: str) -> str:
    """Name a script as the server does."""
    return hashlib.sha1(source.encode()).hexdigest()


def _run(client: Client, source: str, *keys: str, args=(), **options):
    """Run a script given by its source."""
    return client.run_script(_sha(source), source, keys, args, **options)


@pytest.fixture
def key(namespace):
    """Name a key of this test."""
    return f"{namespace}:{{f}}:key"


@pytest.fixture
def client(url):
    """Open a client on the test's server."""
    with Client(parse_url(url)) as client:
        yield client


@pytest.fixture
def proxy(server):
    """Put a proxy in front of the test's server."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy, namespace):
    """Open a client through the proxy; its calls are repeated for a second."""
    url = f"redis://127.0.0.1:{proxy.port}/0"
    with Client(parse_url(url, namespace=namespace, deadline_s=1)) as client:
        client.execute("PING")
        yield client


@contextlib.contextmanager
def _setting(admin, **values):
    """Change settings of the server for a while."""
    names = {name.replace("_", "-"): value for name, value in values.items()}
    before = {name: admin.config_get(name)[name] for name in names}
    for name, value in names.items():
        admin.config_set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            admin.config_set(name, value)


@pytest.fixture
def user(admin, namespace):
    """Make a user that may do a few things only, for the time of the test."""
    commands = [f"+{name.lower()}" for name in COMMANDS]
    rule = ("on", ">pw", f"~{namespace}:*", "-@all", *commands)
    admin.execute_command("ACL", "SETUSER", "rf-test", *rule)
    yield "rf-test"
    admin.execute_command("ACL", "DELUSER", "rf-test")


def test_making_a_client_does_no_io():
    """Making, naming and closing a client of a server that is not there is free."""
    with Client(parse_url("redis://:hush@127.0.0.1:1")) as client:
        assert "hush" not in repr(client)


def test_scripts_run_by_sha_and_by_source(client, admin, key):
    """A script that the server does not know, or has forgotten, runs all the same."""
    assert _run(client, COUNT, key) == [b"COUNT", 1]
    assert _run(client, COUNT, key) == [b"COUNT", 2]
    admin.script_flush()
    assert _run(client, COUNT, key) == [b"COUNT", 3]


def test_a_storm_of_script_flush_is_not_seen(client, server, key):
    """While another client flushes scripts all the time, every call runs once."""
    stop = threading.Event()
    flushes = []

    def flush() -> None:
        with server.connect() as other:
            while not stop.is_set():
                other.script_flush()
                flushes.append(1)

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        eventually(lambda: flushes)
        counts = [_run(client, COUNT, key)[1] for _ in range(500)]
    finally:
        stop.set()
        thread.join()
    assert counts == list(range(1, 501))


@pytest.mark.parametrize("fault", ["drop_reply", "half_reply"])
def test_a_lost_reply_is_sent_again_once(proxied, proxy, admin, key, fault):
    """After a lost reply the script is sent once more, and by us alone."""
    _run(proxied, COUNT, key)
    proxy.arm(fault, match=b"EVALSHA", times=1)
    assert _run(proxied, COUNT, key) == [b"COUNT", 3]
    assert proxy.hits == 1
    assert admin.get(key) == "3"


def test_a_lost_request_runs_once(proxied, proxy, admin, key):
    """A request that never arrived is sent again and runs once."""
    _run(proxied, COUNT, key)
    proxy.arm("drop_request", match=b"EVALSHA", times=1)
    assert _run(proxied, COUNT, key) == [b"COUNT", 2]
    assert proxy.hits == 1


def test_no_reply_until_the_deadline_is_unknown(proxied, proxy, admin, key):
    """With every reply lost the call ends at its deadline and says "unknown"."""
    _run(proxied, COUNT, key)
    proxy.arm("drop_reply", match=b"EVALSHA", times=None)
    started = monotonic()
    with pytest.raises(Unavailable, match="may have been done") as caught:
        _run(proxied, COUNT, key, deadline_s=0.6)
    assert 0.5 < monotonic() - started < 2
    assert caught.value.outcome == "unknown"
    # Each attempt that the proxy saw is one run: nobody else sent anything.
    assert int(admin.get(key)) == 1 + proxy.hits
    assert 3 <= proxy.hits <= 25


def test_doubt_stays_in_later_attempts(proxied, proxy, key):
    """A lost reply makes the outcome unknown whatever the later attempts meet."""
    _run(proxied, COUNT, key)
    proxy.arm("drop_reply", match=b"EVALSHA", times=1)
    proxy.refuse = True
    with pytest.raises(Unavailable) as caught:
        _run(proxied, COUNT, key, deadline_s=0.3)
    assert caught.value.outcome == "unknown"


def test_a_silent_server_ends_by_timeout(proxy, namespace, key):
    """A server that takes a request and stays silent costs one socket timeout."""
    url = f"redis://127.0.0.1:{proxy.port}?socket_timeout=0.3&deadline_s=0.2"
    with Client(parse_url(url, namespace=namespace)) as client:
        client.execute("PING")
        proxy.arm("blackhole", match=b"EVALSHA", times=None)
        with pytest.raises(Unavailable, match="Timeout") as caught:
            _run(client, COUNT, key)
    assert caught.value.outcome == "unknown"
    assert proxy.hits


def test_a_cut_idle_connection_is_not_noticed(proxied, proxy, key):
    """Connections that were cut while idle are replaced without an error."""
    for count in range(1, 4):
        assert _run(proxied, COUNT, key) == [b"COUNT", count]
        proxy.cut()


def test_a_refused_connection_names_the_server_at_the_deadline():
    """Where nothing listens the error names host and port, at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = monotonic()
    with (
        Client(parse_url(f"redis://127.0.0.1:{port}?deadline_s=0.4")) as client,
        pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as caught,
    ):
        client.execute("PING")
    assert 0.3 < monotonic() - started < 2
    assert caught.value.outcome == "not applied"


def test_a_host_name_that_does_not_exist_fails_at_once():
    """A name without an address is not waited for on the first contact."""
    started = monotonic()
    with (
        Client(parse_url("redis://no-such-host.invalid")) as client,
        pytest.raises(Unavailable, match=r"no-such-host\.invalid:6379"),
    ):
        client.execute("PING")
    assert monotonic() - started < 5


def test_a_wrong_password_is_refused_at_once(server, user):
    """A wrong password is refused without retries, and is in no message."""
    url = f"redis://{user}:hush-hush@127.0.0.1:{server.port}"
    started = monotonic()
    with (
        Client(parse_url(url)) as client,
        pytest.raises(Refused, match=f"127.0.0.1:{server.port}") as caught,
    ):
        client.execute("PING")
    assert monotonic() - started < 2
    error: BaseException | None = caught.value
    while error is not None:
        assert "hush-hush" not in str(error)
        error = error.__cause__ or error.__context__


def test_a_limited_user_is_told_what_it_may_not_do(server, user, namespace, key):
    """Without INFO and CLIENT a user works; what it may not run is refused."""
    url = f"redis://{user}:pw@127.0.0.1:{server.port}"
    write = "#!lua\nreturn {redis.call('SET', KEYS[1], 'x')}"
    denied = "#!lua\nreturn {redis.call('INCR', KEYS[1])}"
    with Client(parse_url(url, namespace=namespace)) as client:
        assert _run(client, write, key) == [b"OK"]
        assert client.server_info() is None
        for call in (
            lambda: client.execute("INCR", key),
            lambda: _run(client, denied, key),
            lambda: _run(client, write, "elsewhere"),
        ):
            with pytest.raises(Refused) as caught:
                call()
            assert caught.value.outcome == "not applied"


def _listener(reply: bytes):
    """Serve, on a port that is no Redis, one answer to whatever comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                each, _ = listener.accept()
                with each:
                    each.recv(1 << 12)
                    each.sendall(reply)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x46"]
)
def test_a_port_of_another_protocol_fails_at_once(reply):
    """A web server's port, or a TLS alert, gives one clear line, at once."""
    started = monotonic()
    with _listener(reply) as listener:
        port = listener.getsockname()[1]
        with (
            Client(parse_url(f"redis://127.0.0.1:{port}")) as client,
            pytest.raises(Unavailable, match=f"127.0.0.1:{port} .* not a Redis server"),
        ):
            client.execute("PING")
        listener.shutdown(socket.SHUT_RDWR)
    assert monotonic() - started < 5


def test_tls_to_a_plain_port_is_told(server):
    """A TLS client on a plain port ends after one timeout, with a hint."""
    url = f"rediss://127.0.0.1:{server.port}?socket_timeout=0.3"
    with (
        Client(parse_url(url)) as client,
        pytest.raises(Unavailable, match="without TLS it is redis://"),
    ):
        client.execute("PING")


@pytest.mark.parametrize(
    "query",
    ["foo=1", "decode_responses=1", "socket_timeout=x", "max_connections=1"],
)
def test_options_that_cannot_be_used_are_named(query):
    """One that redis-py lacks, that is ours, or that leaves none to wait with."""
    with pytest.raises(ConfigError, match=query.split("=")[0]):
        Client(parse_url(f"redis://a?{query}"))


def test_an_evicting_server_is_refused_unless_allowed(admin, url, caplog):
    """A server that may throw keys away is refused, or accepted with a warning."""
    with _setting(admin, maxmemory_policy="volatile-lru"):
        with (
            Client(parse_url(url)) as client,
            pytest.raises(Refused, match="maxmemory-policy volatile-lru"),
        ):
            client.execute("PING")
        with Client(parse_url(url, allow_eviction=True)) as client:
            assert client.execute("PING")
        assert "volatile-lru" in caplog.text


def test_a_full_server_refuses_at_once(client, admin, key):
    """At maxmemory a write is refused, not repeated, and says it was not applied."""
    client.execute("PING")
    started = monotonic()
    with (
        _setting(admin, maxmemory="1mb"),
        pytest.raises(Refused, match="OOM") as caught,
    ):
        _run(client, COUNT, key)
    assert caught.value.outcome == "not applied"
    assert monotonic() - started < 2


def test_a_replica_is_waited_for(client, admin, server, key):
    """READONLY is repeated: the call succeeds once the server is a primary again."""
    client.execute("PING")
    admin.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(Unavailable, match="READONLY") as caught:
            _run(client, COUNT, key, deadline_s=0.2)
        timer = threading.Timer(0.2, lambda: admin.replicaof("NO", "ONE"))
        timer.start()
        assert _run(client, COUNT, key) == [b"COUNT", 1]
        timer.join()
    finally:
        admin.replicaof("NO", "ONE")
    assert caught.value.outcome == "not applied"


def test_too_few_replicas_is_refused_at_the_deadline(client, admin, key):
    """NOREPLICAS is repeated until the deadline and is then a refusal."""
    client.execute("PING")
    with (
        _setting(admin, min_replicas_to_write="1"),
        pytest.raises(Refused, match="NOREPLICAS"),
    ):
        _run(client, COUNT, key, deadline_s=0.2)


def test_a_busy_server_is_waited_for(client, server, admin, key):
    """BUSY is repeated until the other script has ended."""
    client.execute("PING")
    spin = "while true do end"
    with _setting(admin, busy_reply_threshold="50"):

        def occupy() -> None:
            with contextlib.suppress(redis.ResponseError), server.connect() as other:
                other.eval(spin, 0)

        thread = threading.Thread(target=occupy)
        thread.start()

        def busy() -> bool:
            try:
                admin.ping()
            except redis.ResponseError as error:
                return "BUSY" in str(error)
            return False

        eventually(busy)
        with pytest.raises(Unavailable, match="BUSY"):
            _run(client, COUNT, key, deadline_s=0.2)
        timer = threading.Timer(0.2, admin.script_kill)
        timer.start()
        assert _run(client, COUNT, key) == [b"COUNT", 1]
        thread.join()
        timer.join()


def test_other_errors_come_with_the_servers_text(client, key):
    """An error reply that says nothing about the server is the caller's to explain."""
    client.execute("SET", key, "text")
    push = "#!lua\nreturn {redis.call('LPUSH', KEYS[1], 'x')}"
    with pytest.raises(ServerError) as caught:
        _run(client, push, key)
    assert caught.value.code == "WRONGTYPE"
    assert caught.value.text.startswith("WRONGTYPE Operation")
    with pytest.raises(ServerError) as caught:
        _run(client, "#!lua\nreturn redis.error_reply('CORRUPT k why')", key)
    assert caught.value.text.startswith("CORRUPT k why")
    with pytest.raises(TypeError):
        client.execute("SET", key, None)


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_have_one_shape_in_both_protocols(url, key, protocol):
    """Commands answer alike, in bytes, whichever protocol the connection speaks."""
    with Client(parse_url(url, protocol=protocol)) as client:
        client.execute("HSET", key, "a", "1")
        assert client.execute("HGETALL", key) == {b"a": b"1"}
        assert client.execute("TYPE", key) == b"hash"
        client.execute("RPUSH", f"{key}:l", "x")
        reply = client.block("BLPOP", f"{key}:l", 1, block_s=1)
        assert list(reply) == [f"{key}:l".encode(), b"x"]


def test_many_commands_in_one_call(client, proxied, proxy, key):
    """A batch answers in order, is sent again as a whole, and fails as a whole."""
    assert client.execute_many([]) == []
    batch = [("SET", f"{key}:{n}", n) for n in range(3)] + [("GET", f"{key}:1")]
    assert client.execute_many(batch)[3] == b"1"
    proxy.arm("drop_reply", match=b"SET", times=1)
    assert proxied.execute_many(batch)[3] == b"1"
    assert proxy.hits == 1
    with pytest.raises(ServerError, match="WRONGTYPE"):
        client.execute_many([("GET", f"{key}:1"), ("LPUSH", f"{key}:1", "x")])


def test_scan_finds_the_keys_of_a_pattern(client, namespace):
    """All keys of a pattern are found, over several steps of the cursor."""
    wanted = {f"{namespace}:k:{n}".encode() for n in range(2500)}
    client.execute_many([("SET", each, "1") for each in wanted])
    client.execute("SET", f"{namespace}:other", "1")
    assert set(client.scan(f"{namespace}:k:*")) == wanted


def test_server_info(client, server, admin):
    """The server's kind, version and run id are those of the test's server."""
    info = client.server_info()
    assert info is not None
    assert (info.kind, info.run_id) == (server.kind, admin.info("server")["run_id"])
    assert info.version >= (7, 0)
    assert info.maxmemory_policy == "noeviction"


def _blocked(admin) -> int:
    """Count the clients that wait in a blocking command."""
    return admin.info("clients")["blocked_clients"]


def _in_thread(call):
    """Run a call in a thread; the list gets its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def test_block_returns_what_comes(client, admin, key):
    """A blocked reader gets what another client pushes."""
    thread, results = _in_thread(lambda: client.block("BLPOP", key, 10, block_s=10))
    eventually(lambda: _blocked(admin) == 1)
    admin.rpush(key, "hint")
    thread.join(5)
    assert results == [(key.encode(), b"hint")]


def test_block_outlives_the_socket_timeout(url, key):
    """A wait longer than the socket timeout ends by itself, with None."""
    with Client(parse_url(url, socket_timeout=0.1)) as client:
        started = monotonic()
        assert client.block("BLPOP", key, 0.5, block_s=0.5) is None
        assert 0.4 < monotonic() - started < 2
        read = ("XREAD", "BLOCK", 10, "STREAMS", key, "$")
        assert client.block(*read, block_s=0.01) is None


@pytest.mark.parametrize("how", ["kill", "unblock", "close", "cut"])
def test_block_ends_early_with_none(proxied, proxy, admin, key, how):
    """A connection that is lost or closed, or a wait called off, is only a None."""
    thread, results = _in_thread(lambda: proxied.block("BLPOP", key, 30, block_s=30))
    eventually(lambda: _blocked(admin) == 1)
    waiting = next(c for c in admin.client_list() if c["cmd"] == "blpop")
    if how == "kill":
        admin.client_kill_filter(_id=waiting["id"])
    elif how == "unblock":
        admin.execute_command("CLIENT", "UNBLOCK", waiting["id"], "ERROR")
    elif how == "close":
        proxied.close()
    else:
        proxy.cut()
    thread.join(5)
    assert results == [None]
    eventually(lambda: _blocked(admin) == 0)


def test_block_does_not_spin_while_the_server_is_away(proxied, proxy, key):
    """With no server a wait takes a little time, but not its whole time."""
    proxy.refuse = True
    proxy.cut()
    started = monotonic()
    assert [proxied.block("BLPOP", key, 5, block_s=5) for _ in range(3)] == [None] * 3
    assert 0.15 < monotonic() - started < 3
    proxy.refuse = False
    proxied.execute("RPUSH", key, "hint")
    assert proxied.block("BLPOP", key, 5, block_s=5) == (key.encode(), b"hint")


def test_block_tells_what_will_not_pass(client, key):
    """A key of another type is an error, not a hint that does not come."""
    client.execute("SET", key, "text")
    with pytest.raises(ServerError, match="WRONGTYPE"):
        client.block("BLPOP", key, 1, block_s=1)


def test_a_closed_client_says_so(client, key):
    """After close every call fails at once, and the waiting ones too."""
    client.execute("PING")
    client.close()
    for call in (
        lambda: client.execute("PING"),
        lambda: _run(client, COUNT, key),
        lambda: client.block("BLPOP", key, 5, block_s=5),
    ):
        with pytest.raises(Unavailable, match="closed"):
            call()


def test_close_ends_the_retries_of_other_threads(proxied, proxy, key):
    """A call that waits for its next attempt ends when its client is closed."""
    proxy.refuse = True
    proxy.cut()

    def call():
        with pytest.raises(Unavailable, match="closed"):
            _run(proxied, COUNT, key, deadline_s=60)
        return True

    thread, results = _in_thread(call)
    eventually(thread.is_alive)
    proxied.close()
    thread.join(5)
    assert results == [True]


def test_a_sibling_has_connections_of_its_own(client, admin):
    """Closing a client leaves its sibling at work."""
    client.execute("PING")
    with client.sibling() as sibling:
        sibling.execute("PING")
        client.close()
        assert sibling.execute("PING")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_child_connects_anew(client, admin, key):
    """After a fork parent and child use the same client without mixing replies."""
    _run(client, COUNT, key)
    thread, results = _in_thread(
        lambda: client.block("BLPOP", f"{key}:hints", 30, block_s=30)
    )
    eventually(lambda: _blocked(admin) == 1)
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            echo = "#!lua\nreturn {ARGV[1]}"
            for n in range(300):
                assert _run(client, echo, key, args=[f"c{n}"]) == [f"c{n}".encode()]
            _run(client, COUNT, key)
            status = 0
        os._exit(status)
    echo = "#!lua\nreturn {ARGV[1]}"
    for n in range(300):
        assert _run(client, echo, key, args=[f"p{n}"]) == [f"p{n}".encode()]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    admin.rpush(f"{key}:hints", "x")
    thread.join(5)
    assert results == [(f"{key}:hints".encode(), b"x")]
    assert _run(client, COUNT, key) == [b"COUNT", 3]
