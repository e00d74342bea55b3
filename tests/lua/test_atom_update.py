"""atom_update: metadata of an atom, entry by entry."""

from __future__ import annotations

import pytest


@pytest.fixture
def atoms(flow):
    """Return a flow with the atoms a and b."""
    flow.create()
    flow.ensure("a", "b")
    return flow


def test_entries_are_merged(atoms):
    """OK: new entries come, old ones are replaced, others stay; state is untouched."""
    atoms.on("a", "atom_update", rest=["x", "1", "y", "2"])

    assert atoms.on("a", "atom_update", rest=["y", "3"]) == ["OK", 4, 5]
    assert (
        atoms.atom("a").items()
        >= {
            "meta:x": "1",
            "meta:y": "3",
            "state": "PENDING",
            "rev": "5",
        }.items()
    )
    assert atoms.scores("changes") == {"a-uuid": 5.0, "b-uuid": 3.0}


def test_repeated_call_leaves_the_same_metadata(atoms):
    """The same request twice only counts as another revision, and is not journaled."""
    entries = len(atoms.journal())
    atoms.on("a", "atom_update", rest=["x", "1"])
    before = atoms.atom("a")

    assert atoms.on("a", "atom_update", rest=["x", "1"]) == ["OK", 4, 5]
    assert atoms.atom("a") == before | {"rev": "5"}
    assert len(atoms.journal()) == entries


def test_atom_that_does_not_exist_is_unknown(atoms):
    """UNKNOWN: no record is made."""
    before = atoms.contents()

    assert atoms.on("c", "atom_update", rest=["x", "1"]) == ["UNKNOWN"]
    assert atoms.contents() == before


def test_held_atom_takes_metadata(flow):
    """Progress is told while a worker holds the atom; its claim stays as it is."""
    flow.line("a").start()
    item = flow.take().item

    assert flow.on("a", "atom_update", rest=["progress", "0.5"])[0] == "OK"
    assert flow.complete(item).state == "RUNNING"
