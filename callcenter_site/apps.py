from django.apps import AppConfig


class CallcenterSiteConfig(AppConfig):
    name = "callcenter_site"

    def ready(self) -> None:
        from callcenter_site import checks  # noqa: F401  (registers the system checks once the apps are loaded)
