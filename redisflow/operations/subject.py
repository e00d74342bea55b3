"""The flow that an operator acts upon, and who that is."""

from __future__ import annotations

import itertools

from redisflow.errors import FlowLost
from redisflow.persistence import FlowRecord, RedisBackend
from redisflow.persistence.journal import operator_id
from redisflow.storage import Storage

#: Counted in the process: two subjects on one flow are not to be taken for each other.
_requests = itertools.count(1)


class Subject:
    """A flow in the hands of an operator.

    Args:
        backend: where it is.
        flow_uuid: its uuid.

    Attributes:
        storage: the flow.
        who: the operator.

    Raises:
        FlowLost: there is no such flow.
    """

    def __init__(self, backend: RedisBackend, flow_uuid: str) -> None:
        detail = backend.get_connection().get_flow_details(flow_uuid, lazy=True)
        self.storage = Storage(detail, backend)
        self.scripts = backend.scripts_of(flow_uuid)
        self.who = operator_id()
        self.look()

    def look(self) -> FlowRecord:
        """Read how the flow is now."""
        self.storage.get_flow_state()
        flow = self.storage.mirror.flow
        if flow is None:
            uuid = self.storage.flow_uuid
            raise FlowLost(f"flow {uuid} is gone", key=self.scripts.keys.flow)
        return flow

    @property
    def live(self) -> int:
        """How many workers were alive at the last look."""
        return self.storage.mirror.live

    def request(self) -> tuple[str, int]:
        """Name a request, so that a script can tell whether it was carried out before.

        Returns:
            Who asks, with a number, and a revision of the flow from before.
        """
        mirror = self.storage.mirror
        number = next(_requests)
        return f"{self.who}/{number}", max(mirror.rev, mirror.heard)
