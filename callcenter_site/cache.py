"""Redis as a cache that may go away: whoever asks waits for it once, and everybody else goes on without it for a while."""

import time
from collections.abc import Callable
from typing import Any

from django_redis.cache import RedisCache
from django_redis.exceptions import ConnectionInterrupted

PAUSE_SECONDS = 5.0

_failed_at: dict[str, float] = {}
"""When each server last failed to answer. Of the process: every thread has a cache object of its own."""


class PatientCache(RedisCache[Any]):
    """While Redis has just failed, everything is a miss at once. A request asks the cache several times, and waiting each
    time would keep a page that needs none of it from its reader."""

    @property
    def client(self) -> Any:
        failed_at = _failed_at.get(self._server)
        if failed_at is not None and time.monotonic() - failed_at < PAUSE_SECONDS:
            raise ConnectionInterrupted(connection=None) from TimeoutError("Redis failed just now")
        return _Watched(super().client, self._server)


class _Watched:
    def __init__(self, client: Any, server: str) -> None:
        self._client, self._server = client, server

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._watching(found) if callable(found) else found

    def _watching(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                result = method(*args, **kwargs)
            except ConnectionInterrupted:
                _failed_at[self._server] = time.monotonic()
                raise
            _failed_at.pop(self._server, None)
            return result

        return call
