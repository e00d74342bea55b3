"""All recipes by name; importing their modules fills it."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.flows import ScriptedFlow

Call = Callable[[], object]
Recipe = Callable[[ScriptedFlow], Call]

#: A deadline that no test reaches, in the server's milliseconds.
FAR = 1 << 50

RECIPES: dict[str, Recipe] = {}


def recipe(prepare: Recipe) -> Recipe:
    """Keep a recipe under the script's name; a second one is named script__what."""
    RECIPES[prepare.__name__] = prepare
    return prepare


def script_of(name: str) -> str:
    """Return the script of a recipe."""
    return name.partition("__")[0]
