"""Records of what was deleted: counts, never contents."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from configuration.scoping import AccountOwned


class PurgeRun(AccountOwned):
    """One run of the purge over one account: up to which day, how many rows of each kind, and whether it finished."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")

    started_at = models.DateTimeField(_("started"), default=timezone.now)
    heartbeat_at = models.DateTimeField(
        default=timezone.now, help_text="The end of its last batch: a run silent for long was cut off."
    )
    finished_at = models.DateTimeField(_("finished"), null=True)
    cutoff = models.DateField(_("calls ended up to"), null=True, help_text=_("The last local day whose calls have expired."))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.RUNNING)
    counts = models.JSONField(_("deleted"), default=dict, help_text="Rows and files deleted, by kind.")
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("purge run")
        verbose_name_plural = _("purge runs")
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["account", "started_at"], name="purge_run_account")]

    def __str__(self) -> str:
        return f"{timezone.localtime(self.started_at):%Y-%m-%d %H:%M}"

    @property
    def n_deleted(self) -> int:
        """Everything that went; sealing a call deletes none."""
        return sum(count for kind, count in self.counts.items() if kind != "sealed")
