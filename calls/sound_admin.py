"""The voicemail inbox, where recordings are fetched from, and what is on its way."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from agents.models import Agent
from callcenter_site.admin import GrowingAdmin, PortalAdmin
from callcenter_site.admin_filters import Choice, PeriodFilter, PeriodList, RelatedChoice, RelatedFilter
from callcenter_site.audit import Look
from callcenter_site.durations import clock
from calls import fetching, masking, voicemail
from calls.models import AudioState, IncomingSound, SoundSource, Voicemail
from calls.views import LINK_SECONDS
from calls.wording import why_no_sound
from configuration.access import HANDLE_VOICEMAIL, LISTEN, SEE_VOICEMAIL

MOST_COUNTED = 99


def unheard_badge(request: HttpRequest) -> str:
    """How many messages nobody has heard, beside the page's name; nothing where there are none or none to be seen."""
    user: Any = request.user
    if not user.has_perm(SEE_VOICEMAIL):
        return ""
    count = Voicemail.objects.visible_to(user).unheard().order_by()[: MOST_COUNTED + 1].count()
    return "" if not count else str(count) if count <= MOST_COUNTED else f"{MOST_COUNTED}+"


class RecordedFilter(PeriodFilter):
    time_field = "recorded_at"
    default = "30d"


class _Done(Choice):
    field = ""
    words: tuple[Any, Any] = ("", "")

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", self.words[0]), ("yes", self.words[1])]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        return queryset.filter(**{f"{self.field}__isnull": value == "no"}) if value else queryset


class HeardFilter(_Done):
    title = _("heard")
    parameter_name = "heard"
    field = "heard_at"
    words = (_("Not heard yet"), _("Heard"))


class CalledBackFilter(_Done):
    title = _("called back")
    parameter_name = "called_back"
    field = "called_back_at"
    words = (_("Not called back yet"), _("Called back"))


class OwnerFilter(Choice):
    title = _("taken care of by")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("me", _("Me")), ("nobody", _("Nobody"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.checked()
        if not value:
            return queryset
        return queryset.filter(assigned_to_id=request.user.pk if value == "me" else None)


class Inbox(PeriodList):
    """Looks up the calls back of a whole page at once."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(getattr(self, "result_list", ()))
        user: Any = request.user
        found = voicemail.calls_back(rows, seen_by=user) if rows and user.has_perm("calls.view_call") else {}
        for row in rows:
            row.call_back = found.get(row.pk)
            row.may_listen, row.sees_numbers = user.has_perm(LISTEN), masking.sees_numbers(user)
        self.result_list = rows


@admin.register(Voicemail)
class VoicemailAdmin(GrowingAdmin):
    """Messages to be heard, taken care of and answered. Only who takes care of one is typed; the rest is said by actions."""

    list_display = ("show_left", "show_caller", "skill_group", "show_player", "show_heard", "assigned_to", "show_called_back")
    list_display_links = ("show_left",)
    list_filter = (
        RecordedFilter,
        HeardFilter,
        CalledBackFilter,
        OwnerFilter,
        ("skill_group", RelatedChoice),
        ("assigned_to", RelatedFilter),
    )
    list_select_related = ("call", "skill_group", "heard_by", "assigned_to", "called_back_by")
    list_before_template = "admin/periods.html"
    sortable_by = ("show_left",)
    ordering = ("-recorded_at", "-pk")
    actions = ("assign_to_me", "assign_to_nobody", "mark_heard", "mark_unheard", "mark_called_back", "mark_not_called_back")
    autocomplete_fields = ("assigned_to",)

    class Media:
        css = {"all": ("calls/player.css",)}
        js = ("calls/player.js",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            "show_left",
            "show_caller",
            "show_call",
            "skill_group",
            "show_player",
            "show_heard",
            "assigned_to",
            "show_called_back",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for name in self.get_fields(request) if name != "assigned_to" or not self.has_handle_permission(request)]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related(*self.list_select_related).defer("reference")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return Inbox

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            user: Any = request.user
            row.may_listen, row.sees_numbers = user.has_perm(LISTEN), masking.sees_numbers(user)
            row.call_back = voicemail.calls_back([row], seen_by=user).get(row.pk) if user.has_perm("calls.view_call") else None
        return row

    def list_shows(self, request: HttpRequest) -> Look | None:
        return Look.NUMBERS if masking.sees_numbers(request.user) else None

    row_shows = list_shows

    def has_handle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(HANDLE_VOICEMAIL) and request.user.has_perm(SEE_VOICEMAIL)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_handle_permission(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = self.get_queryset(request).get(pk=obj.pk)
        user: Any = request.user
        voicemail.assign(messages=[stored], to=obj.assigned_to, by=user)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "assigned_to":
            kwargs["queryset"] = Agent.objects.visible_to(request.user).filter(is_active=True)  # type: ignore[arg-type]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    # --- Columns ---

    @display(description=_("left"), ordering="recorded_at")
    def show_left(self, row: Voicemail) -> str:
        return timezone.localtime(row.recorded_at).strftime("%Y-%m-%d %H:%M")

    @display(description=_("caller"))
    def show_caller(self, row: Any) -> str:
        number = masking.shown(masking.customer_number(row.call), whole=row.sees_numbers) or gettext("withheld")
        return format_html('<a class="text-link" href="{}">{}</a>', _record(row.call_id), number)

    @display(description=_("service record"))
    def show_call(self, row: Voicemail) -> str:
        return format_html('<a class="text-link" href="{}">{}</a>', _record(row.call_id), row.call.call_id)

    @display(description=_("message"))
    def show_player(self, row: Any) -> str:
        if row.state != AudioState.STORED or not row.key:
            return why_no_sound(row.error) if row.error else gettext("not stored yet")
        if not row.may_listen:
            return clock(row.duration_seconds)
        return render_to_string("admin/calls/player.html", {"row": row, "kind": "voicemail", "link_seconds": LINK_SECONDS})

    @display(description=_("heard"), label={"no": "warning", "yes": "success"})
    def show_heard(self, row: Voicemail) -> tuple[str, str]:
        return ("no", gettext("Not heard yet")) if row.heard_at is None else ("yes", _when(row.heard_at, row.heard_by))

    @display(description=_("called back"))
    def show_called_back(self, row: Any) -> str:
        done = _when(row.called_back_at, row.called_back_by) if row.called_back_at else ""
        if row.call_back is None:
            return done or "–"
        call = row.call_back
        text = (gettext("answered call of %(when)s") if call.answered_at else gettext("attempt of %(when)s")) % {
            "when": timezone.localtime(call.started_at).strftime("%m-%d %H:%M")
        }
        link = format_html('<a class="text-link" href="{}">{}</a>', _record(call.pk), text)
        return format_html("{} · {}", done, link) if done else link

    # --- Actions ---

    @action(description=_("Assign to me"), permissions=["handle"])
    def assign_to_me(self, request: HttpRequest, queryset: Any) -> None:
        self._assign(request, queryset, request.user)

    @action(description=_("Assign to nobody"), permissions=["handle"])
    def assign_to_nobody(self, request: HttpRequest, queryset: Any) -> None:
        self._assign(request, queryset, None)

    @action(description=_("Mark as heard"), permissions=["handle"])
    def mark_heard(self, request: HttpRequest, queryset: Any) -> None:
        self._say(request, voicemail.mark_heard(messages=queryset, by=request.user, at=timezone.now()))

    @action(description=_("Mark as not heard"), permissions=["handle"])
    def mark_unheard(self, request: HttpRequest, queryset: Any) -> None:
        self._say(request, voicemail.mark_unheard(messages=queryset))

    @action(description=_("Mark as called back"), permissions=["handle"])
    def mark_called_back(self, request: HttpRequest, queryset: Any) -> None:
        self._say(request, voicemail.mark_called_back(messages=queryset, by=request.user, at=timezone.now()))

    @action(description=_("Mark as not called back"), permissions=["handle"])
    def mark_not_called_back(self, request: HttpRequest, queryset: Any) -> None:
        self._say(request, voicemail.mark_not_called_back(messages=queryset))

    def _assign(self, request: HttpRequest, queryset: Any, to: Any) -> None:
        user: Any = request.user
        if user.account_id is None:
            raise PermissionDenied
        try:
            self._say(request, voicemail.assign(messages=queryset, to=to, by=user))
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)

    def _say(self, request: HttpRequest, n_changed: int) -> None:
        text = ngettext("%d message was changed.", "%d messages were changed.", n_changed) % n_changed
        self.message_user(request, text, messages.SUCCESS if n_changed else messages.INFO)


def _record(pk: int) -> str:
    return reverse("admin:calls_call_change", args=[pk])


def _when(moment: Any, who: Any) -> str:
    said = timezone.localtime(moment).strftime("%m-%d %H:%M")
    return f"{said} · {who}" if who else said


@admin.register(SoundSource)
class SoundSourceAdmin(PortalAdmin):
    """Hosts that announced files may be fetched from; a new or changed one is asked again at once."""

    list_display = ("host", "show_credential", "allows_http", "is_active")
    list_filter = ("is_active",)
    search_fields = ("host",)
    fields = ("host", "user_name", "secret", "allows_http", "is_active")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "secret":
            # Never shown again: empty keeps what is there.
            field.widget.input_type = "password"
            field.widget.attrs |= {"autocomplete": "new-password"}
            field.help_text = gettext("%(about)s Leave empty to keep the one that is there.") % {"about": field.help_text}
        return field

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)

        class KeepsSecret(form):  # type: ignore[misc,valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.initial.pop("secret", None)

            def clean_secret(self) -> Any:
                return self.cleaned_data.get("secret") or (self.instance.secret if self.instance.pk else "")

        return KeepsSecret

    @display(description=_("credential"))
    def show_credential(self, source: SoundSource) -> str:
        if not source.secret:
            return "–"
        return gettext("user name and password") if source.user_name else gettext("token")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.is_active:
            fetching.try_again(account=obj.account_id, host=obj.host, at=timezone.now())


@admin.register(IncomingSound)
class IncomingSoundAdmin(GrowingAdmin):
    """Files that are in no record yet, and why."""

    list_display = ("show_received", "show_kind", "call_id", "show_state", "show_size", "attempts", "show_reason")
    list_display_links = ("show_received",)
    fields = ("show_kind", "show_state", "call_id", "show_received", "show_size", "attempts", "show_reason")
    ordering = ("-received_at", "-pk")
    sortable_by = ("show_received",)
    list_filter = (("state", admin.ChoicesFieldListFilter),)

    @display(description=_("received"), ordering="received_at")
    def show_received(self, row: IncomingSound) -> str:
        return timezone.localtime(row.received_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description=_("kind"))
    def show_kind(self, row: IncomingSound) -> str:
        return str(row.get_kind_display())

    @display(description=_("state"), label={"spooled": "warning", "waiting": "info"})
    def show_state(self, row: IncomingSound) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @display(description=_("size"))
    def show_size(self, row: IncomingSound) -> str:
        return f"{row.n_bytes / 1024**2:.1f} MB"

    @display(description=_("reason"))
    def show_reason(self, row: IncomingSound) -> str:
        return why_no_sound(row.error) or "–"
