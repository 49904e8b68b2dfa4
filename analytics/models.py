"""Counts per 15-minute slot. They name nobody, cost the same at any number of calls, and every figure is a sum of them."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import SkillGroup
from analytics.querysets import CallCountsQuerySet, GroupCountsQuerySet, IntervalQuerySet
from callcenter_site.phone_numbers import MAX_LENGTH as NUMBER_LENGTH
from configuration.scoping import AccountOwned


class CallCounts(AccountOwned):
    """What is counted of the calls that started in a slot."""

    slot = models.DateTimeField()
    n_calls = models.PositiveIntegerField(default=0, help_text="Without blocked ones.")
    n_open = models.PositiveIntegerField(default=0)
    n_blocked = models.PositiveIntegerField(default=0)
    n_answered = models.PositiveIntegerField(default=0)
    n_answered_open = models.PositiveIntegerField(default=0, help_text="Answered and not over: their times are not counted yet.")
    n_entered_ivr = models.PositiveIntegerField(default=0)
    n_abandoned_in_ivr = models.PositiveIntegerField(default=0)
    n_self_served = models.PositiveIntegerField(default=0)
    n_to_manual = models.PositiveIntegerField(default=0, help_text="Asked for a person: entered a queue or rang an agent.")
    n_manual_answered = models.PositiveIntegerField(default=0, help_text="Asked for a person, and spoke to one.")
    n_never_reached = models.PositiveIntegerField(default=0, help_text="Asked for a person, ended, and never spoke to one.")
    n_voicemail = models.PositiveIntegerField(default=0)
    n_transferred = models.PositiveIntegerField(default=0)
    talk_seconds = models.FloatField(default=0)
    hold_seconds = models.FloatField(default=0)
    wrap_up_seconds = models.FloatField(default=0)
    n_rating_asked = models.PositiveIntegerField(default=0)
    n_rated = models.PositiveIntegerField(default=0)
    n_satisfied = models.PositiveIntegerField(
        default=0, help_text="Scores of at least 4 of 5, or the same share of another scale."
    )
    rating_sum = models.FloatField(default=0, help_text="Scores brought to a scale of 5.")

    objects = CallCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True


class CallInterval(CallCounts):
    """By direction and service number (the center's own number)."""

    direction = models.CharField(max_length=10)
    service_number = models.CharField(max_length=NUMBER_LENGTH, blank=True)

    class Meta:
        verbose_name = _("call count")
        verbose_name_plural = _("call counts")
        constraints = [
            models.UniqueConstraint(fields=["account", "slot", "direction", "service_number"], name="call_interval_once")
        ]


class CallTotal(CallCounts):
    """All of them together. Kept beside the sums it is made of, so that a dashboard reads one row a slot."""

    class Meta:
        verbose_name = _("call total")
        verbose_name_plural = _("call totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="call_total_once")]


class QueueCounts(AccountOwned):
    """What is counted of the queue entries of a slot, with how they ended, and of what agents answered in the slot."""

    slot = models.DateTimeField()
    n_entries = models.PositiveIntegerField(default=0)
    n_open = models.PositiveIntegerField(default=0)
    n_answered = models.PositiveIntegerField(default=0)
    n_answered_in_target = models.PositiveIntegerField(default=0)
    n_at_once = models.PositiveIntegerField(
        default=0, help_text="Answered by an agent of the group without entering its queue: a wait of 0."
    )
    n_abandoned = models.PositiveIntegerField(default=0)
    n_abandoned_in_target = models.PositiveIntegerField(default=0)
    n_abandoned_short = models.PositiveIntegerField(default=0)
    n_abandoned_ringing = models.PositiveIntegerField(default=0)
    n_flow_out = models.PositiveIntegerField(default=0)
    n_flow_out_in_target = models.PositiveIntegerField(default=0)
    n_rejected = models.PositiveIntegerField(default=0)
    n_lost = models.PositiveIntegerField(default=0)
    wait_seconds = models.FloatField(default=0, help_text="Of all entries that waited: answered, abandoned, left the queue.")
    answered_wait_seconds = models.FloatField(default=0)
    abandoned_wait_seconds = models.FloatField(default=0)
    longest_wait_seconds = models.FloatField(default=0)
    wait_histogram = models.JSONField(default=list, help_text="Entries that waited, by the edges in metrics.WAIT_EDGES.")
    n_legs = models.PositiveIntegerField(
        default=0, help_text="Answered legs of the group's agents that are over, by when they were answered."
    )
    talk_seconds = models.FloatField(default=0, help_text="Of these legs.")
    hold_seconds = models.FloatField(default=0, help_text="Of these legs.")
    wrap_up_seconds = models.FloatField(default=0, help_text="Of these legs.")

    class Meta:
        abstract = True


class QueueInterval(QueueCounts):
    """By skill group, and by direction and service number of the call. `skill_group` null: a group the portal does not know."""

    skill_group = models.ForeignKey(SkillGroup, on_delete=models.PROTECT, null=True, related_name="+")
    direction = models.CharField(max_length=10)
    service_number = models.CharField(max_length=NUMBER_LENGTH, blank=True)

    objects = GroupCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("queue count")
        verbose_name_plural = _("queue counts")
        # A null group is not held unique by any database: that nobody fills a slot twice at once is rollup's lock.
        constraints = [
            models.UniqueConstraint(
                fields=["account", "slot", "skill_group", "direction", "service_number"], name="queue_interval_once"
            )
        ]


class GroupTotal(QueueCounts):
    """By skill group alone; null as above."""

    skill_group = models.ForeignKey(SkillGroup, on_delete=models.PROTECT, null=True, related_name="+")

    objects = GroupCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("skill group total")
        verbose_name_plural = _("skill group totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot", "skill_group"], name="group_total_once")]


class QueueTotal(QueueCounts):
    """All groups together."""

    objects = CallCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("queue total")
        verbose_name_plural = _("queue totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="queue_total_once")]


class ErasedCount(AccountOwned):
    """What calls of a slot count for that were erased on request: added to what is counted from the facts that are left."""

    slot = models.DateTimeField()
    counts = models.JSONField(default=dict, help_text="By table: [key, counts] for each of its rows.")

    objects = IntervalQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("counts of erased calls")
        verbose_name_plural = _("counts of erased calls")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="erased_count_once")]


class FillMark(AccountOwned):
    """How far an account's counts are filled, shown on every dashboard as their freshness. Its row is the lock of the fill."""

    filled_at = models.DateTimeField(_("counted"), null=True, help_text="Everything marked before this moment is counted.")
    n_slots = models.PositiveIntegerField(default=0, help_text="Filled in the last pass.")
    seconds = models.FloatField(default=0, help_text="What the last pass took.")

    class Meta:
        verbose_name = _("freshness")
        verbose_name_plural = _("freshness")
        permissions = [("see_figures", "May see dashboards and figures")]
        constraints = [models.UniqueConstraint(fields=["account"], name="fill_mark_once")]
