"""The page that an auditor reads, and the promise for everybody."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from agents.querysets import sees_account
from callcenter_site.kept_sentences import in_readers_language
from retention import policy, privacy, signing
from retention.purge import ERRORS
from retention.wording import in_words

SEE = "retention.view_ledgerentry"


def of_the_account(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    if not user.has_perm(SEE) or user.account is None or not sees_account(user):
        raise PermissionDenied
    at = timezone.now()
    counting = policy.counting_plans(user.account, today=policy.local_day(user.account, at))
    state = privacy.state(user.account, counting=counting, at=at)
    last, open_run = state["last_done"], state["open_run"]
    context = {
        **admin.site.each_context(request),
        "title": _("Privacy"),
        "tells_warnings": True,
        "promise": privacy.PROMISE,
        "categories": privacy.categories(user.account, at=at),
        "warnings": privacy.warnings(user.account, counting=counting, at=at),
        "last_deleted": in_words(last.counts) if last else "",
        "open_error": in_readers_language(open_run.error, ERRORS) if open_run else "",
        "grace_days": policy.GRACE.days,
        "account": user.account,
        **state,
    }
    return render(request, "retention/of_the_account.html", context)


@require_safe
def promise(request: HttpRequest) -> HttpResponse:
    shell = admin.site.each_context(request)
    context = {**shell, "title": _("Privacy"), "promise": privacy.PROMISE, "keys": signing.public_keys()}
    return render(request, "retention/promise.html", context)


@require_safe
def signing_key(request: HttpRequest) -> HttpResponse:
    """The keys certificates of deletion verify with, the present one first."""
    text = "\n".join(pem for pem, since in signing.public_keys())
    return HttpResponse(text, content_type="application/x-pem-file")
