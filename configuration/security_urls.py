"""How safe the portal is, told to everybody."""

from django.urls import path

from configuration import security_views

app_name = "security"
urlpatterns = [
    path("security/", security_views.security, name="page"),
    path(".well-known/security.txt", security_views.contact_file, name="contact"),
]
