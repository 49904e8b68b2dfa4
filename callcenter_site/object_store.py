"""Deleting from the store for good, many objects at a time: every version and every marker of exactly these names.

Django's storages delete one object a request, and in a bucket that keeps versions they only hide it. An answer to many
deletions can carry errors of its own inside an HTTP 200; they are read one by one.
"""

import base64
import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from django.core.files.storage import Storage, default_storage

log = logging.getLogger(__name__)

MOST_AT_ONCE = 1000
"""Objects the S3 interface takes in one request."""
FEWEST_AT_ONCE = 50
LISTED_AT_ONCE = 8
PIECE = 256 * 1024
GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
FAILED = "Failed"
"""Why, where the store gave no code of its own."""


def delete_objects(names: Collection[str], *, storage: Storage = default_storage) -> dict[str, str]:
    """Deletes all there is under these names; for each that may still be there, the store's code of why."""
    if hasattr(storage, "bucket_name"):
        return _delete_from_bucket(list(names), storage)
    failed = {}
    for name in names:
        try:
            storage.delete(name)
        except OSError as error:
            failed[name] = type(error).__name__
    return failed


def list_objects(prefix: str = "", *, storage: Storage = default_storage) -> Iterator[tuple[str, Any, int]]:
    """Name, time of the last change and size of every object below a prefix; of a folder on this machine, of every file."""
    if hasattr(storage, "bucket_name"):
        bucket: Any = storage
        client, place = bucket.connection.meta.client, bucket.location
        start = bucket._normalize_name(prefix) if prefix else place
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket.bucket_name, Prefix=start):
            for found in page.get("Contents", ()):
                yield found["Key"].removeprefix(place).lstrip("/"), found["LastModified"], found["Size"]
        return
    yield from _files_below(prefix.rstrip("/"), storage)


def read_object(name: str, *, storage: Storage = default_storage) -> Iterator[bytes]:
    """A file piece by piece. Opened through Django's storage, one of a bucket would first lie in memory as a whole."""
    if hasattr(storage, "bucket_name"):
        bucket: Any = storage
        client = bucket.connection.meta.client
        try:
            answer = client.get_object(Bucket=bucket.bucket_name, Key=bucket._normalize_name(name))
        except client.exceptions.NoSuchKey as error:
            raise FileNotFoundError(name) from error
        with closing(answer["Body"]) as body:
            yield from body.iter_chunks(PIECE)
        return
    with storage.open(name, "rb") as file:
        yield from iter(lambda: file.read(PIECE), b"")


def _files_below(folder: str, storage: Storage) -> Iterator[tuple[str, Any, int]]:
    if not storage.exists(folder or "."):
        return
    folders, files = storage.listdir(folder or ".")
    for file in sorted(files):
        name = f"{folder}/{file}" if folder else file
        try:
            yield name, storage.get_modified_time(name), storage.size(name)
        except FileNotFoundError:  # gone since the folder was listed
            continue
    for below in sorted(folders):
        yield from _files_below(f"{folder}/{below}" if folder else below, storage)


def _delete_from_bucket(names: Sequence[str], storage: Any) -> dict[str, str]:
    client, bucket = storage.connection.meta.client, storage.bucket_name
    client.meta.events.register("before-call.s3.DeleteObjects", _with_md5, unique_id="portal-md5")
    names_of = {storage._normalize_name(name): name for name in names}
    failed: dict[str, str] = {}
    if _keeps_versions(client, bucket):
        with ThreadPoolExecutor(LISTED_AT_ONCE) as threads:
            listed = list(threads.map(lambda key: _versions(client, bucket, key), names_of))
    else:
        listed = [[{"Key": key}] for key in names_of]
    todo = []
    for key, versions in zip(names_of, listed, strict=True):
        if isinstance(versions, str):
            failed[names_of[key]] = versions
        else:
            todo += versions
    for key, code in _delete_in_parts(client, bucket, todo).items():
        failed[names_of[key]] = code
    return failed


_sizes: dict[str, int] = {}
"""How many objects a bucket's store was found to delete before the connection's time is over."""


def _delete_in_parts(client: Any, bucket: str, objects: Sequence[dict[str, str]]) -> dict[str, str]:
    """As many at once as the store takes. One that does not answer in time is asked for fewer, and then left for later."""
    failed: dict[str, str] = {}
    done = 0
    while done < len(objects):
        size = _sizes.get(bucket, MOST_AT_ONCE)
        part = objects[done : done + size]
        try:
            failed |= _delete_at_once(client, bucket, part)
        except Exception as error:  # whatever the client raises: nothing is known to be gone
            if getattr(error, "response", None) is None and len(part) > FEWEST_AT_ONCE:
                _sizes[bucket] = max(FEWEST_AT_ONCE, len(part) // 4)
                continue
            return failed | {one["Key"]: _code(error) for one in objects[done:]}
        done += len(part)
    return failed


def _delete_at_once(client: Any, bucket: str, objects: Sequence[dict[str, str]]) -> dict[str, str]:
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": list(objects), "Quiet": True})
    return {error["Key"]: str(error.get("Code") or FAILED) for error in answer.get("Errors", ()) if error.get("Code") not in GONE}


def _versions(client: Any, bucket: str, key: str) -> list[dict[str, str]] | str:
    """All versions and markers of just this key, or why they are not known. A listing goes by the beginning of keys."""
    found = []
    try:
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                if one["Key"] == key:
                    found.append({"Key": key, "VersionId": one["VersionId"]})
    except Exception as error:  # whatever the client raises: nothing is known to be gone
        return _code(error)
    return found


def _keeps_versions(client: Any, bucket: str) -> bool:
    """Whether the bucket keeps versions or ever did. A store that does not say is taken to."""
    try:
        return bool(client.get_bucket_versioning(Bucket=bucket).get("Status"))
    except Exception as error:  # whatever the client raises
        return _code(error) not in {"NotImplemented", "MethodNotAllowed", "501"}


def _code(error: Exception) -> str:
    answer = getattr(error, "response", None)  # of a client's error; others are of the connection
    return str(answer.get("Error", {}).get("Code") or FAILED) if answer else type(error).__name__


def _with_md5(params: dict[str, Any], **kwargs: Any) -> None:
    """Some stores refuse many deletions at once without this header, which boto3 no longer sends."""
    body = params["body"]
    body = body if isinstance(body, bytes) else body.encode()
    params["headers"]["Content-MD5"] = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
