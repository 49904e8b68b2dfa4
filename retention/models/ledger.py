"""The chain of what was deleted, restored, held and taken away: ids and counts, never contents.

Entries are appended by `retention/ledger.py` and by nobody else. They outlive what they tell of.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from callcenter_site.fields import Sha256Field
from configuration.encryption import KeepsKey
from configuration.models import Account
from retention.querysets import WholeAccountQuerySet


class LedgerEntry(models.Model):
    """One link of the chain. Its key is its place in the chain, from 1 and without a gap."""

    position = models.BigIntegerField(_("position"), primary_key=True)
    at = models.DateTimeField(_("when"))
    kind = models.CharField(_("kind"), max_length=24)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    request_id = models.CharField(_("request"), max_length=40, blank=True)
    store = models.CharField(_("store"), max_length=40, blank=True)
    counts = models.JSONField(_("counts"), default=dict)
    note_code = models.CharField(_("note"), max_length=40, blank=True)
    policy_version = models.CharField(_("policy"), max_length=20)
    previous_hash = Sha256Field()
    entry_hash = Sha256Field()

    objects = WholeAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        ordering = ["-position"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["account", "position"], name="ledger_account"),
            models.Index(fields=["account", "request_id", "position"], name="ledger_request"),
        ]

    def __str__(self) -> str:
        return f"#{self.position}"

    def get_additional_data(self) -> dict[str, Any]:
        return {"account": self.account_id}


class LedgerHead(models.Model):
    """The last link, in one row that whoever appends must hold."""

    position = models.BigIntegerField(default=0)
    entry_hash = Sha256Field()
    verified_at = models.DateTimeField(null=True, help_text="When the whole chain was last gone through.")
    n_problems = models.PositiveIntegerField(default=0, help_text="What was found wrong then.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.position}"


class LedgerAnchor(models.Model):
    """A link that was written, signed, into object storage, with the entries since the last such."""

    position = models.BigIntegerField(primary_key=True)
    entry_hash = Sha256Field()
    key = models.CharField(max_length=200)
    anchored_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.position}"


class SigningKey(KeepsKey, models.Model):
    """An Ed25519 key of the installation; its private half is wrapped by a key from the environment."""

    public_key = Sha256Field()
    key_id = models.CharField(max_length=20)
    wrapped_key = models.BinaryField()
    made_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"#{self.pk}"

    def bound_to(self) -> bytes:
        return b"signing-key"
