"""The pages of the timetable: which jobs there are is the portal's business, when they run and whether is the operator's."""

from typing import Any

import cron_descriptor
import redis
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from callcenter_site import queues
from callcenter_site.admin import OperatorAdmin
from callcenter_site.durations import spoken
from callcenter_site.jobs import Job, all_jobs
from callcenter_site.schedule import TITLES


class TimetableForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = PeriodicTask
        fields = ["enabled", "interval", "crontab"]

    def clean(self) -> None:
        super().clean()
        if bool(self.cleaned_data.get("interval")) == bool(self.cleaned_data.get("crontab")):
            raise ValidationError(_("Choose an interval or a time of day, one of the two."))


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(OperatorAdmin):
    form = TimetableForm
    list_display = ["show_name", "enabled", "show_times", "last_run_at", "total_run_count"]
    list_select_related = ["interval", "crontab"]
    search_fields = ["name"]
    list_filter = [("enabled", BooleanRadioFilter)]
    fields = ["show_name", "show_task", "enabled", "interval", "crontab", "last_run_at", "total_run_count"]
    readonly_fields = ["show_name", "show_task", "last_run_at", "total_run_count"]
    actions = ["switch_on", "switch_off"]

    def get_urls(self) -> list[URLPattern]:
        page = path("jobs/", self.admin_site.admin_view(self.jobs), name="django_celery_beat_periodictask_jobs")
        return [page, *super().get_urls()]

    def jobs(self, request: HttpRequest) -> TemplateResponse:
        """How every job does. Asks the broker as well, which may not answer; the page is there to say so."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        at = timezone.now()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Jobs"),
            "jobs": [_line(job) for job in all_jobs(at=at)],
            "queues": _queues(),
            "may_change": self.has_change_permission(request),
            "at": at,
        }
        return TemplateResponse(request, "callcenter_site/jobs.html", context, headers={"Cache-Control": "no-store"})

    @admin.action(description=_("Switch on"), permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: Any) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description=_("Switch off"), permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: Any) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: Any, *, enabled: bool) -> None:
        n = queryset.exclude(enabled=enabled).update(enabled=enabled)
        PeriodicTasks.update_changed()  # `update` sends no signal, and the running scheduler waits for one
        messages.success(request, ngettext("%d job changed.", "%d jobs changed.", n) % n)

    @display(description=_("job"), ordering="name")
    def show_name(self, obj: PeriodicTask) -> str:
        return str(TITLES.get(obj.name, obj.name))

    @display(description=_("task"))
    def show_task(self, obj: PeriodicTask) -> str:
        return str(obj.task)

    @display(description=_("runs"))
    def show_times(self, obj: PeriodicTask) -> str:
        return in_words(obj.crontab) if obj.crontab else str(obj.interval)


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(OperatorAdmin):
    list_display = ["__str__"]
    fields = ["every", "period"]


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(OperatorAdmin):
    list_display = ["__str__", "show_times"]
    fields = ["minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone"]

    @display(description=_("runs"))
    def show_times(self, obj: CrontabSchedule) -> str:
        return in_words(obj)


def troubled_badge(request: HttpRequest) -> str:
    """How many jobs are late or fail, beside the page's name."""
    if not getattr(request.user, "is_superuser", False):
        return ""
    n_troubled = sum(job.is_troubled for job in all_jobs(at=timezone.now()))
    return str(n_troubled) if n_troubled else ""


def _line(job: Job) -> dict[str, Any]:
    state = job.state
    return {
        "job": job,
        "link": reverse("admin:django_celery_beat_periodictask_change", args=[job.row.pk]) if job.row else "",
        "runs": _times_in_words(job),
        "took": _took(state.seconds) if state and state.seconds is not None else "",
        "waited": _took(state.waited_seconds) if state and state.waited_seconds is not None else "",
        "late": spoken(job.late_by.total_seconds()) if job.late_by else "",
        "says": _what_is_wrong(job),
        "state": _state(job),
    }


def _times_in_words(job: Job) -> str:
    if job.row is None or job.times is None:
        return ""
    if job.row.crontab:
        return in_words(job.row.crontab)
    every = getattr(job.times, "run_every", None)
    return _("every %(time)s") % {"time": spoken(every.total_seconds())} if every else str(job.row.scheduler)


def _took(seconds: float) -> str:
    return spoken(seconds) if seconds >= 1 else _("%(n)d ms") % {"n": round(seconds * 1000)}


def _state(job: Job) -> tuple[str, str]:
    """In a word, with the class that colours it."""
    if job.row is None or job.times is None or not job.is_known:
        return "bad", str(_("does not run"))
    if not job.is_on:
        return "off", str(_("switched off"))
    if job.state and job.state.n_failures:
        return "bad", str(_("fails"))
    if job.late_by is not None:
        return "bad", str(_("late"))
    if job.is_running:
        return "busy", str(_("running"))
    if job.state is None or job.state.succeeded_at is None:
        return "off", str(_("has not run yet"))
    return "good", str(_("well"))


def _what_is_wrong(job: Job) -> list[str]:
    """Sentences: what, and what to do about it."""
    said: list[str] = []
    if job.row is None:
        said.append(str(_("The timetable has no such job. Start beat again, or run manage.py sync_timetable.")))
        return said
    if not job.is_known:
        said.append(
            _("This release has no task %(task)s: delete the job, or bring in the release that has it.") % {"task": job.row.task}
        )
    if job.times is None:
        said.append(str(_("It has neither an interval nor a time of day. Choose one on its page.")))
    if job.state and job.state.n_failures and job.is_on:
        failed = ngettext(
            "It failed with %(error)s. The log has the reason under task_id %(task)s.",
            "It failed %(n)d times in a row, last with %(error)s. The log has the reason under task_id %(task)s.",
            job.state.n_failures,
        )
        said.append(failed % {"n": job.state.n_failures, "error": job.state.error, "task": job.state.task_id})
    if job.late_by is not None:
        late = {"time": spoken(job.late_by.total_seconds())}
        said.append(_("It should have succeeded %(time)s ago. See that beat and a worker of its queue run.") % late)
    if job.was_cut_off:
        cut_off = _("Its last run did not come to its end: its worker was stopped or killed. The next run takes up what is left.")
        said.append(str(cut_off))
    return said


def _queues() -> list[dict[str, Any]] | None:
    """None: the broker does not answer. Empty: there is none."""
    try:
        found = queues.waiting()
    except redis.RedisError:
        return None
    return [{"name": name, "n": n, "age": spoken(age) if n else ""} for name, (n, age) in found.items()]


def in_words(times: CrontabSchedule) -> str:
    """The times of a job in the reader's language; the library's own words follow the language of the machine."""
    options = cron_descriptor.Options()
    options.locale_code = "zh_CN" if (get_language() or "").startswith("zh") else "en_US"
    options.use_24hour_time_format = True
    pattern = f"{times.minute} {times.hour} {times.day_of_month} {times.month_of_year} {times.day_of_week}"
    try:
        said = cron_descriptor.get_description(pattern, options)
    except (cron_descriptor.FormatException, cron_descriptor.MissingFieldException, cron_descriptor.WrongArgumentException):
        said = pattern
    return f"{said} ({times.timezone})"
