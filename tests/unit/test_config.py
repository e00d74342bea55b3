"""Every URL form, every setting, and that no password gets into any text."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from taskflow.utils import misc

from redisflow.config import Config, from_conf, parse_url
from redisflow.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Config("tcp", (("localhost", 6379),))),
        ("redis://:7000/3", Config("tcp", (("localhost", 7000),), db=3)),
        ("redis://db1", Config("tcp", (("db1", 6379),))),
        ("redis://[::1]:7000/2", Config("tcp", (("::1", 7000),), db=2)),
        ("redis://db1/2?db=5", Config("tcp", (("db1", 6379),), db=5)),
        ("rediss://db1", Config("tls", (("db1", 6379),), tls=True)),
        (
            "redis://us%40er:p%2Fa%3As%40s@db1",
            Config("tcp", (("db1", 6379),), username="us@er", password="p/a:s@s"),
        ),
        ("redis://:pw@db1", Config("tcp", (("db1", 6379),), password="pw")),
        ("unix:///run/r.sock?db=1", Config("unix", path="/run/r.sock", db=1)),
        ("unix://r.sock", Config("unix", path="r.sock")),
        (
            "unix://u:p@/r.sock",
            Config("unix", path="/r.sock", username="u", password="p"),
        ),
        (
            "redis+sentinel://a,b:7,[::2]/main/4?sentinel_password=x",
            Config(
                "sentinel",
                (("a", 26379), ("b", 7), ("::2", 26379)),
                service="main",
                db=4,
                sentinel_password="x",
            ),
        ),
        (
            "rediss+cluster://a,b:7",
            Config("cluster", (("a", 6379), ("b", 7)), tls=True),
        ),
        ("redisflow://", Config("embedded")),
        (
            "REDIS://a?namespace=jobs&deadline_s=2.5&allow_eviction=Yes",
            Config(
                "tcp",
                (("a", 6379),),
                namespace="jobs",
                deadline_s=2.5,
                allow_eviction=True,
            ),
        ),
        (
            "redis://a?socket_timeout=3&protocol=2",
            Config(
                "tcp", (("a", 6379),), options={"socket_timeout": "3", "protocol": "2"}
            ),
        ),
    ],
)
def test_url_forms(url, expected):
    """Each form of URL is read into the right fields."""
    assert parse_url(url) == expected


def test_no_url_means_the_environment_then_embedded(monkeypatch):
    """Without a URL the environment's is used, and without that the embedded one."""
    assert parse_url(None) == Config("embedded")
    monkeypatch.setenv("REDISFLOW_URL", "redis://db9")
    assert parse_url().hosts == (("db9", 6379),)
    assert parse_url("redis://db1").hosts == (("db1", 6379),)
    monkeypatch.setenv("REDISFLOW_URL", "")
    assert parse_url() == Config("embedded")


def test_overrides_count_more_than_the_url():
    """What the caller says wins, except None, which says nothing."""
    config = parse_url("redis://a?namespace=x&db=2", namespace="y", db=None, timeout=3)
    assert (config.namespace, config.db, config.options) == ("y", 2, {"timeout": 3})


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://a", "'http' is not one of redis://"),
        ("secret", "URL scheme is not one of redis://"),
        ("redis://a:secret", "bad port after host 'a'"),
        ("redis://a:0", "bad port"),
        ("redis://a:65536", "bad port"),
        ("redis://a,b", "takes one host"),
        ("redis+cluster://a,,b", "empty host"),
        ("redis+cluster://", "empty host"),
        ("redis+cluster://a/1", "db 1: must be 0 in a cluster"),
        ("redis+sentinel://a", "needs a service"),
        ("redis://[::1", "not name, IPv4 or"),
        ("redis://a/x", "db 'x': not a whole number"),
        ("redis://a/-1", "db -1"),
        ("redis://a?deadline_s=soon", "deadline_s 'soon'"),
        ("redis://a?deadline_s=nan", "deadline_s nan"),
        ("redis://a?deadline_s=0", "deadline_s 0"),
        ("redis://a?allow_eviction=perhaps", "allow_eviction 'perhaps'"),
        ("redis://a?hosts=b", "hosts: not a query parameter"),
        ("redis://:sec/secret@a", "write '/' as %2F"),
        ("redis://:12?secret@a", "write '?' as %3F"),
        ("redis://:sec#secret@a", "write it as %23"),
        ("unix://", "needs the path"),
        ("redisflow://host", "takes no host"),
        *(
            (f"redis://a?namespace={n}", "namespace")
            for n in ("", "a{b", "a*", "a%20b")
        ),
        (f"redis://a?namespace={'n' * 65}", "1 to 64"),
    ],
)
def test_bad_urls_name_what_is_wrong(url, message):
    """A URL that cannot be used gives one line that says why, without secrets."""
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    text = str(caught.value)
    assert message in text
    assert "secret" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hush@a:1/2?namespace=n&socket_timeout=3",
        "rediss://:hush@[::1]:1/0?ssl_password=hush",
        "unix://u:hush@/r.sock?db=2",
        "redis+sentinel://:hush@a:1,b:2/svc/1?sentinel_password=hush",
        "rediss+cluster://:hush@a:1,b:2?deadline_s=3.0&allow_eviction=True",
        "redisflow://",
    ],
)
def test_text_of_a_config_is_its_url_without_passwords(url):
    """Text forms hold all but the passwords, and read back as the same place."""
    config = parse_url(url)
    for text in (config.safe_url(), repr(config), str(config), config.address):
        assert "hush" not in text
    again = parse_url(config.safe_url())
    hidden = {"password": None, "sentinel_password": None, "options": {}}
    assert replace(again, **hidden) == replace(config, **hidden)
    assert hash(config) == hash(parse_url(url))


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:p%40ss@h:1/4?namespace=x&db=3&socket_timeout=2",
        "redis://[::1]:7000/2",
        "redis+sentinel://h1,h2/svc/1",
        "unix:///run/x.sock?db=1",
        "redisflow://",
    ],
)
def test_taskflows_conf_means_what_the_url_means(url):
    """What TaskFlow makes of a URL is read as the URL itself."""
    _driver, conf = misc.extract_driver_and_conf(url, "connection")
    assert from_conf(conf) == parse_url(url)
    assert from_conf({"connection": url}) == parse_url(url)


def test_conf_keys_are_settings_and_options():
    """Keys beside the connection are settings of ours or options of redis-py."""
    conf = {"connection": "redis://a?namespace=x", "password": "pw", "namespace": "y"}
    config = from_conf(conf | {"socket_timeout": 2.0, "port": 7000})
    assert config == Config(
        "tcp",
        (("a", 7000),),
        password="pw",
        namespace="y",
        options={"socket_timeout": 2.0},
    )


def test_conf_without_a_url():
    """A bare driver name stands for its URL, and a separate one may hold many hosts."""
    assert from_conf({"connection": "redisflow"}) == Config("embedded")
    assert from_conf({"connection": "redis", "hostname": "a"}).hosts == (("a", 6379),)
    many = from_conf({"connection": "redis", "url": "redis+cluster://a:1,b:2"})
    assert many.hosts == (("a", 1), ("b", 2))
    with pytest.raises(ConfigError, match="text, not int"):
        from_conf({"connection": 7})


def test_every_pair_of_scheme_and_bad_credentials_keeps_the_secret():
    """No error of any scheme repeats what may be a part of a password."""
    schemes = (
        "redis",
        "rediss",
        "unix",
        "redis+sentinel",
        "redis+cluster",
        "redisflow",
    )
    shapes = (":hush@", "u:hush/", "u:1/hush@a", "u:x?hush@a", "u:#hush@a", "u:hush")
    for scheme, shape in itertools.product(schemes, shapes):
        try:
            config = parse_url(f"{scheme}://{shape}")
        except ConfigError as error:
            text = str(error)
        else:
            text = "" if config.kind == "unix" else config.safe_url()
        assert "hush" not in text, (scheme, shape)
