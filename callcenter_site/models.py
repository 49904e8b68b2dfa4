"""How the jobs of the timetable do: one row each, about the installation."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class JobState(models.Model):
    """A job's last run and last success. Its times stand in the timetable; a job without a row has not been brought in yet."""

    name = models.CharField(_("job"), max_length=200, unique=True)
    known_at = models.DateTimeField(
        _("known since"), default=timezone.now, help_text="A job that never ran is late from here on."
    )
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    succeeded_at = models.DateTimeField(_("last success"), null=True)
    seconds = models.FloatField(_("took"), null=True, help_text="What the last finished run took.")
    waited_seconds = models.FloatField(_("waited"), null=True, help_text="From the tick until a worker began.")
    n_failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    error = models.CharField(_("error"), max_length=100, blank=True, help_text="Kind of the last failure, never what it quoted.")
    task_id = models.CharField(max_length=64, blank=True, help_text="Of the last failure, by which its log lines are found.")

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
