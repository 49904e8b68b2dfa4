"""Questions about counts, in the field's words."""

import datetime as dt
from typing import Any, Self

from django.db.models import Exists, OuterRef, Q

from agents.models import Agent
from agents.querysets import own_groups, sees_account
from agents.saved import SavedQuerySet
from configuration.models import Role
from configuration.scoping import AccountQuerySet, Actor


class IntervalQuerySet(AccountQuerySet):
    """Of tables of slots, or of days."""

    def within(self, start: dt.datetime, end: dt.datetime) -> Self:
        return self.filter(slot__gte=start, slot__lt=end)

    def on_days(self, first: dt.date, last: dt.date) -> Self:
        """Local days, both included."""
        return self.filter(day__gte=first, day__lte=last)


class CallCountsQuerySet(IntervalQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Counts that know no skill group are seen by those who see the whole account."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.none()


class GroupCountsQuerySet(IntervalQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Own skill groups: their queues. Own records: none, for these counts are of groups, not of people."""
        rows = super().visible_to(actor)
        if sees_account(actor):
            return rows
        if getattr(actor, "data_scope", None) == Role.DataScope.GROUPS:
            return rows.filter(skill_group_id__in=own_groups(actor))
        return rows.none()


class DisplayQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Own skill groups: displays of these and of no others. There are few displays, and no database compares lists."""
        rows = super().visible_to(actor)
        if sees_account(actor):
            return rows
        if getattr(actor, "data_scope", None) != Role.DataScope.GROUPS:
            return rows.none()
        own = set(own_groups(actor).values_list("skill_group_id", flat=True))
        shown = rows.order_by().values_list("pk", "group_ids")
        return rows.filter(pk__in=[pk for pk, group_ids in shown if group_ids and own.issuperset(group_ids)])


class AgentCountsQuerySet(IntervalQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """Counts of people: seen by whoever sees the agent; of agents the portal does not know, by who sees the account."""
        rows = super().visible_to(actor)
        return rows if sees_account(actor) else rows.filter(agent_id__in=Agent.objects.visible_to(actor).order_by().values("pk"))


class SavedReportQuerySet(SavedQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own and shared ones; whoever sees the whole account sees that others have some as well."""
        if getattr(actor, "key", None) is None and sees_account(actor):
            return AccountQuerySet.visible_to(self, actor)
        return super().visible_to(actor)

    def kept_by(self, person: Any) -> Self:
        """Those to choose from: one's own and shared ones."""
        return super().visible_to(person)


class ReportRunQuerySet(AccountQuerySet):
    def visible_to(self, actor: Actor) -> Self:
        """One's own, and those one is a reader of; whoever sees the whole account sees that there are others. Who may take
        the file is asked apart (`report_runs.may_take`)."""
        from analytics.models import ReportReader  # its model uses this query set

        rows = super().visible_to(actor)
        key = getattr(actor, "key", None)
        if key is not None:
            return rows.filter(api_key_id=key.pk)
        person: Any = actor
        read = ReportReader.objects.filter(report_id=OuterRef("report_id"), person_id=person.pk)
        return rows if sees_account(actor) else rows.filter(Q(owner_id=person.pk) | Exists(read))
