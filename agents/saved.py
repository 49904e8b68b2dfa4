"""What people keep under a name: how a list is narrowed, how a dashboard is looked at, what a report asks for.

Something saved is an address and never widens what is seen: whoever opens it sees what they may see. One's own is seen by
oneself, and by everybody in the account where it is shared; only its owner changes it.
"""

from collections.abc import Callable
from typing import Any, Self

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site import legal_holds
from callcenter_site.names import is_visible
from configuration.models import Role, in_one_line
from configuration.scoping import AccountOwned, AccountQuerySet, Actor

NAME_LENGTH = 60


class SavedQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own and those shared in the account. A key owns none."""
        rows = super().visible_to(actor)
        if getattr(actor, "key", None) is not None:
            return rows.filter(is_shared=True)
        person: Any = actor
        return rows.filter(Q(is_shared=True) | Q(owner_id=person.pk))


class Saved(AccountOwned):
    owner = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", editable=False, verbose_name=_("owner"))
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    is_shared = models.BooleanField(_("for everybody"), default=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = SavedQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


def may_share(person: Any) -> bool:
    """Whoever answers for more than their own calls."""
    return getattr(person, "data_scope", Role.DataScope.OWN) != Role.DataScope.OWN


def may_change(person: Any, saved: Saved) -> bool:
    return bool(saved.owner_id == person.pk)


def named(request: HttpRequest) -> tuple[str, bool]:
    """What the menu's form says: the name, and whether it is for everybody."""
    return request.POST.get("name", ""), bool(request.POST.get("is_shared"))


def checked_name(name: str) -> str:
    name = in_one_line(name)
    if not is_visible(name):
        raise ValidationError(_("Give it a name."))
    if len(name) > NAME_LENGTH:
        raise ValidationError(_("A name has at most 60 characters."))
    return name


def keep(model: Any, *, person: Any, name: str, is_shared: bool, most: int, among: dict[str, Any], **changes: Any) -> Any:
    """Keeps one under a name; where one of one's own has it already, in its place. `among`: the columns, apart from the owner,
    within which names differ. Raises `ValidationError`."""
    name = checked_name(name)
    column = model._meta.get_field("query")
    if len(changes["query"]) > column.max_length:
        raise ValidationError(_("So much cannot be kept. Choose less."))
    own = model.objects.for_account(person.account_id).filter(owner_id=person.pk)
    with transaction.atomic():
        Agent.objects.select_for_update().filter(pk=person.pk).values_list("pk").first()  # two at once come one by one
        saved = own.filter(name=name, **among).first()
        if saved is None and own.count() >= most:
            raise ValidationError(_("You have saved %(n)d of them. Delete one first."), params={"n": most})
        saved = saved or model(account_id=person.account_id, owner_id=person.pk, name=name, **among)
        for column_name, value in changes.items():
            setattr(saved, column_name, value)
        saved.is_shared = is_shared and may_share(person)
        saved.save()
    return saved


def change(*, person: Any, saved: Any, name: str, is_shared: bool) -> None:
    """Renames and shares one's own. Raises `ValidationError`."""
    if not may_change(person, saved):
        raise PermissionDenied
    saved.name, saved.is_shared = checked_name(name), is_shared and may_share(person)
    try:
        with transaction.atomic():
            saved.save(update_fields=["name", "is_shared"])
    except IntegrityError as error:
        raise ValidationError(_("You have one of this name already.")) from error


def remove(saved: Any) -> None:
    """Raises `UnderHold` where a legal hold keeps it."""
    with transaction.atomic():
        legal_holds.refuse(saved)
        saved.delete()


def menu(
    rows: Any,
    *,
    person: Any,
    is_on: Callable[[Any], bool],
    address: Callable[[Any], dict[str, str]],
    shareable: Callable[[Any], bool] = lambda row: True,
    **words: Any,
) -> dict[str, Any]:
    """What `agents/saved_menu.html` shows. `is_on`: whether it is looked at so now; `address`: where one is opened, and either
    where it is changed and deleted from the menu, or the page on which it is edited; `shareable`: whether one could be shared."""
    is_sharer = may_share(person)
    return {
        "rows": [
            {
                "name": row.name,
                "is_on": is_on(row),
                "is_shared": row.is_shared,
                "may_share": is_sharer and shareable(row),
                "may_change": may_change(person, row),
                **address(row),
            }
            for row in rows
        ],
        "may_share": is_sharer,
        **words,
    }
