"""Where sound files, exports and backups lie: may the portal do there what it must, and nobody else read."""

import uuid
from typing import Any

import urllib3
from botocore.exceptions import ClientError
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from callcenter_site.doctor.findings import Examined, examines, reason_of

TIMEOUT = urllib3.Timeout(connect=3, read=5)
CONTENT = b"written by the doctor, to be deleted"
UNKNOWN = {"NotImplemented", "MethodNotAllowed", "501", "405"}
RIGHTS = "Give the key the rights to {} in this bucket."


@examines(
    "store",
    otherwise="See that the store runs, that the COS_… settings fit it, and that the key may use the bucket.",
)
def check_store(examined: Examined) -> None:
    if not settings.COS_BUCKET:
        _check_write_read_delete(examined)
        examined.not_in_use("COS_BUCKET", f"Files lie under {settings.VAR_DIR}/files, on this machine alone.")
        return
    store: Any = default_storage
    client, bucket = store.connection.meta.client, store.bucket_name
    client.head_bucket(Bucket=bucket)
    examined.ok("answers", "The bucket is there.")
    name = _check_write_read_delete(examined, keep=True)
    try:
        _check_stranger(examined, client, bucket, store._normalize_name(name))
    finally:
        store.delete(name)
        _forget_versions(client, bucket, store._normalize_name(name))
    _check_listing(examined, client, bucket)
    _check_versions(examined, client, bucket)
    _check_lifecycle(examined, client, bucket)


def _check_write_read_delete(examined: Examined, *, keep: bool = False) -> str:
    name = default_storage.save(f"doctor/{uuid.uuid4().hex}", ContentFile(CONTENT))
    try:
        with default_storage.open(name) as file:
            same = file.read() == CONTENT
    finally:
        if not keep:
            default_storage.delete(name)
    examined.within(
        "write, read, delete",
        "A file was written, read and deleted." if same else "What was read is not what was written.",
        is_ok=same,
        mend="Something between the portal and the store changes what passes: look at proxies in between.",
    )
    return name


def _check_stranger(examined: Examined, client: Any, bucket: str, key: str) -> None:
    """Asks for the file as anybody on the internet would."""
    address = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=60).partition("?")[0]
    with urllib3.PoolManager(timeout=TIMEOUT, retries=False) as pool:
        status = pool.request("GET", address).status
    examined.within(
        "who may read",
        "Who has no signed link is refused." if status >= 400 else "Anybody may read it, without a key or a link.",
        is_ok=status >= 400,
        mend="Make the bucket private at once: recordings lie in it.",
    )


def _check_listing(examined: Examined, client: Any, bucket: str) -> None:
    """The purge, the ledger and backups look through the bucket."""
    try:
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        examined.fail("list", f"It may not be looked through: {reason_of(error)}.", RIGHTS.format("list objects (GetBucket)"))
    else:
        examined.ok("list", "It may be looked through.")


def _check_versions(examined: Examined, client: Any, bucket: str) -> None:
    try:
        status = client.get_bucket_versioning(Bucket=bucket).get("Status", "")
    except ClientError as error:
        if _code(error) in UNKNOWN:
            examined.not_in_use("versions", "The store does not know versions.")
        else:
            examined.fail(
                "versions",
                f"Nobody may ask whether it keeps versions: {reason_of(error)}.",
                RIGHTS.format("see versioning, list and delete versions: what is erased may stay behind as an old one"),
            )
        return
    if not status:
        examined.ok("versions", "It keeps none: what is deleted is gone.")
        return
    try:
        client.list_object_versions(Bucket=bucket, MaxKeys=1)
    except ClientError as error:
        examined.fail(
            "versions",
            f"It keeps versions, which may not be listed: {reason_of(error)}.",
            RIGHTS.format("list and delete versions: what is erased stays behind as an old one"),
        )
        return
    examined.ok("versions", f"It keeps versions ({status.lower()}); the portal deletes all of a file.")


def _check_lifecycle(examined: Examined, client: Any, bucket: str) -> None:
    """How long files live is the portal's promise; a rule of the bucket would break it in either direction."""
    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket).get("Rules", [])
    except ClientError as error:
        if _code(error) in {"NoSuchLifecycleConfiguration", "NoSuchLifecycle", "404"}:
            rules = []
        elif _code(error) in UNKNOWN:
            examined.not_in_use("lifecycle rules", "The store does not know them.")
            return
        else:
            examined.warn(
                "lifecycle rules",
                f"Nobody may ask for them: {reason_of(error)}.",
                RIGHTS.format("see its lifecycle") + " Or look yourself: no rule may delete files.",
            )
            return
    deleting = [str(rule.get("ID") or number) for number, rule in enumerate(rules, 1) if _deletes(rule)]
    examined.within(
        "lifecycle rules",
        f"Rules delete files by themselves: {', '.join(deleting)}." if deleting else f"None of {len(rules)} deletes files.",
        is_ok=not deleting,
        mend="Take them out. The portal deletes in time, and not before: a rule knows neither plans nor legal holds.",
    )


def _deletes(rule: dict[str, Any]) -> bool:
    expiration = rule.get("Expiration") or {}
    return rule.get("Status") == "Enabled" and bool(expiration.get("Days") or expiration.get("Date"))


def _forget_versions(client: Any, bucket: str, key: str) -> None:
    try:
        answer = client.list_object_versions(Bucket=bucket, Prefix=key)
        for one in (*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    except ClientError:
        return  # without the right to; the finding about versions says so


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
