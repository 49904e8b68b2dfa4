"""Counts per 15-minute slot. They name nobody, cost the same at any number of calls, and every figure is a sum of them."""

from typing import Any

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import SkillGroup
from analytics.querysets import CallCountsQuerySet, DisplayQuerySet, GroupCountsQuerySet, IntervalQuerySet
from callcenter_site.phone_numbers import MAX_LENGTH as NUMBER_LENGTH
from configuration.models import Account
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
