"""Every page of the portal."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from callcenter_site.description import Description
from callcenter_site.health import healthz, readyz
from callcenter_site.prometheus import metrics

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", include("analytics.urls")),
    path("", include("retention.urls")),
    path("", include("configuration.security_urls")),
    path("", include("calls.urls")),
    path("admin/", admin.site.urls),
    path("hooks/", include("calls.hook_urls")),
    path("desk/", include("agents.urls")),
    path("wallboard/", include("analytics.wallboard_urls")),
    path("sign-in/", include("agents.sign_in_urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/v1/", include(("callcenter_site.api", "api"))),
    path("api/", include("configuration.urls")),
    path("api/schema/", Description.as_view(), name="schema"),
    # Split: its script comes as a file of its own, for the page may run no inline one.
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
handler403 = "callcenter_site.errors.forbidden"
handler404 = "callcenter_site.errors.not_found"
handler500 = "callcenter_site.errors.failed"
