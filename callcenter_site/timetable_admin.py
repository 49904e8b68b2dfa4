"""The pages of the timetable: which jobs there are is the portal's business, when they run and whether is the operator's."""

from typing import Any

import cron_descriptor
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from callcenter_site.admin import OperatorAdmin
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
