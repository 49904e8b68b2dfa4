"""What the API hands out links to."""

from django.urls import path

from configuration.views import prompt_sound

app_name = "configuration"
urlpatterns = [path("prompt-sound/<str:token>/", prompt_sound, name="prompt-sound")]
