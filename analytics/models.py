"""Counts per 15-minute slot and per local day. They name nobody, cost the same at any number of calls, and every figure is
a sum of them.

What is counted of calls, queues and agents stands in three abstract models. Below each are tables that differ only in
what they are counted by, the sums over all of it kept beside, and the local days, which `analytics.rollup` has added up
once a day is over. A table is declared to the reports in `analytics.tables.TABLES`.
"""

import datetime as dt
from typing import Any

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, validate_email
from django.db import models
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from agents.models import Agent, SkillGroup
from agents.saved import Saved
from analytics.metrics import BUCKETS
from analytics.querysets import (
    AgentCountsQuerySet,
    CallCountsQuerySet,
    DisplayQuerySet,
    GroupCountsQuerySet,
    IntervalQuerySet,
    ReportRunQuerySet,
    SavedReportQuerySet,
)
from callcenter_site.file_runs import FileRun
from callcenter_site.outgoing import OutgoingError, read_address
from callcenter_site.phone_numbers import MAX_LENGTH as NUMBER_LENGTH
from callcenter_site.webhooks import new_secret
from configuration.encryption import EncryptedTextField
from configuration.models import Account, ApiKey, Role
from configuration.scoping import AccountOwned


class OfSlot(models.Model):
    slot = models.DateTimeField()

    class Meta:
        abstract = True


class OfDay(models.Model):
    day = models.DateField(help_text="Local day of the account.")

    class Meta:
        abstract = True


# --- Calls -----------------------------------------------------------------------------------------------------------


class CallCounts(AccountOwned):
    """What is counted of the calls that started in a slot."""

    n_calls = models.PositiveIntegerField(default=0, help_text="Without blocked ones.")
    n_inbound = models.PositiveIntegerField(default=0)
    n_inbound_answered = models.PositiveIntegerField(default=0)
    n_outbound = models.PositiveIntegerField(default=0)
    n_outbound_answered = models.PositiveIntegerField(default=0)
    n_internal = models.PositiveIntegerField(default=0)
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
    n_waited = models.PositiveIntegerField(default=0, help_text="Waited in a queue, and do so no more.")
    n_rang = models.PositiveIntegerField(default=0, help_text="Inbound, and an agent's phone rang.")
    n_abandoned_in_queue = models.PositiveIntegerField(default=0)
    n_abandoned_ringing = models.PositiveIntegerField(default=0)
    n_lost = models.PositiveIntegerField(
        default=0,
        help_text="Inbound, over, and served by nobody and nothing: no agent, IVR, external center, message or callback.",
    )
    n_voicemail = models.PositiveIntegerField(default=0)
    n_transferred = models.PositiveIntegerField(default=0)
    ivr_seconds = models.FloatField(default=0, help_text="Of calls that entered the IVR and left it.")
    wait_seconds = models.FloatField(default=0, help_text="Of calls that waited: all their entries together.")
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


class _ByNumber(models.Model):
    """By direction and service number (the center's own number)."""

    direction = models.CharField(max_length=10)
    service_number = models.CharField(max_length=NUMBER_LENGTH, blank=True)

    class Meta:
        abstract = True


class _ByProvider(models.Model):
    """By direction and telecom provider of the customer's number; empty: not known."""

    direction = models.CharField(max_length=10)
    provider = models.CharField(max_length=60, blank=True)

    class Meta:
        abstract = True


class _ByDisposition(models.Model):
    """By direction and result code; empty: none was given."""

    direction = models.CharField(max_length=10)
    disposition = models.CharField(max_length=60, blank=True)

    class Meta:
        abstract = True


class CallInterval(OfSlot, _ByNumber, CallCounts):
    class Meta:
        verbose_name = _("call count")
        verbose_name_plural = _("call counts")
        constraints = [
            models.UniqueConstraint(fields=["account", "slot", "direction", "service_number"], name="call_interval_once")
        ]


class CallTotal(OfSlot, CallCounts):
    """All of them together. Kept beside the sums it is made of, so that a dashboard reads one row a slot."""

    class Meta:
        verbose_name = _("call total")
        verbose_name_plural = _("call totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="call_total_once")]


class CallDay(OfDay, _ByNumber, CallCounts):
    class Meta:
        verbose_name = _("call count of a day")
        verbose_name_plural = _("call counts of days")
        constraints = [models.UniqueConstraint(fields=["account", "day", "direction", "service_number"], name="call_day_once")]


# Texts that people and platforms write are not held unique: MariaDB takes "Résolu" and "resolu" for one. That nobody
# fills a slot twice at once is rollup's lock.


class ProviderInterval(OfSlot, _ByProvider, CallCounts):
    class Meta:
        verbose_name = _("provider count")
        verbose_name_plural = _("provider counts")
        indexes = [models.Index(fields=["account", "slot"], name="provider_interval")]


class ProviderDay(OfDay, _ByProvider, CallCounts):
    class Meta:
        verbose_name = _("provider count of a day")
        verbose_name_plural = _("provider counts of days")
        indexes = [models.Index(fields=["account", "day"], name="provider_day")]


class DispositionInterval(OfSlot, _ByDisposition, CallCounts):
    class Meta:
        verbose_name = _("disposition count")
        verbose_name_plural = _("disposition counts")
        indexes = [models.Index(fields=["account", "slot"], name="disposition_interval")]


class DispositionDay(OfDay, _ByDisposition, CallCounts):
    class Meta:
        verbose_name = _("disposition count of a day")
        verbose_name_plural = _("disposition counts of days")
        indexes = [models.Index(fields=["account", "day"], name="disposition_day")]


# --- Queues ----------------------------------------------------------------------------------------------------------


class QueueCounts(AccountOwned):
    """What is counted of the queue entries of a slot, with how they ended, and of what agents answered in the slot.

    The waits stand in buckets as well, `n_waited_20` those from 20 s to the next edge of `metrics.WAIT_EDGES`: once of
    all who waited, once of those who were answered.
    """

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
    n_legs = models.PositiveIntegerField(
        default=0, help_text="Answered legs of the group's agents that are over, by when they were answered."
    )
    n_held = models.PositiveIntegerField(default=0, help_text="Of these legs, those with a hold.")
    talk_seconds = models.FloatField(default=0, help_text="Of these legs.")
    hold_seconds = models.FloatField(default=0, help_text="Of these legs.")
    wrap_up_seconds = models.FloatField(default=0, help_text="Of these legs.")

    class Meta:
        abstract = True


for _name in BUCKETS:
    QueueCounts.add_to_class(_name, models.PositiveIntegerField(default=0))


class _ByGroup(models.Model):
    """By skill group; null: one the portal does not know."""

    skill_group = models.ForeignKey(SkillGroup, on_delete=models.PROTECT, null=True, related_name="+")

    objects = GroupCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True


# A null group is not held unique by any database: here too it is rollup's lock.


class QueueInterval(_ByGroup, OfSlot, _ByNumber, QueueCounts):
    """By skill group, and by direction and service number of the call."""

    class Meta:
        verbose_name = _("queue count")
        verbose_name_plural = _("queue counts")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "slot", "skill_group", "direction", "service_number"], name="queue_interval_once"
            )
        ]


class GroupTotal(_ByGroup, OfSlot, QueueCounts):
    """By skill group alone."""

    class Meta:
        verbose_name = _("skill group total")
        verbose_name_plural = _("skill group totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot", "skill_group"], name="group_total_once")]


class QueueTotal(OfSlot, QueueCounts):
    """All groups together."""

    objects = CallCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("queue total")
        verbose_name_plural = _("queue totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="queue_total_once")]


class QueueDay(_ByGroup, OfDay, _ByNumber, QueueCounts):
    class Meta:
        verbose_name = _("queue count of a day")
        verbose_name_plural = _("queue counts of days")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "day", "skill_group", "direction", "service_number"], name="queue_day_once"
            )
        ]


class GroupDay(_ByGroup, OfDay, QueueCounts):
    class Meta:
        verbose_name = _("skill group total of a day")
        verbose_name_plural = _("skill group totals of days")
        constraints = [models.UniqueConstraint(fields=["account", "day", "skill_group"], name="group_day_once")]


# --- Agents ----------------------------------------------------------------------------------------------------------


class AgentCounts(AccountOwned):
    """What agents did in a slot.

    Seconds of the six states are wall clock, split at the slot's borders (METRICS §2.4); together they are the time
    online. What still goes on is counted up to the moment of the fill. Everything else is counted whole in one slot:
    offers by when they were made, legs by when they were answered, answers from the queue by when the queue was
    entered, ratings by when the call started.
    """

    available_seconds = models.FloatField(default=0)
    ringing_seconds = models.FloatField(default=0)
    on_call_seconds = models.FloatField(default=0, help_text="Hold included.")
    acw_seconds = models.FloatField(default=0)
    not_ready_seconds = models.FloatField(default=0)
    break_seconds = models.FloatField(default=0)
    on_hold_seconds = models.FloatField(default=0, help_text="Wall clock; a part of the seconds on a call.")
    n_offers = models.PositiveIntegerField(default=0, help_text="Calls offered to the agent; their own outbound calls are none.")
    n_offers_open = models.PositiveIntegerField(default=0)
    n_offers_answered = models.PositiveIntegerField(default=0)
    n_not_taken = models.PositiveIntegerField(default=0, help_text="Offers not answered, refused or met by a busy phone.")
    n_inbound_legs = models.PositiveIntegerField(default=0)
    n_outbound_legs = models.PositiveIntegerField(default=0)
    n_internal_legs = models.PositiveIntegerField(default=0)
    n_legs = models.PositiveIntegerField(default=0, help_text="Answered legs that are over.")
    n_held = models.PositiveIntegerField(default=0, help_text="Of these legs, those with a hold.")
    n_short = models.PositiveIntegerField(default=0, help_text="Of these legs, those connected for less than ten seconds.")
    n_passed_on = models.PositiveIntegerField(default=0, help_text="Of these legs, those whose agent transferred the call.")
    talk_seconds = models.FloatField(default=0, help_text="Of these legs.")
    hold_seconds = models.FloatField(default=0, help_text="Of these legs.")
    wrap_up_seconds = models.FloatField(default=0, help_text="Of these legs.")
    n_answered = models.PositiveIntegerField(default=0, help_text="Queue entries the agent answered.")
    n_at_once = models.PositiveIntegerField(default=0)
    answered_wait_seconds = models.FloatField(default=0)
    n_rating_asked = models.PositiveIntegerField(default=0, help_text="Of calls the agent was the last to take.")
    n_rated = models.PositiveIntegerField(default=0)
    n_satisfied = models.PositiveIntegerField(default=0)
    rating_sum = models.FloatField(default=0)

    class Meta:
        abstract = True


class _ByAgent(models.Model):
    """By agent; null: one the portal does not know. A null agent is not held unique by any database."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)

    objects = AgentCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True


class AgentInterval(_ByAgent, OfSlot, AgentCounts):
    class Meta:
        verbose_name = _("agent count")
        verbose_name_plural = _("agent counts")
        constraints = [models.UniqueConstraint(fields=["account", "slot", "agent"], name="agent_interval_once")]
        indexes = [models.Index(fields=["agent", "slot"], name="agent_interval_agent")]


class AgentTotal(OfSlot, AgentCounts):
    """All agents together."""

    objects = CallCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("agent total")
        verbose_name_plural = _("agent totals")
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="agent_total_once")]


class AgentDay(_ByAgent, OfDay, AgentCounts):
    class Meta:
        verbose_name = _("agent count of a day")
        verbose_name_plural = _("agent counts of days")
        constraints = [models.UniqueConstraint(fields=["account", "day", "agent"], name="agent_day_once")]
        indexes = [models.Index(fields=["agent", "day"], name="agent_day_agent")]


class ErasedCount(OfSlot, AccountOwned):
    """What calls of a slot count for that were erased on request: added to what is counted from the facts that are left."""

    counts = models.JSONField(default=dict, help_text="By table: [key, counts] for each of its rows.")

    objects = IntervalQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("counts of erased calls")
        verbose_name_plural = _("counts of erased calls")
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account", "slot"], name="erased_count_once")]


# --- How far ---------------------------------------------------------------------------------------------------------


class FillMark(AccountOwned):
    """How far an account's counts are filled, shown on every dashboard as their freshness. Its row is the lock of the fill."""

    filled_at = models.DateTimeField(_("counted"), null=True, help_text="Everything marked before this moment is counted.")
    n_slots = models.PositiveIntegerField(default=0, help_text="Filled in the last pass.")
    seconds = models.FloatField(default=0, help_text="What the last pass took.")
    agents_to = models.DateTimeField(null=True, help_text="Up to when the time of agents is counted.")
    zone = models.CharField(max_length=63, blank=True, help_text="Whose local days the day totals are.")
    days_to = models.DateField(null=True, help_text="Local days before this one have their totals.")
    backlog_to = models.DateTimeField(
        null=True, help_text="Slots before this one are counted once more, for tables that are younger than they; null: none."
    )
    recounted_at = models.DateTimeField(_("counted again"), null=True, help_text="When the last days were counted again.")
    n_drifted = models.PositiveIntegerField(
        _("slots that had drifted"), default=0, help_text="Found and repaired by then; it should be 0."
    )

    class Meta:
        verbose_name = _("freshness")
        verbose_name_plural = _("freshness")
        permissions = [("see_figures", "May see dashboards and figures")]
        constraints = [models.UniqueConstraint(fields=["account"], name="fill_mark_once")]


# --- Wallboards ------------------------------------------------------------------------------------------------------


class Tile(models.TextChoices):
    """What a wallboard shows, in the order in which it is offered."""

    IN_QUEUE = "in_queue", _("In queue")
    LONGEST_WAIT = "longest_wait_seconds", _("Longest wait")
    SERVICE_LEVEL_ROLLING = "service_level_rolling", _("Service level, 30 min")
    AVAILABLE = "available", _("Available")
    TALKING = "talking", _("Talking")
    RINGING = "ringing", _("Ringing")
    IN_IVR = "in_ivr", _("In IVR")
    STAFFED = "staffed", _("Staffed")
    ON_BREAK = "on_break", _("On a break")
    SERVICE_LEVEL_TODAY = "service_level_today", _("Service level today")
    OFFERED_TODAY = "offered_today", _("Offered today")
    ANSWERED_TODAY = "answered_today", _("Answered today")
    ABANDONED_TODAY = "abandoned_today", _("Abandoned today")
    AGENTS = "agents", _("Agents by status")
    GROUPS = "groups", _("Table of skill groups")


DEFAULT_TILES = (
    Tile.IN_QUEUE,
    Tile.LONGEST_WAIT,
    Tile.SERVICE_LEVEL_ROLLING,
    Tile.AVAILABLE,
    Tile.TALKING,
    Tile.ANSWERED_TODAY,
    Tile.ABANDONED_TODAY,
    Tile.SERVICE_LEVEL_TODAY,
    Tile.AGENTS,
    Tile.GROUPS,
)


def _default_tiles() -> list[str]:
    return [tile.value for tile in DEFAULT_TILES]


class Display(AccountOwned):
    """A screen on a wall: which groups and figures it shows, and from when on in which colour. It may be opened by a link
    without signing in; the link shows figures only, and ends when it is renewed or revoked."""

    name = models.CharField(_("name"), max_length=60)
    group_ids = models.JSONField(_("skill groups"), default=list, blank=True, help_text=_("None ticked: the whole account."))
    tiles = models.JSONField(_("tiles"), default=_default_tiles, blank=True)
    language = models.CharField(_("language"), max_length=10, choices=Account.Language, default=Account.Language.ENGLISH)
    queue_warning = models.PositiveSmallIntegerField(_("in queue: yellow from"), default=3)
    queue_alarm = models.PositiveSmallIntegerField(_("in queue: red from"), default=6)
    wait_warning = models.PositiveSmallIntegerField(_("longest wait: yellow from (s)"), default=20)
    wait_alarm = models.PositiveSmallIntegerField(_("longest wait: red from (s)"), default=60)
    level_warning = models.PositiveSmallIntegerField(
        _("service level: yellow below (%)"), default=80, validators=[MaxValueValidator(100)]
    )
    level_alarm = models.PositiveSmallIntegerField(
        _("service level: red below (%)"), default=60, validators=[MaxValueValidator(100)]
    )
    has_sound = models.BooleanField(_("sound"), default=False, help_text=_("A tone when a figure turns red."))
    version = models.PositiveIntegerField(default=1, editable=False, help_text="Counts changes, so that screens notice.")
    token_prefix = models.CharField(max_length=12, blank=True, editable=False, db_index=True)
    token_hash = models.CharField(max_length=64, blank=True, editable=False)
    token_made_at = models.DateTimeField(_("link made"), null=True, editable=False)
    token_seen_at = models.DateTimeField(_("link last used"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = DisplayQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("wallboard")
        verbose_name_plural = _("wallboards")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="display_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def has_link(self) -> bool:
        return bool(self.token_hash)

    def clean(self) -> None:
        self.name = self.name.strip()
        faults: dict[str, Any] = {}
        if not self.name:
            faults["name"] = _("Give it a name.")
        known = set(SkillGroup.objects.for_account(self.account_id).filter(is_active=True).values_list("pk", flat=True))
        if not isinstance(self.group_ids, list) or not known.issuperset(self.group_ids):
            faults["group_ids"] = _("There is no such skill group in use.")
        if not self.tiles or not isinstance(self.tiles, list) or not set(Tile.values).issuperset(self.tiles):
            faults["tiles"] = _("Choose at least one of: %(known)s.") % {"known": ", ".join(Tile.values)}
        if self.queue_alarm < self.queue_warning:
            faults["queue_alarm"] = _("Red begins where yellow does, or later.")
        if self.wait_alarm < self.wait_warning:
            faults["wait_alarm"] = _("Red begins where yellow does, or later.")
        if self.level_alarm > self.level_warning:
            faults["level_alarm"] = _("Red begins where yellow does, or below.")
        if faults:
            raise ValidationError(faults)
        self.group_ids = sorted(set(self.group_ids))
        self.tiles = [tile for tile in Tile.values if tile in self.tiles]

    def save(self, *args: Any, **kwargs: Any) -> None:
        columns = kwargs.get("update_fields")
        if not self._state.adding and (columns is None or set(columns) - {"token_seen_at"}):
            self.version += 1
            if columns is not None:
                kwargs["update_fields"] = {*columns, "version"}
        super().save(*args, **kwargs)


auditlog.register(Display, exclude_fields=["token_hash", "token_seen_at", "version"])


# --- Alerts ----------------------------------------------------------------------------------------------------------

MOST_ADDRESSES = 20
_EVERY_DAY = tuple(range(7))


def _every_day() -> list[int]:
    return list(_EVERY_DAY)


class AlertRule(AccountOwned):
    """A live figure that is watched, and who is told when it is beyond its limit and when it is well again."""

    class Metric(models.TextChoices):
        IN_QUEUE = "in_queue", _("more callers in queue than")
        LONGEST_WAIT = "longest_wait", _("longest wait over (seconds)")
        SERVICE_LEVEL = "service_level", _("service level of 30 minutes under (%)")
        NO_AGENT = "no_agent", _("no agent online")

    name = models.CharField(_("name"), max_length=60)
    metric = models.CharField(_("when"), max_length=16, choices=Metric, default=Metric.IN_QUEUE)
    threshold = models.PositiveIntegerField(
        _("limit"), default=5, validators=[MaxValueValidator(86_400)], help_text=_("Not used for: no agent online.")
    )
    skill_group = models.ForeignKey(
        SkillGroup,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("skill group"),
        help_text=_("Empty: the whole account."),
    )
    hold_seconds = models.PositiveIntegerField(
        _("for at least (seconds)"),
        default=30,
        validators=[MaxValueValidator(3600)],
        help_text=_("Beyond the limit for so long before anybody is told, and within it for so long before it is well again."),
    )
    weekdays = models.JSONField(_("on"), default=_every_day, blank=True, help_text=_("0 is Monday."))
    starts_at = models.TimeField(_("from"), null=True, blank=True, help_text=_("Local time. Both empty: all day."))
    ends_at = models.TimeField(_("until"), null=True, blank=True, help_text=_("Earlier than the start: of the next day."))
    mail_to = EncryptedTextField(_("mail to"), blank=True, help_text=_("Addresses, with commas between."))
    webhook_url = EncryptedTextField(_("webhook"), blank=True, help_text=_("An https address that gets a signed message."))
    webhook_secret = EncryptedTextField(blank=True, editable=False)
    is_active = models.BooleanField(_("in use"), default=True)
    is_raised = models.BooleanField(_("raised"), default=False, editable=False)
    turning_since = models.DateTimeField(null=True, editable=False)
    """Since when it is beyond its limit and not raised, or within it and still raised."""

    objects = GroupCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="alert_rule_name_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def addresses(self) -> list[str]:
        return [one for one in str(self.mail_to).replace(";", ",").replace("\n", ",").replace(" ", "").split(",") if one]

    def is_beyond(self, value: float) -> bool:
        if self.metric == self.Metric.NO_AGENT:
            return value <= 0
        return value < self.threshold if self.metric == self.Metric.SERVICE_LEVEL else value > self.threshold

    def is_on_duty(self, at: dt.datetime) -> bool:
        """Whether a moment lies in the hours of the rule, by the clock on the account's wall. What begins before midnight
        and ends after it belongs to the day on which it begins."""
        local = at.astimezone(self.account.zone)
        start, end = self.starts_at, self.ends_at
        if start is None or end is None or start == end:
            return local.weekday() in self.weekdays
        now = local.time().replace(tzinfo=None)
        if start < end:
            return start <= now < end and local.weekday() in self.weekdays
        if now >= start:
            return local.weekday() in self.weekdays
        return now < end and (local.weekday() - 1) % 7 in self.weekdays

    def clean(self) -> None:
        self.name = self.name.strip()
        faults: dict[str, Any] = {}
        if not self.name:
            faults["name"] = _("Give it a name.")
        if self.metric == self.Metric.SERVICE_LEVEL and not 1 <= (self.threshold or 0) <= 100:
            faults["threshold"] = _("A service level is from 1 to 100 %.")
        days = self.weekdays
        if not isinstance(days, list) or not days or not set(_EVERY_DAY).issuperset(days):
            faults["weekdays"] = _("Choose days, from 0 for Monday to 6 for Sunday.")
        if (self.starts_at is None) != (self.ends_at is None):
            faults["ends_at"] = _("Give both times, or none.")
        if self.skill_group_id and not SkillGroup.objects.for_account(self.account_id).filter(pk=self.skill_group_id).exists():
            faults["skill_group"] = _("There is no such skill group.")
        if len(self.addresses) > MOST_ADDRESSES:
            faults["mail_to"] = _("At most %(n)s addresses.") % {"n": MOST_ADDRESSES}
        elif not all(map(_is_email, self.addresses)):
            faults["mail_to"] = _("One of these is no mail address. Put commas between them.")
        if self.webhook_url and not _is_https(str(self.webhook_url)):
            faults["webhook_url"] = _("Write a whole address that begins with https:// and holds no password.")
        if not self.addresses and not self.webhook_url and "mail_to" not in faults:
            faults["mail_to"] = _("Say who is told: by mail, by a webhook, or both.")
        if faults:
            raise ValidationError(faults)
        self.weekdays = sorted(set(days))

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.webhook_url and not self.webhook_secret:
            self.webhook_secret = new_secret()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "webhook_secret"}
        super().save(*args, **kwargs)


def _is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254


def _is_https(text: str) -> bool:
    try:
        return len(text) <= 1000 and read_address(text).scheme == "https"
    except OutgoingError:
        return False


class AlertCrossing(AccountOwned):
    """A time for which a rule was raised."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="crossings", verbose_name=_("alert"))
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("skill group")
    )
    metric = models.CharField(_("when"), max_length=16, choices=AlertRule.Metric)
    threshold = models.PositiveIntegerField(_("limit"))
    value = models.FloatField(_("value"), null=True)
    began_at = models.DateTimeField(_("began"))
    crossed_at = models.DateTimeField(_("told"))
    recovered_at = models.DateTimeField(_("well again"), null=True)

    objects = GroupCountsQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("past alert")
        verbose_name_plural = _("past alerts")
        ordering = ["-crossed_at", "-pk"]
        indexes = [models.Index(fields=["account", "crossed_at", "id"], name="alert_crossing_time")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class AlertNotice(AccountOwned):
    """What is to be sent of a crossing, and how that went."""

    class About(models.TextChoices):
        RAISED = "raised", _("raised")
        RECOVERED = "recovered", _("well again")

    class Channel(models.TextChoices):
        MAIL = "mail", _("mail")
        WEBHOOK = "webhook", _("webhook")

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting to be sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("not delivered")

    crossing = models.ForeignKey(AlertCrossing, on_delete=models.CASCADE, related_name="notices")
    about = models.CharField(max_length=10, choices=About)
    channel = models.CharField(max_length=10, choices=Channel)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    message_id = models.CharField(max_length=32)
    n_tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("alert message")
        verbose_name_plural = _("alert messages")
        constraints = [models.UniqueConstraint(fields=["crossing", "about", "channel"], name="alert_notice_once")]
        indexes = [models.Index(fields=["state", "next_try_at"], name="alert_notice_due")]

    def __str__(self) -> str:
        return f"#{self.pk}"


auditlog.register(
    AlertRule,
    exclude_fields=["is_raised", "turning_since"],
    mask_fields=["mail_to", "webhook_url", "webhook_secret"],
    mask_callable="callcenter_site.audit.unsaid",
)


# --- What people keep ------------------------------------------------------------------------------------------------


class SavedView(Saved):
    """How somebody looked at a dashboard, kept under a name: for themselves, or for all of the account."""

    class Page(models.TextChoices):
        NOW = "now", _("Now")
        PERIOD = "period", _("Period")
        AGENTS = "agents", _("Agents")
        QUALITY = "quality", _("Quality")

    page = models.CharField(_("dashboard"), max_length=10, choices=Page)
    query = models.CharField(max_length=2000, help_text="As in the dashboard's address.")

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["account", "owner", "page", "name"], name="saved_view_once")]


auditlog.register(SavedView, exclude_fields=["query"])


WEEKDAY_CHOICES = list(WEEKDAYS.items())
HOUR_CHOICES = [(hour, f"{hour}:00") for hour in range(24)]


class SavedReport(Saved):
    """A question of rows, columns, filters and period that somebody keeps, and when it is to be answered by itself."""

    class Kind(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"
        PDF = "pdf", "PDF"

    class Schedule(models.TextChoices):
        NEVER = "", _("only when asked for")
        DAILY = "daily", _("every day")
        WEEKLY = "weekly", _("every week")
        MONTHLY = "monthly", _("on the first of every month")

    class Stopped(models.TextChoices):
        OWNER = "owner", _("its owner is not active any more, or may not see figures")
        CHANGED = "changed", _("something it asks for is gone, or not seen by its owner any more")

    query = models.CharField(max_length=4000, editable=False, help_text="As in the address of the report builder.")
    kind = models.CharField(_("file"), max_length=4, choices=Kind, default=Kind.XLSX)
    schedule = models.CharField(_("runs"), max_length=10, choices=Schedule, default=Schedule.NEVER, blank=True)
    weekday = models.PositiveSmallIntegerField(_("on"), choices=WEEKDAY_CHOICES, default=0)
    hour = models.PositiveSmallIntegerField(
        _("at"),
        choices=HOUR_CHOICES,
        default=6,
        help_text=_("By the clock of the account. The report is about the days before."),
    )
    due_at = models.DateTimeField(_("next run"), null=True, editable=False)
    stopped = models.CharField(_("stopped because"), max_length=10, choices=Stopped, blank=True, editable=False)
    """Why it runs by itself no more; saving it again lets it go on."""

    objects = SavedReportQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("saved report")
        verbose_name_plural = _("saved reports")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["account", "owner", "name"], name="saved_report_once")]
        indexes = [models.Index(fields=["due_at"], name="saved_report_due")]


class ReportReader(AccountOwned):
    """Somebody who is mailed when a report is there, beside its owner, and may take its files."""

    report = models.ForeignKey(SavedReport, on_delete=models.CASCADE, related_name="readers", editable=False)
    person = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", verbose_name=_("person"))

    class Meta:
        verbose_name = _("reader of a report")
        verbose_name_plural = _("readers of reports")
        constraints = [models.UniqueConstraint(fields=["report", "person"], name="report_reader_once")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class ReportRun(FileRun, AccountOwned):
    """A report as a file, written by a worker with the rights its owner has then. File and row go after a week."""

    report = models.ForeignKey(
        SavedReport, on_delete=models.SET_NULL, null=True, related_name="runs", editable=False, verbose_name=_("report")
    )
    owner = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("owner")
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, related_name="+", editable=False)
    name = models.CharField(_("name"), max_length=60, blank=True, editable=False)
    query = models.CharField(max_length=4000, editable=False)
    kind = models.CharField(_("file"), max_length=4, choices=SavedReport.Kind, default=SavedReport.Kind.CSV, editable=False)
    due_at = models.DateTimeField(_("due"), null=True, editable=False)
    """When the timetable of its report wanted it; null: somebody asked for it."""
    is_mailed = models.BooleanField(default=False, editable=False)
    scope = models.CharField(max_length=10, choices=Role.DataScope, default=Role.DataScope.OWN, editable=False)
    """What its owner saw when it was written: nobody takes the file who sees less."""
    group_ids = models.JSONField(default=list, editable=False)
    """Where that was their skill groups: which."""

    objects = ReportRunQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("report run")
        verbose_name_plural = _("report runs")
        ordering = ["-created_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["report", "due_at"], name="report_run_once")]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="report_run_time"),
            models.Index(fields=["state", "heartbeat_at"], name="report_run_state"),
        ]


class ReportMail(AccountOwned):
    """What is to be told of a run that the timetable made, to one person, and how that went."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting to be sent")
        SENT = "sent", _("sent")
        SKIPPED = "skipped", _("not sent: may not see the report")
        FAILED = "failed", _("not delivered")

    run = models.ForeignKey(ReportRun, on_delete=models.CASCADE, related_name="mails")
    person = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    n_tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("mail of a report")
        verbose_name_plural = _("mails of reports")
        constraints = [models.UniqueConstraint(fields=["run", "person"], name="report_mail_once")]
        indexes = [models.Index(fields=["state", "next_try_at"], name="report_mail_due")]

    def __str__(self) -> str:
        return f"#{self.pk}"


auditlog.register(SavedReport, exclude_fields=["query", "due_at"])
auditlog.register(ReportReader)
