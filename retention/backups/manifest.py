"""What an account's objects are and what opens them, written beside them: from it and the keys of the environment alone an
account can be restored into an empty portal.

It holds ids, days, counts and the account's keys as they are wrapped by the environment's; nothing personal. What must
never happen: a copy of a wrapped key outlives the destruction of the key. So the newest manifest is one row like every
object, those before it go with all their versions, and a termination deletes it before anything else.
"""

import datetime as dt
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from callcenter_site.object_store import list_objects, read_object
from configuration.encryption import DecryptionError, unwrap_key, wrapped_for
from configuration.models import Account, DataKey
from retention import outbox
from retention.backups.crypt import Keys, Unreadable
from retention.backups.objects import LEASE, new_name
from retention.models import BackupObject

KIND = BackupObject.MANIFEST
DAY = dt.date(2000, 1, 1)
"""The manifest's row has a kind and a day as every object's; it is one."""
FORMAT = 1
PREFIX = "manifest-"


@dataclass(frozen=True, slots=True)
class Manifest:
    account_id: int
    name: str
    written_at: dt.datetime
    keys: Keys
    content: Mapping[str, Any]

    @property
    def objects(self) -> list[BackupObject]:
        return [
            BackupObject(
                account_id=self.account_id,
                kind=one["kind"],
                day=dt.date.fromisoformat(one["day"]),
                key=one["key"],
                n_rows=one["rows"],
                n_bytes=one["bytes"],
                sha256=one["sha256"],
                fingerprint=one["fingerprint"],
                version=1,
            )
            for one in self.content["objects"]
        ]


def write_manifest(*, account: Account, at: dt.datetime, keys: Keys | None = None, cause: str = "backup:manifest") -> None:
    """Puts a fresh manifest in place of the last. Written while another is, the later one stands and is as true."""
    keys = keys or Keys.of(account.pk)
    row, _is_new = BackupObject.objects.get_or_create(account=account, kind=KIND, day=DAY)
    while True:
        with transaction.atomic():
            row = BackupObject.objects.select_for_update().get(pk=row.pk)
            outbox.put(account=account, keys=[row.loose_key], at=at, cause=cause)
            row.loose_key = new_name(account.pk, f"{PREFIX}{row.version + 1:010d}-")
            row.lease = secrets.randbits(62) + 1
            BackupObject.objects.filter(pk=row.pk).update(
                loose_key=row.loose_key, lease=row.lease, leased_until=timezone.now() + LEASE
            )
        content = json.dumps(_content(account, row.version + 1, keys), sort_keys=True).encode()
        mac = hmac.digest(keys.derived(keys.newest, b"", b"manifest"), content, "sha256")
        default_storage.save(row.loose_key, ContentFile(json.dumps({"mac": mac.hex(), "manifest": content.decode()}).encode()))
        now = timezone.now()
        with transaction.atomic():
            mine = BackupObject.objects.filter(pk=row.pk, version=row.version, lease=row.lease)
            values = {"key": row.loose_key, "loose_key": "", "lease": 0, "leased_until": None, "error": ""}
            is_ours = mine.update(**values, version=F("version") + 1, n_bytes=len(content), written_at=now, verified_at=now)
            outbox.put(account=account, keys=[row.key if is_ours else row.loose_key], at=at, cause=cause)
        if is_ours:
            return


def read_manifest(account_id: int) -> Manifest | None:
    """The newest manifest in the store; None: there is none."""
    names = [name for name, _at, _size in list_objects(f"backups/{account_id}/") if f"/{PREFIX}" in name]
    if not names:
        return None
    try:
        outer = json.loads(b"".join(read_object(name := max(names))))
        content = json.loads(outer["manifest"])
        keys = Keys(
            account_id,
            {
                one["number"]: unwrap_key(
                    one["key_id"], bytes.fromhex(one["wrapped"]), wrapped_for(account_id, one["purpose"], one["number"])
                )
                for one in content["keys"]
                if one["purpose"] == DataKey.Purpose.BACKUP
            },
        )
        mac = hmac.digest(keys.derived(keys.newest, b"", b"manifest"), outer["manifest"].encode(), "sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable("format") from error
    except DecryptionError as error:
        raise Unreadable("no_key") from error
    if content["account"] != account_id or not hmac.compare_digest(mac.hex(), outer["mac"]):
        raise Unreadable("tampered")
    return Manifest(account_id, name, dt.datetime.fromisoformat(content["at"]), keys, content)


def bring_back_keys(account: Account, manifest: Manifest) -> None:
    """The account's wrapped keys, where they are not there."""
    first = manifest.content["account_key"]
    Account.objects.filter(pk=account.pk).update(
        key_id=first["key_id"], wrapped_key=bytes.fromhex(first["wrapped"]), key_made_under=first["made_under"]
    )
    for one in manifest.content["keys"]:
        try:
            with transaction.atomic():
                DataKey.objects.create(
                    account=account,
                    purpose=one["purpose"],
                    number=one["number"],
                    key_id=one["key_id"],
                    wrapped_key=bytes.fromhex(one["wrapped"]),
                    made_under=one["made_under"],
                )
        except IntegrityError:
            continue  # there already


def adopt(account: Account, manifest: Manifest) -> None:
    """Where the database knows an older state of the store than the manifest, or none, it learns what there is."""
    rows = BackupObject.objects.for_account(account)
    version = int(manifest.content["version"])
    if rows.filter(kind=KIND, version__gte=version).exists():
        return
    rows.delete()
    objects = manifest.objects
    objects.append(BackupObject(account=account, kind=KIND, day=DAY, key=manifest.name, version=version))
    for one in objects:
        one.written_at = one.verified_at = manifest.written_at
    BackupObject.objects.bulk_create(objects, batch_size=500)


def _content(account: Account, version: int, keys: Keys) -> dict[str, Any]:
    stored = Account.objects.filter(pk=account.pk).values("key_id", "wrapped_key", "key_made_under").get()
    objects = BackupObject.objects.for_account(account).without_manifest().exclude(key="").order_by("day", "kind")
    return {
        "format": FORMAT,
        "account": account.pk,
        "version": version,
        "at": timezone.now().isoformat(),
        "account_key": {
            "key_id": stored["key_id"],
            "wrapped": bytes(stored["wrapped_key"]).hex(),
            "made_under": stored["key_made_under"],
        },
        "keys": [
            {
                "purpose": row.purpose,
                "number": row.number,
                "key_id": row.key_id,
                "wrapped": bytes(row.wrapped_key).hex(),
                "made_under": row.made_under,
            }
            for row in DataKey.objects.filter(owner=account.pk).exclude(wrapped_key=b"")
        ],
        "objects": [
            {
                "kind": one.kind,
                "day": one.day.isoformat(),
                "key": one.key,
                "rows": one.n_rows,
                "bytes": one.n_bytes,
                "sha256": one.sha256,
                "fingerprint": one.fingerprint,
            }
            for one in objects.iterator()
        ],
    }
