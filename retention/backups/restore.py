"""Brings an account back from its objects: into the portal it came from, or into an empty one.

What must never happen: something that was erased is served again; a row lands in another account; a restore that was cut
off leaves half of an account that looks whole. So the account is closed from the first row to the last, tombstones come
before the rows they are about, and it opens only after what was erased was looked for once more in all that came back.

Rows get their old ids where these are free. A row that is there already, by its id or by what is unique about it, stays as
it is; a row whose id another account has gets a new one, and all that point to it point there. Each page of rows and the
place it ends at are committed together, so a restore that was killed goes on, and a row comes once.
"""

import datetime as dt
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, email_index
from analytics import rollup
from callcenter_site.bulk import insert_rows
from callcenter_site.phone_numbers import canonical
from callcenter_site.subjects import Subject, SubjectKind, Work
from calls import subjects as calls_subjects
from calls.models import Call, CallLeg, IvrStep, Tombstone
from calls.tombstones import hash_of
from configuration.encryption import EncryptedTextField, forget_keys
from configuration.models import Account, BlockedNumber
from retention import holds, outbox
from retention.backups.crypt import Keys, Unreadable
from retention.backups.kinds import OF_THE_NIGHT, Kind, places
from retention.backups.manifest import Manifest, adopt, bring_back_keys, read_manifest
from retention.backups.objects import paged, rows_in
from retention.backups.reach import PAGE
from retention.backups.rows import KEYS, Row
from retention.backups.source import column_in_pages
from retention.backups.subjects import Scrub
from retention.ledger import LedgerKind, append
from retention.models import BackupObject, RestoredId, RestoreRun
from retention.stores import pages, stores_for
from retention.taking_over import take_over

log = logging.getLogger(__name__)

State = RestoreRun.State
CUT_OFF_AFTER = dt.timedelta(minutes=10)
VALUES_AT_ONCE = 5000
_MAY_BE_NUMBER = re.compile(r"[+＋]?\d[\d \-.()/\u00a0\u2010-\u2015\u3000]{3,40}\d")
_PLACES = {place.label: place for place in places()}
_ORDER = {kind.value: place for place, kind in enumerate(Kind)}

REFUSED: dict[str, Promise] = {
    "no_backup": _("The store holds no backup of this account."),
    "another": _("This portal has another account under that number. Restore it into an empty portal."),
    "not_empty": _("The account has people, calls or figures. Say --into-existing to bring back what is missing beside them."),
    "no_night": _("There is no such night; the days that there are stand in the admin under Backups."),
    "running": _("A restore of this account is running."),
    "terminated": _("The account is terminated."),
    "no_key": _("ENCRYPTION_KEYS lacks the key under which the backup was made."),
    "tampered": _("The manifest is not what the portal wrote."),
    "format": _("The manifest is not what the portal wrote."),
}


class Refused(Exception):
    """Nothing was begun. The message is a key of `REFUSED`."""


class Fenced(Exception):
    """Another process has taken the restore up."""


def restore(
    *,
    account_id: int,
    at: dt.datetime,
    night: dt.date | None = None,
    into_existing: bool = False,
    with_raw_events: bool = False,
    tell: Callable[[RestoreRun, int, int], None] = lambda run, n_done, n_all: None,
) -> RestoreRun:
    """Restores an account, or goes on with a restore that was cut off. `tell` hears of rows done, of all."""
    try:
        manifest = read_manifest(account_id)
    except Unreadable as error:
        raise Refused(str(error)) from error
    if manifest is None:
        raise Refused("no_backup")
    account = _account(manifest)
    run = _take_up(account, manifest, at, night, into_existing=into_existing, with_raw_events=with_raw_events)
    work = _Restore(run, account, manifest, at, tell)
    try:
        work.do()
    except Fenced:
        raise
    except Exception as error:
        RestoreRun.objects.filter(pk=run.pk, lease=run.lease).update(
            state=State.FAILED, error=str(error)[:60] if isinstance(error, Unreadable) else type(error).__name__
        )
        raise
    return run


def replay(*, account: Account, at: dt.datetime) -> Counter[str]:
    """Erases once more what was erased before: after a copy of the database from before was put in place. Brings in the
    tombstones that lie in the store, then looks for what they name. How many rows went, by store."""
    manifest = read_manifest(account.pk)
    if manifest is not None:
        bring_back_tombstones(account, manifest)
        with transaction.atomic():
            adopt(account, manifest)
    counts = erase_again(account, at=at)
    with transaction.atomic():
        append(kind=LedgerKind.RESTORE, account_id=account.pk, at=at, store="replay", counts=counts)
    return counts


def _account(manifest: Manifest) -> Account:
    """The account the backup is of, closed; made where it is not there."""
    account: Account | None = Account.objects.filter(pk=manifest.account_id).first()
    if account is None:
        account = Account(pk=manifest.account_id, name=f"#{manifest.account_id}", slug=f"restored-{manifest.account_id}")
        account.restoring_since = timezone.now()
        with transaction.atomic():
            account.save(force_insert=True)
            bring_back_keys(account, manifest)
            forget_keys()
        return account
    if not Keys.stored_of(account.pk).is_same_as(manifest.keys):
        raise Refused("another")
    if account.terminated_at is not None:
        raise Refused("terminated")
    return account


def _take_up(
    account: Account,
    manifest: Manifest,
    at: dt.datetime,
    night: dt.date | None,
    *,
    into_existing: bool,
    with_raw_events: bool,
) -> RestoreRun:
    now = timezone.now()
    nights = {one.day for one in manifest.objects if one.kind == Kind.CONFIGURATION}
    with transaction.atomic():
        holds.enter(account)
        run = RestoreRun.objects.for_account(account).exclude(state=State.DONE).order_by("-pk").first()
        if run is not None:
            if not take_over(run, at=now, cut_off_after=CUT_OFF_AFTER):
                raise Refused("running")
        else:
            night = night or max(nights, default=None)
            if night is None or night not in nights:
                raise Refused("no_night")
            if not into_existing and _is_in_use(account):
                raise Refused("not_empty")
            run = RestoreRun.objects.create(
                account=account, night=night, with_raw_events=with_raw_events, started_at=now, heartbeat_at=now
            )
        Account.objects.filter(pk=account.pk, restoring_since=None).update(restoring_since=now)
    return run


def _is_in_use(account: Account) -> bool:
    tables = ("agents.Agent", "calls.Call", "calls.CallEvent", "analytics.CallTotal", "configuration.ServiceNumber")
    return any(_PLACES[label].model._base_manager.filter(account_id=account.pk).exists() for label in tables)


def bring_back_tombstones(account: Account, manifest: Manifest) -> None:
    """Those of every night there is: an older night knows fewer, and one too many hurts nobody."""
    people = set(Agent._base_manager.filter(account_id=account.pk).values_list("pk", flat=True))
    here = Tombstone.objects.for_account(account)
    for there in manifest.objects:
        if there.kind != Kind.ERASED:
            continue
        for page in paged(rows_in(there, keys=manifest.keys), PAGE):
            names = ("id", "kind", "key_hash", "up_to", "agent_id")
            stones = [Tombstone(account_id=account.pk, **{name: row.values[name] for name in names}) for row in page]
            taken = set(Tombstone.objects.filter(pk__in=[row.pk for row in page]).values_list("pk", flat=True))
            for stone in stones:
                stone.pk = None if stone.pk in taken else stone.pk
                stone.agent_id = stone.agent_id if stone.agent_id in people else None
                if stone.agent_id is not None:
                    here.filter(kind=stone.kind, key_hash=stone.key_hash, agent_id=None).update(agent_id=stone.agent_id)
            for rows in ([one for one in stones if one.pk], [one for one in stones if not one.pk]):
                Tombstone.objects.bulk_create(rows, ignore_conflicts=True)


class _Restore:
    def __init__(
        self,
        run: RestoreRun,
        account: Account,
        manifest: Manifest,
        at: dt.datetime,
        tell: Callable[[RestoreRun, int, int], None],
    ) -> None:
        self.run, self.account, self.manifest, self.at, self.tell = run, account, manifest, at, tell
        self.counts = Counter(run.counts)
        self.objects = sorted(self._chosen(), key=_place)
        self.n_all = sum(one.n_rows for one in self.objects)
        self.n_done = sum(one.n_rows for one in self.objects if self._is_done(one)) + run.n_read
        self._maps: dict[str, bool] = {}

    def do(self) -> None:
        bring_back_tombstones(self.account, self.manifest)
        for there in self.objects:
            if not self._is_done(there):
                self._object(there)
        bring_back_tombstones(self.account, self.manifest)  # once more: their people are there now
        n_erased = erase_again(self.account, at=self.at)
        counts = {**self.counts, **({"erased_again": n_erased.total()} if n_erased else {})}
        with transaction.atomic():
            self._keep(state=State.DONE, finished_at=timezone.now(), counts=counts)
            RestoredId.objects.filter(run=self.run).delete()
            adopt(self.account, self.manifest)
            Account.objects.filter(pk=self.account.pk).update(restoring_since=None)
            append(kind=LedgerKind.RESTORE, account_id=self.account.pk, at=self.at, store="backups", counts=counts)
        self.run.refresh_from_db()

    def _chosen(self) -> Iterator[BackupObject]:
        for there in self.manifest.objects:
            if there.kind not in _ORDER:
                continue
            if there.kind not in OF_THE_NIGHT or there.day == self.run.night:
                yield there

    def _is_done(self, there: BackupObject) -> bool:
        if not self.run.kind or self.run.day is None:
            return False
        return _place(there) < (_ORDER[self.run.kind], self.run.day)

    def _object(self, there: BackupObject) -> None:
        is_here = (self.run.kind, self.run.day) == (there.kind, there.day)
        n_read = self.run.n_read if is_here else 0
        scrub = Scrub(self.account.pk)
        seen = 0
        for page in paged(rows_in(there, keys=self.manifest.keys), PAGE):
            cleaned = scrub(page)
            seen += len(page)
            if seen <= n_read:  # done before it was cut off; looked at for the calls whose parts follow
                continue
            left = [row for row in cleaned if row is not None]
            with transaction.atomic():
                counts = Counter(erased=len(page) - len(left))
                for label, rows in _by_table(left):
                    counts += self._rows(label, rows)
                total = self.counts + counts
                self._keep(kind=there.kind, day=there.day, n_read=seen, counts=dict(total))
            self.counts = total
            self.n_done += len(page)
            self.tell(self.run, self.n_done, self.n_all)
        if seen != there.n_rows:
            raise Unreadable("cut")
        self._keep(kind=there.kind, day=there.day, n_read=seen)

    def _keep(self, **values: Any) -> None:
        mine = RestoreRun.objects.filter(pk=self.run.pk, lease=self.run.lease)
        if not mine.update(heartbeat_at=timezone.now(), **values):
            raise Fenced
        for name, value in values.items():
            setattr(self.run, name, value)

    def _rows(self, label: str, rows: list[Row]) -> Counter[str]:
        place = _PLACES[label]
        if place.model is Account:
            return self._account_row(rows[0])
        if place.kind == Kind.EVENTS and not self.run.with_raw_events:
            rows = self._of_unsealed(rows)
        rows = self._pointing_right(place.model, rows)
        new, moved, n_there = self._sorted(place.model, rows)
        n_taken = 0
        if place.model is Agent:
            n_taken = _free_emails([*new, *moved])
        _insert(place.model, new)
        if place.kind == Kind.EVENTS and self.run.with_raw_events:
            keys = {row.values["call_key"] for row in new}
            Call.objects.for_account(self.account).filter(call_key__in=list(keys)).update(sealed_at=None)
        for row in moved:
            old = row.values["id"]
            fresh = _insert_without_id(place.model, row)
            self._map(label, old, fresh)
        return Counter(restored=len(new) + len(moved), there=n_there, other_ids=len(moved), emails_taken=n_taken)

    def _account_row(self, row: Row) -> Counter[str]:
        """What the account is called and how it is set; where it was there, it stays as it is."""
        fresh = Account.objects.filter(pk=self.account.pk, slug=f"restored-{self.account.pk}")
        values = {name: value for name, value in row.values.items() if name not in (KEYS | {"id", "restoring_since"})}
        if Account.objects.filter(slug=values["slug"]).exclude(pk=self.account.pk).exists():
            values["slug"] = f"{values['slug'][:30]}-{self.account.pk}"
        n = fresh.update(**values)
        self.account.refresh_from_db()
        return Counter(restored=n, there=1 - n)

    def _of_unsealed(self, rows: list[Row]) -> list[Row]:
        """Raw events have left the database a week after their call closed, and do not come back unless asked for."""
        keys = {row.values["call_key"] for row in rows}
        sealed = Call.objects.for_account(self.account).filter(call_key__in=list(keys)).exclude(sealed_at=None)
        gone = {bytes(key) for key in sealed.values_list("call_key", flat=True)}
        return [row for row in rows if row.values["call_key"] not in gone]

    def _pointing_right(self, model: Any, rows: list[Row]) -> list[Row]:
        """With the account and the ids that rows got here."""
        columns = [column for column in model._meta.concrete_fields if column.remote_field]
        for column in columns:
            label = column.remote_field.model._meta.label
            if column.remote_field.model is Account:
                rows = [Row(row.label, {**row.values, column.attname: self.account.pk}) for row in rows]
            elif ids := self._mapped(label, {row.values.get(column.attname) for row in rows}):
                rows = [
                    Row(row.label, {**row.values, column.attname: ids.get(one or 0, one)})
                    for row in rows
                    for one in [row.values.get(column.attname)]
                ]
        if model._meta.label == "calls.CallSeenBy":
            people = self._mapped("agents.Agent", {row.values["viewer"] for row in rows})
            groups = self._mapped("agents.SkillGroup", {-row.values["viewer"] for row in rows})
            ids = people | {-old: -new for old, new in groups.items()}
            if ids:
                rows = [
                    Row(row.label, {**row.values, "viewer": ids.get(row.values["viewer"], row.values["viewer"])}) for row in rows
                ]
        return rows

    def _mapped(self, label: str, ids: Collection[Any]) -> dict[int, int]:
        if not self._maps.setdefault(label, RestoredId.objects.filter(run=self.run, label=label).exists()):
            return {}
        rows = RestoredId.objects.filter(run=self.run, label=label, old__in=[one for one in ids if one is not None])
        return dict(rows.values_list("old", "new"))

    def _map(self, label: str, old: int, new: int) -> None:
        RestoredId.objects.create(account=self.account, run=self.run, label=label, old=old, new=new)
        self._maps[label] = True

    def _sorted(self, model: Any, rows: list[Row]) -> tuple[list[Row], list[Row], int]:
        """Rows whose id is free; those that get another; and how many are there already."""
        taken: dict[int, Any] = dict(model._base_manager.filter(pk__in=[row.pk for row in rows]).values_list("pk", "account_id"))
        twins = _twins(model, self.account.pk, rows)
        new: list[Row] = []
        moved: list[Row] = []
        n_there = 0
        known = self._mapped(model._meta.label, {row.pk for row in rows})
        for row in rows:
            twin = twins.get(row.pk)
            if row.pk in known or twin == row.pk or taken.get(row.pk) == self.account.pk:
                n_there += 1
            elif twin is not None:
                n_there += 1
                self._map(model._meta.label, row.pk, twin)
            else:
                (moved if row.pk in taken else new).append(row)
        return new, moved, n_there


def _place(there: BackupObject) -> tuple[int, dt.date]:
    return _ORDER[there.kind], there.day


def _by_table(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of a page, table by table, in the order of their first rows: what others point to stands before them."""
    tables: dict[str, list[Row]] = {}
    for row in rows:
        tables.setdefault(row.label, []).append(row)
    yield from tables.items()


# --- Rows that are there ---------------------------------------------------------------------------------------------


def _unique_columns(model: Any) -> list[list[Any]]:
    """Sets of columns in which no two rows of an account are equal."""
    by_name = {field.name: field for field in model._meta.concrete_fields}
    sets = [
        [by_name[name] for name in constraint.fields if name != "account"]
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields and constraint.condition is None
    ]
    single = [[field] for field in model._meta.concrete_fields if field.unique and not field.primary_key]
    return [*sets, *single]


def _twins(model: Any, account_id: int, rows: Sequence[Row]) -> dict[int, int]:
    """Rows of the account that are equal in what is unique, by the id of the row that was backed up."""
    twins: dict[int, int] = {}
    of_account = model._base_manager.filter(account_id=account_id)
    for columns in _unique_columns(model):
        names = [column.attname for column in columns]
        if not names:  # one row an account
            there = of_account.values_list("pk", flat=True).first()
            return {row.pk: there for row in rows} if there is not None else {}
        # The column that tells most apart is asked for; the others are compared here.
        telling = max(names, key=lambda name: len({_comparable(row.values.get(name)) for row in rows}))
        wanted = [row.values.get(telling) for row in rows]
        found = of_account.filter(Q(**{f"{telling}__in": [one for one in wanted if one is not None]}))
        there = {tuple(map(_comparable, values)): pk for pk, *values in found.values_list("pk", *names)}
        for row in rows:
            key = tuple(_comparable(row.values.get(name)) for name in names)
            if None not in key and (pk := there.get(key)) is not None:
                twins.setdefault(row.pk, pk)
    return twins


def _comparable(value: Any) -> Any:
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return str(value) if isinstance(value, dict | list) else value


def _free_emails(rows: list[Row]) -> int:
    """An email somebody else of the installation signs in with by now: the person comes back, and is given another."""
    n_taken = 0
    for row in rows:
        if Agent._base_manager.filter(email_hash=email_index(row.values["email"])).exists():
            row.values["email"] = f"restored-{row.values['id']}@invalid"
            row.values["is_active"] = False
            n_taken += 1
        row.values["email_hash"] = email_index(row.values["email"])
    return n_taken


def _insert(model: Any, rows: Sequence[Row]) -> None:
    if not rows:
        return
    if _is_sealed(model):
        model._base_manager.bulk_create([model(**row.values) for row in rows], batch_size=PAGE)
        return
    names = list(rows[0].values)
    complete = {field.attname: field.get_default() for field in model._meta.concrete_fields if field.attname not in names}
    insert_rows(model, [*names, *complete], ([*row.values.values(), *complete.values()] for row in rows))


def _insert_without_id(model: Any, row: Row) -> int:
    one = model(**{name: value for name, value in row.values.items() if name != "id"})
    model._base_manager.bulk_create([one])
    if one.pk is None:  # a database that does not tell the ids of many rows
        with connection.cursor() as cursor:
            cursor.execute("SELECT LAST_INSERT_ID()")
            return int(cursor.fetchone()[0])
    return int(one.pk)


def _is_sealed(model: Any) -> bool:
    return any(isinstance(field, EncryptedTextField) for field in model._meta.concrete_fields)


# --- What was erased -------------------------------------------------------------------------------------------------


def erase_again(account: Account, *, at: dt.datetime) -> Counter[str]:
    """Looks for what tombstones name in all that is there, and erases it the way it was erased before."""
    counts: Counter[str] = Counter()
    stones = Tombstone.objects.for_account(account)
    if not stones.exists():
        return counts
    for subject in (*_calls_again(account), *_agents_again(account), *_numbers_again(account)):
        calls_subjects.remember(subject, at=subject.up_to or at)
        for store in stores_for(subject.kind):
            if n := _erase_from(store, subject, account, at):
                counts[store.name] += n
    return counts


def _erase_from(store: Any, subject: Subject, account: Account, at: dt.datetime) -> int:
    n_deleted = 0
    for page in pages(store, subject, PAGE):
        if not page.ids:
            continue
        with transaction.atomic():
            work = Work(
                at=at,
                put_files=lambda keys: outbox.put(account=account, keys=keys, at=at, cause="restore"),  # type: ignore[arg-type,return-value]
                keep_figures=lambda ids: rollup.keep_counts(account=account, call_ids=ids, unnamed=subject.numbers),
                held_calls=holds.look(account).calls,
            )
            n_deleted += store.erase(subject, page.ids, work).n_deleted
        for then in work.after:
            then()
    return n_deleted


def _calls_again(account: Account) -> Iterator[Subject]:
    hashes = _hashes(account, Tombstone.Kind.CALL)
    if not hashes:
        return
    for key in list(_values(Call.objects.for_account(account), "call_key")):
        if hash_of(account.pk, Tombstone.Kind.CALL, bytes(key).hex()) in hashes:
            yield Subject(SubjectKind.CALL, account.pk, account.region, call_key=bytes(key))


def _agents_again(account: Account) -> Iterator[Subject]:
    """Who was erased and is not any more. A colleague of the same name is somebody else: what counts is the row a tombstone
    names, or the email, which nobody shares."""
    stones: dict[bytes, list[Tombstone]] = {}
    for stone in Tombstone.objects.for_account(account).filter(kind=Tombstone.Kind.AGENT):
        stones.setdefault(bytes(stone.key_hash), []).append(stone)
    for person in Agent._base_manager.filter(account_id=account.pk, erased_at=None) if stones else ():
        names = {person.staff_id, person.email, person.name, person.nickname} - {""}
        hashes = {name: hash_of(account.pk, Tombstone.Kind.AGENT, name) for name in names}
        meant = [stone for one in hashes.values() for stone in stones.get(one, ()) if stone.agent_id == person.pk]
        meant += [stone for stone in stones.get(hashes[person.email], ()) if person.created_at <= stone.up_to]
        if meant:
            yield Subject(
                SubjectKind.AGENT,
                account.pk,
                account.region,
                numbers=frozenset(phone.number for phone in person.phones.all()),
                agent_id=person.pk,
                names=frozenset(names),
                up_to=max(stone.up_to for stone in meant),
            )


def _numbers_again(account: Account) -> Iterator[Subject]:
    stones = Tombstone.objects.for_account(account).filter(kind=Tombstone.Kind.NUMBER)
    hashes = {bytes(one): up_to for one, up_to in stones.values_list("key_hash", "up_to")}
    if not hashes:
        return
    seen: set[str] = set()
    for written in _written_numbers(account):
        number = canonical(written, account.region)
        if number in seen:
            continue
        seen.add(number)
        up_to = hashes.get(hash_of(account.pk, Tombstone.Kind.NUMBER, number))
        if up_to is not None:
            yield Subject(SubjectKind.NUMBER, account.pk, account.region, numbers=frozenset({number}), up_to=up_to)


def _written_numbers(account: Account) -> Iterator[str]:
    """Whatever may be a number, in the columns and texts in which there are any."""
    calls, legs = Call.objects.for_account(account), CallLeg.objects.for_account(account)
    for rows, column in (
        (calls, "calling_number"),
        (calls, "called_number"),
        (legs, "number"),
        (legs, "transfer_to"),
        (BlockedNumber.objects.for_account(account), "number"),
    ):
        yield from rows.exclude(**{column: ""}).order_by().values_list(column, flat=True).distinct().iterator()
    for rows, column in (
        (IvrStep.objects.for_account(account), "input"),
        (calls.filter(has_remark=True), "remark"),
        (BlockedNumber.objects.for_account(account), "reason"),
    ):
        for text in _values(rows.exclude(**{column: ""}), column):
            yield from (found.group() for found in _MAY_BE_NUMBER.finditer(text))


def _values(rows: Any, column: str) -> Iterator[Any]:
    for page in column_in_pages(rows, column, VALUES_AT_ONCE):
        yield from page


def _hashes(account: Account, kind: str) -> set[bytes]:
    rows = Tombstone.objects.for_account(account).filter(kind=kind)
    return {bytes(one) for one in rows.values_list("key_hash", flat=True)}
