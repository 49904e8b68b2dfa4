"""The cache when Redis is frozen: it takes connections and never answers."""

import socket
import threading
import time

import pytest
from django.core.cache import caches

from callcenter_site import cache as module
from callcenter_site.cache import PatientCache


class Frozen:
    """Counts who connects, and says nothing to them."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.taken: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self.taken.append(self.listening.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self.listening.close()
        for one in self.taken:
            one.close()


@pytest.fixture
def frozen(monkeypatch):
    monkeypatch.setattr(module, "_failed_at", {})
    server = Frozen()
    yield server
    server.close()


@pytest.fixture
def cache(frozen, settings):
    settings.DJANGO_REDIS_IGNORE_EXCEPTIONS = True
    options = {"SOCKET_CONNECT_TIMEOUT": 0.2, "SOCKET_TIMEOUT": 0.2}
    return PatientCache(f"redis://127.0.0.1:{frozen.listening.getsockname()[1]}/0", {"OPTIONS": options})


def test_redis_is_waited_for_once_and_then_left_alone(frozen, cache):
    assert cache.get("a", "missing") == "missing"
    n_tried = len(frozen.taken)
    assert n_tried >= 1
    assert cache.get("a", 7) == 7
    assert cache.get_many(["a"]) == {}
    assert not cache.set("a", 1)
    assert cache.add("a", 1, 30) is None
    assert not cache.delete("a")
    assert len(frozen.taken) == n_tried


def test_one_wait_is_as_long_as_the_time_out_and_not_several(frozen, cache):
    started = time.monotonic()
    cache.get("a")
    assert time.monotonic() - started < 1.5
    assert len(frozen.taken) == 1


def test_another_thread_does_not_wait_again(frozen, cache):
    cache.get("a")
    n_tried = len(frozen.taken)
    other = PatientCache(cache._server, cache._params)
    thread = threading.Thread(target=other.get, args=("a",))
    thread.start()
    thread.join()
    assert len(frozen.taken) == n_tried


def test_redis_is_asked_again_after_a_while(monkeypatch, frozen, cache):
    cache.get("a")
    n_tried = len(frozen.taken)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    cache.get("a")
    assert len(frozen.taken) > n_tried


def test_an_answer_ends_the_pause(monkeypatch, cache):
    class Answering:
        def get(self, *_args, **_kwargs):
            return 3

    module._failed_at[cache._server] = time.monotonic() - module.PAUSE_SECONDS
    cache._client = Answering()
    assert cache.get("a") == 3
    assert cache._server not in module._failed_at


def test_the_portal_uses_it_where_it_has_redis(settings):
    if settings.REDIS_URL:
        assert isinstance(caches["default"], PatientCache)
        assert settings.CACHES["default"]["OPTIONS"]["SOCKET_TIMEOUT"] == 1
