"""Every route of `/api/v1/`, in one place."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from analytics.api import LiveView, SummaryView
from calls.api import CallViewSet, EventsView

router = SimpleRouter()
router.register("calls", CallViewSet, basename="call")

urlpatterns = [
    path("events", EventsView.as_view(), name="events"),
    path("events/", EventsView.as_view(schema=None), name="events-slash"),  # the other routes end so, and people type it by habit
    path("live/", LiveView.as_view(), name="live"),
    path("summary/", SummaryView.as_view(), name="summary"),
    path("", include(router.urls)),
]
