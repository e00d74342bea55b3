"""What a serving worker may import: names of modules, files, and nothing else."""

from __future__ import annotations

import sys

import pytest

from redisflow.engine.allowing import Allowed, NotAllowed
from redisflow.engine.factories import FactoryCall, find_factory
from redisflow.errors import ConfigError

MODULE = """
    import os
    from functools import partial
    from os import getcwd
    from taskflow.patterns import linear_flow

    def factory():
        return linear_flow.Flow("f")

    class Flows:
        @staticmethod
        def make():
            return linear_flow.Flow("g")

    bound = partial(factory)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of flows with a name of its own, and let it be imported."""
    name = f"allowing_{tmp_path.name.replace('-', '_')}"
    lines = [line.removeprefix("    ") for line in MODULE.splitlines()]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "reference",
    ["shop.flows", "shop.flows:make", "shop.flows:Orders.make", "shop.flows.sub:make"],
)
def test_module_allows_itself_and_what_is_below(reference):
    """The module and its submodules, with any name in them."""
    assert Allowed(["shop.flows"]).has(reference)


@pytest.mark.parametrize(
    "reference",
    [
        *("shop", "shop:flows.make", "shop.flowsandmore:make", "os:system", ""),
        *(".shop.flows:make", "shop.flows.:make", "shop.flows..os:make", ":make"),
        *("shop.flows:", "shop.flows:a b", "shop.flows:os:system", "x.shop.flows:make"),
        *("/srv/shop/flows.py:make", "flows.py", "shop.flows/../os.py:make"),
    ],
)
def test_nothing_else_is_allowed(reference):
    """Neither what is above, nor what is beside, nor what is no name at all."""
    allowed = Allowed(["shop.flows"])
    if reference == "shop.flows:":
        assert allowed.has(reference)  # then it is the name "factory" of the module
        return
    assert not allowed.has(reference)
    with pytest.raises(NotAllowed) as caught:
        allowed.check(reference)
    assert caught.value.reference == reference


def test_file_allows_that_file_however_it_is_spelled(tmp_path, monkeypatch):
    """A path is compared with links and dots resolved; the folder is not allowed."""
    (tmp_path / "flows.py").touch()
    (tmp_path / "other.py").touch()
    (tmp_path / "link.py").symlink_to(tmp_path / "flows.py")
    monkeypatch.chdir(tmp_path)
    allowed = Allowed(["flows.py"])

    assert allowed.has(f"{tmp_path}/flows.py:make")
    assert allowed.has(f"{tmp_path}/../{tmp_path.name}/flows.py")
    assert allowed.has(f"{tmp_path}/link.py:make")
    assert not allowed.has(f"{tmp_path}/other.py:make")
    assert not allowed.has(f"{tmp_path}/flows.py/../other.py:make")
    assert not allowed.has("flows.py:make")  # of which folder?
    assert not allowed.has("flows:make")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([], "nothing is allowed"),
        (["shop-flows"], "'shop-flows' cannot be allowed"),
        (["shop.flows:make"], "neither the name of a module"),
        ([""], "'' cannot be allowed"),
        (["/no/such/file.py"], "it is no file"),
    ],
)
def test_mistakes_in_what_is_allowed(entries, says):
    """What allows nothing is refused at the start, and not found out later."""
    with pytest.raises(ConfigError, match=says):
        Allowed(entries)


def test_what_an_allowed_module_has_imported_is_not_allowed(module):
    """Only what was made there is called: no os.system by way of its imports."""
    allowed = Allowed([module])
    for name in ("factory", "Flows.make"):
        allowed.check_factory(name, find_factory(f"{module}:{name}"))
    for name in ("getcwd", "os.system", "linear_flow.Flow", "bound", "__loader__.name"):
        reference = f"{module}:{name}"
        with pytest.raises(ConfigError):
            FactoryCall(reference).make_flow(
                lambda factory, name=name: allowed.check_factory(name, factory)
            )


def test_what_an_allowed_file_defines_is_allowed(tmp_path, module):
    """The module that a file becomes is known by the file."""
    path = tmp_path / f"{module}.py"
    allowed = Allowed([str(path)])

    allowed.check_factory("factory", find_factory(f"{path}:factory"))
    with pytest.raises(NotAllowed):
        allowed.check_factory("getcwd", find_factory(f"{path}:getcwd"))
