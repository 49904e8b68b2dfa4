"""The pages of incoming webhooks: made, their secret shown once, renewed."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from calls.incoming_webhooks import create_webhook, end_old_secret, renew_secret
from calls.models import Connection, IncomingWebhook
from configuration.admin.lists import ListAdmin
from configuration.models import Account


@admin.register(IncomingWebhook)
class IncomingWebhookAdmin(ListAdmin):
    """Made once, its secret shown once; afterwards renamed, taken out of use, or given a new secret."""

    list_display = ["name", "show_address", "is_active", "show_heard", "show_refused", "show_secret"]
    list_filter = ["is_active"]
    search_fields = ["name", "prefix"]
    actions = ["use", "stop_using"]
    actions_detail = ["ask_to_renew"]
    add_fieldsets = [(None, {"fields": ["name"]})]
    fieldsets = [
        (None, {"fields": ["name", "is_active"]}),
        (_("Facts"), {"fields": ["show_address", "show_secret", "show_heard", "show_refused", "created_at"]}),
    ]
    empty_icon = "webhook"
    empty_title = _("No webhooks yet")
    empty_text = _(
        "A platform that signs what it sends posts its events here, without an API key. Make one for each system; the guide "
        "to events says how to sign."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """With how the sending goes."""
        going = Connection.objects.filter(account=OuterRef("account"), kind=Connection.Kind.WEBHOOK, name=OuterRef("prefix"))
        names = ("last_heard_at", "n_accepted", "n_refused", "last_refusal")
        return super().get_queryset(request).annotate(**{name: Subquery(going.values(name)[:1]) for name in names})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["show_address", "show_secret", "show_heard", "show_refused", "created_at"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what once could send stays to be seen, with how it went

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        return [self.extra_path("<path:object_id>/renew/", "renew", self.renew), *urls]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        account = Account.objects.visible_to(request.user).get()  # type: ignore[arg-type]  # a person, signed in
        made, obj.secret_shown_once = create_webhook(account=account, name=obj.name)
        obj.pk, obj.prefix, obj.account_id, obj._state.adding = made.pk, made.prefix, made.account_id, False
        return None

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self._shown_once(request, obj, obj.secret_shown_once)

    def _shown_once(self, request: HttpRequest, webhook: IncomingWebhook, secret: str) -> HttpResponse:
        """Shows the secret in this answer and nowhere else: it is in no session, message, log or address."""
        return self.answer_with(
            request,
            "calls/webhook_secret.html",
            title=_("Secret of a webhook"),
            webhook=webhook,
            address=request.build_absolute_uri(_path_of(webhook)),
            secret=secret,
        )

    @action(description=_("New secret"), permissions=["change"], icon="autorenew")
    def ask_to_renew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(self.address_of("renew", object_id))

    def renew(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The question, and what is answered to it."""
        webhook: IncomingWebhook = self.row_or_404(request, object_id)
        if not self.has_change_permission(request, webhook):
            raise PermissionDenied
        now = timezone.now()
        if request.method == "POST" and "end" in request.POST:
            if end_old_secret(webhook=webhook, at=now):
                self.log_change(request, webhook, [{"changed": {"fields": ["old secret ended"]}}])
                messages.success(request, _("The old secret is good for nothing from now on."))
            return HttpResponseRedirect(self.address_of("change", webhook.pk))
        if request.method == "POST":
            secret = renew_secret(webhook=webhook, at=now)
            self.log_change(request, webhook, [{"changed": {"fields": ["secret"]}}])
            return self._shown_once(request, webhook, secret)
        return self.answer_with(
            request,
            "admin/calls/incomingwebhook/renew.html",
            title=_("New secret"),
            webhook=webhook,
            is_old_good=webhook.is_old_good(at=now),
        )

    @display(description=_("address"))
    def show_address(self, webhook: IncomingWebhook) -> str:
        return _path_of(webhook)

    @display(description=_("secret"))
    def show_secret(self, webhook: IncomingWebhook) -> str:
        if not webhook.is_old_good(at=timezone.now()):
            return gettext("one")
        until = date_format(timezone.localtime(webhook.old_secret_until), "Y-m-d H:i")
        return gettext("a new one; the old one is good until %(when)s") % {"when": until}

    @display(description=_("last heard"), ordering="last_heard_at")
    def show_heard(self, webhook: Any) -> str:
        if webhook.last_heard_at is None:
            return gettext("never")
        when = date_format(timezone.localtime(webhook.last_heard_at), "Y-m-d H:i:s")
        return gettext("%(when)s, %(n)d events in all") % {"when": when, "n": webhook.n_accepted}

    @display(description=_("refused"), ordering="n_refused")
    def show_refused(self, webhook: Any) -> str:
        return f"{webhook.n_refused} · {webhook.last_refusal}" if webhook.n_refused else "–"


def _path_of(webhook: IncomingWebhook) -> str:
    return reverse("hooks:events", args=[webhook.prefix])
