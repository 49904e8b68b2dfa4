"""The pages on the way in, open to everybody; the sign-in page itself is the admin's."""

from django.urls import path

from agents import sign_in_views as views

app_name = "sign_in"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("code/", views.code, name="code"),
    path("second-factor/set-up/", views.set_up, name="set-up"),
    path("second-factor/recovery-codes/", views.recovery_codes, name="recovery-codes"),
    path("second-factor/turn-off/", views.turn_off, name="turn-off"),
    path("email/", views.change_email, name="change-email"),
    path("password/", views.change_password, name="change-password"),
    path("password/forgotten/", views.forgotten, name="forgotten"),
    path("password/link-sent/", views.link_sent, name="link-sent"),
    path("password/set/", views.set_password, name="set-password"),
]
