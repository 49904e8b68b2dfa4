"""Mails to the administrators of an account about what is about to happen to its data."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from agents.models import Agent
from configuration.models import Account, Role


def address_of(route: str, *args: Any) -> str:
    return f"{settings.PUBLIC_URL}{reverse(route, args=args)}"


def tell_administrators(*, account: Account, subject: str, text: str, values: Mapping[str, Any]) -> int:
    """Sends one mail to each active administrator, in the account's language; how many. Raises where the mail server refuses.

    `subject` and `text` are sentences marked for translation; they name the account and days, and nobody.
    """
    people = Agent.objects.for_account(account).filter(role__kind=Role.Kind.ADMINISTRATOR, is_active=True)
    with translation.override(account.language):
        said = (_(subject) % values, _(text) % values)
    mails = [EmailMessage(*said, to=[person.email], headers={"Auto-Submitted": "auto-generated"}) for person in people]
    return int(get_connection().send_messages(mails) or 0) if mails else 0
