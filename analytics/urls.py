"""The dashboards, inside the admin's shell."""

from django.urls import URLPattern

app_name = "analytics"
urlpatterns: list[URLPattern] = []
