from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ConfigurationConfig(AppConfig):
    name = "configuration"
    verbose_name = _("Configuration")

    def ready(self) -> None:
        from configuration import checks  # noqa: F401  (registers once the apps are loaded)

        post_migrate.connect(_update_built_in_roles, sender=self, dispatch_uid="built-in-roles")


def _update_built_in_roles(**kwargs: Any) -> None:
    """A new version's permissions reach the roles of accounts that were there before it."""
    from configuration.access import update_built_in_roles  # needs the models, which are not loaded when this module is

    update_built_in_roles()
