"""State and metadata of the flow itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from taskflow import states
from taskflow.types.failure import Failure

from redisflow.errors import InvalidState
from redisflow.persistence.names import FLOW_STATES, as_state
from redisflow.storage.core import Pairs, StorageCore


class FlowMethods(StorageCore):
    """The flow's own methods of a storage."""

    @property
    def flow_meta(self) -> dict[str, Any]:
        """The flow's metadata."""
        self._refresh()
        return dict(self._flowdetail.meta)

    def get_flow_state(self) -> str:
        """Return the flow's state; PENDING if it never had one."""
        self._refresh()
        return self._flowdetail.state or str(states.PENDING)

    def change_flow_state(
        self, state: str, *, act: str = "", reason: str = ""
    ) -> tuple[bool, str]:
        """Move the flow to another state, by compare and set.

        Args:
            state: the new state.
            act: what the journal calls it, if somebody does it from outside the run.
            reason: why, for the journal of an act.

        Returns:
            Whether it was moved, and the state that it was in before.

        Raises:
            InvalidState: TaskFlow does not allow this transition.
        """
        reply = self._move(
            "flow_transition", to=state, forced=0, act=act, reason=reason
        )
        old: str = reply.fields[0].decode()
        if reply.status == "INVALID":
            raise InvalidState(
                f"Flow transition from '{old}' to '{state}' is not allowed"
            )
        if reply.status == "IGNORED":
            return False, old
        rev = reply.fields[1]
        self.mirror.applied(rev - 1, rev, lambda: self.mirror.show_state(state))
        return True, old

    def set_flow_state(self, state: str) -> None:
        """Set the state of a flow that nobody runs, whatever it was.

        Raises:
            InvalidState: workers run it, or there is no such state.
        """
        as_state(state, FLOW_STATES, f"the flow {self.flow_name!r}")
        reply = self._move("flow_transition", to=state, forced=1, act="", reason="")
        if reply.status == "HELD":
            live = reply.fields[0]
            raise InvalidState(f"flow {self.flow_name!r} is being run by {live}")
        if reply.status == "MOVED":
            rev = reply.fields[1]
            self.mirror.applied(rev - 1, rev, lambda: self.mirror.show_state(state))

    def update_flow_metadata(
        self, update_with: Pairs | Iterable[tuple[str, Any]] | None
    ) -> None:
        """Merge entries into the flow's metadata; other entries stay as they are."""
        if entries := dict(update_with or {}):
            reply = self._call("flow_update", rest=self._encoded(entries))
            rev = reply.fields[0]
            with self.mirror.lock:
                # Shown at once: whoever holds the detail looks there without asking.
                self._flowdetail.meta.update(entries)
                self.mirror.applied(rev - 1, rev, lambda: None)

    def get_halt_failures(self) -> list[Failure]:
        """Return the failures for which the last run was ended."""
        keys, codec = self._scripts.keys, self._backend.codec
        count = int(self._backend.client.execute("HGET", keys.flow, "halt") or 0)
        names = [f"halt:{number}" for number in range(1, count + 1)]
        if not names:
            return []
        found = self._backend.client.execute("HMGET", keys.flow, *names)
        failures = [codec.decode_failure(data, key=keys.flow) for data in found if data]
        raised = self.raised_halts + [
            failure
            for record in self.mirror.atoms.values()
            for failure in record.raised.values()
        ]
        return [
            next((own for own in raised if failure.matches(own)), failure)
            for failure in failures
        ]
