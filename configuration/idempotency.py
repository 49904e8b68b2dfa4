"""A request that names itself makes nothing twice, however often it is sent.

The name is claimed in a transaction of its own, so that two who send it at once see each other; what the request makes
and the answer to it are committed together. Only what was made is remembered: a refusal changed nothing, and may be
mended and sent again under the same name. A claim whose worker died is taken over after a while, and whoever lost a
claim to another keeps nothing.
"""

import datetime as dt
import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from callcenter_site import legal_holds
from callcenter_site.openapi import IDEMPOTENCY_KEY
from callcenter_site.rest import Conflict
from configuration.encryption import blind_index
from configuration.models import IdempotencyKey

log = logging.getLogger(__name__)

KEPT_FOR = dt.timedelta(hours=24)
GIVEN_UP_AFTER = dt.timedelta(minutes=2)
"""Longer than any request takes."""
_CONTEXT = "configuration_idempotencykey.request"


class AnotherRequest(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = f"This {IDEMPOTENCY_KEY} came before with another request. Take a new one for each thing you make."


class BeingAnswered(Conflict):
    default_detail = "The same request is being answered now. Send it again in a moment."
    wait = 1  # sent as Retry-After


def answer_once(*, request: Request, key: str, make: Callable[[], Response], said_once: Collection[str]) -> Response:
    """The answer to a request that names itself: as it was made before, or made now. What `said_once` names is not kept.

    `callcenter_site.rest.once` calls it.
    """
    claim = _claim(request, key)
    if claim.status_code is not None:
        return _again(claim)
    try:
        with transaction.atomic():
            response = make()
            _keep(claim, response, said_once)
    except BaseException:
        _let_go(claim)
        raise
    return response


def _claim(request: Request, key: str) -> IdempotencyKey:
    """The row of this request: ours to answer, or answered before."""
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", key):
        raise exceptions.ValidationError({IDEMPOTENCY_KEY: ["Give 1 to 255 printable ASCII characters."]})
    asker: Any = request.user
    owner = f"person {asker.pk}" if asker.pk is not None else f"key {asker.key.pk}"
    key_hash = hashlib.sha256(f"{owner}\0{key}".encode()).digest()
    body = hashlib.sha256(request.body).hexdigest()  # type: ignore[attr-defined]  # kept by Django, and parsed from there later
    told = f"{request.method}\0{request.get_full_path()}\0{request.content_type}\0{body}"
    request_hash = blind_index(told, account_id=asker.account_id, context=_CONTEXT)
    now = timezone.now()
    rows = IdempotencyKey.objects.for_account(asker.account_id)
    rows.filter(key_hash=key_hash, created_at__lt=now - KEPT_FOR).delete()
    claim = IdempotencyKey(account_id=asker.account_id, key_hash=key_hash, request_hash=request_hash, claimed_at=now)
    try:
        with transaction.atomic():
            claim.save(force_insert=True)
        return claim
    except IntegrityError:
        there: IdempotencyKey | None = rows.filter(key_hash=key_hash).first()
    if there is None:  # refused, and let go, in this very moment
        raise BeingAnswered
    if bytes(there.request_hash) != request_hash:
        raise AnotherRequest
    if there.status_code is not None:
        return there
    abandoned = rows.filter(pk=there.pk, status_code=None, claimed_at__lt=now - GIVEN_UP_AFTER)
    if abandoned.update(claimed_at=now) != 1:
        raise BeingAnswered
    there.claimed_at = now
    return there


def _let_go(claim: IdempotencyKey) -> None:
    """Nothing was made. Where the database is what failed, the claim stays until it is taken over."""
    try:
        IdempotencyKey.objects.filter(pk=claim.pk, claimed_at=claim.claimed_at, status_code=None).delete()
    except DatabaseError as error:
        log.warning("idempotency key %d could not be let go: %s", claim.pk, type(error).__name__)


def _keep(claim: IdempotencyKey, response: Response, said_once: Collection[str]) -> None:
    """Remembers the answer, in the transaction of what it is about."""
    data = {name: None if name in said_once else value for name, value in dict(response.data).items()}
    claim.answer = json.dumps({"data": data, "location": response.headers.get("Location")}, default=_encoded)
    claim.status_code = response.status_code
    sealed = IdempotencyKey._meta.get_field("answer").pre_save(claim, add=False)
    ours = IdempotencyKey.objects.filter(pk=claim.pk, claimed_at=claim.claimed_at, status_code=None)
    if ours.update(answer=sealed, status_code=response.status_code) != 1:
        raise BeingAnswered  # somebody took over; what was made here is rolled back


def _again(kept: IdempotencyKey) -> Response:
    answer = json.loads(kept.answer)
    headers = {"Idempotency-Replayed": "true"} | ({"Location": answer["location"]} if answer["location"] else {})
    return Response(answer["data"], status=kept.status_code, headers=headers)


def _encoded(value: Any) -> Any:
    return JSONEncoder().default(value)


def answers_to_forget(*, at: dt.datetime) -> Any:
    return IdempotencyKey.objects.filter(created_at__lt=at - KEPT_FOR)


def forget_answers(*, at: dt.datetime, limit: int = 1000) -> int:
    """Deletes what is older than a day; returns how many."""
    n_rows, cursor = 0, None
    while True:
        batch = legal_holds.delete_free(answers_to_forget(at=at), clock="created_at", after=cursor, limit=limit)
        n_rows, cursor = n_rows + batch.n_rows, batch.cursor
        if cursor is None:
            return n_rows
