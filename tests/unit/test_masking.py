"""What is shown of values with secret names, and of those without."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from redisflow.codec import Mask


@dataclass(frozen=True, slots=True)
class Login:
    """A value with a field that is secret, and one that is not."""

    user: str
    password: str


@pytest.mark.parametrize(
    "name",
    [
        *("password", "db_password", "PASSWORD", "dbPassword", "smtp-passwd", "pwd"),
        *("secret", "clientSecret", "token", "AUTH_TOKEN", "accessToken", "apitoken"),
        *("key", "api_key", "apiKey", "APIKEY", "ssh.key", "credentials", "passphrase"),
    ],
)
def test_names_that_say_that_they_are_secret(name):
    """By any of their words, in the usual spellings."""
    assert Mask().hides(name)


@pytest.mark.parametrize(
    "name", ["keyboard", "monkey", "total", "compass", "secretary", "tokenizer", 5, ""]
)
def test_names_that_only_look_like_it(name):
    """Part of a word is no word."""
    assert not Mask().hides(name)


def test_further_names_are_patterns_in_any_case():
    """With what is given, names are hidden besides those of the default."""
    mask = Mask(["iban", "card*"])
    assert all(map(mask.hides, ("IBAN", "card", "cardNumber", "password")))
    assert not mask.hides("my_iban")


def test_secrets_at_any_depth_are_hidden_and_the_value_stays():
    """Dicts, lists, tuples and dataclasses are looked into; nothing is changed."""
    login = Login("me", "hush")
    value = {"a": [{"token": 1, "n": 2}, (login, {3})], "key": {"all": "of it"}}
    shown = Mask().of(value)
    assert shown == {
        "a": [{"token": "***", "n": 2}, (Login("me", "***"), {3})],
        "key": "***",
    }
    assert login.password == "hush"
    assert value["key"] == {"all": "of it"}
