"""Service records and the events they come from. Facts: read, never typed."""

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Page
from django.db.models import Model, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from agents.admin.agents import AgentAdmin
from agents.querysets import sees_account
from callcenter_site.admin import FactAdmin, GrowingAdmin, GrowingList
from callcenter_site.admin_filters import RelatedChoice, RelatedFilter
from callcenter_site.audit import Look, log_look
from callcenter_site.durations import clock
from callcenter_site.paging import BoundedPaginator, page_asked_for
from calls import admin_filters as filters
from calls import ingest, masking, narrowing, search, sound_admin, tasks, views, webhook_admin  # noqa: F401  (register pages)
from calls.agent_panels import PANELS
from calls.export_admin import ExportsCalls
from calls.hits import marked
from calls.models import AudioState, Call, CallEvent, Connection, EventState, HitPlace, Outcome, UnknownName
from calls.querysets import parts_seen_by
from calls.remarks import ChangedMeanwhile, current_remark, dispositions, may_remark, new_token, only_adds, write_remark
from calls.saved_filters import KeepsFilters
from calls.timeline import agent_name, draw, group_name
from calls.walking import Walk
from calls.wording import why_not_folded
from configuration.access import LISTEN, SEE_RECORDINGS, SEE_VOICEMAIL
from configuration.models import ServiceNumber

OUTCOME_LABELS = {
    "": "info",  # still open
    Outcome.ANSWERED: "success",
    Outcome.SELF_SERVED: "success",
    Outcome.FORWARDED: "success",
    Outcome.VOICEMAIL: "info",
    Outcome.CALLBACK: "info",
    Outcome.ABANDONED_IN_IVR: "warning",
    Outcome.ABANDONED_IN_QUEUE: "danger",
    Outcome.ABANDONED_WHILE_RINGING: "danger",
    Outcome.TIMED_OUT: "danger",
    Outcome.OVERFLOWED: "danger",
    Outcome.NO_AGENT: "danger",
    Outcome.LOST_CONTACT: "warning",
    Outcome.FAILED: "danger",
    Outcome.NOT_ANSWERED: "warning",
    Outcome.LINE_BUSY: "warning",
    Outcome.REFUSED: "warning",
    Outcome.UNREACHABLE: "warning",
    Outcome.CLOSED: "default",
    Outcome.BLOCKED: "default",
    Outcome.CANCELLED: "default",
}
EVENT_LABELS = {
    EventState.PENDING: "info",
    EventState.FOLDED: "success",
    EventState.UNMATCHED: "warning",
    EventState.DEAD: "danger",
}
AgentAdmin.panels.extend(PANELS)

MOST_EVENTS = 500
"""Raw events shown with a record; a call of more says so."""


class EventList(GrowingList):
    @property
    def is_narrowed(self) -> bool:
        return bool(self.filter_params)

    @property
    def has_rows(self) -> bool:
        return bool(self.root_queryset.exists())


class CallList(GrowingList):
    """The list with its period choices, which its page shows as links."""

    def _period(self) -> filters.StartedFilter | None:
        return next((spec for spec in self.filter_specs if isinstance(spec, filters.StartedFilter)), None)

    @property
    def period_choices(self) -> list[dict[str, Any]]:
        period = self._period()
        return list(period.choices(self)) if period else []

    @property
    def is_narrowed(self) -> bool:
        """Whether there may be records that this selection hides."""
        return bool(narrowing.listed_for(self.asker).exists())

    @property
    def chips(self) -> list[dict[str, str]]:
        """What the list is narrowed by, each with the address that leaves it out."""
        found = []
        for spec in self.filter_specs:
            text = spec.shown_value() if hasattr(spec, "shown_value") else ""
            if text:
                rest = self.get_query_string(remove=[*spec.expected_parameters(), "p"])
                found.append({"title": capfirst(str(spec.title)), "text": text, "rest": rest})
        return found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Any:
        self.asker: Any = request.user
        period = filters.StartedFilter(request, dict(request.GET.lists()), self.model, self.model_admin)
        start, end = period.bounds()
        rows = narrowing.listed_for(request.user, start=start, end=end)
        self.root_queryset = rows.order_by(*self.model_admin.get_ordering(request))
        found: Any = super().get_queryset(request, exclude_parameters)
        if self._n_conditions > 1 and not found.is_sought:
            user: Any = request.user
            newest_first = found.query.order_by[:1] != ("started_at",)
            found.walk = Walk(user.account_id, start, end, is_newest_first=newest_first)
        return found

    @property
    def _n_conditions(self) -> int:
        """By how many things the list is narrowed that no index knows together."""
        week_hour = (period := self._period()) is not None and period.week_hour() is not None
        on = [one for one in self.filter_specs if not isinstance(one, filters.StartedFilter) and one.shown_value()]
        return len(on) + bool(self.query) + bool(week_hour) + (not sees_account(self.asker))

    @cached_property
    def beyond(self) -> dict[str, Any] | None:
        """How far the list was looked through where its time was over, and the address that goes on from there."""
        walk: Walk | None = self.paginator.walk
        period = self._period()
        if walk is None or walk.reached is None or period is None:
            return None
        begins, ends = period.bounds()
        ends, begins = (walk.reached, begins) if walk.is_newest_first else (ends, walk.reached)
        days = {
            name: localtime(moment).strftime("%Y-%m-%dT%H:%M:%S") for name, moment in (("from", begins), ("to", ends)) if moment
        }
        link = self.get_query_string(days, remove=["period", "p", "from", "to"])
        return {"at": walk.reached, "is_newest_first": walk.is_newest_first, "link": link}

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.multi_page:  # Django would ask for the rows again, without the page
            self.result_list = self.paginator.page(1).object_list


class CallPaginator(BoundedPaginator):
    """Looks for rows once: what is counted ahead are their ids, and the page is read by them."""

    @cached_property
    def ids(self) -> list[int]:
        rows: Any = self.object_list
        if self.walk is not None:
            return self.walk.ids(rows, wanted=self.bound + 1, needed=self.needed - self.per_page)
        ids = rows.values_list("pk", flat=True)
        # Few are sorted and given out whole: with a limit, a database may hope to meet that many soon and walk past all calls.
        return list(ids)[: self.bound + 1] if rows.is_sought else list(ids[: self.bound + 1])

    @property
    def walk(self) -> Walk | None:
        return getattr(self.object_list, "walk", None)

    @property
    def n_found(self) -> int:
        return len(self.ids)

    @property
    def is_bounded(self) -> bool:
        return super().is_bounded or (self.walk is not None and self.walk.reached is not None)

    @property
    def shown_bound(self) -> str:
        return number_format(self.count, force_grouping=True)

    def page(self, number: Any) -> Any:
        number = self.validate_number(number)
        rows: Any = self.object_list
        ids = self.ids[: self.bound][(number - 1) * self.per_page : number * self.per_page]
        page = Call.objects.filter(pk__in=ids).select_related(*CallAdmin.list_select_related).order_by(*rows.query.order_by)
        return Page(page, number, self)


@admin.register(Call)
class CallAdmin(KeepsFilters, ExportsCalls, GrowingAdmin):
    list_display = ("started",)  # the rest depends on who asks: get_list_display
    list_display_links = ("started",)
    list_filter = (
        filters.StartedFilter,
        filters.DirectionFilter,
        filters.OutcomeFilter,
        filters.AnsweredFilter,
        ("agent", RelatedFilter),
        ("skill_group", RelatedChoice),
        filters.ServiceNumberFilter,
        filters.ProviderFilter,
        filters.TalkFilter,
        filters.LengthFilter,
        filters.WaitFilter,
        filters.HoldFilter,
        filters.RatingFilter,
        filters.DispositionFilter,
        filters.KeywordFilter,
        filters.KeywordCategoryFilter,
        filters.KeywordSeverityFilter,
        filters.RemarkFilter,
    )
    list_select_related = ("agent", "skill_group")
    list_before_template = "admin/calls/call/above_list.html"
    list_filter_sheet = True
    paginator = CallPaginator
    sortable_by = ("started",)
    ordering = ("-started_at", "-pk")
    search_fields = ("call_id",)
    search_help_text = _("Whole phone number, or call ID")

    def get_list_filter(self, request: HttpRequest) -> Any:
        """Whether there is a recording is asked only by those who may know of it."""
        more = [(SEE_RECORDINGS, filters.RecordingFilter), (SEE_VOICEMAIL, filters.VoicemailFilter)]
        return (*self.list_filter, *(one for right, one in more if request.user.has_perm(right)))

    def get_paginator(self, request: HttpRequest, queryset: Any, per_page: int, *args: Any, **kwargs: Any) -> BoundedPaginator:
        if queryset.model is not Call:  # the page of a record's history
            return super().get_paginator(request, queryset, per_page, *args, **kwargs)
        return CallPaginator(queryset, per_page, page_asked_for=page_asked_for(request), allow_empty_first_page=True)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        may_see_keys = request.user.has_perm("configuration.view_apikey")
        narrowed = request.GET.copy()
        for name in ("p", "e"):
            narrowed.pop(name, None)
        extra = {
            "may_see_keys": may_see_keys,
            "export_query": narrowed.urlencode(),
            **self.saved_filters_of(request),
        }
        return super().changelist_view(request, {**(extra_context or {}), **extra})

    def list_shows(self, request: HttpRequest) -> Look | None:
        return Look.NUMBERS if masking.sees_numbers(request.user) else None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return CallList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        numbers = ("customer", "service_number")
        if not masking.sees_numbers(request.user):
            numbers = ("masked_customer", "masked_service_number")
        return (
            "started",
            "shown_direction",
            *numbers,
            "shown_outcome",
            "agent",
            "skill_group",
            "wait",
            "talk",
            "rating",
            "ended_by",
        )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        user: Any = request.user
        return search.find_calls(queryset, text, account_id=user.account_id, region=user.account.region), False

    @display(description=_("started"), ordering="started_at")
    def started(self, call: Call) -> str:
        return timezone.localtime(call.started_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description=_("direction"))
    def shown_direction(self, call: Call) -> str:
        return str(call.get_direction_display())

    @display(description=_("customer"))
    def customer(self, call: Call) -> str:
        return masking.customer_number(call) or str(_("withheld"))

    @display(description=_("customer"))
    def masked_customer(self, call: Call) -> str:
        return masking.shown(masking.customer_number(call), whole=False) or str(_("withheld"))

    @display(description=_("service number"))
    def service_number(self, call: Call) -> str:
        return masking.service_number(call) or "–"

    @display(description=_("service number"))
    def masked_service_number(self, call: Call) -> str:
        return masking.own_number(call, whole=False) or "–"

    @display(description=_("outcome"), label=OUTCOME_LABELS)
    def shown_outcome(self, call: Call) -> tuple[str, Any]:
        return call.outcome, call.get_outcome_display() if call.outcome else call.get_state_display()

    @display(description=_("wait"))
    def wait(self, call: Call) -> str:
        return clock(call.wait_seconds) if call.skill_group_id or call.wait_seconds else "–"

    @display(description=_("talk"))
    def talk(self, call: Call) -> str:
        return clock(call.talk_seconds) if call.answered_at else "–"

    @display(description=_("rating"))
    def rating(self, call: Call) -> str:
        if call.rating_score is None:
            return str(_("not given")) if call.rating_asked else "–"
        return f"{call.rating_score:g} / {call.rating_scale}"

    @display(description=_("ended by"))
    def ended_by(self, call: Call) -> str:
        return str(call.get_disconnect_party_display()) if call.disconnect_party else "–"

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        """The record page. A record is what its events say; a remark written here is one more of them."""
        if object_id is None or request.method not in ("GET", "HEAD", "POST"):
            raise PermissionDenied
        if not self.has_view_permission(request):
            raise PermissionDenied
        user: Any = request.user
        call = self.get_object(request, unquote(object_id))
        if call is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if request.method == "POST":
            if "began_with" not in request.POST or not may_remark(user, call):
                raise PermissionDenied
            if self._writes(request, call):
                return HttpResponseRedirect(f"{request.path}#remark")
        prefetch_related_objects([call], *parts_seen_by(user))
        if masking.sees_numbers(user):
            log_look(Look.NUMBERS, Call, [call.pk], actor=user, place="row")
        return TemplateResponse(request, "admin/calls/call/record.html", self._record_context(request, call))

    def _writes(self, request: HttpRequest, call: Call) -> bool:
        """Whether what was sent is now the remark; if not, its writer is told why and finds it in the form again."""
        user: Any = request.user
        try:
            write_remark(call=call, by=user, form=request.POST, at=timezone.now())
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        except ChangedMeanwhile as change:
            self.message_user(request, str(change), messages.ERROR)
        else:
            tasks.nudge()
            self.message_user(request, _("The remark is saved."), messages.SUCCESS)
            return True
        return False

    def _remark(self, request: HttpRequest, call: Call, whole: bool) -> dict[str, Any]:
        """The last word on the call, and the form for whoever may have the next."""
        user: Any = request.user
        now = current_remark(call)
        shown = masking.shown_text(now.text, whole=whole)
        context: dict[str, Any] = {"remark": shown, "disposition": now.disposition, "may_remark": may_remark(user, call)}
        if context["may_remark"]:
            adds, sent = only_adds(user, now), request.POST
            context |= {
                "fingerprint": now.fingerprint,
                "token": new_token(),
                "only_adds": adds,
                "text": sent.get("text", "" if adds else shown),
                "chosen": sent.get("disposition", now.disposition),
                "dispositions": dispositions(account_id=call.account_id, current=now.disposition),
                "is_draft": bool(sent),
            }
        return context

    def _record_context(self, request: HttpRequest, call: Call) -> dict[str, Any]:
        user: Any = request.user
        at, whole = timezone.now(), masking.sees_numbers(user)
        number = masking.service_number(call)
        label = (
            ServiceNumber.objects.visible_to(user).filter(number=number).values_list("label", flat=True).first() if number else ""
        )
        events, has_more_events = self._events(request, call, whole)
        hits = list(call.keyword_hits.all())
        return {
            **self.admin_site.each_context(request),
            "title": _("Service record %(id)s") % {"id": call.call_id},
            "opts": self.opts,
            "call": call,
            "timeline": draw(call, at=at, zone=user.account.zone, whole_numbers=whole),
            "zone": user.account.time_zone,
            "now": at,
            "customer": masking.shown(masking.customer_number(call), whole=whole),
            "is_masked": not whole,
            "service_number": masking.own_number(call, whole=whole),
            "service_number_label": label,
            "outcome_label": OUTCOME_LABELS.get(call.outcome, "default"),
            **self._remark(request, call, whole),
            "hits": hits,
            "marked_remark": marked(
                masking.shown_text(call.remark, whole=whole), [hit for hit in hits if hit.place == HitPlace.REMARK]
            ),
            "legs": [_leg_row(leg, whole) for leg in call.legs.all()],
            "entries": [{"row": entry, "group": group_name(entry)} for entry in call.queue_entries.all()],
            "steps": [
                {
                    "row": step,
                    "prompt": masking.shown_text(step.prompt, whole=whole),
                    "input": marked(
                        masking.shown_text(step.input, whole=whole),
                        [hit for hit in hits if hit.place == HitPlace.IVR and hit.seq == step.seq],
                    ),
                }
                for step in call.ivr_steps.all()
            ],
            "transfers": [row for row in (_leg_row(leg, whole) for leg in call.legs.all()) if row["row"].transfer_kind],
            "link_seconds": views.LINK_SECONDS,
            "recordings": [_audio_row(row) for row in call.recordings.all()],
            "voicemails": [_audio_row(row) for row in call.voicemails.all()],
            "may_listen": user.has_perm(LISTEN),
            "may_see_events": events is not None,
            "events": events,
            "has_more_events": has_more_events,
        }

    def _events(self, request: HttpRequest, call: Call, whole: bool) -> tuple[list[dict[str, Any]] | None, bool]:
        user: Any = request.user
        if not user.has_perm("calls.view_callevent") or not sees_account(user):
            return None, False
        rows = CallEvent.objects.visible_to(user).filter(call_key=call.call_key).order_by("occurred_at", "pk")
        events = list(rows[: MOST_EVENTS + 1])
        return [
            {
                "row": event,
                "label": EVENT_LABELS.get(event.state, "default"),
                "data": masking.shown_event(event.data, whole=whole),
            }
            for event in events[:MOST_EVENTS]
        ], len(events) > MOST_EVENTS


@admin.register(CallEvent)
class CallEventAdmin(GrowingAdmin):
    list_display = ("received", "type", "shown_subject", "happened", "shown_state", "attempts", "reason")
    list_display_links = ("received",)
    list_filter = (filters.EventStateFilter, filters.EventTypeFilter)
    sortable_by = ("received",)
    ordering = ("-pk",)
    search_fields = ("event_id",)
    search_help_text = _("Whole call ID or event id")
    actions = ("fold_again",)

    def row_shows(self, request: HttpRequest) -> Look | None:
        return Look.NUMBERS if masking.sees_numbers(request.user) else None

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return EventList

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (
            (None, {"fields": ("type", "shown_subject", "event_id", "source", "sequence", "happened", "received")}),
            (_("Processing"), {"fields": ("state_in_words", "attempts", "due", "reason")}),
            (_("Content"), {"fields": ("content" if masking.sees_numbers(request.user) else "masked_content",)}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return [name for _title, options in self.get_fieldsets(request, obj) for name in options["fields"]]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        text = search_term.strip()
        user: Any = request.user
        return (search.find_events(queryset, text, account_id=user.account_id) if text else queryset), False

    @display(description=_("received"), ordering="pk")
    def received(self, event: CallEvent) -> str:
        return _exact(event.received_at)

    @display(description=_("happened"))
    def happened(self, event: CallEvent) -> str:
        return _exact(event.occurred_at)

    @display(description=_("due"))
    def due(self, event: CallEvent) -> str:
        return _exact(event.retry_at) if event.state == EventState.PENDING else "–"

    @display(description=_("call or agent"))
    def shown_subject(self, event: CallEvent) -> str:
        return event.subject

    @display(description=_("state"), label=EVENT_LABELS)
    def shown_state(self, event: CallEvent) -> tuple[str, Any]:
        return event.state, event.get_state_display()

    @display(description=_("reason"))
    def reason(self, event: CallEvent) -> str:
        return why_not_folded(event.error) or "–"

    @display(description=_("state"))
    def state_in_words(self, event: CallEvent) -> str:
        return str(event.get_state_display())

    @display(description=_("data"))
    def content(self, event: CallEvent) -> str:
        return _as_text(event.data)

    @display(description=_("data"))
    def masked_content(self, event: CallEvent) -> str:
        return _as_text(masking.shown_event(event.data, whole=False))

    def has_redrive_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("calls.redrive_callevent")

    @action(description=_("Fold again"), permissions=["redrive"])
    def fold_again(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        user: Any = request.user
        chosen = list(queryset.values_list("pk", flat=True))
        n_redriven = ingest.redrive(account=user.account, ids=chosen, at=timezone.now())
        if n_redriven:
            text = ngettext("%d event is in line again.", "%d events are in line again.", n_redriven) % n_redriven
            self.message_user(request, text, messages.SUCCESS)
        if len(chosen) > n_redriven:
            self.message_user(request, _("Only failed events and those of unknown agents can be folded again."), messages.WARNING)
        return None


def _leg_row(leg: Any, whole: bool) -> dict[str, Any]:
    answered, ended = leg.answered_at, leg.ended_at
    return {
        "row": leg,
        "who": agent_name(leg, whole=whole) if leg.kind == "agent" else masking.shown(leg.number, whole=whole),
        "group": group_name(leg),
        "ring_seconds": ((answered or ended) - leg.offered_at).total_seconds() if answered or ended else None,
        "talk_seconds": (ended - answered).total_seconds() - leg.hold_seconds if answered and ended else None,
        "wrap_up_seconds": (leg.wrap_up_ended_at - ended).total_seconds()
        if leg.wrap_up_ended_at and ended and answered
        else None,
        "transfer_to": str(leg.transfer_agent) if leg.transfer_agent else masking.shown_text(leg.transfer_to, whole=whole),
    }


def _audio_row(row: Any) -> dict[str, Any]:
    return {"row": row, "is_stored": row.state == AudioState.STORED and bool(row.key)}


def _exact(moment: Any) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _as_text(data: Any) -> str:
    return format_html('<pre class="event-data">{}</pre>', json.dumps(data, ensure_ascii=False, indent=2))


@admin.register(UnknownName)
class UnknownNameAdmin(GrowingAdmin):
    """Names in events that fit nobody. They are matched by themselves once an agent or group fits."""

    list_display = ("name", "show_kind", "show_advice", "first_seen_at")
    list_filter = ("kind",)
    search_fields = ("=name",)
    actions = None

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """A platform may name a stranger by their number."""
        name = "name" if masking.sees_numbers(request.user) else "masked_name"
        return (name, *self.list_display[1:])

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        return list_display[:1]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        name = super().get_object(request, object_id, from_field)
        if name is not None:  # a fact: what is changed here is shown, never saved
            name.name = masking.shown_text(name.name, whole=masking.sees_numbers(request.user))
        return name

    @display(description=_("name"))
    def masked_name(self, name: UnknownName) -> str:
        return masking.shown_text(name.name, whole=False)

    @display(description=_("kind"), label={"agent": "info", "skill_group": "warning"})
    def show_kind(self, name: UnknownName) -> tuple[str, str]:
        return name.kind, name.get_kind_display()

    @display(description=_("what to do"))
    def show_advice(self, name: UnknownName) -> str:
        if name.kind == UnknownName.Kind.AGENT:
            return gettext("Add an agent with this staff ID or email; their calls are matched within five minutes.")
        return gettext("Add a skill group of exactly this name, or rename one; its calls are matched within five minutes.")


@admin.register(Connection)
class ConnectionAdmin(FactAdmin):
    """How the telephony platforms that send by themselves are getting on."""

    list_display = ("show_platform", "name", "last_heard_at", "n_accepted", "n_refused", "show_refusal", "show_gap")
    list_filter = ("kind",)
    fields = ("show_platform", "name", "last_heard_at", "n_accepted", "n_refused", "last_refused_at", "last_refusal", "show_gap")

    @display(description=_("platform"), ordering="kind")
    def show_platform(self, connection: Connection) -> str:
        return str(connection.get_kind_display())

    @display(description=_("last refused"), ordering="last_refused_at")
    def show_refusal(self, connection: Connection) -> str:
        if connection.last_refused_at is None:
            return "–"
        return f"{localtime(connection.last_refused_at):%Y-%m-%d %H:%M:%S} · {connection.last_refusal}"

    @display(description=_("last gap"))
    def show_gap(self, connection: Connection) -> str:
        if connection.gap_started_at is None:
            return "–"
        until = f"{localtime(connection.gap_ended_at):%Y-%m-%d %H:%M:%S}" if connection.gap_ended_at else gettext("now")
        return f"{localtime(connection.gap_started_at):%Y-%m-%d %H:%M:%S} – {until}"
