"""An S3 store that checks signatures: OpenStack Swift with its S3 interface, in one folder, as any user.

`python -m tests.services.object_store FOLDER PORT KEY SECRET`, where KEY reads `account:user`.
"""

import contextlib
import getpass
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from swift.common import storage_policy, utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import run_wsgi

from tests.services import free_port

STORES = ("account", "container", "object")
PIPELINE = "catch_errors memory bulk s3api tempauth copy slo dlo versioned_writes symlink refusing proxy-server"


class Memory:
    """Stands in for memcached."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        return self._values.get(key)

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        self._values[key] = value

    def incr(self, key: Any, delta: int = 1, *args: Any, **kwargs: Any) -> int:
        self._values[key] = max(0, int(self._values.get(key, 0)) + int(delta))
        return self._values[key]

    def decr(self, key: Any, delta: int = 1, *args: Any, **kwargs: Any) -> int:
        return self.incr(key, -int(delta))

    def delete(self, key: Any, *args: Any, **kwargs: Any) -> None:
        self._values.pop(key, None)

    def set_multi(self, values: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
        self._values.update(values)

    def get_multi(self, keys: list[Any], *args: Any, **kwargs: Any) -> list[Any]:
        return [self._values.get(key) for key in keys]


def memory_filter(global_conf: dict[str, str], **conf: str) -> Callable[[Any], Any]:
    memory = Memory()

    def around(app: Any) -> Any:
        def answer(environ: dict[str, Any], start_response: Any) -> Any:
            environ["swift.cache"] = memory
            return app(environ, start_response)

        return answer

    return around


def refusing_filter(global_conf: dict[str, str], **conf: str) -> Callable[[Any], Any]:
    """Refuses to delete objects whose name says so, as a store does under a lock of its own."""

    def around(app: Any) -> Any:
        def answer(environ: dict[str, Any], start_response: Any) -> Any:
            if environ["REQUEST_METHOD"] == "DELETE" and "/refused-" in environ["PATH_INFO"]:
                start_response("403 Forbidden", [("Content-Length", "0")])
                return [b""]
            return app(environ, start_response)

        return answer

    return around


def write_configuration(folder: Path, port: int, key: str, secret: str) -> None:
    (folder / "srv" / "disk").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = x\nswift_hash_path_prefix = y\n[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    common = f"swift_dir = {folder}\nbind_ip = 127.0.0.1\nworkers = 0\nuser = {getpass.getuser()}\nlog_udp_host = 127.0.0.1\n"
    for store in STORES:
        store_port = free_port()
        (folder / f"{store}.conf").write_text(
            f"[DEFAULT]\n{common}bind_port = {store_port}\ndevices = {folder}/srv\nmount_check = false\n"
            "fallocate_reserve = 0\ndisable_fallocate = true\n"
            f"[pipeline:main]\npipeline = {store}-server\n[app:{store}-server]\nuse = egg:swift#{store}\n"
        )
        ring = RingBuilder(2, 1, 1)
        address = {"ip": "127.0.0.1", "port": store_port, "replication_ip": "127.0.0.1", "replication_port": store_port}
        ring.add_dev({"region": 1, "zone": 1, "weight": 1.0, "device": "disk", "meta": "", **address})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{store}.ring.gz"))
    account, _, user = key.partition(":")
    filters = {
        "catch_errors": "use = egg:swift#catch_errors",
        "memory": "paste.filter_factory = tests.services.object_store:memory_filter",
        "bulk": "use = egg:swift#bulk",
        "s3api": "use = egg:swift#s3api\nlocation = us-east-1\ns3_acl = no\nmin_segment_size = 1048576",
        "tempauth": f"use = egg:swift#tempauth\nuser_{account}_{user} = {secret} .admin",
        "copy": "use = egg:swift#copy",
        "slo": "use = egg:swift#slo",
        "dlo": "use = egg:swift#dlo",
        "versioned_writes": "use = egg:swift#versioned_writes\nallow_object_versioning = true",
        "symlink": "use = egg:swift#symlink",
        "refusing": "paste.filter_factory = tests.services.object_store:refusing_filter",
    }
    (folder / "proxy.conf").write_text(
        f"[DEFAULT]\n{common}bind_port = {port}\n[pipeline:main]\npipeline = {PIPELINE}\n"
        + "".join(f"[filter:{name}]\n{lines}\n" for name, lines in filters.items())
        + "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
    )


def serve(folder: Path, name: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    utils.set_swift_dir(str(folder))
    storage_policy.reload_storage_policies()
    sys.exit(run_wsgi(str(folder / f"{name}.conf"), f"{name}-server"))


def main(folder: Path, port: int, key: str, secret: str) -> None:
    write_configuration(folder, port, key, secret)
    children: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    for name in (*STORES, "proxy"):
        child = os.fork()
        if child == 0:
            serve(folder, name)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
