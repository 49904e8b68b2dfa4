from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class CallcenterSiteConfig(AppConfig):
    name = "callcenter_site"
    default = True

    def ready(self) -> None:
        from django.conf import settings

        from callcenter_site import audit, checks, jobs  # noqa: F401  (connects and registers once the apps are loaded)

        if settings.SENTRY_DSN:
            from callcenter_site import error_reports  # only a portal that reports pays for this import

            error_reports.start(settings.SENTRY_DSN, environment=settings.SENTRY_ENVIRONMENT)


class PortalAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with our site in place of its own."""

    default = False
    default_site = "callcenter_site.admin_site.PortalSite"

    def ready(self) -> None:
        super().ready()
        from callcenter_site import timetable_admin  # noqa: F401  (registers its pages with the site, which is there now)
