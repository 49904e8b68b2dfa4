"""The inbox of events, and the service records folded from them.

`Call` is one conversation as the customer sees it: the service record. Its legs, queue entries and IVR steps are
replaced as a whole whenever its events are folded again; nobody else writes them.
"""

import datetime as dt
import re

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from agents.models import Agent, SkillGroup
from agents.saved import Saved
from callcenter_site.fields import Sha256Field
from callcenter_site.file_runs import FileRun
from callcenter_site.phone_numbers import MAX_LENGTH as NUMBER_LENGTH
from calls.querysets import (
    CallEventQuerySet,
    CallQuerySet,
    ExportRunQuerySet,
    IncomingSoundQuerySet,
    OfVisibleCalls,
    VoicemailQuerySet,
)
from configuration.encryption import EncryptedTextField
from configuration.models import ApiKey, Keyword
from configuration.scoping import AccountOwned


class Direction(models.TextChoices):
    INBOUND = "inbound", _("Inbound")
    OUTBOUND = "outbound", _("Outbound")
    INTERNAL = "internal", _("Internal")


class CallState(models.TextChoices):
    """Where a call is now."""

    STARTED = "started", _("Started")
    IN_IVR = "in_ivr", _("In IVR")
    QUEUED = "queued", _("In queue")
    RINGING = "ringing", _("Ringing")
    TALKING = "talking", _("Talking")
    ENDED = "ended", _("Ended")


OPEN_STATES = frozenset(CallState) - {CallState.ENDED}


class Outcome(models.TextChoices):
    """How a call ended, decided once by the fold. Empty while the call is open."""

    ANSWERED = "answered", _("Answered")
    ABANDONED_IN_IVR = "abandoned_in_ivr", _("Abandoned in IVR")
    ABANDONED_IN_QUEUE = "abandoned_in_queue", _("Abandoned in queue")
    ABANDONED_WHILE_RINGING = "abandoned_while_ringing", _("Abandoned while ringing")
    SELF_SERVED = "self_served", _("Served by IVR")
    TIMED_OUT = "timed_out", _("Timed out in queue")
    OVERFLOWED = "overflowed", _("Queue full")
    NO_AGENT = "no_agent", _("No agent online")
    CLOSED = "closed", _("Out of hours")
    VOICEMAIL = "voicemail", _("Voicemail")
    CALLBACK = "callback", _("Asked to be called back")
    FORWARDED = "forwarded", _("To an external center")
    BLOCKED = "blocked", _("Blocked")
    NOT_ANSWERED = "not_answered", _("Not answered")
    LINE_BUSY = "line_busy", _("Line busy")
    REFUSED = "refused", _("Refused")
    UNREACHABLE = "unreachable", _("Unreachable")
    CANCELLED = "cancelled", _("Cancelled by agent")
    LOST_CONTACT = "lost_contact", _("Lost contact")
    FAILED = "failed", _("System error")


class Party(models.TextChoices):
    CUSTOMER = "customer", _("Customer")
    AGENT = "agent", _("Agent")
    SYSTEM = "system", _("System")


class IvrExit(models.TextChoices):
    TO_QUEUE = "to_queue", _("to a queue")
    TO_AGENT = "to_agent", _("to an agent")
    HANGUP = "hangup", _("caller hung up")
    SELF_SERVED = "self_served", _("served")
    VOICEMAIL = "voicemail", _("voicemail")
    FORWARDED = "forwarded", _("to an external center")
    REJECTED = "rejected", _("turned away")
    ERROR = "error", _("error")


class EntryOutcome(models.TextChoices):
    """How an entry into a skill group's queue ended (METRICS §1). Empty while the caller waits."""

    ANSWERED = "answered", _("Answered")
    ABANDONED = "abandoned", _("Abandoned")
    FLOW_OUT = "flow_out", _("Left the queue")
    REJECTED = "rejected", _("Turned away")
    LOST = "lost", _("Lost")


class EntryCause(models.TextChoices):
    IVR = "ivr", _("from the IVR")
    DIRECT = "direct", _("directly")
    TRANSFER = "transfer", _("transferred")
    OVERFLOW = "overflow", _("from another queue")
    REQUEUE = "requeue", _("queued again")


class LegKind(models.TextChoices):
    AGENT = "agent", _("Agent")
    EXTERNAL = "external", _("External center")


class LegResult(models.TextChoices):
    """What became of an offer to an agent. Empty while it rings."""

    ANSWERED = "answered", _("Answered")
    NO_ANSWER = "no_answer", _("No answer")
    REJECTED = "rejected", _("Rejected")
    BUSY = "busy", pgettext_lazy("offer to an agent", "Busy")
    ELSEWHERE = "elsewhere", _("Answered by another")
    CALLER_GAVE_UP = "caller_gave_up", _("Caller gave up")
    CANCELLED = "cancelled", _("Cancelled")


class EventState(models.TextChoices):
    PENDING = "pending", _("Waiting")
    FOLDED = "folded", _("In the record")
    UNMATCHED = "unmatched", _("Unknown agent")
    DEAD = "dead", _("Failed")


class CallEvent(AccountOwned):
    """One accepted event, as it came. Append-only: only its state of processing changes."""

    event_key = Sha256Field(help_text="SHA-256 of account, source and id: the idempotency key.")
    body_hash = Sha256Field(help_text="SHA-256 of the event's content: the same id with another body is a conflict.")
    call_key = Sha256Field(help_text="SHA-256 of account and subject: all events of one call share it.")
    source = models.CharField(_("source"), max_length=255)
    event_id = models.CharField(_("event id"), max_length=255)
    type = models.CharField(_("type"), max_length=60)
    subject = models.CharField(_("subject"), max_length=255)
    sequence = models.CharField(_("sequence"), max_length=40, blank=True)
    occurred_at = models.DateTimeField(_("happened"))
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    data = models.JSONField(_("data"), default=dict)
    state = models.CharField(_("state"), max_length=10, choices=EventState, default=EventState.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("due"), default=timezone.now)
    error = models.CharField(_("reason"), max_length=500, blank=True)

    objects = CallEventQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["-id"]
        permissions = [("redrive_callevent", "May fold failed events again")]
        constraints = [models.UniqueConstraint(fields=["account", "event_key"], name="event_once")]
        indexes = [
            models.Index(fields=["account", "call_key"], name="event_call"),
            models.Index(fields=["state", "retry_at", "id"], name="event_due"),
            models.Index(fields=["account", "state"], name="event_depth"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class Call(AccountOwned):
    """The service record: one conversation as the customer sees it. Durations in seconds, exact to the millisecond."""

    call_id = models.CharField(_("call ID"), max_length=255)
    call_key = Sha256Field()
    direction = models.CharField(_("direction"), max_length=10, choices=Direction, default=Direction.INBOUND)
    call_type = models.CharField(_("call type"), max_length=40, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=CallState, default=CallState.STARTED)
    outcome = models.CharField(_("outcome"), max_length=24, choices=Outcome, blank=True)
    calling_number = models.CharField(_("calling number"), max_length=NUMBER_LENGTH, blank=True)
    called_number = models.CharField(_("called number"), max_length=NUMBER_LENGTH, blank=True)
    provider = models.CharField(_("telecom provider"), max_length=60, blank=True)
    is_provider_looked_up = models.BooleanField(default=False, help_text="From the number: the platform did not say.")
    location = models.CharField(_("location"), max_length=100, blank=True)
    is_location_looked_up = models.BooleanField(default=False, help_text="From the number: the platform did not say.")

    started_at = models.DateTimeField(_("started"))
    answered_at = models.DateTimeField(_("answered"), null=True, help_text="When an agent first spoke.")
    ended_at = models.DateTimeField(_("ended"), null=True)
    ended_on = models.DateField(
        _("ended on"), null=True, help_text="The account's local date of the end, frozen: the clock of the six months."
    )
    end_is_inferred = models.BooleanField(_("end inferred"), default=False)
    ivr_entered_at = models.DateTimeField(null=True)
    ivr_left_at = models.DateTimeField(null=True)
    ivr_exit = models.CharField(_("left the IVR"), max_length=12, choices=IvrExit, blank=True)

    ivr_seconds = models.FloatField(_("in IVR"), default=0)
    wait_seconds = models.FloatField(_("wait"), default=0, help_text="Sum over its queue entries, ringing included.")
    ring_seconds = models.FloatField(_("ringing"), default=0)
    talk_seconds = models.FloatField(_("talk"), default=0, help_text="Speaking with agents, without hold.")
    hold_seconds = models.FloatField(_("hold"), default=0)
    wrap_up_seconds = models.FloatField(_("wrap-up"), default=0)
    total_seconds = models.FloatField(_("whole call"), default=0, help_text="From start to end; 0 while the call is open.")

    disconnect_party = models.CharField(_("ended by"), max_length=10, choices=Party, blank=True)
    end_cause = models.CharField(_("cause"), max_length=40, blank=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("agent"))
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("skill group")
    )
    n_transfers = models.PositiveSmallIntegerField(_("transfers"), default=0)
    rating_asked = models.BooleanField(_("rating asked"), default=False)
    rating_score = models.FloatField(_("rating"), null=True)
    rating_scale = models.PositiveSmallIntegerField(null=True)
    disposition = models.CharField(_("disposition"), max_length=60, blank=True)
    remark = models.TextField(_("remark"), blank=True)
    has_remark = models.BooleanField(_("remark"), default=False)
    has_recording = models.BooleanField(_("recording"), default=False)
    has_voicemail = models.BooleanField(_("voicemail"), default=False)

    last_event_at = models.DateTimeField(default=timezone.now)
    folded_at = models.DateTimeField(default=timezone.now)
    sealed_at = models.DateTimeField(
        null=True, help_text="When its raw events left the database; null: it can be folded from them."
    )

    objects = CallQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("service record")
        verbose_name_plural = _("service records")
        ordering = ["-started_at", "-pk"]
        permissions = [
            ("see_full_number", "May see whole phone numbers"),
            ("change_remark", "May edit the remarks of others"),
            ("screen_call", "May ask whether a call is let in"),
        ]
        constraints = [models.UniqueConstraint(fields=["account", "call_key"], name="call_once")]
        indexes = [
            models.Index(fields=["account", "started_at"], name="call_started"),
            models.Index(fields=["account", "state", "started_at"], name="call_state"),
            models.Index(fields=["account", "outcome", "started_at"], name="call_outcome"),
            models.Index(fields=["account", "direction", "started_at"], name="call_direction"),
            models.Index(fields=["account", "agent", "started_at"], name="call_agent"),
            models.Index(fields=["account", "skill_group", "started_at"], name="call_group"),
            models.Index(fields=["account", "calling_number", "started_at"], name="call_calling"),
            models.Index(fields=["account", "called_number", "started_at"], name="call_called"),
            models.Index(fields=["account", "ended_on", "id"], name="call_expiry"),
            models.Index(fields=["account", "provider", "started_at"], name="call_provider"),
            models.Index(fields=["account", "disposition", "started_at"], name="call_disposition"),
            models.Index(fields=["account", "has_remark", "started_at"], name="call_has_remark"),
            models.Index(fields=["account", "has_recording", "started_at"], name="call_has_recording"),
            models.Index(fields=["account", "has_voicemail", "started_at"], name="call_has_voicemail"),
            models.Index(fields=["account", "rating_asked", "rating_score", "started_at"], name="call_rating"),
            models.Index(fields=["account", "talk_seconds", "started_at"], name="call_talk"),
            models.Index(fields=["account", "total_seconds", "started_at"], name="call_total"),
            models.Index(fields=["account", "wait_seconds", "started_at"], name="call_wait"),
            models.Index(fields=["account", "hold_seconds", "started_at"], name="call_hold"),
        ]

    def __str__(self) -> str:
        return self.call_id

    @property
    def connected_seconds(self) -> float:
        """Talk and hold: what a customer calls the length of the conversation."""
        return self.talk_seconds + self.hold_seconds


class CallPart(AccountOwned):
    """A row below a call, replaced with it. `seq` is its place among its kind, from 1."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="%(class)ss", verbose_name=_("service record"))
    seq = models.PositiveSmallIntegerField()

    objects = OfVisibleCalls.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True


class CallSeenBy(AccountOwned):
    """Who sees a call beside those who see the whole account: the agents of its legs, and the groups it was offered to.

    Derived from its parts and written with them. It stands apart so that the calls of one person or group are one stretch of an
    index, newest first.
    """

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="seen_by", db_index=False)
    viewer = models.BigIntegerField(help_text="Id of an agent; of a skill group, as a negative number.")
    started_at = models.DateTimeField(help_text="When the call started.")

    class Meta:
        verbose_name = _("who sees a record")
        verbose_name_plural = _("who sees records")
        constraints = [models.UniqueConstraint(fields=["call", "viewer"], name="seen_by_once")]
        indexes = [models.Index(fields=["account", "viewer", "started_at", "call"], name="seen_by_viewer")]

    def __str__(self) -> str:
        return f"#{self.call_id} {self.viewer}"


class CallLeg(CallPart):
    """One party's part in a call: an offer to an agent, answered or not, or the stretch at an external center."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="legs", verbose_name=_("service record"))
    kind = models.CharField(_("party"), max_length=10, choices=LegKind)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="legs", verbose_name=_("agent"))
    agent_reference = models.CharField(
        max_length=255, blank=True, help_text="What the platform called an agent the portal does not know; empty once matched."
    )
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("skill group")
    )
    skill_group_reference = models.CharField(max_length=60, blank=True)
    queue_seq = models.PositiveSmallIntegerField(
        null=True, help_text="The queue entry it answered or was offered for; null: offered directly."
    )
    is_at_once = models.BooleanField(default=False, help_text="The call's first answer, by an agent of a group, without a queue.")
    terminal = models.CharField(_("terminal"), max_length=20, blank=True)
    number = models.CharField(_("external number"), max_length=NUMBER_LENGTH, blank=True)
    provider = models.CharField(_("telecom provider"), max_length=60, blank=True)
    offered_at = models.DateTimeField(_("offered"))
    answered_at = models.DateTimeField(_("answered"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    wrap_up_ended_at = models.DateTimeField(_("wrap-up ended"), null=True)
    holds = models.JSONField(default=list, help_text="Stretches on hold as [from, to] in ISO time.")
    hold_seconds = models.FloatField(_("hold"), default=0)
    result = models.CharField(_("result"), max_length=16, choices=LegResult, blank=True)
    transfer_kind = models.CharField(
        _("transferred"), max_length=10, blank=True, help_text="blind or attended, if this party passed the call on."
    )
    transfer_to = models.CharField(
        _("transferred to"), max_length=255, blank=True, help_text="Skill group, number, or an agent the portal does not know."
    )
    transfer_agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("transferred to agent")
    )
    transferred_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("leg")
        verbose_name_plural = _("legs")
        ordering = ["call_id", "seq"]
        constraints = [models.UniqueConstraint(fields=["call", "seq"], name="leg_once")]
        indexes = [
            models.Index(fields=["account", "agent", "offered_at"], name="leg_agent"),
            models.Index(fields=["account", "answered_at"], name="leg_answered"),
            models.Index(fields=["account", "offered_at"], name="leg_offered"),
        ]

    def __str__(self) -> str:
        return f"{self.call_id}/{self.seq}"


class QueueEntry(CallPart):
    """One entry of a call into a skill group's queue."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="queue_entries", verbose_name=_("service record"))
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("skill group")
    )
    skill_group_reference = models.CharField(
        max_length=60, blank=True, help_text="What the platform called a group the portal does not know; empty once matched."
    )
    cause = models.CharField(_("cause"), max_length=10, choices=EntryCause)
    priority = models.SmallIntegerField(_("priority"), null=True)
    entered_at = models.DateTimeField(_("entered"))
    left_at = models.DateTimeField(_("left"), null=True)
    wait_seconds = models.FloatField(_("wait"), default=0)
    outcome = models.CharField(_("outcome"), max_length=10, choices=EntryOutcome, blank=True)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    while_ringing = models.BooleanField(default=False, help_text="Abandoned while an agent's phone rang.")

    class Meta:
        verbose_name = _("queue entry")
        verbose_name_plural = _("queue entries")
        ordering = ["call_id", "seq"]
        constraints = [models.UniqueConstraint(fields=["call", "seq"], name="entry_once")]
        indexes = [
            models.Index(fields=["account", "entered_at"], name="entry_entered"),
            models.Index(fields=["account", "skill_group", "entered_at"], name="entry_group"),
            models.Index(fields=["account", "left_at"], name="entry_left"),
        ]

    def __str__(self) -> str:
        return f"{self.call_id}/{self.seq}"


class IvrStep(CallPart):
    """A prompt the caller heard, and what they entered."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="ivr_steps", verbose_name=_("service record"))
    step = models.CharField(_("step"), max_length=100, blank=True)
    prompt = models.TextField(_("prompt"), blank=True, help_text="The prompt's code or its text.")
    prompt_kind = models.CharField(_("kind"), max_length=20, blank=True)
    prompted_at = models.DateTimeField(_("prompted"), null=True)
    input = models.TextField(_("input"), blank=True)
    input_kind = models.CharField(_("entered as"), max_length=10, blank=True)
    input_at = models.DateTimeField(pgettext_lazy("when a caller gave an input", "entered"), null=True)

    class Meta:
        verbose_name = _("IVR step")
        verbose_name_plural = _("IVR steps")
        ordering = ["call_id", "seq"]
        constraints = [models.UniqueConstraint(fields=["call", "seq"], name="ivr_step_once")]
        indexes = [models.Index(fields=["account", "call"], name="ivr_step_account")]

    def __str__(self) -> str:
        return f"{self.call_id}/{self.seq}"


class HitPlace(models.TextChoices):
    """Where a keyword was found."""

    REMARK = "remark", _("in the remark")
    IVR = "ivr", _("said in the IVR")


class KeywordHit(AccountOwned):
    """A keyword in what was said or written of a call. What the keyword was then is copied: a hit outlives its keyword."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="keyword_hits", verbose_name=_("service record"))
    started_at = models.DateTimeField(help_text="When the call started.")
    phrase = models.CharField(_("phrase"), max_length=100)
    category = models.CharField(_("category"), max_length=60, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Keyword.Severity)
    place = models.CharField(_("where"), max_length=10, choices=HitPlace)
    seq = models.PositiveSmallIntegerField(default=0, help_text="The IVR step; 0: none.")
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField(help_text="The first character after it.")

    objects = OfVisibleCalls.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("keyword hit")
        verbose_name_plural = _("keyword hits")
        ordering = ["call_id", "place", "seq", "start"]
        indexes = [
            models.Index(fields=["account", "phrase", "started_at", "call"], name="hit_phrase"),
            models.Index(fields=["account", "category", "started_at", "call"], name="hit_category"),
            models.Index(fields=["account", "severity", "started_at", "call"], name="hit_severity"),
        ]

    def __str__(self) -> str:
        return f"#{self.call_id} {self.place}"


class KeywordMark(AccountOwned):
    """Which keywords an account's recent calls were matched with, and how far matching them anew has come."""

    matched = models.CharField(max_length=64, blank=True, help_text="Fingerprint of the keywords all of them were matched with.")
    matching = models.CharField(max_length=64, blank=True, help_text="Fingerprint of those they are being matched with.")
    reached_at = models.DateTimeField(null=True, help_text="Start of the last call matched anew; they go newest first.")
    reached_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account"], name="keyword_mark_once")]

    def __str__(self) -> str:
        return f"#{self.account_id}"


class AudioState(models.TextChoices):
    EXPECTED = "expected", _("Expected")
    FAILED = "failed", _("Not to be had")
    STORED = "stored", _("Stored")


class CallAudio(AccountOwned):
    """A sound file of a call. The row names the file before the file is written, and goes after the file is gone."""

    call = models.ForeignKey(Call, on_delete=models.CASCADE, related_name="%(class)ss", verbose_name=_("service record"))
    event_key = Sha256Field()
    recorded_at = models.DateTimeField(_("recorded"))
    duration_seconds = models.FloatField(_("length"), null=True)
    reference = models.CharField(_("reference"), max_length=2000, blank=True, help_text="Where the platform said the file is.")
    state = models.CharField(_("state"), max_length=10, choices=AudioState, default=AudioState.EXPECTED)
    key = models.CharField(max_length=200, blank=True, help_text="Name in object storage: random, nothing personal.")
    content_type = models.CharField(max_length=40, blank=True)
    n_bytes = models.PositiveBigIntegerField(_("size"), default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    peaks = models.BinaryField(null=True, editable=False, help_text="How loud it is, a byte for each slice; null: not known.")
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(null=True, help_text="When its address is asked next; null: not any more, or never.")
    error = models.CharField(_("reason"), max_length=200, blank=True)

    objects = OfVisibleCalls.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"#{self.pk}"


class Recording(CallAudio):
    class Meta:
        verbose_name = _("recording")
        verbose_name_plural = _("recordings")
        ordering = ["-recorded_at", "-pk"]
        permissions = [("listen_recording", "May listen to recordings and voicemail")]
        constraints = [models.UniqueConstraint(fields=["account", "event_key"], name="recording_once")]
        indexes = [
            models.Index(fields=["account", "recorded_at", "id"], name="recording_time"),
            models.Index(fields=["retry_at"], name="recording_due"),
        ]


class Voicemail(CallAudio):
    skill_group = models.ForeignKey(
        SkillGroup, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("skill group")
    )
    heard_by = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("heard by"))
    heard_at = models.DateTimeField(_("heard"), null=True)
    assigned_to = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("assigned to")
    )
    called_back_by = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("called back by")
    )
    called_back_at = models.DateTimeField(_("called back"), null=True)

    objects = VoicemailQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("voicemail")
        verbose_name_plural = _("voicemail")
        ordering = ["-recorded_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["account", "event_key"], name="voicemail_once")]
        indexes = [
            models.Index(fields=["account", "recorded_at", "id"], name="voicemail_time"),
            models.Index(fields=["account", "heard_at", "recorded_at"], name="voicemail_heard"),
            models.Index(fields=["retry_at"], name="voicemail_due"),
        ]


class SoundKind(models.TextChoices):
    RECORDING = "recording", _("Recording")
    VOICEMAIL = "voicemail", _("Voicemail")


class IncomingSound(AccountOwned):
    """A sound file that came in and is in no record yet: its store is away, or its call is not known.

    The row names the file, in the spool or in storage, until a recording or voicemail does.
    """

    class State(models.TextChoices):
        SPOOLED = "spooled", _("Waits for the store")
        WAITING = "waiting", _("Waits for its call")

    kind = models.CharField(_("kind"), max_length=10, choices=SoundKind)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.SPOOLED)
    call_id = models.CharField(_("call ID"), max_length=255)
    call_key = Sha256Field(editable=False)
    reference = models.CharField(_("reference"), max_length=2000, blank=True)
    recorded_at = models.DateTimeField(_("recorded"), null=True)
    duration_seconds = models.FloatField(_("length"), null=True)
    content_type = models.CharField(max_length=40)
    n_bytes = models.PositiveBigIntegerField(_("size"))
    sha256 = models.CharField(max_length=64)
    peaks = models.BinaryField(null=True, editable=False)
    spool_name = models.CharField(max_length=60, blank=True, help_text="Name in the spool; empty: no longer there.")
    key = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    retry_at = models.DateTimeField(_("due"), default=timezone.now)
    error = models.CharField(_("reason"), max_length=200, blank=True)

    objects = IncomingSoundQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("incoming sound file")
        verbose_name_plural = _("incoming sound files")
        ordering = ["received_at", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "call_key", "sha256"], name="incoming_sound_once"),
        ]
        indexes = [
            models.Index(fields=["state", "retry_at", "id"], name="incoming_sound_due"),
            models.Index(fields=["account", "received_at", "id"], name="incoming_sound_time"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class SoundSource(AccountOwned):
    """A host the portal may fetch announced sound files from."""

    host = models.CharField(_("host"), max_length=253, help_text=_("As in the address: files.example.com, or with its port."))
    user_name = models.CharField(_("user name"), max_length=100, blank=True)
    secret = EncryptedTextField(
        _("password or token"), blank=True, help_text=_("With a user name: HTTP Basic; alone: sent as a bearer token.")
    )
    allows_http = models.BooleanField(
        _("also without TLS"), default=False, help_text=_("Only for a host inside your own network.")
    )
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("source of recordings")
        verbose_name_plural = _("sources of recordings")
        ordering = ["host"]
        constraints = [models.UniqueConstraint(fields=["account", "host"], name="sound_source_once")]

    def __str__(self) -> str:
        return self.host

    def clean(self) -> None:
        host = self.host.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")
        if not re.fullmatch(r"(?=[^:]{1,253}(:|$))[a-z0-9-]+(\.[a-z0-9-]+)*(:[1-9][0-9]{0,4})?", host):
            raise ValidationError({"host": _("Write the name of one host, like files.example.com or pbx.example.com:8443.")})
        self.host = host
        if self.user_name and not self.secret:
            raise ValidationError({"secret": _("A user name needs its password.")})


class Connection(AccountOwned):
    """A platform that sends its events to an account by itself, and how that goes."""

    class Kind(models.TextChoices):
        TCCC = "tccc", _("Tencent Cloud Contact Center")
        FREESWITCH = "freeswitch", "FreeSWITCH"
        ASTERISK = "asterisk", "Asterisk"
        WEBHOOK = "webhook", _("Signed webhook")

    kind = models.CharField(_("platform"), max_length=12, choices=Kind)
    name = models.CharField(_("name"), max_length=60, help_text=_("The API key it uses, or the host."))
    last_heard_at = models.DateTimeField(_("last heard"), null=True)
    n_accepted = models.PositiveBigIntegerField(_("accepted"), default=0)
    n_refused = models.PositiveBigIntegerField(_("refused"), default=0)
    last_refused_at = models.DateTimeField(_("last refused"), null=True)
    last_refusal = models.CharField(_("why"), max_length=200, blank=True)
    gap_started_at = models.DateTimeField(_("gap from"), null=True, help_text=_("Nothing was heard between these two times."))
    gap_ended_at = models.DateTimeField(_("gap until"), null=True)

    class Meta:
        verbose_name = _("connection")
        verbose_name_plural = _("connections")
        ordering = ["kind", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "kind", "name"], name="connection_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.name}"


class IncomingWebhook(AccountOwned):
    """An address that a platform posts its events to, signed with a secret that only the two know.

    The secret must be there to check a signature, so it is kept encrypted, not hashed. How the sending goes stands in the
    `Connection` of the same prefix.
    """

    name = models.CharField(_("name"), max_length=60, help_text=_("Which system sends to it."))
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    """What stands in its address; no secret."""
    secret = EncryptedTextField(editable=False)
    old_secret = EncryptedTextField(editable=False)
    old_secret_until = models.DateTimeField(_("old secret good until"), null=True, editable=False)
    is_active = models.BooleanField(_("in use"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("incoming webhook")
        verbose_name_plural = _("incoming webhooks")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="incoming_webhook_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name = self.name.strip()
        if not self.name:
            raise ValidationError({"name": _("Give it a name.")})

    @property
    def is_usable(self) -> bool:
        return self.is_active and self.account.is_open

    def secrets(self, *, at: dt.datetime) -> list[str]:
        """What may sign at this time."""
        return [self.secret, self.old_secret] if self.is_old_good(at=at) else [self.secret]

    def is_old_good(self, *, at: dt.datetime) -> bool:
        return self.old_secret_until is not None and at < self.old_secret_until


class WebhookDelivery(AccountOwned):
    """A signed message that was taken, so that it is not taken again. Good for as long as its time is believed."""

    webhook = models.ForeignKey(IncomingWebhook, on_delete=models.CASCADE, related_name="+")
    message_key = Sha256Field(editable=False)
    received_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "message_key"], name="webhook_delivery_once")]
        indexes = [models.Index(fields=["webhook", "received_at"], name="webhook_delivery_age")]


class UnknownName(AccountOwned):
    """A name in an event that fits no agent or skill group, kept until somebody adds or renames one that it fits."""

    class Kind(models.TextChoices):
        AGENT = "agent", _("Agent")
        SKILL_GROUP = "skill_group", _("Skill group")

    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    name = models.CharField(_("name in the event"), max_length=255)
    name_hash = Sha256Field(editable=False)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)

    class Meta:
        verbose_name = _("unknown name")
        verbose_name_plural = _("unknown names")
        ordering = ["kind", "-first_seen_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["account", "kind", "name_hash"], name="unknown_name_once")]

    def __str__(self) -> str:
        return self.name


class SavedFilter(Saved):
    """How somebody narrowed the list of service records, kept under a name: for themselves, or for all of the account."""

    query = models.CharField(max_length=2000, help_text="As in the list's address; only parameters of its filters.")
    search = EncryptedTextField(editable=False)
    """What was searched for, which may be somebody's number: never shared."""

    class Meta:
        verbose_name = _("saved filter")
        verbose_name_plural = _("saved filters")
        ordering = ["name", "pk"]
        constraints = [models.UniqueConstraint(fields=["account", "owner", "name"], name="saved_filter_once")]


class ExportRun(FileRun, AccountOwned):
    """A list of service records somebody takes away as a file, written by a worker. File and row go after a day."""

    class Kind(models.TextChoices):
        CSV = "csv", "CSV"
        XLSX = "xlsx", "XLSX"

    started_by = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, related_name="+", editable=False, verbose_name=_("started by")
    )
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True, related_name="+", editable=False)
    kind = models.CharField(_("kind"), max_length=4, choices=Kind, default=Kind.CSV, editable=False)
    with_legs = models.BooleanField(_("a row for each leg"), default=False, editable=False)
    asked = EncryptedTextField(editable=False)
    """JSON, the parameters of the API's list that narrow it: numbers may be among them."""
    n_calls = models.PositiveIntegerField(_("calls"), default=0, editable=False)
    reached_at = models.DateTimeField(null=True, editable=False)
    """Start of the oldest call written so far; they are written newest first."""

    objects = ExportRunQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="export_time"),
            models.Index(fields=["state", "heartbeat_at"], name="export_state"),
        ]


class StaleCallSlot(AccountOwned):
    """A 15-minute slot whose call figures must be counted again; written with the calls, removed by whoever counted.

    Marks are only added, never updated, so writers do not wait for each other.
    """

    slot = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["account", "slot"], name="stale_call_slot")]


class Tombstone(AccountOwned):
    """That something was erased, by a keyed hash that names it to nobody: what comes late about it is not taken in again."""

    class Kind(models.TextChoices):
        CALL = "call", "a call"
        AUDIO = "audio", "the sound of a call"
        NUMBER = "number", "a phone number"
        AGENT = "agent", "what an agent was called"

    kind = models.CharField(max_length=6, choices=Kind, editable=False)
    key_hash = Sha256Field(editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+", editable=False, db_index=False)
    """The empty row of an agent who was erased."""
    up_to = models.DateTimeField(editable=False)
    """What happened until then is meant; what is new is ordinary data."""

    class Meta:
        verbose_name = _("tombstone")
        verbose_name_plural = _("tombstones")
        constraints = [models.UniqueConstraint(fields=["account", "kind", "key_hash"], name="tombstone_once")]
        indexes = [models.Index(fields=["account", "up_to", "id"], name="tombstone_time")]

    def __str__(self) -> str:
        return f"#{self.pk}"


auditlog.register(SoundSource, mask_fields=["secret"], mask_callable="callcenter_site.audit.unsaid")
auditlog.register(IncomingWebhook, mask_fields=["secret", "old_secret"], mask_callable="callcenter_site.audit.unsaid")
auditlog.register(SavedFilter, exclude_fields=["query", "search"])
