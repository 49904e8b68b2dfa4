"""Integrators' credentials: made, checked, revoked. How they are kept, `callcenter_site.tokens` says."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from callcenter_site.audit import log_update
from callcenter_site.tokens import is_to_be_noted, new_token, read_token
from configuration.access import HANDED_ON, SCOPE_PERMISSIONS, may_give_scope
from configuration.models import Account, ApiKey, Role
from configuration.scoping import Actor


class ApiKeyActor:
    """The one who asks when a request carries an API key: an account and some permissions, no person."""

    is_authenticated = True
    is_active = True
    is_superuser = False
    is_anonymous = False
    pk = None
    data_scope = Role.DataScope.ACCOUNT

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.account = key.account
        self.account_id = key.account_id
        self.handed_on = frozenset().union(*(HANDED_ON.get(scope, frozenset()) for scope in key.scopes))
        self._permissions: set[str] = set().union(*(SCOPE_PERMISSIONS.get(scope, set()) for scope in key.scopes))

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return perm in self._permissions


def create_api_key(
    *, account: Account, name: str, scopes: list[str], expires_at: dt.datetime | None = None
) -> tuple[ApiKey, str]:
    """The stored key and the secret text to hand over; the text cannot be shown again."""
    token = new_token()
    key = ApiKey.objects.create(
        account=account, name=name, prefix=token.prefix, secret_hash=token.hash, scopes=scopes, expires_at=expires_at
    )
    return key, token.text


def check_end(*, expires_at: dt.datetime | None, key: ApiKey | None, asker: Actor, at: dt.datetime) -> None:
    """Whether somebody may let a key, or a new one, end at this time (`None`: never). A later end gives the key's access once
    more, so it is for who may make such a key; an earlier one is open to all who manage keys. Raises `ValidationError`."""
    if key is not None and expires_at == key.expires_at:
        return
    if expires_at is not None and expires_at <= at:
        raise ValidationError(_("This time has passed."))
    own_end = asker.key.expires_at if isinstance(asker, ApiKeyActor) else None
    if own_end is not None and (expires_at is None or expires_at > own_end):
        raise ValidationError(_("A key cannot make one that lasts longer than itself."))
    is_later = key is not None and key.expires_at is not None and (expires_at is None or expires_at > key.expires_at)
    if key is not None and is_later and not all(may_give_scope(asker, scope) for scope in key.scopes):
        raise ValidationError(_("This key may do more than you may give, so you cannot let it last longer."))


@transaction.atomic
def revoke_api_keys(*, keys: Iterable[ApiKey], at: dt.datetime) -> list[ApiKey]:
    """The keys that were usable until now and no longer are."""
    revoked = [key for key in keys if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=at)]
    for key in revoked:
        log_update(key, revoked_at=(None, at))
    return revoked


def find_api_key(text: str, *, at: dt.datetime) -> ApiKey | None:
    token = read_token(text)
    if token is None:
        return None
    key: ApiKey | None = ApiKey.objects.select_related("account").filter(prefix=token.prefix).first()
    if key is None or not token.fits(key.secret_hash):
        return None
    if not key.is_usable(at=at) or not key.account.is_open:
        return None
    if is_to_be_noted(key.last_used_at, at=at):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key <key>`; `Bearer` is understood as well."""

    def authenticate(self, request: Request) -> tuple[ApiKeyActor, ApiKey] | None:
        scheme, _space, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() not in ("api-key", "bearer"):
            return None
        key = find_api_key(text.strip(), at=timezone.now())
        if key is None:
            raise AuthenticationFailed("The API key is unknown, expired or revoked.")
        return ApiKeyActor(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class _ApiKeyInSchema(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the API's description says that a key is needed."""

    target_class = "configuration.api_keys.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Api-Key <key>`"}
