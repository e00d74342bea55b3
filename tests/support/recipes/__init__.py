"""For each script a flow in which it has its main effect, and the call that has it.

A recipe brings a flow, which does not exist yet, to that point and returns the call.
It has the script's name; further ones of the same script are named script__what.

==========  ==================================================================
`book`      `RECIPES`, and how a recipe comes to stand in it
`stages`    where flows have come to when several recipes begin
`flows`     recipes of scripts that are about a whole flow, its graph and its plan
`atoms`     of those about one atom's record and results
`work`      of those with which workers take, do and lose work
`locks`     of those about a lock
==========  ==================================================================
"""

from __future__ import annotations

from tests.support.recipes import atoms, flows, locks, work
from tests.support.recipes.book import FAR, RECIPES, Call, script_of

__all__ = ["FAR", "RECIPES", "Call", "atoms", "flows", "locks", "script_of", "work"]
