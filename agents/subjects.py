"""What is held on people who work here, and how it goes: of an agent all but an empty row, of a number the phones it is.

What must never happen: somebody who was erased can sign in, or is still named. So sessions, links and the second factor
go first, and the person's own row is emptied last, when nothing needs what stood in it any more.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.cached_db import SessionStore
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _

from agents.erasure import shell_name
from agents.models import (
    Agent,
    AgentPhone,
    Authenticator,
    DeviceCheck,
    RecoveryCode,
    SignInLink,
    SkillGroupMember,
    Status,
    StatusChange,
    email_index,
    phone_index,
)
from agents.presence import seen_key
from agents.sign_in import HALF_WAY
from agents.status_chain import StatusFact, record_status_changes
from callcenter_site.erasure import delete_rows
from callcenter_site.streams import desk_topic, publish
from callcenter_site.subjects import (
    PEOPLE,
    SCANNED,
    Erase,
    Erased,
    Find,
    Page,
    Store,
    Subject,
    SubjectKind,
    Work,
    first_ids,
    paged,
    whole_rows,
)
from configuration.models import Account

AGENT, ACCOUNT = SubjectKind.AGENT, SubjectKind.ACCOUNT
_OWN = frozenset({AGENT, ACCOUNT})
SESSIONS_AT_ONCE = 2000
"""Sessions that are unpacked to see whose they are."""


def _people(subject: Subject) -> Any:
    rows = Agent.objects.for_account(subject.account_id)
    return rows if subject.kind == ACCOUNT else rows.filter(pk=subject.agent_id)


def _of_people(model: Any, whose: str) -> tuple[Find, Erase]:
    """How rows that belong to one agent each are found and deleted."""

    def rows(subject: Subject) -> Any:
        if subject.kind == ACCOUNT:
            return model._base_manager.filter(account_id=subject.account_id)
        return model._base_manager.filter(account_id=subject.account_id, **{whose: subject.agent_id})

    return whole_rows(rows)


# --- Phones ----------------------------------------------------------------------------------------------------------


def _phones(subject: Subject) -> Any:
    rows = AgentPhone.objects.for_account(subject.account_id)
    if subject.kind == SubjectKind.NUMBER:
        return rows.filter(number_hash__in=[phone_index(one, account_id=subject.account_id) for one in subject.numbers])
    return rows if subject.kind == ACCOUNT else rows.filter(agent_id=subject.agent_id)


def _show_phones(subject: Subject, ids: list[Any]) -> Any:
    for phone in AgentPhone.objects.for_account(subject.account_id).filter(pk__in=ids).order_by("pk"):
        yield {"kind": phone.kind, "number": phone.number}


# --- Sessions and attempts to sign in --------------------------------------------------------------------------------


def _whose_session(session: Session) -> int | None:
    data = session.get_decoded()
    half_way = data.get(HALF_WAY)
    said = data.get(SESSION_KEY) or (half_way.get("agent") if isinstance(half_way, dict) else None)
    return int(said) if said is not None and str(said).isdigit() else None


def _find_sessions(subject: Subject, after: Any, limit: int) -> Page:
    people = set(_people(subject).values_list("pk", flat=True))
    page = Session.objects.filter(session_key__gt=after or "").order_by("session_key")[:SESSIONS_AT_ONCE]
    return paged(((session.session_key, _whose_session(session) in people) for session in page), SESSIONS_AT_ONCE)


def _erase_sessions(subject: Subject, ids: list[Any], work: Work) -> Erased:
    n_deleted = delete_rows(Session.objects.filter(session_key__in=ids))
    # A copy stands in the cache, which would go on letting them in.
    work.after.append(lambda: _end_sessions(ids))
    return Erased(n_deleted)


def _end_sessions(keys: list[str]) -> None:
    for key in keys:
        SessionStore(key).delete()


def _attempt_names(subject: Subject) -> list[str]:
    """What failed attempts are counted under: a keyed hash of the email."""
    if subject.kind == AGENT:
        return [email_index(name).hex() for name in subject.names if "@" in name]
    return [bytes(one).hex() for one in _people(subject).values_list("email_hash", flat=True)]


def _find_attempts(subject: Subject, after: Any, limit: int) -> Page:
    return first_ids(AccessAttempt.objects.filter(username__in=_attempt_names(subject)), after, limit)


def _erase_attempts(subject: Subject, ids: list[Any], work: Work) -> Erased:
    delete_rows(AccessAttemptExpiration.objects.filter(access_attempt_id__in=ids))
    names = _attempt_names(subject)
    for model in (AccessFailureLog, AccessLog):
        delete_rows(model.objects.filter(username__in=names))
    return Erased(delete_rows(AccessAttempt.objects.filter(pk__in=ids)))


def _history(subject: Subject) -> Any:
    return LogEntry.objects.filter(user_id__in=_people(subject).values("pk"))


# --- The person's own row --------------------------------------------------------------------------------------------


def _find_people(subject: Subject, after: Any, limit: int) -> Page:
    return first_ids(_people(subject).filter(erased_at=None), after, limit)


def _erase_people(subject: Subject, ids: list[Any], work: Work) -> Erased:
    """Leaves the row's number and nothing else. Whoever is at work is offline from now on, so that their hours end."""
    account = Account.objects.get(pk=subject.account_id)
    people = list(_people(subject).filter(pk__in=ids, erased_at=None).order_by("pk").select_for_update())
    ongoing = StatusChange.objects.for_account(account).filter(agent_id__in=ids, ended_at=None).exclude(status=Status.OFFLINE)
    record_status_changes(
        account=account,
        changes=[
            StatusFact(
                agent_id=pk,
                status=Status.OFFLINE,
                started_at=max(work.at, started_at),
                change_key=hashlib.sha256(f"erased\0{pk}".encode()).digest(),
                source=StatusChange.Source.PORTAL,
            )
            for pk, started_at in ongoing.values_list("agent_id", "started_at")
        ],
    )
    for person in people:
        person.email = f"{shell_name(person.pk)}@invalid"
        sealed = Agent._meta.get_field("email").pre_save(person, add=False)
        # No `save`: the audit log watches it, and nothing of what stood here may be copied there.
        Agent.objects.filter(pk=person.pk).update(
            staff_id=shell_name(person.pk),
            email=sealed,
            email_hash=email_index(person.email),
            name="",
            nickname="",
            password=make_password(None),
            role=None,
            cellphone_pickup=Agent.CellphonePickup.OFF,
            status=Status.OFFLINE,
            status_reason="",
            status_since=work.at,
            wrap_up_until=None,
            break_after_call=False,
            break_after_call_reason="",
            is_online=False,
            is_active=False,
            last_login=None,
            last_seen_at=None,
            forced_offline_at=None,
            created_at=work.at,
            erased_at=work.at,
        )
    gone = [person.pk for person in people]
    work.after.append(lambda: _forget(gone))
    return Erased(len(people))


def _forget(agent_ids: list[int]) -> None:
    cache.delete_many([seen_key(pk) for pk in agent_ids])
    publish([desk_topic(pk) for pk in agent_ids], status=1)


def _show_people(subject: Subject, ids: list[Any]) -> Any:
    for person in _people(subject).filter(pk__in=ids).select_related("role").order_by("pk"):
        yield {
            "staff_id": person.staff_id,
            "email": person.email,
            "name": person.name,
            "nickname": person.nickname,
            "role": str(person.role) if person.role else "",
            "cellphone_pickup": person.cellphone_pickup,
            "created_at": person.created_at,
            "last_login": person.last_login,
            "last_seen_at": person.last_seen_at,
            "is_active": person.is_active,
            "status": person.status,
            "status_since": person.status_since,
        }


def _show_checks(subject: Subject, ids: list[Any]) -> Any:
    for check in DeviceCheck.objects.for_account(subject.account_id).filter(pk__in=ids).order_by("pk"):
        yield {
            name: getattr(check, name)
            for name in (
                "checked_at",
                "result",
                "browser",
                "operating_system",
                "network_type",
                "round_trip_ms",
                "downlink_mbps",
                "address",
            )
        }


def saved_store(
    name: str,
    title: Any,
    model: Any,
    *,
    says: Callable[[Any], Iterable[str]] = lambda row: (),
    before: Callable[[int, list[Any]], None] | None = None,
) -> Store:
    """Of what people keep under a name (`agents/saved.py`). What an agent shared stays, unless it names somebody. `says`: what
    a row holds of words beside its name and its address; `before` lets go of what points to rows that go."""

    def find(subject: Subject, after: Any, limit: int) -> Page:
        rows = model.objects.for_account(subject.account_id)
        if subject.kind == ACCOUNT:
            return first_ids(rows, after, limit)

        def is_there(row: Any) -> bool:
            if subject.agent_id is not None and row.owner_id == subject.agent_id and not row.is_shared:
                return True
            return any(map(subject.is_named, (row.name, *says(row), *(value for _, value in parse_qsl(row.query)))))

        # Instances, because encrypted words open only with the account of their row.
        page = list(rows.filter(pk__gt=after or 0).order_by("pk")[:SCANNED])
        return paged(((row.pk, is_there(row)) for row in page), SCANNED)

    def erase(subject: Subject, ids: list[Any], work: Work) -> Erased:
        if before is not None:
            before(subject.account_id, ids)
        return Erased(delete_rows(model.objects.for_account(subject.account_id).filter(pk__in=ids)))

    return Store(name, title, PEOPLE | {ACCOUNT}, (model._meta.label,), find, erase)


STORES: tuple[Store, ...] = (
    Store("sessions", _("sessions"), _OWN, ("sessions.Session",), _find_sessions, _erase_sessions),
    Store(
        "sign_in_links",
        _("mails and links to sign in"),
        _OWN,
        ("agents.SignInLink",),
        *_of_people(SignInLink, "agent_id"),
    ),
    Store("recovery_codes", _("recovery codes"), _OWN, ("agents.RecoveryCode",), *_of_people(RecoveryCode, "agent_id")),
    Store("second_factors", _("second factors"), _OWN, ("agents.Authenticator",), *_of_people(Authenticator, "user_id")),
    Store(
        "sign_in_attempts",
        _("failed attempts to sign in"),
        _OWN,
        ("axes.AccessAttempt", "axes.AccessFailureLog", "axes.AccessLog"),
        _find_attempts,
        _erase_attempts,
    ),
    Store(
        "device_checks",
        _("device checks"),
        _OWN,
        ("agents.DeviceCheck",),
        *_of_people(DeviceCheck, "agent_id"),
        _show_checks,
    ),
    Store(
        "agent_phones",
        _("agents' phone numbers"),
        PEOPLE | {ACCOUNT},
        ("agents.AgentPhone",),
        *whole_rows(_phones),
        _show_phones,
    ),
    Store(
        "memberships",
        _("memberships in skill groups"),
        _OWN,
        ("agents.SkillGroupMember",),
        *_of_people(SkillGroupMember, "agent_id"),
    ),
    Store(
        "admin_history",
        _("history of the admin's pages"),
        frozenset({ACCOUNT}),
        ("admin.LogEntry",),
        *whole_rows(_history),
    ),
    Store("agents", _("agents and administrators"), _OWN, ("agents.Agent",), _find_people, _erase_people, _show_people),
)
