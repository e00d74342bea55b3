"""What ``import redisflow`` gives, and what it costs."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys

import pytest

import redisflow


def run(program: str) -> str:
    """Run a program in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_all_names_are_there():
    """Each that the package lists is found, is shown, and is a thing of ours."""
    for name in redisflow.__all__:
        assert getattr(redisflow, name).__module__.startswith("redisflow.")
    assert set(redisflow.__all__) <= set(dir(redisflow))


def test_no_other_name_is_there():
    """A name that is misspelt is told as by any module."""
    with pytest.raises(AttributeError, match="'redisflow' has no attribute 'lode'"):
        _ = redisflow.lode


def test_names_are_imported_when_they_are_asked_for():
    """The package by itself imports nothing; a name of it brings what it needs."""
    program = """
import sys, redisflow
print("taskflow" in sys.modules)
redisflow.load
print("taskflow" in sys.modules)
"""
    assert run(program).split() == ["False", "True"]


def test_errors_and_codec_need_no_import_of_their_own():
    """``except redisflow.errors.FlowLost`` works wherever redisflow is imported."""
    program = """
import redisflow
print(redisflow.errors.FlowLost.__name__, redisflow.codec.register.__name__)
"""
    assert run(program).split() == ["FlowLost", "register"]


@pytest.mark.parametrize("name", ["cli", "engine", "looking"])
def test_tables_of_modules_are_whole(name):
    """The docstring of a package that has many modules names each of them."""
    package = importlib.import_module(f"redisflow.{name}")
    modules = {each.name for each in pkgutil.iter_modules(package.__path__)}
    named = set(re.findall(r"`(\w+)`", package.__doc__))
    assert len(modules) > 10
    assert modules - named <= {"__main__"}
