"""Addresses that telephony platforms push to, each in the platform's own way.

The push is translated into events and kept by the intake like any other; nothing here writes a record. A platform signs
in with HTTP Basic authentication whose password is an API key; the key's prefix stands in the address as well, so that
a wrong secret can be counted where its owner looks. What is refused is counted, and nothing of it is kept.
"""

import base64
import binascii
import hmac
import json
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from calls import ingest, tasks
from calls.adapters import freeswitch, tccc
from calls.connections import note_accepted, note_refused
from calls.envelope import read_event
from calls.models import Connection
from configuration.api_keys import ApiKeyActor, find_api_key
from configuration.models import ApiKey

MAX_BYTES = 1024 * 1024
SEEN_SECONDS = 24 * 3600
RETRY_SECONDS = 5


class Refused(Exception):
    """A push that is not taken: the status to answer with, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@csrf_exempt
@require_POST
def freeswitch_post(request: HttpRequest, prefix: str) -> HttpResponse:
    """A CDR of mod_json_cdr, or events of mod_callcenter: one, or a list of them."""
    try:
        key = _key_of(request, prefix)
        try:
            items = freeswitch.read_body(_body_of(request), request.headers.get("Content-Type", ""))
            events = [event for item in items for event in freeswitch.events_of(item)]
        except freeswitch.PostError as error:
            raise Refused(400, f"{error.field} {error.reason}".strip()) from error
        _keep(key, Connection.Kind.FREESWITCH, events)
    except Refused as refused:
        _count(prefix, Connection.Kind.FREESWITCH, refused)
        return _with_challenge(JsonResponse({"detail": refused.reason}, status=refused.status))
    return JsonResponse({"detail": "Kept."})


@csrf_exempt
@require_POST
def tccc_push(request: HttpRequest, prefix: str) -> HttpResponse:
    """Tencent's data push: one CDR, recording or voicemail, answered with `ErrCode` 0 once it is kept."""
    try:
        key = _key_of(request, prefix)
        seen = f"tccc:{key.pk}:{request.headers.get('X-TCCC-PUSH-UUID', '')[:80]}"
        if request.headers.get("X-TCCC-PUSH-UUID") and cache.get(seen):
            return _answer_tccc(200, "")
        try:
            events = tccc.events_of(request.GET.get("action", ""), _json_of(request))
        except tccc.PushError as error:
            raise Refused(400, f"{error.field} {error.reason}".strip()) from error
        _keep(key, Connection.Kind.TCCC, events)
        if request.headers.get("X-TCCC-PUSH-UUID"):
            cache.set(seen, 1, SEEN_SECONDS)  # only now: what was not kept must be taken when it is pushed again
    except Refused as refused:
        _count(prefix, Connection.Kind.TCCC, refused)
        return _answer_tccc(refused.status, refused.reason)
    return _answer_tccc(200, "")


def _answer_tccc(status: int, reason: str) -> JsonResponse:
    return _with_challenge(JsonResponse({"ErrCode": 0 if status == 200 else status, "ErrMsg": reason}, status=status))


def _with_challenge(answer: JsonResponse) -> JsonResponse:
    if answer.status_code == 401:
        answer["WWW-Authenticate"] = 'Basic realm="portal"'
    if answer.status_code == 503:
        answer["Retry-After"] = str(RETRY_SECONDS)
    return answer


def _key_of(request: HttpRequest, prefix: str) -> ApiKey:
    """The API key that the push carries as its Basic password: whole, or without the prefix that the address names."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        password = base64.b64decode(encoded, validate=True).decode().partition(":")[2] if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        password = ""
    text = password if password.startswith(f"{prefix}.") else f"{prefix}.{password}"
    key = find_api_key(text, at=timezone.now())
    if key is None or not hmac.compare_digest(key.prefix.encode(), prefix.encode()):
        raise Refused(401, "The key is unknown, expired or revoked.")
    if not ApiKeyActor(key).has_perm("calls.add_callevent"):
        raise Refused(403, "The key may not post events.")
    return key


def _body_of(request: HttpRequest) -> bytes:
    if len(request.body) > MAX_BYTES:
        raise Refused(413, f"The body is larger than {MAX_BYTES} bytes.")
    return request.body


def _json_of(request: HttpRequest) -> Any:
    try:
        return json.loads(_body_of(request))  # whatever the content type says: Tencent's is not a registered one
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The body is no JSON.") from error


def _keep(key: ApiKey, kind: str, events: list[dict[str, Any]]) -> None:
    """Hands events to the intake. One that is known with other content stands as it is: pushes repeat themselves."""
    if ingest.inbox_depth() >= settings.INBOX_MAX or ingest.inbox_depth(key.account) >= settings.INBOX_MAX_PER_ACCOUNT:
        raise Refused(503, "The portal cannot take more for the moment.")
    now = timezone.now()
    if len(events) > settings.EVENT_BATCH:
        raise Refused(413, f"The post tells of more than {settings.EVENT_BATCH} events.")
    for event in events:  # all of them first: a push is kept whole or not at all
        _, problems = read_event(key.account, event, now, is_own=False)
        if problems:
            raise Refused(400, "; ".join(f"{problem['field']} {problem['reason']}" for problem in problems))
    answers = ingest.accept_events(account=key.account, items=events, at=now)
    n_accepted = sum(answer["code"] == 202 for answer in answers)
    note_accepted(account=key.account, kind=kind, name=key.prefix, n_events=n_accepted, at=now)
    if n_accepted:
        tasks.nudge()


def _count(prefix: str, kind: str, refused: Refused) -> None:
    key = ApiKey.objects.select_related("account").filter(prefix=prefix).first()
    if key is not None:
        note_refused(account=key.account, kind=kind, name=prefix, reason=refused.reason, at=timezone.now())
