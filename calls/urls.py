"""Pages of calls that stand beside the admin's own, and in the desk."""

from django.urls import path

from calls import export_views, views

app_name = "calls"
urlpatterns = [
    path("admin/calls/listen/<str:kind>/<int:pk>/", views.listen, name="listen"),
    path("admin/calls/waveform/<str:kind>/<int:pk>/", views.waveform, name="waveform"),
    path("admin/calls/audio/<str:token>", views.audio, name="audio"),
    path("api/sound/<str:token>", views.sound, name="sound"),
    path("api/export/<str:token>", export_views.file, name="export-file"),
    path("desk/records/", views.desk_records, name="desk-records"),
    path("desk/calls/", views.desk_calls, name="desk-calls"),
    path("desk/call/<int:pk>/", views.desk_call, name="desk-call"),
    path("desk/call/<int:pk>/remark/", views.remark, name="remark"),
]
