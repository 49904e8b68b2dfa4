"""How a person signs in: by email, which the database knows only as a keyed hash."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from agents.models import Agent, email_index


class RoleBackend(ModelBackend):
    """Checks email and password. What a person may do is answered by `Agent.has_perm`, from their role."""

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.is_active) and (user.account is None or user.account.is_open)

    def get_user(self, user_id: Any) -> Agent | None:
        agent = Agent.objects.select_related("account", "role", "authenticator").filter(pk=user_id).first()
        return agent if agent is not None and self.user_can_authenticate(agent) else None


def sign_in_name(request: HttpRequest | None, credentials: dict[str, Any] | None) -> str:
    """What failed attempts are counted under: a hash, so that the table of attempts holds no email."""
    given = (credentials or {}).get("username") or (request.POST.get("username", "") if request else "")
    return email_index(str(given)).hex()
