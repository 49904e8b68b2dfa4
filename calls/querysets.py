"""Questions about calls, in the field's words."""

import datetime as dt
from typing import Any, Self

from django.db.models import Prefetch, Q
from django.utils import timezone

from agents.querysets import own_groups, sees_account
from callcenter_site.phone_numbers import canonical
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


class CallQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Own records: calls the person had a leg in. Own skill groups: also calls their groups were offered."""
        rows = super().visible_to(actor)
        scope = getattr(actor, "data_scope", Role.DataScope.OWN)
        if scope == Role.DataScope.ACCOUNT:
            return rows
        from calls.models import CallLeg, QueueEntry  # the models import their querysets

        person: Any = actor  # only people have a narrower scope than the account
        own = Q(pk__in=CallLeg.objects.filter(account_id=person.account_id, agent_id=person.pk).values("call_id"))
        if scope == Role.DataScope.OWN:
            return rows.filter(own)
        groups = own_groups(actor)
        entries = QueueEntry.objects.filter(account_id=person.account_id, skill_group_id__in=groups).values("call_id")
        return rows.filter(own | Q(skill_group_id__in=groups) | Q(pk__in=entries))

    def open(self) -> Self:
        return self.filter(ended_at=None)

    def closed(self) -> Self:
        return self.filter(ended_at__isnull=False)

    def started_within(self, start: dt.datetime, end: dt.datetime) -> Self:
        return self.filter(started_at__gte=start, started_at__lt=end)

    def with_number(self, number: str, *, region: str) -> Self:
        """Calls from or to a number, in any form it is written; the whole number, never a part of it."""
        wanted = canonical(number, region)
        return self.filter(Q(calling_number=wanted) | Q(called_number=wanted))


class OfVisibleCalls(AccountQuerySet):
    """Rows below a call: seen by whoever sees the call."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        if getattr(actor, "data_scope", Role.DataScope.OWN) == Role.DataScope.ACCOUNT:
            return rows
        from calls.models import Call  # the models import their querysets

        return rows.filter(call_id__in=Call.objects.visible_to(actor).values("pk"))


class VoicemailQuerySet(OfVisibleCalls):
    def visible_to(self, actor: Actor) -> Self:
        """Also messages for the person's own groups, and those assigned to the person: nobody spoke with the caller, so
        the call itself may be nobody's."""
        scope = getattr(actor, "data_scope", Role.DataScope.OWN)
        if scope == Role.DataScope.ACCOUNT:
            return super().visible_to(actor)
        person: Any = actor
        rows = self.for_account(person.account_id) if person.account_id else self.none()
        from calls.models import Call  # the models import their querysets

        mine = Q(assigned_to_id=person.pk) | Q(call_id__in=Call.objects.visible_to(actor).values("pk"))
        if scope == Role.DataScope.GROUPS:
            mine |= Q(skill_group_id__in=own_groups(actor))
        return rows.filter(mine)

    def unheard(self) -> Self:
        return self.filter(heard_at=None)


class CallEventQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Only whoever sees the whole account: an event comes before its call, so it is nobody's and no group's."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()

    def due(self, *, at: dt.datetime | None = None) -> Self:
        """Waiting to be folded, oldest first."""
        return self.filter(state="pending", retry_at__lte=at or timezone.now()).order_by("id")
