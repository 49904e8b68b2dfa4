"""The agent's own pages."""

from django.urls import path

from agents import views

app_name = "agents"
urlpatterns = [
    path("", views.desk, name="desk"),
    path("state/", views.state, name="state"),
    path("stream/", views.stream, name="stream"),
    path("heartbeat/", views.heartbeat, name="heartbeat"),
    path("status/", views.set_status, name="set-status"),
    path("break-after-call/", views.set_break_after_call, name="break-after-call"),
    path("ready/", views.end_own_wrap_up, name="end-wrap-up"),
    path("more-time/", views.extend_own_wrap_up, name="extend-wrap-up"),
    path("device-check/", views.device_check, name="device-check"),
    path("probe/", views.probe, name="probe"),
    path("sign-out/", views.SignOut.as_view(), name="sign-out"),
]
