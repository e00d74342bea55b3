"""The backend: what a configuration becomes before anything is connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskflow.persistence import base

from redisflow.client import Client
from redisflow.codec import Codec
from redisflow.codec.environment import codec_of_environment
from redisflow.config import Config, from_conf, parse_url
from redisflow.errors import ConfigError
from redisflow.keys import Keys
from redisflow.persistence.connection import RedisConnection
from redisflow.rwlock import flow_scripts
from redisflow.scripts import FlowScripts


class RedisBackend(base.Backend):
    """A TaskFlow persistence backend on Redis or Valkey.

    Args:
        conf: as TaskFlow gives it: ``{"connection": url, ...}``; without a
            connection, the environment's ``REDISFLOW_URL`` or the embedded server.
        codec: how values are encoded; by default, what ``REDISFLOW_CODEC`` names, or
            else JSON with tags, which refuses what would not come back equal.

    Raises:
        ConfigError: the configuration cannot be used.
    """

    def __init__(
        self, conf: Mapping[str, Any] | None = None, *, codec: Codec | None = None
    ) -> None:
        if isinstance(conf, str):
            raise ConfigError(
                "a backend takes a mapping with a connection, as TaskFlow gives it;"
                " RedisBackend.from_url takes a URL"
            )
        conf = dict(conf or {})
        super().__init__(conf)  # type: ignore[no-untyped-call]  # as TaskFlow
        self._open(from_conf(conf) if conf else parse_url(None), codec)

    @classmethod
    def from_url(cls, url: str | None, *, codec: Codec | None = None) -> RedisBackend:
        """Make a backend from a URL; None means the environment's, or embedded.

        Raises:
            ConfigError: the URL cannot be used.
        """
        return cls({"connection": url} if url else None, codec=codec)

    def _open(self, config: Config, codec: Codec | None) -> None:
        self.config = config
        self.codec = codec_of_environment() if codec is None else codec
        self.client = Client(config)
        self.keys = Keys(config.namespace)

    def scripts_of(self, flow_uuid: str) -> FlowScripts:
        """Bind the scripts to one flow and its lock."""
        return flow_scripts(self.client, self.keys.of_flow(flow_uuid))

    @property
    def origin(self) -> str:
        """Which namespace of which server this is, without passwords."""
        config = self.config
        return f"{config.address}/{config.db}:{config.namespace}"

    def get_connection(self) -> RedisConnection:
        """Return a connection; all of a backend share its pool."""
        return RedisConnection(self)

    def close(self) -> None:
        """Close all connections to the server."""
        self.client.close()
