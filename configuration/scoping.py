"""Accounts never meet: every question about a customer's rows starts here.

The account comes from the credential (a signed-in person or an API key) and from nowhere else. Rows of another
account answer exactly like rows that do not exist. Operators belong to no account and see no customer's rows.
"""

import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

if TYPE_CHECKING:
    from configuration.models import Account


class Actor(Protocol):
    """Whoever asks: a person or an API key."""

    account_id: int | None

    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


class AccountQuerySet(models.QuerySet[Any]):
    def for_account(self, account: "Account | int") -> Self:
        return self.filter(account_id=getattr(account, "pk", account))

    def visible_to(self, actor: Actor) -> Self:
        """The rows an actor may see at all; an app narrows this by data scope where rows belong to people."""
        if getattr(actor, "account_id", None) is None:
            return self.none()
        return self.filter(account_id=actor.account_id)


class AccountsQuerySet(models.QuerySet[Any]):
    """Accounts themselves: everybody sees their own, operators see all."""

    def visible_to(self, actor: Actor) -> Self:
        if getattr(actor, "is_superuser", False):
            return self.all()
        return self.filter(pk=getattr(actor, "account_id", None))


class AccountOwned(models.Model):
    """A row of one customer. The account is set by the server when the row is made and never changes."""

    account = models.ForeignKey(
        "configuration.Account", on_delete=models.PROTECT, editable=False, related_name="+", db_index=False
    )

    objects = AccountQuerySet.as_manager()

    class Meta:
        abstract = True

    def get_additional_data(self) -> dict[str, Any]:
        """What the audit log keeps beside each change: whose row it is."""
        return {"account": self.account_id}


class AccountMiddleware:
    """Gives a signed-in person's pages the time zone of their account."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        user: Any = request.user
        if not user.is_authenticated or user.account is None:
            return self.get_response(request)
        if not request.COOKIES.get("django_language"):
            translation.activate(user.account.language)
        with timezone.override(zoneinfo.ZoneInfo(user.account.time_zone)):
            return self.get_response(request)
