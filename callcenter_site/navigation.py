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


DESK_RECORDS = reverse_lazy("calls:desk-records")
DESK_CALLS = reverse_lazy("calls:desk-calls")
"""What the desk shows of calls: agents know no calls, so the addresses are told here."""


def account_name(request: HttpRequest) -> str:
    """Shown under the site's name, so that nobody works in the wrong account."""
    account = getattr(request.user, "account", None)
    return account.name if account else ""


NAVIGATION: list[dict[str, Any]] = [
    {
        "title": _("Supervision"),
        "items": [
            _page(_("Now"), "radar", "analytics:now", "analytics.see_figures"),
            _page(_("Dashboard"), "monitoring", "analytics:dashboard", "analytics.see_figures"),
            _page(_("Reports"), "table_chart", "analytics:reports", "analytics.see_figures"),
            _page(_("Saved reports"), "schedule_send", "admin:analytics_savedreport_changelist", "analytics.see_figures"),
            _page(_("Service records"), "call", "admin:calls_call_changelist", "calls.view_call"),
            _page(_("Voicemail"), "voicemail", "admin:calls_voicemail_changelist", "calls.view_voicemail")
            | {"badge": "calls.sound_admin.unheard_badge"},
            _page(_("Wallboards"), "tv", "admin:analytics_display_changelist", "analytics.view_display"),
            _page(_("Alerts"), "notifications_active", "admin:analytics_alertrule_changelist", "analytics.view_alertrule"),
            _page(_("Past alerts"), "notifications", "admin:analytics_alertcrossing_changelist", "analytics.view_alertcrossing"),
            _page(_("Staffing"), "calculate", "analytics:staffing", "analytics.see_figures"),
        ],
    },
    {
        "title": _("People"),
        "items": [
            _page(_("Agents"), "headset_mic", "admin:agents_agent_changelist", "agents.view_agent"),
            _page(_("Skill groups"), "groups", "admin:agents_skillgroup_changelist", "agents.view_skillgroup"),
            _page(_("Status changes"), "history_toggle_off", "admin:agents_statuschange_changelist", "agents.view_statuschange"),
            _page(_("Device checks"), "settings_voice", "admin:agents_devicecheck_changelist", "agents.view_devicecheck"),
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
            _page(_("Quick replies"), "quickreply", "admin:configuration_quickreply_changelist", "configuration.view_quickreply"),
            _page(
                _("Quick-reply groups"),
                "folder_open",
                "admin:configuration_quickreplygroup_changelist",
                "configuration.view_quickreplygroup",
            ),
            _page(
                _("Inbound pop-ups"), "open_in_new", "admin:configuration_screenpop_changelist", "configuration.view_screenpop"
            ),
            _page(
                _("IVR prompts"), "record_voice_over", "admin:configuration_ivrprompt_changelist", "configuration.view_ivrprompt"
            ),
            _page(
                _("Blocked numbers"), "block", "admin:configuration_blockednumber_changelist", "configuration.view_blockednumber"
            ),
            _page(_("Keywords"), "match_word", "admin:configuration_keyword_changelist", "configuration.view_keyword"),
            _page(
                _("Break reasons"),
                "free_breakfast",
                "admin:configuration_breakreason_changelist",
                "configuration.view_breakreason",
            ),
            _page(_("Dispositions"), "task_alt", "admin:configuration_disposition_changelist", "configuration.view_disposition"),
            {
                "title": _("Imports"),
                "icon": "upload_file",
                "link": reverse_lazy("admin:configuration_importrun_changelist"),
                "permission": "configuration.admin.imports.sees_imports",  # of any list one may import
            },
            _page(_("API keys"), "key", "admin:configuration_apikey_changelist", "configuration.view_apikey"),
        ],
    },
    {
        "title": _("Operation"),
        "items": [
            _page(_("Events"), "inbox", "admin:calls_callevent_changelist", "calls.view_callevent"),
            _page(_("Incoming sound files"), "cloud_upload", "admin:calls_incomingsound_changelist", "calls.view_incomingsound"),
            _page(_("Sources of recordings"), "cloud_download", "admin:calls_soundsource_changelist", "calls.view_soundsource"),
            _page(_("Incoming webhooks"), "webhook", "admin:calls_incomingwebhook_changelist", "calls.view_incomingwebhook"),
            _page(_("Connections"), "hub", "admin:calls_connection_changelist", "calls.view_connection"),
            _page(_("Unknown names"), "person_search", "admin:calls_unknownname_changelist", "calls.view_unknownname"),
            _page(_("Audit log"), "policy", "admin:configuration_auditentry_changelist", "configuration.view_auditentry"),
            _page(_("Privacy"), "verified_user", "retention:privacy", "retention.view_ledgerentry"),
            _page(_("Storage plans"), "inventory_2", "admin:retention_storageplan_changelist", "retention.view_storageplan"),
            _page(_("Legal holds"), "gavel", "admin:retention_legalhold_changelist", "retention.view_legalhold"),
            _page(_("Ledger"), "receipt_long", "admin:retention_ledgerentry_changelist", "retention.view_ledgerentry"),
            _page(_("Backups"), "backup", "admin:retention_backupobject_changelist", "retention.view_backupobject"),
            _page(
                _("Files to delete"), "folder_delete", "admin:retention_filedeletion_changelist", "retention.view_filedeletion"
            ),
            _page(
                _("Deletion requests"),
                "person_remove",
                "admin:retention_deletionrequest_changelist",
                "retention.view_deletionrequest",
            )
            | {"badge": "retention.admin.requests.pressing_badge"},
            _page(
                _("Access requests"), "person_search", "admin:retention_accessrequest_changelist", "retention.view_accessrequest"
            ),
            _page(_("Purge runs"), "auto_delete", "admin:retention_purgerun_changelist", "retention.view_purgerun"),
            _page(
                _("Jobs"),
                "monitor_heart",
                "admin:django_celery_beat_periodictask_jobs",
                "django_celery_beat.view_periodictask",
            )
            | {"badge": "callcenter_site.timetable_admin.troubled_badge"},
            _page(
                _("Timetable"),
                "schedule",
                "admin:django_celery_beat_periodictask_changelist",
                "django_celery_beat.view_periodictask",
            ),
        ],
    },
]
