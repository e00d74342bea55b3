"""The class `Storage`; see the package's docstring for what it promises."""

from __future__ import annotations

from redisflow.arguments import INJECTOR
from redisflow.storage.flows import FlowMethods
from redisflow.storage.retries import RetryMethods
from redisflow.storage.values import ValueMethods


class Storage(FlowMethods, RetryMethods, ValueMethods):
    """TaskFlow's storage interface over a flow in Redis.

    Args:
        flow_detail: names the flow; kept up to date in place, stored on first use.
        backend: where the flow is; None: ``REDISFLOW_URL``, or the embedded server.
        scope_fetcher: gives the scopes visible to an atom, nearest first.
    """

    injector_name = INJECTOR
