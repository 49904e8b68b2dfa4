"""Whom a request is about: encrypted under a key of the request alone, and unreadable once that is destroyed."""

import datetime as dt
import json
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from agents.appointment import require_an_administrator
from agents.models import Agent, AgentPhone
from callcenter_site.phone_numbers import canonical, is_number
from callcenter_site.subjects import Subject, SubjectKind
from calls import masking
from calls.models import Call
from configuration.encryption import DecryptionError, blind_index, newest_key_id, rewrap, unwrap_key, wrap_key
from configuration.models import Account, ServiceNumber
from retention.models import DeletionRequest
from retention.models.requests import SubjectRequest

_NONCE = 12
LEAST_DIGITS = 3


def clean(account: Account, kind: str, said: dict[str, Any], *, erases: bool = True) -> dict[str, Any]:
    """What was asked for, looked up and in canonical form. Raises `ValidationError` on `number`, `agent`, `call_id`,
    `first_day` or `last_day`."""
    match kind:
        case "number":
            return {"number": _clean_number(account, str(said.get("number") or ""))}
        case "agent":
            return _clean_agent(account, said.get("agent"), erases=erases)
        case "call":
            return _clean_call(account, str(said.get("call_id") or ""))
        case "days":
            return _clean_days(said.get("first_day"), said.get("last_day"))
        case "account":
            return {}
        case _:
            raise ValidationError({"kind": _("Choose what the request is about.")})


def _clean_number(account: Account, written: str) -> str:
    number = canonical(written, account.region)
    if not is_number(number) or sum(one.isdigit() for one in number) < LEAST_DIGITS:
        raise ValidationError({"number": _("This is not a phone number.")})
    if ServiceNumber.objects.for_account(account).filter(number=number).exists():
        raise ValidationError({"number": _("This is a service number of the center, not somebody's own.")})
    return number


def _clean_agent(account: Account, given: Any, *, erases: bool) -> dict[str, Any]:
    agents = Agent.objects.for_account(account).filter(erased_at=None)
    agent = given if isinstance(given, Agent) else agents.filter(pk=given if str(given or "").isdigit() else None).first()
    if agent is None or agent.account_id != account.pk or agent.erased_at is not None:
        raise ValidationError({"agent": _("There is no such agent.")})
    if erases:
        try:
            require_an_administrator(account, besides=[agent.pk])
        except ValidationError as error:
            raise ValidationError({"agent": error.messages}) from error
    return _told_of(agent)


def _told_of(agent: Agent) -> dict[str, Any]:
    own = AgentPhone.objects.for_account(agent.account_id or 0).filter(agent=agent).exclude(kind=AgentPhone.Kind.EXTENSION)
    names = {agent.staff_id, agent.email, agent.name, agent.nickname} - {""}
    return {"agent": agent.pk, "names": sorted(names), "numbers": sorted(phone.number for phone in own)}


def _clean_call(account: Account, call_id: str) -> dict[str, Any]:
    call = Call.objects.for_account(account).filter(call_id=call_id).first() if call_id else None
    if call is None:
        raise ValidationError({"call_id": _("There is no such call.")})
    return {"call_id": call.call_id, "call_key": bytes(call.call_key).hex()}


def _clean_days(first: Any, last: Any) -> dict[str, Any]:
    errors = {name: _("Say the day.") for name, day in (("first_day", first), ("last_day", last)) if not isinstance(day, dt.date)}
    if not errors and last < first:
        errors["last_day"] = _("The last day lies before the first.")
    if errors:
        raise ValidationError(errors)
    return {"first_day": first.isoformat(), "last_day": last.isoformat()}


def seal(request: SubjectRequest, said: dict[str, Any]) -> None:
    """Sets the request's key, value and hash. The row is not saved."""
    key = os.urandom(32)
    request.key_id, request.wrapped_key = wrap_key(key, request.bound_to())
    request.value = _encrypted(key, request, said)
    request.subject_hash = subject_hash(request.account_id, request.kind, said)


def subject_hash(account_id: int, kind: str, said: dict[str, Any]) -> bytes:
    what = {name: value for name, value in said.items() if name not in ("names", "numbers")}
    return blind_index(f"{kind}\0{json.dumps(what, sort_keys=True)}", account_id=account_id, context="retention.subject")


def said_in(request: SubjectRequest) -> dict[str, Any] | None:
    """What was asked for; None: nobody can read it any more."""
    if not request.wrapped_key:
        return None
    key = unwrap_key(request.key_id, bytes(request.wrapped_key), request.bound_to())
    stored = bytes(request.value)
    said: dict[str, Any] = json.loads(AESGCM(key).decrypt(stored[:_NONCE], stored[_NONCE:], request.bound_to()))
    if request.key_id != newest_key_id():  # so that the older key of the environment can be taken away
        rewrap(request)
    return said


def bring_up_to_date(request: SubjectRequest) -> None:
    """Adds what an agent is called by now, so that a change of name since the request hides nothing."""
    said = said_in(request)
    if said is None or request.kind != SubjectKind.AGENT:
        return
    agent = Agent.objects.for_account(request.account_id).filter(pk=said["agent"], erased_at=None).first()
    if agent is None:
        return
    now = _told_of(agent)
    for name in ("names", "numbers"):
        said[name] = sorted({*said[name], *now[name]})
    key = unwrap_key(request.key_id, bytes(request.wrapped_key), request.bound_to())
    request.value = _encrypted(key, request, said)
    type(request)._base_manager.filter(pk=request.pk).update(value=request.value)


def forget(requests: Any, *, before: dt.datetime) -> int:
    """Destroys the keys of requests that ended before a moment; how many."""
    over = requests.filter(finished_at__lt=before).exclude(wrapped_key=b"")
    return int(over.update(key_id="", wrapped_key=b"", value=b"", subject_hash=None))


def subject_of(request: SubjectRequest, *, up_to: dt.datetime | None) -> Subject:
    said = said_in(request)
    if said is None:
        raise DecryptionError("the key of the request was destroyed")
    numbers = said.get("numbers") or ([said["number"]] if "number" in said else [])
    return Subject(
        kind=SubjectKind(request.kind),
        account_id=request.account_id,
        region=request.account.region,
        numbers=frozenset(numbers),
        agent_id=said.get("agent"),
        names=frozenset(said.get("names", ())),
        call_key=bytes.fromhex(said.get("call_key", "")),
        first_day=dt.date.fromisoformat(said["first_day"]) if "first_day" in said else None,
        last_day=dt.date.fromisoformat(said["last_day"]) if "last_day" in said else None,
        up_to=up_to,
        keeps_block=isinstance(request, DeletionRequest) and bool(request.keeps_block),
    )


def shown(request: SubjectRequest, *, in_full: bool) -> str:
    """Whom it is about, as far as it can be read and the reader may see it."""
    said = said_in(request)
    if said is None:
        return ""
    match request.kind:
        case "number":
            return masking.shown(str(said["number"]), whole=in_full)
        case "agent":
            agent = Agent.objects.for_account(request.account_id).filter(pk=said["agent"]).first()
            return str(agent) if agent is not None else f"#{said['agent']}"
        case "call":
            return str(said["call_id"])
        case "days":
            return f"{said['first_day']} – {said['last_day']}"
        case _:
            return ""


def _encrypted(key: bytes, request: SubjectRequest, said: dict[str, Any]) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, json.dumps(said).encode(), request.bound_to())
