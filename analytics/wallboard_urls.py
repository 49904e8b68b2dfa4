"""Wallboards stand outside the admin's shell: they fill a screen, and some need no sign-in."""

from django.urls import path

from analytics import wallboard_views

app_name = "wallboard"
urlpatterns = [
    path("", wallboard_views.wall, name="wall"),
    path("figures/", wallboard_views.figures, name="figures"),
    path("<int:pk>/", wallboard_views.wall, name="display"),
    path("<int:pk>/figures/", wallboard_views.figures, name="display-figures"),
    path("show/", wallboard_views.by_link, name="by-link"),
    path("show/figures/", wallboard_views.figures_by_link, name="figures-by-link"),
]
