"""The agent's own pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from agents.views import desk, set_status

app_name = "agents"
urlpatterns = [
    path("", desk, name="desk"),
    path("status/", set_status, name="set-status"),
    path("sign-out/", LogoutView.as_view(next_page="admin:login"), name="sign-out"),
]
