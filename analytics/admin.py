"""The pages of wallboards and alerts."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

import analytics.report_admin  # noqa: F401  (registers its pages)
from agents.admin.agents import AgentAdmin
from agents.admin.panels import Panel
from agents.models import SkillGroup
from agents.querysets import sees_account
from agents.wording import to_the_second
from analytics import alerts, wallboard
from analytics.models import AlertCrossing, AlertRule, Display, Tile
from callcenter_site.admin import AccountForm, GrowingAdmin
from callcenter_site.webhooks import new_secret
from configuration.access import SEE_FIGURES
from configuration.admin.lists import ListAdmin
from configuration.admin.tick_boxes import TickBoxes

AgentAdmin.panels.append(
    Panel(SEE_FIGURES, "admin/analytics/agent/figures.html", lambda request, agent: {"agent": agent}, is_before_form=True)
)


class GroupIds(forms.TypedMultipleChoiceField):
    """Skill groups that the asker sees, kept as a list of ids."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, coerce=int, empty_value=[], required=False, widget=TickBoxes, **kwargs)


class DisplayForm(AccountForm):
    group_ids = GroupIds(label=_("Skill groups"))
    tiles = forms.MultipleChoiceField(label=_("Tiles"), choices=[("", Tile.choices)], widget=TickBoxes)

    class Meta:
        model = Display
        fields = [
            "name",
            "language",
            "group_ids",
            "tiles",
            "queue_warning",
            "queue_alarm",
            "wait_warning",
            "wait_alarm",
            "level_warning",
            "level_alarm",
            "has_sound",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "group_ids" not in self.fields:
            return  # only looked at
        groups: Any = self.fields["group_ids"]
        rows = SkillGroup.objects.visible_to(self.asker).filter(is_active=True)
        groups.choices = [("", list(rows.values_list("pk", "name")))]
        groups.help_text = _("None ticked: the whole account.") if sees_account(self.asker) else ""
        if self.instance._state.adding and self.asker.account is not None:
            self.initial["language"] = self.asker.account.language

    def clean_group_ids(self) -> list[int]:
        chosen: list[int] = self.cleaned_data["group_ids"]
        if not chosen and not sees_account(self.asker):
            raise forms.ValidationError(_("Tick at least one of your skill groups."))
        return chosen


class WatchAdmin(ListAdmin):
    """A list whose rows have pages of their own, beside the form."""

    def _own(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404
        return row

    def _changed(self, request: HttpRequest, object_id: str) -> Any:
        row = self._own(request, object_id)
        if request.method != "POST" or not self.has_change_permission(request, row):
            raise PermissionDenied
        return row


@admin.register(Display)
class DisplayAdmin(WatchAdmin):
    form = DisplayForm
    list_display = ["name", "show_groups", "show_link", "language", "token_seen_at"]
    search_fields = ["name"]
    actions = ["delete_selected"]
    actions_detail = ["open_it", "ask_for_link"]
    empty_icon = "tv"
    empty_title = _("No wallboards yet")
    empty_text = _(
        "A wallboard fills a screen with live figures. Its link opens it on a TV, without a keyboard and without signing in."
    )
    fieldsets = [
        (None, {"fields": ["name", "language"]}),
        (_("What it shows"), {"fields": ["group_ids", "tiles"]}),
        (
            _("When it turns yellow and red"),
            {
                "fields": [
                    ("queue_warning", "queue_alarm"),
                    ("wait_warning", "wait_alarm"),
                    ("level_warning", "level_alarm"),
                    "has_sound",
                ]
            },
        ),
    ]

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [
            self.extra_path("<path:object_id>/link/", "link", self.link),
            self.extra_path("<path:object_id>/unlink/", "unlink", self.unlink),
            *urls,
        ]

    @action(description=_("Open"), icon="open_in_new")
    def open_it(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("wallboard:display", args=[self._own(request, object_id).pk]))

    @action(description=_("Link without sign-in"), permissions=["change"], icon="link")
    def ask_for_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._own(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Link without sign-in"),
            "opts": self.opts,
            "display": row,
            "make": self.address_of("link", row.pk),
            "revoke": self.address_of("unlink", row.pk),
        }
        return TemplateResponse(request, "admin/analytics/display/link.html", context)

    def link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows the link in this answer and nowhere else."""
        row = self._changed(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Link without sign-in"),
            "opts": self.opts,
            "display": row,
            "link": wallboard.make_link(display=row, at=timezone.now()),
        }
        self.log_change(request, row, [{"changed": {"fields": ["link"]}}])
        return TemplateResponse(request, "admin/analytics/display/link_made.html", context, headers={"Cache-Control": "no-store"})

    def unlink(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._changed(request, object_id)
        if wallboard.revoke_link(display=row):
            self.log_change(request, row, [{"changed": {"fields": ["link"]}}])
        messages.success(request, gettext("The link is revoked. Screens that showed it go dark within seconds."))
        return HttpResponseRedirect(self.address_of("change", row.pk))

    @display(description=_("skill groups"))
    def show_groups(self, obj: Display) -> Any:
        return len(obj.group_ids) or _("whole account")

    @display(description=_("link"), label={"made": "success", "none": "info"})
    def show_link(self, obj: Display) -> tuple[str, Any]:
        return ("made", _("opens without sign-in")) if obj.has_link else ("none", _("none"))


class AlertRuleForm(AccountForm):
    weekdays = forms.TypedMultipleChoiceField(
        label=_("On"), coerce=int, choices=[("", list(WEEKDAYS.items()))], initial=list(WEEKDAYS), widget=TickBoxes
    )

    class Meta:
        model = AlertRule
        fields = [
            "name",
            "metric",
            "threshold",
            "skill_group",
            "hold_seconds",
            "weekdays",
            "starts_at",
            "ends_at",
            "mail_to",
            "webhook_url",
            "is_active",
        ]
        widgets = {"mail_to": UnfoldAdminTextInputWidget, "webhook_url": UnfoldAdminTextInputWidget}

    def clean_skill_group(self) -> Any:
        chosen = self.cleaned_data["skill_group"]
        if chosen is None and not sees_account(self.asker):
            raise forms.ValidationError(_("Choose one of your skill groups."))
        return chosen


@admin.register(AlertRule)
class AlertRuleAdmin(WatchAdmin):
    form = AlertRuleForm
    list_display = ["name", "show_rule", "show_group", "show_state", "is_active"]
    list_filter = [("is_active", BooleanRadioFilter)]
    list_select_related = ["skill_group"]
    search_fields = ["name"]
    actions_detail = ["ask_for_secret"]
    empty_icon = "notifications_active"
    empty_title = _("No alerts yet")
    empty_text = _(
        "An alert tells you by mail, or a system of yours by a signed webhook, when a live figure is beyond its limit."
    )
    fieldsets = [
        (None, {"fields": ["name", "metric", "threshold", "skill_group", "hold_seconds", "is_active"]}),
        (_("When it watches"), {"fields": ["weekdays", ("starts_at", "ends_at")]}),
        (_("Who is told"), {"fields": ["mail_to", "webhook_url"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("<path:object_id>/secret/", "secret", self.secret), *urls]

    @action(description=_("Webhook secret"), permissions=["change"], icon="key")
    def ask_for_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._secret_page(request, self._own(request, object_id), "")

    def secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows the new secret in this answer and nowhere else."""
        row = self._changed(request, object_id)
        row.webhook_secret = new_secret()
        row.save(update_fields=["webhook_secret"])
        self.log_change(request, row, [{"changed": {"fields": ["webhook_secret"]}}])
        return self._secret_page(request, row, str(row.webhook_secret))

    def _secret_page(self, request: HttpRequest, row: AlertRule, secret: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Webhook secret"),
            "opts": self.opts,
            "rule": row,
            "secret": secret,
            "make": self.address_of("secret", row.pk),
        }
        return TemplateResponse(request, "admin/analytics/alertrule/secret.html", context, headers={"Cache-Control": "no-store"})

    @display(description=_("when"))
    def show_rule(self, obj: AlertRule) -> str:
        return rule_in_words(obj)

    @display(description=_("skill group"), ordering="skill_group__name")
    def show_group(self, obj: AlertRule) -> Any:
        return obj.skill_group or _("whole account")

    @display(description=_("state"), label={"raised": "danger", "well": "success", "off": "info"})
    def show_state(self, obj: AlertRule) -> tuple[str, Any]:
        if not obj.is_active:
            return "off", _("off")
        return ("raised", _("raised")) if obj.is_raised else ("well", _("within its limit"))


def rule_in_words(rule: Any) -> str:
    label = str(rule.get_metric_display())
    return label if rule.metric == AlertRule.Metric.NO_AGENT else f"{label} {rule.threshold}"


@admin.register(AlertCrossing)
class AlertCrossingAdmin(GrowingAdmin):
    list_display = ["crossed_at", "rule", "show_rule", "show_group", "show_value", "show_end", "show_notices"]
    list_select_related = ["rule", "skill_group"]
    fields = ["rule", "show_rule", "show_group", "show_value", "began_at", "crossed_at", "recovered_at", "show_notices"]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("notices")

    @display(description=_("when"))
    def show_rule(self, obj: AlertCrossing) -> str:
        return rule_in_words(obj)

    @display(description=_("skill group"))
    def show_group(self, obj: AlertCrossing) -> Any:
        return obj.skill_group or _("whole account")

    @display(description=_("value"))
    def show_value(self, obj: AlertCrossing) -> str:
        return alerts.said(obj.metric, obj.value)

    @display(description=_("well again"), label={"open": "danger", "over": "success"})
    def show_end(self, obj: AlertCrossing) -> tuple[str, Any]:
        if obj.recovered_at is None:
            return "open", _("not yet")
        return "over", to_the_second(obj.recovered_at)

    @display(description=_("messages"))
    def show_notices(self, obj: AlertCrossing) -> str:
        return "; ".join(
            f"{one.get_channel_display()}, {one.get_about_display()}: {one.get_state_display()}"
            + (f" ({gettext(one.problem)})" if one.problem else "")
            for one in obj.notices.all()
        )
