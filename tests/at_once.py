"""Pieces of work at the same moment, each on a connection of its own."""

import threading
from collections.abc import Callable
from typing import Any

from django.db import connections


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each answered, in their order. Fails with what one of them raised."""
    start, found, failed = threading.Barrier(len(works)), {}, []

    def run(n: int, work: Callable[[], Any]) -> None:
        try:
            start.wait(30)
            found[n] = work()
        except BaseException as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    return [found[n] for n in range(len(works))]
