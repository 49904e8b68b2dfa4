"""The dashboards, inside the admin's shell. These paths stand before the admin's own, so the front page is ours."""

from django.contrib import admin
from django.urls import path

from analytics import (
    agent_views,
    forecast_views,
    now_views,
    quality_views,
    report_files,
    report_views,
    saved_views,
    staffing_views,
    views,
)

app_name = "analytics"
urlpatterns = [
    path("", admin.site.admin_view(views.home), name="home"),
    path("dashboard/", admin.site.admin_view(views.dashboard), name="dashboard"),
    path("dashboard/parts/", admin.site.admin_view(views.parts), name="dashboard-parts"),
    path("dashboard/agents/", admin.site.admin_view(agent_views.agents), name="agents"),
    path("dashboard/agents/<int:pk>/", admin.site.admin_view(agent_views.agent), name="agent"),
    path("dashboard/quality/", admin.site.admin_view(quality_views.page), name="quality"),
    path("dashboard/views/save/<str:page>/", admin.site.admin_view(saved_views.save), name="view-save"),
    path("dashboard/views/<int:pk>/", admin.site.admin_view(saved_views.open_view), name="view-open"),
    path("dashboard/views/<int:pk>/change/", admin.site.admin_view(saved_views.change), name="view-change"),
    path("dashboard/views/<int:pk>/delete/", admin.site.admin_view(saved_views.delete), name="view-delete"),
    path("reports/", admin.site.admin_view(report_views.builder), name="reports"),
    path("reports/file/", admin.site.admin_view(report_views.file), name="report-file"),
    path("reports/save/", admin.site.admin_view(report_views.save), name="report-save"),
    path("reports/start/", admin.site.admin_view(report_views.start), name="report-start"),
    path("reports/written/<str:token>", report_files.file, name="report-run-file"),
    path("now/", admin.site.admin_view(now_views.now), name="now"),
    path("now/figures/", admin.site.admin_view(now_views.figures), name="now-figures"),
    path("staffing/", admin.site.admin_view(staffing_views.calculator), name="staffing"),
    path("staffing/forecast/", admin.site.admin_view(forecast_views.next_week), name="forecast"),
]
