"""Whatever a URL or a setting is, it gives a configuration or ConfigError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redisflow.client.connect import options_of
from redisflow.client.history import Histories
from redisflow.config import from_conf, parse_url
from redisflow.errors import ConfigError

PARTS = st.sampled_from(
    [
        *("redis", "rediss", "unix", "redis+sentinel", "rediss+cluster", "redisflow"),
        *("://", ":", "@", "/", "?", "&", "=", "#", ",", "[", "]", "%", "%zz", "%00"),
        *("h", "127.0.0.1", "::1", "6379", "99999", "-1", "0", "1e9", "nan", "\udcff"),
        *("db", "namespace", "password", "deadline_s", "ssl_ca_certs", "kind", "hosts"),
        *("socket_timeout", "max_connections", "{", "\n", "\0", "é", " "),
    ]
)
texts = st.lists(PARTS | st.text(max_size=4), max_size=12).map("".join)
values = texts | st.none() | st.integers() | st.floats() | st.booleans() | st.binary()


def use(read):
    """Read a configuration; anything but ConfigError escapes."""
    with contextlib.suppress(ConfigError):
        config = read()
        assert repr(config)
        assert config.address
        options_of(config, Histories())


@settings(max_examples=500)
@given(texts)
@example("unix://x:\udcff/")
@example("redis://h:\u0661")
def test_any_text(text):
    """As a URL."""
    use(lambda: parse_url(text))


@settings(max_examples=300)
@given(
    st.dictionaries(PARTS | st.just("connection") | st.just("url"), values, max_size=5)
)
def test_any_mapping(conf):
    """As TaskFlow gives a backend."""
    use(lambda: from_conf({str(name): value for name, value in conf.items()}))


@settings(max_examples=200)
@given(st.text(min_size=1, alphabet=st.characters(codec="utf-8")))
def test_any_password_is_read_and_hidden(password):
    """Percent-encoded, it comes out as it was, and in no text."""
    quoted = "".join(f"%{byte:02X}" for byte in password.encode())
    config = parse_url(f"redis://user:{quoted}@h")
    assert config.password == password
    assert config.safe_url() == "redis://user:***@h:6379/0"


def test_bytes_that_are_not_utf_8_are_named():
    """As the command line has them: the error can be printed."""
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        parse_url("redis://:pass\udcff@h")
    assert "pass" not in str(caught.value).replace("passw", "")
