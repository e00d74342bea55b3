"""The whole way over TLS: clients, locks, flows of several processes, the program.

The embedded Valkey has no TLS; so these tests have Debian's redis-server alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from taskflow.persistence import models

import redisflow
from redisflow.client import Client
from redisflow.config import parse_url
from redisflow.errors import ConfigError, Unavailable
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.own_server import OwnServer, free_port
from tests.support.submitted import FLOWS

ROOT = Path(redisflow.__file__).parents[1]
KEY_PASSWORD = "the-password-of-the-key"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Make an authority."""
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """Make an authority that signed nothing of the server's."""
    return Authority(tmp_path_factory.mktemp("tls") / "stranger")


def tls_options(authority, port):
    """Return the options of a server that takes TLS on a port."""
    certificate, key = authority.issue(f"server-{port}")
    return (
        *("--tls-port", str(port), "--tls-ca-cert-file", str(authority.path)),
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
    )


@pytest.fixture(scope="module", params=["no", "yes"], ids=["server", "mutual"])
def tls(request, authority, tmp_path_factory):
    """Start a server with TLS; gives its port, and whether clients are asked, too."""
    port = free_port()
    folder = tmp_path_factory.mktemp("server")
    options = tls_options(authority, port)
    with contextlib.closing(
        OwnServer("redis", folder, *options, "--tls-auth-clients", request.param)
    ):
        yield port, request.param == "yes"


@pytest.fixture
def url(tls, authority):
    """Return a URL with all that the server asks for."""
    port, mutual = tls
    query = f"ssl_ca_certs={quote(str(authority.path))}&deadline_s=3"
    if mutual:
        certificate, key = authority.issue("client", password=KEY_PASSWORD.encode())
        query += f"&ssl_certfile={quote(str(certificate))}"
        query += f"&ssl_keyfile={quote(str(key))}&ssl_password={KEY_PASSWORD}"
    return f"rediss://127.0.0.1:{port}/0?{query}"


def test_storage_and_lock(url):
    """What is written over TLS is read over TLS, in a section of the lock, too."""
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
        storage.inject({"x": 1})
        with redisflow.ReaderWriterLock(backend, "nightly").write_lock():
            assert storage.fetch("x") == 1


def test_two_processes_run_a_flow(url, tmp_path):
    """The program and its workers get there with what is in REDISFLOW_URL."""
    (tmp_path / "flows.py").write_text(FLOWS)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "redisflow.cli",
            "run",
            "flows.py",
            "-w",
            "2",
            "--store",
            "x=2",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "REDISFLOW_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "total = 3\n"), done.stderr
    assert KEY_PASSWORD not in done.stderr


def test_an_authority_that_is_not_the_servers_is_one_clear_error(tls, stranger):
    """The certificate is not trusted, and nobody tries again until the deadline."""
    port, _ = tls
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={stranger.path}&deadline_s=60"
    with (
        Client(parse_url(url)) as client,
        pytest.raises(Unavailable, match="certificate verify failed") as caught,
    ):
        client.execute("PING")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.outcome == "not applied"


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    tls, authority
):
    """Either its alert is told, or what may be wrong; at once, or at the deadline."""
    port, mutual = tls
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.path}&deadline_s=1"
    with Client(parse_url(url)) as client:
        if not mutual:
            assert client.execute("PING")
            return
        with pytest.raises(Unavailable, match=r"certificate|closed"):
            client.execute("PING")


def test_a_wrong_password_of_the_key_is_not_told(tls, authority):
    """The error says that the key cannot be read, and not with which password."""
    port, _ = tls
    certificate, key = authority.issue("locked", password=b"right")
    url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.path}&deadline_s=1"
    url += f"&ssl_certfile={certificate}&ssl_keyfile={key}&ssl_password=hush-hush"
    with pytest.raises(ConfigError, match=f"ssl_keyfile {key}") as caught:
        Client(parse_url(url))
    assert "hush-hush" not in "".join(traceback.format_exception(caught.value))


def test_options_that_cannot_be_used_are_named_at_once(authority):
    """The option, and its file; nobody is asked for the password of a key."""
    certificate, key = authority.issue("shut", password=b"right")
    plain, _ = authority.issue("plain")
    for query, told in (
        ("ssl_ca_certs=/nowhere.crt", "ssl_ca_certs /nowhere.crt: No such file"),
        (f"ssl_ca_certs={key}", f"ssl_ca_certs {key}: "),
        ("ssl_ca_path=/nowhere", "ssl_ca_path /nowhere: No such file"),
        ("ssl_ciphers=BOGUS", "ssl_ciphers 'BOGUS': "),
        ("ssl_min_version=TLSv9", "ssl_min_version 'TLSv9': "),
        (f"ssl_certfile={plain}&ssl_keyfile=/nowhere", "ssl_keyfile /nowhere: No such"),
        (f"ssl_keyfile={key}", f"ssl_keyfile {key}: it takes ssl_certfile"),
        (f"ssl_certfile={certificate}&ssl_keyfile={key}", "give ssl_password"),
    ):
        with pytest.raises(ConfigError) as caught:
            Client(parse_url(f"rediss://127.0.0.1:1?{query}"))
        assert told in str(caught.value)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3", "771"])
def test_the_least_version_has_a_name(url, version):
    """Python's names are taken, and its numbers."""
    with Client(parse_url(f"{url}&ssl_min_version={version}")) as client:
        assert client.execute("TIME")


@pytest.mark.parametrize(
    "extra", ["ssl_cert_reqs=none", "ssl_check_hostname=false"], ids=["reqs", "name"]
)
def test_checks_can_be_turned_off(url, extra):
    """redis-py's options pass through."""
    with Client(parse_url(f"{url}&{extra}")) as client:
        assert client.execute("TIME")


def test_a_cluster(authority, tmp_path):
    """A cluster of one server is used over TLS, its announced address included."""
    port = free_port()
    options = tls_options(authority, port)
    more = ("--cluster-enabled", "yes", "--tls-cluster", "yes")
    with contextlib.closing(
        OwnServer("redis", tmp_path / "n", *options, *more, "--tls-auth-clients", "no")
    ) as node:
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: "state:ok" in node.client.execute_command("CLUSTER", "INFO"))
        url = f"rediss+cluster://127.0.0.1:{port}?ssl_ca_certs={authority.path}"
        with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
            storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
            storage.inject({"x": 1})
            assert storage.fetch("x") == 1


def test_a_primary_that_sentinels_name(authority, tmp_path):
    """Sentinel and primary are both asked over TLS."""
    port, sentinel_port = free_port(), free_port()
    options = tls_options(authority, port)
    sentinel_options = tls_options(authority, sentinel_port)
    with contextlib.closing(
        OwnServer("redis", tmp_path / "n", *options, "--tls-auth-clients", "no")
    ):
        conf = tmp_path / "sentinel.conf"
        conf.write_text(
            "bind 127.0.0.1\nport 0\ntls-replication yes\ntls-auth-clients no\n"
            f"sentinel monitor main 127.0.0.1 {port} 1\n"
            + "".join(
                f"{name.removeprefix('--')} {value}\n"
                for name, value in zip(
                    sentinel_options[::2], sentinel_options[1::2], strict=True
                )
            )
        )
        log = (tmp_path / "sentinel.log").open("w")
        process = subprocess.Popen(
            ["redis-server", str(conf), "--sentinel"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        try:
            url = f"rediss+sentinel://127.0.0.1:{sentinel_port}/main/0"
            url += f"?ssl_ca_certs={authority.path}&deadline_s=30"
            with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
                storage = redisflow.Storage(models.FlowDetail("f", "f-1"), backend)
                storage.inject({"x": 1})
                assert storage.fetch("x") == 1
            for bad, told in (
                (url.partition("?")[0] + "?deadline_s=90", "certificate verify failed"),
                (url.replace("/main/", "/other/").replace("=30", "=1"), "knows a"),
            ):
                with (
                    Client(parse_url(bad)) as client,
                    pytest.raises(Unavailable, match=f"no sentinel .*{told}"),
                ):
                    client.execute("PING")
        finally:
            process.kill()
            process.wait()
            log.close()


def test_sentinels_that_are_away_are_told_from_those_that_know_no_primary():
    """The error has what kept the sentinels from answering."""
    url = f"redis+sentinel://127.0.0.1:{free_port()}/main/0?deadline_s=0.3"
    with (
        Client(parse_url(url)) as client,
        pytest.raises(Unavailable, match=r"no sentinel answers: .*refused"),
    ):
        client.execute("PING")
