"""Questions about calls, in the field's words."""

import datetime as dt
from typing import Any, Self

from django.db.models import F, OuterRef, Prefetch, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact
from django.utils import timezone

from agents.querysets import own_groups, sees_account
from configuration.access import SEE_RECORDINGS, SEE_VOICEMAIL
from configuration.models import Role
from configuration.scoping import AccountQuerySet, Actor

_PARTS = (
    "legs__agent",
    "legs__transfer_agent",
    "legs__skill_group",
    "queue_entries__skill_group",
    "ivr_steps",
)


def parts_seen_by(actor: Actor) -> list["str | Prefetch[Any]"]:
    """Everything below a call, to be prefetched where one call is shown: without sound that the asker may not know of."""
    from calls.models import Recording, Voicemail  # the models import their querysets

    recordings: Any = Recording.objects.all()
    voicemail: Any = Voicemail.objects.select_related("skill_group", "heard_by")
    return [
        *_PARTS,
        Prefetch("recordings", recordings if actor.has_perm(SEE_RECORDINGS) else recordings.none()),
        Prefetch("voicemails", voicemail if actor.has_perm(SEE_VOICEMAIL) else voicemail.none()),
    ]


def seen_by(actor: Actor, call: str) -> Q:
    """Of rows with a call's id in this column: those of calls that somebody with a narrower scope than the account sees."""
    person: Any = actor  # only people have a narrower scope than the account
    viewers = Q(viewer=person.pk)
    if getattr(actor, "data_scope", Role.DataScope.OWN) == Role.DataScope.GROUPS:
        viewers |= Q(viewer__in=own_groups(actor).values_list(-F("skill_group_id"), flat=True))
    return with_viewer(viewers, call)


def with_viewer(viewers: Q, call: str) -> Q:
    """Of rows with a call's id in this column: those of calls that one of these viewers sees.

    A scalar, because databases rewrite `EXISTS` and `IN` into joins: for a person of busy groups they then collect and sort
    all calls of these before they give out the newest fifty.
    """
    from calls.models import CallSeenBy  # the models import their querysets

    found = CallSeenBy.objects.filter(viewers, call_id=OuterRef(call)).values_list(Value(1), flat=True)
    return Q(Exact(Coalesce(Subquery(found[:1]), Value(0)), 1))


class CallQuerySet(AccountQuerySet):
    is_sought = False
    """Whether only few can fit, and those are found by an index of their own."""

    def _clone(self) -> Self:
        copy: Self = super()._clone()  # type: ignore[misc]
        copy.is_sought = self.is_sought
        return copy

    def sought(self, **among: Any) -> Self:
        """Narrowed to few: those are sought, and all other conditions asked of them."""
        rows = self.filter(**among)
        rows.is_sought = True
        return rows

    def visible_to(self, actor: Actor) -> Self:
        """Own records: calls the person had a leg in. Own skill groups: also calls their groups were offered."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.filter(seen_by(actor, "pk"))

    def open(self) -> Self:
        return self.filter(ended_at=None)

    def closed(self) -> Self:
        return self.filter(ended_at__isnull=False)

    def started_within(self, start: dt.datetime, end: dt.datetime) -> Self:
        return self.filter(started_at__gte=start, started_at__lt=end)


class OfVisibleCalls(AccountQuerySet):
    """Rows below a call: seen by whoever sees the call."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.filter(seen_by(actor, "call_id"))


class VoicemailQuerySet(OfVisibleCalls):
    def visible_to(self, actor: Actor) -> Self:
        """Also messages for the person's own groups, and those assigned to the person: nobody spoke with the caller, so
        the call itself may be nobody's."""
        scope = getattr(actor, "data_scope", Role.DataScope.OWN)
        if scope == Role.DataScope.ACCOUNT:
            return super().visible_to(actor)
        person: Any = actor
        rows = self.for_account(person.account_id) if person.account_id else self.none()
        mine = Q(assigned_to_id=person.pk) | seen_by(actor, "call_id")
        if scope == Role.DataScope.GROUPS:
            mine |= Q(skill_group_id__in=own_groups(actor))
        return rows.filter(mine)

    def unheard(self) -> Self:
        return self.filter(heard_at=None)


class IncomingSoundQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Only whoever sees the whole account: a file that is in no record yet is nobody's and no group's."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()


class CallEventQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Only whoever sees the whole account: an event comes before its call, so it is nobody's and no group's."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()

    def due(self, *, at: dt.datetime | None = None) -> Self:
        """Waiting to be folded, oldest first."""
        return self.filter(state="pending", retry_at__lte=at or timezone.now()).order_by("id")


class ExportRunQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own; whoever sees the whole account also sees that others took something away."""
        rows = super().visible_to(actor)
        key = getattr(actor, "key", None)
        if key is not None:
            return rows.filter(api_key_id=key.pk)
        return rows if sees_account(actor) else rows.filter(started_by_id=actor.pk)  # type: ignore[attr-defined]
