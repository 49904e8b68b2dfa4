"""The admin's sidebar: what stands where, and who sees it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _page(title: Any, icon: str, url_name: str, permission: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(url_name), "permission": _may(permission)}


def account_name(request: HttpRequest) -> str:
    """Shown under the site's name, so that nobody works in the wrong account."""
    account = getattr(request.user, "account", None)
    return account.name if account else ""


NAVIGATION: list[dict[str, Any]] = [
    {
        "title": _("Supervision"),
        "items": [
            _page(_("Dashboard"), "monitoring", "analytics:dashboard", "analytics.see_figures"),
            _page(_("Service records"), "call", "admin:calls_call_changelist", "calls.view_call"),
        ],
    },
    {
        "title": _("People"),
        "items": [
            _page(_("Agents"), "headset_mic", "admin:agents_agent_changelist", "agents.view_agent"),
            _page(_("Skill groups"), "groups", "admin:agents_skillgroup_changelist", "agents.view_skillgroup"),
            _page(_("Roles"), "badge", "admin:configuration_role_changelist", "configuration.view_role"),
        ],
    },
    {
        "title": _("Configuration"),
        "items": [
            _page(_("Account"), "apartment", "admin:configuration_account_changelist", "configuration.view_account"),
            _page(
                _("Service numbers"),
                "dialpad",
                "admin:configuration_servicenumber_changelist",
                "configuration.view_servicenumber",
            ),
            _page(_("API keys"), "key", "admin:configuration_apikey_changelist", "configuration.view_apikey"),
        ],
    },
    {
        "title": _("Operation"),
        "items": [
            _page(_("Events"), "inbox", "admin:calls_callevent_changelist", "calls.view_callevent"),
            _page(_("Unknown names"), "person_search", "admin:calls_unknownname_changelist", "calls.view_unknownname"),
            _page(_("Purge runs"), "auto_delete", "admin:retention_purgerun_changelist", "retention.view_purgerun"),
            _page(
                _("Timetable"),
                "schedule",
                "admin:django_celery_beat_periodictask_changelist",
                "django_celery_beat.view_periodictask",
            ),
        ],
    },
]
