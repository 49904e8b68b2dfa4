"""Where backups lie, how each night went, and how a restore goes."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from configuration.scoping import AccountOwned
from retention.querysets import BackupObjectQuerySet


class BackupObject(AccountOwned):
    """One object in the store: what one kind of data was on one local day. Its row comes before it and goes with it."""

    MANIFEST = "manifest"
    """The kind of the one object that names the others (`retention/backups/manifest.py`)."""

    kind = models.CharField(_("kind of data"), max_length=20)
    day = models.DateField(_("day"), help_text=_("By the account's calendar. Of what is not kept by day: whose night it was."))
    key = models.CharField(max_length=200, blank=True, editable=False)
    """Name in the store, random; empty: not written yet."""
    loose_key = models.CharField(max_length=200, blank=True, editable=False)
    """The object that is being written to take its place."""
    version = models.PositiveIntegerField(default=0, editable=False)
    """Counts how often it was put in place: whoever read another version has lost."""
    lease = models.BigIntegerField(default=0, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    """Of the rows as they were: when they are no longer so, it is made again."""
    n_rows = models.PositiveIntegerField(_("rows"), default=0)
    n_bytes = models.PositiveBigIntegerField(_("size"), default=0)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    written_at = models.DateTimeField(_("written"), null=True)
    verified_at = models.DateTimeField(_("verified"), null=True, help_text=_("When it was last read back, opened and counted."))
    error = models.CharField(_("error"), max_length=60, blank=True, help_text="A code of `retention.backups.write.ERRORS`.")

    objects = BackupObjectQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        ordering = ["-day", "kind"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["account", "kind", "day"], name="backup_object_once")]
        indexes = [
            models.Index(fields=["account", "day", "kind"], name="backup_object_day"),
            models.Index(fields=["account", "verified_at"], name="backup_object_verified"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.day:%Y-%m-%d}"


class BackupRun(AccountOwned):
    """One night of one account."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    day = models.DateField(_("day"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    lease = models.PositiveIntegerField(default=0, editable=False)
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField()
    finished_at = models.DateTimeField(_("finished"), null=True)
    n_written = models.PositiveIntegerField(_("objects written"), default=0)
    n_rows = models.PositiveBigIntegerField(_("rows"), default=0)
    n_expired = models.PositiveIntegerField(_("objects expired"), default=0)
    n_failed = models.PositiveIntegerField(_("objects failed"), default=0)
    error = models.CharField(_("error"), max_length=60, blank=True)

    class Meta:
        verbose_name = _("backup night")
        verbose_name_plural = _("backup nights")
        ordering = ["-day"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account", "day"], name="backup_run_once")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class RestoreRun(AccountOwned):
    """One restore of an account: how far it has come, so that one that was cut off goes on where it was."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    night = models.DateField(_("night"), help_text="Whose people and configuration it brings back.")
    with_raw_events = models.BooleanField(default=False)
    lease = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField()
    finished_at = models.DateTimeField(_("finished"), null=True)
    kind = models.CharField(max_length=20, blank=True, help_text="The object it is at.")
    day = models.DateField(null=True)
    n_read = models.PositiveBigIntegerField(default=0, help_text="Rows of that object that are done.")
    counts = models.JSONField(_("rows"), default=dict)
    error = models.CharField(_("error"), max_length=60, blank=True)

    class Meta:
        verbose_name = _("restore")
        verbose_name_plural = _("restores")
        ordering = ["-started_at", "-pk"]
        default_permissions = ()
        indexes = [models.Index(fields=["account", "state"], name="restore_run_state")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class RestoredId(AccountOwned):
    """A row that could not have its id back: whatever points to the old one points to the new one."""

    run = models.ForeignKey(RestoreRun, on_delete=models.PROTECT, related_name="+")
    label = models.CharField(max_length=60)
    old = models.BigIntegerField()
    new = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["run", "label", "old"], name="restored_id_once")]

    def __str__(self) -> str:
        return f"{self.label} #{self.old}"
