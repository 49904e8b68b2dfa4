"""Requests of people about themselves: to have erased what is held, or to be told."""

import datetime as dt

from auditlog.registry import auditlog
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.fields import Sha256Field
from callcenter_site.subjects import SubjectKind
from configuration.encryption import KeepsKey
from configuration.scoping import AccountOwned
from retention.querysets import RequestQuerySet

KINDS = [
    (SubjectKind.NUMBER.value, _("a phone number")),
    (SubjectKind.AGENT.value, _("an agent")),
    (SubjectKind.CALL.value, _("a call")),
    (SubjectKind.DAYS.value, _("a range of days")),
    (SubjectKind.ACCOUNT.value, _("the whole account")),
]


class SubjectRequest(KeepsKey, AccountOwned):
    """Whom or what it is about stands encrypted under a key of the request alone, which is destroyed a week after its end."""

    kind = models.CharField(_("about"), max_length=8, choices=KINDS, editable=False)
    reference = models.CharField(
        _("reference"), max_length=60, blank=True, help_text=_("Your own, such as a ticket number. No names and no numbers.")
    )
    key_id = models.CharField(max_length=20, blank=True, editable=False)
    wrapped_key = models.BinaryField(default=b"", editable=False)
    """Empty: destroyed."""
    value = models.BinaryField(default=b"", editable=False)
    subject_hash = Sha256Field(null=True, editable=False)  # type: ignore[misc]  # the library's types know it as bytes only
    """Keyed, by which a request about the same is found; empty once the key is destroyed."""
    requested_by = models.PositiveBigIntegerField(null=True, editable=False)
    """Id of a person. No pointer: the request outlives them."""
    api_key = models.PositiveBigIntegerField(null=True, editable=False)
    lease = models.PositiveIntegerField(default=0, editable=False)
    """Counts who took it up; a worker that was thought dead finds another number here and stops."""
    heartbeat_at = models.DateTimeField(null=True, editable=False)
    retry_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    objects = RequestQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"#{self.pk}"

    def bound_to(self) -> bytes:
        return f"{self._meta.db_table}:{self.account_id}:{self.kind}".encode()


class DeletionRequest(SubjectRequest):
    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        SCOPED = "scoped", _("waits for approval")
        APPROVED = "approved", _("approved")
        RUNNING = "running", _("erasing")
        ERASED = "erased", _("erased, being verified")
        VERIFIED = "verified", _("verified")
        COMPLETED = "completed", _("completed")
        HELD = "held", _("held in part")
        REJECTED = "rejected", _("rejected")
        DUPLICATE = "duplicate", _("duplicate")
        CANCELLED = "cancelled", _("cancelled")

    OVER = frozenset({State.COMPLETED, State.REJECTED, State.DUPLICATE, State.CANCELLED})
    OPEN = frozenset(State) - OVER
    AT_WORK = frozenset({State.RECEIVED, State.APPROVED, State.RUNNING, State.ERASED, State.VERIFIED, State.HELD})
    """A worker goes on with these by itself."""
    UNDECIDED = frozenset({State.RECEIVED, State.SCOPED, State.APPROVED})
    """Nothing has gone yet."""

    class Reason(models.TextChoices):
        IDENTITY = "identity", _("who asks could not be identified")
        LAW = "law", _("the law demands that it is kept")
        UNFOUNDED = "unfounded", _("manifestly unfounded or excessive")
        MISTAKE = "mistake", _("entered by mistake")

    class BlockReason(models.TextChoices):
        ABUSE = "abuse", _("abusive or threatening calls")
        FRAUD = "fraud", _("fraud")
        WISH = "wish", _("the person asked not to be called")

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RECEIVED, editable=False)
    received_at = models.DateTimeField(_("received"), default=timezone.now, editable=False)
    due_at = models.DateTimeField(_("due"), editable=False)
    keeps_block = models.CharField(_("stays blocked because of"), max_length=10, choices=BlockReason, blank=True, editable=False)
    rejected_for = models.CharField(_("rejected because"), max_length=10, choices=Reason, blank=True, editable=False)
    duplicate_of = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, editable=False, related_name="duplicates", verbose_name=_("duplicate of")
    )
    approved_by = models.PositiveBigIntegerField(null=True, editable=False)
    approved_at = models.DateTimeField(_("approved"), null=True, editable=False)
    runs_from = models.DateTimeField(null=True, editable=False)
    """Until then an account can be opened again."""
    started_at = models.DateTimeField(_("started"), null=True, editable=False)
    up_to = models.DateTimeField(null=True, editable=False)
    """Begin of the last pass: what came after it is not meant."""
    n_passes = models.PositiveSmallIntegerField(default=0, editable=False)
    erased_at = models.DateTimeField(_("erased"), null=True, editable=False)
    verified_at = models.DateTimeField(_("verified"), null=True, editable=False)
    warned_for = models.SmallIntegerField(null=True, editable=False)
    """Of how many days left people were warned last; 0: that it is overdue."""
    certificate = models.JSONField(null=True, editable=False)
    signature = models.BinaryField(default=b"", editable=False)

    class Meta:
        verbose_name = _("deletion request")
        verbose_name_plural = _("deletion requests")
        ordering = ["-received_at", "-pk"]
        default_permissions = ("view", "add")
        permissions = [("approve_deletionrequest", "May approve and reject deletion requests")]
        indexes = [
            models.Index(fields=["account", "received_at", "id"], name="deletion_time"),
            models.Index(fields=["account", "subject_hash"], name="deletion_subject"),
            models.Index(fields=["state", "retry_at"], name="deletion_state"),
        ]

    @property
    def is_over(self) -> bool:
        return self.state in self.OVER

    def days_left(self, *, at: dt.datetime) -> int:
        """Whole days until it is due; below 0: overdue."""
        return (self.due_at - at).days


class ErasureStep(AccountOwned):
    """What a request finds and erases in one store."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("erasing")
        DONE = "done", _("done")
        HELD = "held", _("held in part")
        FAILED = "failed", _("failed")

    request = models.ForeignKey(DeletionRequest, on_delete=models.PROTECT, related_name="steps")
    position = models.PositiveSmallIntegerField()
    store = models.CharField(max_length=60)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    cursor = models.JSONField(null=True)
    n_found = models.PositiveBigIntegerField(default=0, help_text="When the request was scoped.")
    n_deleted = models.PositiveBigIntegerField(default=0)
    n_held = models.PositiveBigIntegerField(default=0)
    n_left = models.PositiveBigIntegerField(null=True, help_text="What the search afterwards found; null: not searched yet.")
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=60, blank=True, help_text="A code or the name of an error, and nothing of what was read.")

    class Meta:
        verbose_name = _("step of a deletion request")
        verbose_name_plural = _("steps of deletion requests")
        ordering = ["request", "position"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["request", "store"], name="erasure_step_once")]

    def __str__(self) -> str:
        return f"#{self.request_id} {self.store}"


class AccessRequest(SubjectRequest):
    """What do you hold on this person? Counts by store, and a file with all of it, kept for a week."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        WORKING = "working", _("being put together")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        GONE = "gone", _("file removed")

    AT_WORK = frozenset({State.WAITING, State.WORKING})

    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING, editable=False)
    created_at = models.DateTimeField(_("asked"), default=timezone.now, editable=False)
    counts = models.JSONField(_("found"), default=dict, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    key = models.CharField(max_length=200, blank=True, editable=False)
    n_bytes = models.PositiveBigIntegerField(_("size"), default=0, editable=False)

    class Meta:
        verbose_name = _("access request")
        verbose_name_plural = _("access requests")
        ordering = ["-created_at", "-pk"]
        default_permissions = ("view", "add")
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="access_time"),
            models.Index(fields=["state", "retry_at"], name="access_state"),
        ]


for _model in (DeletionRequest, AccessRequest):
    auditlog.register(
        _model,
        include_fields=["state", "kind", "keeps_block", "rejected_for", "approved_by", "reference"]
        if _model is DeletionRequest
        else ["state", "kind", "reference"],
    )
