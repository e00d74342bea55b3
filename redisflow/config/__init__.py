"""Where the server is, and how to talk to it: one value, from a URL or a mapping.

=============================================  ================================
``redis://[user:password@]host[:6379][/db]``   one server
``rediss://…``                                 the same over TLS
``unix:///path?db=0``                          one server, by its socket
``redis+sentinel://h1[:26379],h2/service/db``  the primary that sentinels name
``redis+cluster://h1[:6379],h2``               a cluster
``redisflow://``, or no URL                    the embedded server
=============================================  ================================

``rediss+sentinel`` and ``rediss+cluster`` are those over TLS. User and password
are percent-decoded; so a ``/``, ``?``, ``#`` or ``@`` in them must be encoded.

Query parameters are settings of ours (``namespace``, ``deadline_s``,
``retention_s``, ``allow_eviction``, ``db``, ``username``, ``password``,
``sentinel_username``, ``sentinel_password``) or else options of redis-py's
connections. Those stay as they were written: redisflow.client knows their names and
types.

With no URL, ``REDISFLOW_URL`` of the environment is used; without that, the
embedded server. Nothing here does any I/O, and no text made here (errors, repr,
``safe_url``) ever holds a password.
"""

from __future__ import annotations

from redisflow.config.config import Config
from redisflow.config.urls import from_conf, parse_url

__all__ = ["Config", "from_conf", "parse_url"]
