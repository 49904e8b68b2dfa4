"""Pages of calls that stand beside the admin's own."""

from django.urls import path

from calls import views

app_name = "calls"
urlpatterns = [
    path("calls/listen/<str:kind>/<int:pk>/", views.listen, name="listen"),
    path("calls/audio/<str:token>", views.audio, name="audio"),
]
