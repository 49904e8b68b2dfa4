"""Runs of the purge: counts, never contents."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from configuration.scoping import AccountOwned
from retention.querysets import WholeAccountQuerySet


class PurgeRun(AccountOwned):
    """One run of the purge over one account: up to which day, how far it has come, and how many rows of each kind went."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        WAITING = "waiting", _("Waits for confirmation")
        STOPPED = "stopped", _("Stopped")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    OPEN = frozenset({State.RUNNING, State.WAITING, State.STOPPED})
    """Of which an account has one at most."""

    started_at = models.DateTimeField(_("started"), default=timezone.now)
    heartbeat_at = models.DateTimeField(
        default=timezone.now, help_text="The end of its last batch: a run silent for long was cut off, and is taken up."
    )
    finished_at = models.DateTimeField(_("finished"), null=True)
    cutoff = models.DateField(_("calls ended up to"), null=True, help_text=_("The last local day whose calls have expired."))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    counts = models.JSONField(_("deleted"), default=dict, help_text="Rows and files deleted, by kind.")
    error = models.CharField(_("error"), max_length=200, blank=True)
    lease = models.PositiveIntegerField(default=0, help_text="Counts who took it up: a worker thought dead finds another number.")
    step = models.CharField(_("at"), max_length=24, blank=True, help_text="What it is at; empty: not begun, or through.")
    cursor = models.JSONField(default=list, help_text="Clock and id of the last row looked at in that step.")
    n_due = models.PositiveIntegerField(_("calls due"), default=0, help_text=_("Calls that had expired when it began."))
    told_at = models.DateTimeField(null=True)
    """When administrators were told by mail that it waits."""
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    confirmed_by = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed by"))

    objects = WholeAccountQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("purge run")
        verbose_name_plural = _("purge runs")
        ordering = ["-started_at"]
        default_permissions = ("view", "change")
        indexes = [
            models.Index(fields=["account", "started_at"], name="purge_run_account"),
            models.Index(fields=["account", "state"], name="purge_run_state"),
        ]

    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%Y-%m-%d %H:%M}"

    @property
    def n_deleted(self) -> int:
        """Everything that went; sealing a call deletes none."""
        return sum(count for kind, count in self.counts.items() if kind != "sealed")
