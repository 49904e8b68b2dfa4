"""Deletion and access requests in the admin: entered, decided, followed to their end."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from agents.models import Agent
from agents.querysets import sees_account
from callcenter_site.admin import GrowingAdmin
from configuration.access import SEE_FULL_NUMBER
from retention import access_request, banners, certificate, deadlines, deletion, stores, subject_values
from retention.access_views import link_to
from retention.models import AccessRequest, DeletionRequest, ErasureStep
from retention.request_forms import AccessForm, DeletionForm
from retention.wording import days_in_words

State = DeletionRequest.State
STATE_LABELS = {
    State.RECEIVED: "info",
    State.SCOPED: "warning",
    State.APPROVED: "info",
    State.RUNNING: "info",
    State.ERASED: "info",
    State.VERIFIED: "info",
    State.COMPLETED: "success",
    State.HELD: "warning",
    State.REJECTED: "default",
    State.DUPLICATE: "default",
    State.CANCELLED: "default",
}


def pressing_badge(request: HttpRequest) -> str:
    """Beside the page's name: how many requests come due within a week, or are overdue."""
    if not request.user.has_perm(banners.MAY_SEE_REQUESTS):
        return ""
    return str(banners.pressing(request).n_requests or "")


def _person(pk: int | None, account_id: int) -> str:
    if pk is None:
        return ""
    person = Agent.objects.for_account(account_id).filter(pk=pk).first()
    return str(person) if person is not None else f"#{pk}"


class _RequestAdmin(GrowingAdmin):
    """What the two kinds of request have in common."""

    ordering: Any = ("-pk",)
    sortable_by = ()
    form_class: Any
    empty: Any = ""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (
            request.user.has_perm(f"retention.add_{self.opts.model_name}")
            and getattr(request.user, "account_id", None) is not None
            and sees_account(request.user)  # type: ignore[arg-type]  # a person, signed in
        )

    def _url(self, name: str, *args: Any) -> str:
        return reverse(f"admin:retention_{self.opts.model_name}_{name}", args=args)

    def _at(self, route: str, name: str, view: Any) -> Any:
        return path(route, self.admin_site.admin_view(view), name=f"retention_{self.opts.model_name}_{name}")

    def _request_shown(self, request: HttpRequest, object_id: str) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404
        return found

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("account")

    @display(description=gettext_lazy("request"))
    def show_id(self, row: Any) -> str:
        return f"#{row.pk}"

    @display(description=pgettext_lazy("a request", "about"))
    def show_kind(self, row: Any) -> Any:
        return row.get_kind_display()

    @display(description=pgettext_lazy("of a request", "subject"))
    def show_subject(self, row: Any) -> str:
        # Masked in the list for everybody: whoever needs the number opens the request.
        return subject_values.shown(row, in_full=False) or "–"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.form_class(request.POST or None, asker=request.user)
        if request.method == "POST" and form.is_valid():
            try:
                made = self._open(request, form)
            except ValidationError as error:
                for name, said in (error.message_dict if hasattr(error, "error_dict") else {None: error.messages}).items():
                    form.add_error(
                        {"received_at": "received_on"}.get(str(name), name) if name in (*form.fields, "received_at") else None,
                        said,
                    )
            else:
                return HttpResponseRedirect(self._url("change", made.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": self.add_title,
            "opts": self.opts,
            "form": form,
            "about": self.add_about,
        }
        return self._page(request, "admin/retention/request_form.html", context)

    add_title: Any
    add_about: Any

    def _open(self, request: HttpRequest, form: Any) -> Any:
        raise NotImplementedError

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        response = render(request, template, context)
        response["Cache-Control"] = "private, no-store"
        return response


@admin.register(DeletionRequest)
class DeletionRequestAdmin(_RequestAdmin):
    list_display = ("show_id", "show_kind", "show_subject", "show_state", "show_received", "show_left", "reference")
    list_display_links = ("show_id",)
    list_filter = (("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    ordering = ("-received_at", "-pk")
    form_class = DeletionForm
    add_title = gettext_lazy("Add deletion request")
    add_about = gettext_lazy(
        "First the portal counts what would go; nothing is erased until somebody approves it. It must be done 30 days after "
        "the person asked."
    )

    def get_urls(self) -> list[Any]:
        return [
            self._at("<path:object_id>/progress/", "progress", self.progress_view),
            self._at("<path:object_id>/decide/", "decide", self.decide_view),
            self._at("<path:object_id>/certificate.json", "certificate", self.certificate_view),
            self._at("<path:object_id>/certificate.pdf", "pdf", self.pdf_view),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        account_id = getattr(request.user, "account_id", None)
        pressing = deadlines.pressing(account_id, at=timezone.now()) if account_id is not None else []
        return super().changelist_view(request, {**(extra_context or {}), "pressing": pressing})

    @display(description=gettext_lazy("state"), label=STATE_LABELS)
    def show_state(self, row: DeletionRequest) -> tuple[str, Any]:
        return row.state, row.get_state_display()

    @display(description=gettext_lazy("received"), ordering="received_at")
    def show_received(self, row: DeletionRequest) -> str:
        return timezone.localtime(row.received_at).strftime("%Y-%m-%d")

    @display(description=gettext_lazy("days left"))
    def show_left(self, row: DeletionRequest) -> str:
        return "–" if row.is_over else days_in_words(row.days_left(at=timezone.now()))

    def _open(self, request: HttpRequest, form: Any) -> DeletionRequest:
        user: Any = request.user
        at = timezone.now()
        made = deletion.open_request(
            account=user.account,
            kind=form.cleaned_data["kind"],
            said=form.said(),
            by=user,
            at=at,
            received_at=form.received_at(user.account.zone, at),
            keeps_block=form.cleaned_data["keeps_block"] if form.cleaned_data["kind"] == "number" else "",
            reference=form.cleaned_data["reference"],
        )
        if made.state == State.DUPLICATE:
            messages.warning(request, _("The same was asked for already: see request #%(pk)s.") % {"pk": made.duplicate_of_id})
        return made

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        steps = list(ErasureStep.objects.filter(request=row).order_by("position"))
        at = timezone.now()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Deletion request #%(pk)s") % {"pk": row.pk},
            "opts": self.opts,
            "row": row,
            "subject": subject_values.shown(row, in_full=request.user.has_perm(SEE_FULL_NUMBER)),
            "steps": _steps(row, steps),
            "n_found": sum(step.n_found for step in steps),
            "left_in_words": "" if row.is_over else days_in_words(row.days_left(at=at)),
            "is_pressing": not row.is_over and row.days_left(at=at) < deadlines.AHEAD[0],
            "is_at_work": row.state in DeletionRequest.AT_WORK,
            "is_undecided": row.state in DeletionRequest.UNDECIDED,
            "may_decide": request.user.has_perm(deletion.APPROVE),
            "may_approve": deletion.may_approve(row, request.user),
            "may_cancel": row.state in deletion.stoppable(row) and deletion.may_cancel(row, request.user),
            "reasons": DeletionRequest.Reason.choices,
            "requested_by": _person(row.requested_by, row.account_id)
            or (_("API key #%(pk)s") % {"pk": row.api_key} if row.api_key else ""),
            "approved_by": _person(row.approved_by, row.account_id),
            "facts": certificate.facts(row) if row.certificate else [],
        }
        return self._page(request, "admin/retention/deletionrequest/request.html", context)

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._request_shown(request, object_id)
        steps = _steps(row, ErasureStep.objects.filter(request=row).order_by("position"))
        answer = {"state": row.state, "steps": {step["store"]: step for step in steps}}
        return JsonResponse(answer, headers={"Cache-Control": "no-store"})

    def decide_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._request_shown(request, object_id)
        if request.method != "POST":
            raise PermissionDenied
        at = timezone.now()
        try:
            match request.POST.get("decision", ""):
                case "approve":
                    deletion.approve(row, by=request.user, at=at)
                    messages.success(request, _("Approved. The portal erases and verifies it now."))
                case "reject":
                    deletion.reject(row, reason=request.POST.get("reason", ""), by=request.user, at=at)
                    messages.success(request, _("Rejected. Nothing was erased."))
                case "cancel":
                    gone = sum(deletion.cancel(row, by=request.user, at=at).values())
                    words = ngettext("Cancelled. %(n)s row had gone already.", "Cancelled. %(n)s rows had gone already.", gone)
                    messages.success(request, words % {"n": gone} if gone else _("Cancelled. Nothing was erased."))
                case _:
                    raise Http404
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return HttpResponseRedirect(self._url("change", row.pk))

    def certificate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._certified(request, object_id)
        return _attached(JsonResponse(certificate.as_file(row), json_dumps_params={"indent": 2}), f"deletion-{row.pk}.json")

    def pdf_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._certified(request, object_id)
        titles = {name: str(title) for name, title in stores.titles(row.kind).items()}
        return _attached(
            HttpResponse(certificate.as_pdf(row, titles=titles), content_type="application/pdf"), f"deletion-{row.pk}.pdf"
        )

    def _certified(self, request: HttpRequest, object_id: str) -> DeletionRequest:
        row: DeletionRequest = self._request_shown(request, object_id)
        if not row.certificate:
            raise Http404
        return row


def _attached(response: HttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    return response


def _steps(row: DeletionRequest, steps: Iterable[ErasureStep]) -> list[dict[str, Any]]:
    titles = stores.titles(row.kind)
    return [_step(step, titles) for step in steps]


def _step(step: ErasureStep, titles: dict[str, Any]) -> dict[str, Any]:
    return {
        "store": step.store,
        "title": str(titles.get(step.store, step.store)),
        "state": step.state,
        "state_in_words": str(step.get_state_display()),
        "found": step.n_found,
        "deleted": step.n_deleted,
        "held": step.n_held,
        "left": step.n_left,
        "error": str(deletion.ERRORS.get(step.error, step.error)),
    }


# --- Access requests -------------------------------------------------------------------------------------------------

ACCESS_LABELS = {
    AccessRequest.State.WAITING: "info",
    AccessRequest.State.WORKING: "info",
    AccessRequest.State.DONE: "success",
    AccessRequest.State.FAILED: "danger",
    AccessRequest.State.GONE: "default",
}


@admin.register(AccessRequest)
class AccessRequestAdmin(_RequestAdmin):
    list_display = ("show_id", "show_kind", "show_subject", "show_state", "show_asked", "reference")
    list_display_links = ("show_id",)
    list_filter = (("state", ChoicesDropdownFilter),)
    ordering = ("-created_at", "-pk")
    form_class = AccessForm
    add_title = gettext_lazy("Add access request")
    add_about = gettext_lazy("What does the portal hold on this person? All stores are searched, counted, and put into one file.")

    def get_urls(self) -> list[Any]:
        return [
            self._at("<path:object_id>/progress/", "progress", self.progress_view),
            self._at("<path:object_id>/file/", "file", self.file_view),
            *super().get_urls(),
        ]

    @display(description=gettext_lazy("state"), label=ACCESS_LABELS)
    def show_state(self, row: AccessRequest) -> tuple[str, Any]:
        return row.state, row.get_state_display()

    @display(description=gettext_lazy("asked"), ordering="created_at")
    def show_asked(self, row: AccessRequest) -> str:
        return timezone.localtime(row.created_at).strftime("%Y-%m-%d %H:%M")

    def _open(self, request: HttpRequest, form: Any) -> AccessRequest:
        user: Any = request.user
        return access_request.open_request(
            account=user.account,
            kind=form.cleaned_data["kind"],
            said=form.said(),
            by=user,
            at=timezone.now(),
            reference=form.cleaned_data["reference"],
        )

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        titles = stores.titles(row.kind)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Access request #%(pk)s") % {"pk": row.pk},
            "opts": self.opts,
            "row": row,
            "subject": subject_values.shown(row, in_full=request.user.has_perm(SEE_FULL_NUMBER)),
            "counts": [(titles.get(name, name), n) for name, n in row.counts.items()],
            "n_found": sum(row.counts.values()),
            "is_at_work": row.state in AccessRequest.AT_WORK,
            "gone_at": row.finished_at + access_request.KEPT_FOR if row.finished_at else None,
            "may_fetch": request.user.has_perm(access_request.MAY_ASK),
        }
        return self._page(request, "admin/retention/accessrequest/request.html", context)

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._request_shown(request, object_id)
        return JsonResponse({"state": row.state}, headers={"Cache-Control": "no-store"})

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._request_shown(request, object_id)
        response = HttpResponseRedirect(link_to(row, actor=request.user))
        response["Cache-Control"] = "no-store"
        return response
