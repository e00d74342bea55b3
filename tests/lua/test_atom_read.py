"""atom_read: one atom with its results, and nothing else of the flow."""

from __future__ import annotations

from tests.support.flow_view import uuid_of


def test_atom_and_results_come_flat(flow):
    """OK: both hashes are given, in their order."""
    flow.create()
    flow.ensure("a")
    flow.on("a", "atom_save", state="SUCCESS", payload="5", writer="me")

    status, atom, result = flow.call("atom_read", of=uuid_of("a"))

    assert status == "OK"
    assert dict(zip(atom[::2], atom[1::2], strict=True)) == flow.atom("a")
    assert result == ["results", "5"]


def test_atom_without_results(flow):
    """OK: the second hash is empty."""
    flow.create()
    flow.ensure("a")

    assert flow.call("atom_read", of=uuid_of("a"))[2] == []


def test_unknown_atom(flow):
    """UNKNOWN: the flow is there, the atom is not."""
    flow.create()

    assert flow.call("atom_read", of=uuid_of("a")) == ["UNKNOWN"]
