from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RetentionConfig(AppConfig):
    name = "retention"
    verbose_name = _("Retention")

    def ready(self) -> None:
        from callcenter_site import legal_holds
        from retention import checks, holds  # noqa: F401  (registers the system checks once the apps are loaded)

        legal_holds.answered_by(holds.kept, holds.has_any)
