from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = _("People")

    def ready(self) -> None:
        from agents.models import name_of_group_in_use
        from configuration.models import ServiceNumber

        ServiceNumber.skill_group_called = staticmethod(name_of_group_in_use)
