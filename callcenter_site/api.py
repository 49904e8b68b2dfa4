"""Every route of `/api/v1/`, in one place."""

from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from agents.api import (
    AgentStatusesViewSet,
    AgentStatusViewSet,
    AgentViewSet,
    DeviceCheckViewSet,
    MembershipViewSet,
    SkillGroupViewSet,
    StatusChangeViewSet,
)
from analytics.alert_api import AlertCrossingViewSet, AlertRuleViewSet
from analytics.api import LiveView, MetricsView, ReportView, SummaryView
from analytics.forecast_api import ForecastView
from analytics.report_api import ReportRunViewSet, SavedReportViewSet
from analytics.wallboard_api import DisplayViewSet
from calls.api import CallViewSet, EventsView, ScreenView
from calls.export_api import ExportViewSet
from calls.sound_api import RecordingViewSet, VoicemailViewSet
from configuration.api import (
    AccountView,
    ApiKeyViewSet,
    BlacklistCheckView,
    BlockedNumberViewSet,
    BreakReasonViewSet,
    DispositionViewSet,
    IvrPromptViewSet,
    KeywordViewSet,
    QuickReplyGroupViewSet,
    QuickReplyViewSet,
    RightsView,
    RoleViewSet,
    ScreenPopViewSet,
    ServiceNumberViewSet,
)
from retention.api import AccessRequestViewSet, DeletionRequestViewSet
from retention.hold_api import LegalHoldViewSet

router = SimpleRouter()
router.register("calls", CallViewSet, basename="call")
router.register("exports", ExportViewSet, basename="export")
router.register("recordings", RecordingViewSet, basename="recording")
router.register("voicemail", VoicemailViewSet, basename="voicemail")
router.register("agents", AgentViewSet, basename="agent")
router.register("status-changes", StatusChangeViewSet, basename="status-change")
router.register("skill-groups", SkillGroupViewSet, basename="skill-group")
router.register("memberships", MembershipViewSet, basename="membership")
router.register("device-checks", DeviceCheckViewSet, basename="device-check")
router.register("service-numbers", ServiceNumberViewSet, basename="service-number")
router.register("ivr-prompts", IvrPromptViewSet, basename="ivr-prompt")
router.register("blacklist", BlockedNumberViewSet, basename="blocked-number")
router.register("keywords", KeywordViewSet, basename="keyword")
router.register("quick-reply-groups", QuickReplyGroupViewSet, basename="quick-reply-group")
router.register("quick-replies", QuickReplyViewSet, basename="quick-reply")
router.register("screen-pops", ScreenPopViewSet, basename="screen-pop")
router.register("break-reasons", BreakReasonViewSet, basename="break-reason")
router.register("dispositions", DispositionViewSet, basename="disposition")
router.register("roles", RoleViewSet, basename="role")
router.register("alerts", AlertRuleViewSet, basename="alert")
router.register("alert-crossings", AlertCrossingViewSet, basename="alert-crossing")
router.register("reports/saved", SavedReportViewSet, basename="saved-report")
router.register("reports/runs", ReportRunViewSet, basename="report-run")
router.register("wallboards", DisplayViewSet, basename="wallboard")
router.register("deletion-requests", DeletionRequestViewSet, basename="deletion-request")
router.register("access-requests", AccessRequestViewSet, basename="access-request")
router.register("legal-holds", LegalHoldViewSet, basename="legal-hold")
router.register("api-keys", ApiKeyViewSet, basename="api-key")

urlpatterns = [
    path("events", EventsView.as_view(), name="events"),
    path("events/", EventsView.as_view(schema=None), name="events-slash"),  # the other routes end so, and people type it by habit
    path("calls/screen", ScreenView.as_view(), name="call-screen"),
    path("calls/screen/", ScreenView.as_view(schema=None), name="call-screen-slash"),
    path("live/", LiveView.as_view(), name="live"),
    path("metrics/", MetricsView.as_view(), name="metrics"),
    path("reports/query", ReportView.as_view(), name="report"),
    path("reports/query/", ReportView.as_view(schema=None), name="report-slash"),
    path("staffing/forecast/", ForecastView.as_view(), name="forecast"),
    path("summary/", SummaryView.as_view(), name="summary"),
    path("account/", AccountView.as_view(), name="account"),
    path("rights/", RightsView.as_view(), name="rights"),
    path("blacklist/check/", BlacklistCheckView.as_view(), name="blacklist-check"),
    path("agent-statuses/", AgentStatusesViewSet.as_view({"get": "list"}), name="agent-statuses"),
    re_path(
        r"^agents/(?P<pk>[0-9]{1,19})/status/$",
        AgentStatusViewSet.as_view({"get": "retrieve", "put": "update"}),
        name="agent-status",
    ),
    path("", include(router.urls)),
]
