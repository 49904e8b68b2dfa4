from django.apps import AppConfig
from django.utils.translation import pgettext_lazy


class CallsConfig(AppConfig):
    name = "calls"
    verbose_name = pgettext_lazy("part of the portal", "Calls")

    def ready(self) -> None:
        from callcenter_site import health
        from calls import spool  # needs the settings, which are not read when this module is

        health.CHECKS["spool"] = lambda: not spool.is_behind()
