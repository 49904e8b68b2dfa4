"""The pages of files that workers write: their list, and the page on which one is followed, taken and given up."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.decorators import display

from callcenter_site import file_runs, stored_audio
from callcenter_site.admin import GrowingAdmin
from callcenter_site.file_runs import FileRun

State = FileRun.State
STATE_LABELS = {
    State.WAITING: "info",
    State.WRITING: "info",
    State.DONE: "success",
    State.CANCELLED: "default",
    State.FAILED: "danger",
}


class FileRunAdmin(GrowingAdmin):
    """Whoever made an app's runs says whose they are, and how their file is handed out."""

    list_display_links = ("show_id",)
    ordering = ("-created_at", "-pk")
    sortable_by = ()

    permissions: tuple[str, ...]
    """All of them are needed to see the pages."""
    page: str
    """The template of a run's page."""
    problems: Mapping[str, Any]
    """What the words in `problem` mean."""
    kept_for: dt.timedelta

    def belongs_to(self, run: Any, user: Any) -> bool:
        raise NotImplementedError

    def link_to(self, run: Any, user: Any) -> str:
        """Raises `PermissionDenied` for whoever may not have the file."""
        raise NotImplementedError

    def told_of(self, run: Any, user: Any) -> dict[str, Any]:
        """What the page says beside what all runs have; its title among it."""
        raise NotImplementedError

    def progress_of(self, run: Any) -> dict[str, Any]:
        return {"rows": run.n_rows}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return all(map(request.user.has_perm, self.permissions))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        return [
            self.extra_path("<path:object_id>/progress/", "progress", self.progress_view),
            self.extra_path("<path:object_id>/file/", "file", self.file_view),
            self.extra_path("<path:object_id>/cancel/", "cancel", self.cancel_view),
            *super().get_urls(),
        ]

    @display(description=_("created"), ordering="created_at")
    def show_created(self, run: FileRun) -> str:
        return timezone.localtime(run.created_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description=_("state"), label=STATE_LABELS)
    def show_state(self, run: Any) -> tuple[str, Any]:
        return run.state, run.get_state_display()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "run": run,
            "is_at_work": run.state in FileRun.AT_WORK,
            "is_own": self.belongs_to(run, request.user),
            "problem": self.problems.get(run.problem, ""),
            "gone_at": run.created_at + self.kept_for,
            "link_seconds": stored_audio.LINK_SECONDS,
            **self.told_of(run, request.user),
        }
        response = render(request, self.page, context)
        response["Cache-Control"] = "private, no-store"
        return response

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        return JsonResponse({"state": run.state, **self.progress_of(run)}, headers={"Cache-Control": "no-store"})

    def file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        response = HttpResponseRedirect(self.link_to(self._run(request, object_id), request.user))
        never_cache(lambda _request: response)(request)
        return response

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self._run(request, object_id)
        if request.method != "POST" or not self.belongs_to(run, request.user):
            raise PermissionDenied
        if file_runs.cancel(run, at=timezone.now()):
            messages.success(request, _("Cancelled: nothing of it is kept."))
        else:
            messages.warning(request, _("It was over already."))
        return HttpResponseRedirect(self.address_of("change", run.pk))

    def _run(self, request: HttpRequest, object_id: str) -> Any:
        """The run, or the answer to one that is not there."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run = self.get_object(request, unquote(object_id))
        if run is None:
            raise Http404
        return run
