"""The page of what is kept and what proves it, inside the admin's shell, and the promise for everybody."""

from django.contrib import admin
from django.urls import path

from retention import access_views, views

app_name = "retention"
urlpatterns = [
    path("admin/privacy/", admin.site.admin_view(views.of_the_account), name="privacy"),
    path("privacy/", views.promise, name="promise"),
    path("privacy/signing-key.pem", views.signing_key, name="signing-key"),
    path("api/access-file/<str:token>", access_views.file, name="access-file"),
]
