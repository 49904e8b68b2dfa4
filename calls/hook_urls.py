"""Where telephony platforms push to."""

from django.urls import path

from calls import hooks

app_name = "hooks"
urlpatterns = [
    path("events/<str:prefix>/", hooks.signed_events, name="events"),
    path("freeswitch/<str:prefix>/", hooks.freeswitch_post, name="freeswitch"),
    path("tccc/<str:prefix>/", hooks.tccc_push, name="tccc"),
]
