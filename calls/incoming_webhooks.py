"""Signed webhooks as they come in: their secrets made and renewed, their messages taken once."""

import datetime as dt
import hashlib
import secrets as random_bytes

from django.db import IntegrityError, transaction

from callcenter_site import webhooks
from callcenter_site.webhooks import Message
from calls.models import IncomingWebhook, WebhookDelivery
from configuration.models import Account

OLD_SECRET_GOOD_FOR = dt.timedelta(hours=24)
"""After a renewal: long enough to bring the new one to the sender without losing a message."""


def create_webhook(*, account: Account, name: str) -> tuple[IncomingWebhook, str]:
    """The stored webhook and its secret to hand over; the text is not shown again."""
    secret = webhooks.new_secret()
    webhook = IncomingWebhook.objects.create(account=account, name=name, prefix=random_bytes.token_hex(6), secret=secret)
    return webhook, secret


@transaction.atomic
def renew_secret(*, webhook: IncomingWebhook, at: dt.datetime) -> str:
    """A new secret, shown this once. The one before stays good for a day; an older one ends now."""
    row = IncomingWebhook.objects.select_for_update().get(pk=webhook.pk)
    secret = webhooks.new_secret()
    row.old_secret, row.secret, row.old_secret_until = row.secret, secret, at + OLD_SECRET_GOOD_FOR
    row.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return secret


@transaction.atomic
def end_old_secret(*, webhook: IncomingWebhook, at: dt.datetime) -> bool:
    """Where the old secret got into wrong hands: from now on only the new one is good. Whether there was one to end."""
    row = IncomingWebhook.objects.select_for_update().get(pk=webhook.pk)
    if not row.is_old_good(at=at):
        return False
    row.old_secret, row.old_secret_until = "", None
    row.save(update_fields=["old_secret", "old_secret_until"])
    return True


def find_webhook(prefix: str) -> IncomingWebhook | None:
    """The webhook of an address, in use or not."""
    return IncomingWebhook.objects.select_related("account").filter(prefix=prefix).first() if len(prefix) == 12 else None


def was_taken(*, webhook: IncomingWebhook, message: Message) -> bool:
    return WebhookDelivery.objects.filter(webhook=webhook, message_key=_key(message)).exists()


def note_taken(*, webhook: IncomingWebhook, message: Message, at: dt.datetime) -> bool:
    """Remembers a message whose events were kept; whether it was not there already. Those too old to be believed anyway
    are forgotten."""
    WebhookDelivery.objects.filter(webhook=webhook, received_at__lt=at - 3 * webhooks.TOLERANCE).delete()
    try:
        with transaction.atomic():
            WebhookDelivery.objects.create(
                account_id=webhook.account_id, webhook=webhook, message_key=_key(message), received_at=at
            )
    except IntegrityError:  # the same message came twice at once
        return False
    return True


def _key(message: Message) -> bytes:
    return hashlib.sha256(f"{message.timestamp}\0{message.id}".encode()).digest()
