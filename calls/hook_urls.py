"""Where telephony platforms push to."""

from django.urls import path

from calls import hooks

app_name = "hooks"
urlpatterns = [
    path("tccc/<str:prefix>/", hooks.tccc_push, name="tccc"),
]
