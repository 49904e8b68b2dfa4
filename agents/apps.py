from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = _("People")

    def ready(self) -> None:
        from django.contrib.auth.signals import user_login_failed

        from agents.models import name_of_group_in_use
        from agents.sign_in import count_at_address
        from configuration.models import ServiceNumber

        ServiceNumber.skill_group_called = staticmethod(name_of_group_in_use)
        user_login_failed.connect(count_at_address, dispatch_uid="failures-of-an-address")
