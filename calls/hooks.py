"""Addresses that telephony platforms push to, each in the platform's own way.

The push is translated into events and kept by the intake like any other; nothing here writes a record. A platform signs
in with HTTP Basic authentication whose password is an API key; the key's prefix stands in the address as well, so that
a wrong secret can be counted where its owner looks. One that can sign what it sends needs no key: its address is a
webhook's. What is refused is counted, and nothing of it is kept.
"""

import base64
import binascii
import datetime as dt
import hmac
import json
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from callcenter_site import webhooks
from callcenter_site.webhooks import Message
from calls import ingest, tasks
from calls.adapters import freeswitch, tccc
from calls.cloudevents import answer_to
from calls.connections import note_accepted, note_refused
from calls.envelope import read_event
from calls.incoming_webhooks import find_webhook, note_taken, was_taken
from calls.models import Connection, IncomingWebhook
from configuration.api_keys import ApiKeyActor, find_api_key
from configuration.models import Account, ApiKey

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
def signed_events(request: HttpRequest, prefix: str) -> HttpResponse:
    """CloudEvents of any platform, signed as a Standard Webhook; answered event by event, as the API answers them."""
    webhook, now = find_webhook(prefix), timezone.now()
    try:
        message = _believed(webhook, request, now)
        if webhook is None or was_taken(webhook=webhook, message=message):
            raise Refused(409, REPLAYED)
        return _take(webhook, message, _json_of(request), now)
    except Refused as refused:
        if webhook is not None:
            reason = refused.reason if webhook.is_usable else "The webhook is not in use."
            kind, at = Connection.Kind.WEBHOOK, timezone.now()
            note_refused(account=webhook.account, kind=kind, name=prefix, reason=reason, at=at)
        return _with_retry(JsonResponse({"detail": refused.reason}, status=refused.status))


def _believed(webhook: IncomingWebhook | None, request: HttpRequest, at: dt.datetime) -> Message:
    """An address of nobody's, or one that is not in use, answers like one whose secret was not known."""
    secrets = webhook.secrets(at=at) if webhook is not None and webhook.is_usable else [webhooks.new_secret()]
    try:
        return webhooks.verify(secrets=secrets, headers=request.headers, body=_body_of(request), at=at)
    except webhooks.SignatureError as error:
        raise Refused(401, str(error)) from error


REPLAYED = "This message was taken before. Nothing is missing; give a message that is sent again a new webhook-timestamp."


def _take(webhook: IncomingWebhook, message: Message, items: Any, at: dt.datetime) -> JsonResponse:
    items = items if isinstance(items, list) else [items]
    if not items:
        raise Refused(400, ingest.NO_EVENT)
    if len(items) > settings.EVENT_BATCH:
        raise Refused(413, ingest.TOO_MANY_EVENTS % {"n": len(items), "most": settings.EVENT_BATCH})
    _check_room(webhook.account)
    answers = ingest.accept_events(account=webhook.account, items=items, at=at)
    body, status = answer_to(answers)
    if status in (200, 202) and not note_taken(webhook=webhook, message=message, at=at):
        raise Refused(409, REPLAYED)
    kind = Connection.Kind.WEBHOOK
    note_accepted(account=webhook.account, kind=kind, name=webhook.prefix, n_events=body["accepted"], at=at)
    if problem := next((answer["errors"][0] for answer in answers if answer["errors"]), None):
        reason = f"{body['rejected']} of {len(items)} events: {problem['field']} {problem['reason']}"
        note_refused(account=webhook.account, kind=kind, name=webhook.prefix, reason=reason, at=at)
    if body["accepted"]:
        tasks.nudge()
    return JsonResponse(body, status=status)


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
            action = tccc.action_of(request.GET.getlist("action"), request.GET.getlist("version"))
            events = tccc.events_of(action, _json_of(request))
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
    return _with_retry(answer)


def _with_retry(answer: JsonResponse) -> JsonResponse:
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
    too_large = Refused(413, f"The body is larger than {MAX_BYTES} bytes.")
    try:
        body = request.body
    except RequestDataTooBig as error:  # Django would answer 400 by a page of its own, and nobody would count it
        raise too_large from error
    if len(body) > MAX_BYTES:
        raise too_large
    return body


def _json_of(request: HttpRequest) -> Any:
    try:
        return json.loads(_body_of(request))  # whatever the content type says: Tencent's is not a registered one
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The body is no JSON.") from error


def _keep(key: ApiKey, kind: str, events: list[dict[str, Any]]) -> None:
    """Hands events to the intake. One that is known with other content stands as it is: pushes repeat themselves."""
    _check_room(key.account)
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


def _check_room(account: Account) -> None:
    if ingest.portal_is_full() or ingest.account_is_full(account):
        raise Refused(503, "The portal cannot take more for the moment.")


def _count(prefix: str, kind: str, refused: Refused) -> None:
    key = ApiKey.objects.select_related("account").filter(prefix=prefix).first()
    if key is not None:
        note_refused(account=key.account, kind=kind, name=prefix, reason=refused.reason, at=timezone.now())
