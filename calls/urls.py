"""Pages of calls that stand beside the admin's own."""

from django.urls import URLPattern

app_name = "calls"
urlpatterns: list[URLPattern] = []
