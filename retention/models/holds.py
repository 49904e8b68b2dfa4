"""Legal holds: what must stay whatever else asks for its deletion."""

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from callcenter_site.fields import Sha256Field
from callcenter_site.phone_numbers import canonical, is_number
from calls.models import Call
from configuration.encryption import EncryptedTextField, blind_index
from configuration.scoping import AccountOwned
from retention.querysets import WholeAccountQuerySet


class AccountGate(AccountOwned):
    """One row an account's deleters and placers of holds lock, so that a hold is seen by every batch that begins after it."""

    stopped_at = models.DateTimeField(null=True, help_text="Since when the purge of this account is switched off.")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account"], name="account_gate_once")]

    def __str__(self) -> str:
        return f"#{self.account_id}"


class LegalHold(AccountOwned):
    """Something that must not be deleted, until the hold is released. It is never edited: release it and place another."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", _("the whole account")
        NUMBER = "number", _("a phone number")
        AGENT = "agent", _("an agent")
        CALLS = "calls", _("certain calls")
        DAYS = "days", _("a range of days")

    kind = models.CharField(_("what"), max_length=10, choices=Kind)
    reference = models.CharField(_("reference"), max_length=60, help_text=_("Of the case, such as its file number. No names."))
    number = EncryptedTextField(_("phone number"), max_length=32, blank=True)
    number_hash = Sha256Field(default=b"", editable=False)
    """Empty where it is no number that is held."""
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("agent"))
    from_day = models.DateField(_("from"), null=True, blank=True)
    to_day = models.DateField(_("to"), null=True, blank=True, help_text=_("The last day, included."))
    placed_at = models.DateTimeField(_("placed"), default=timezone.now, editable=False)
    placed_by = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("placed by")
    )
    released_at = models.DateTimeField(_("released"), null=True, editable=False)
    released_by = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, editable=False, related_name="+", verbose_name=_("released by")
    )

    objects = WholeAccountQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering = ["-placed_at", "-pk"]
        default_permissions = ("view", "add", "change")
        indexes = [
            models.Index(fields=["account", "released_at"], name="hold_open"),
            models.Index(fields=["account", "number_hash"], name="hold_number"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.released_at is None

    def clean(self) -> None:
        errors = {}
        if self.kind == self.Kind.NUMBER:
            self.number = canonical(self.number, self.account.region)
            if not is_number(self.number):
                errors["number"] = _("This is not a phone number.")
        if self.kind == self.Kind.AGENT and self.agent_id is None:
            errors["agent"] = _("Choose the agent.")
        if self.kind == self.Kind.DAYS:
            if self.from_day is None:
                errors["from_day"] = _("Say the first day.")
            if self.to_day is None:
                errors["to_day"] = _("Say the last day.")
            if self.from_day and self.to_day and self.to_day < self.from_day:
                errors["to_day"] = _("The last day lies before the first.")
        if errors:
            raise ValidationError(errors)
        if self.kind != self.Kind.NUMBER:
            self.number = ""
        if self.kind != self.Kind.AGENT:
            self.agent = None
        if self.kind != self.Kind.DAYS:
            self.from_day = self.to_day = None
        self.number_hash = number_hash(self.account_id, self.number) if self.number else b""


def number_hash(account_id: int, number: str) -> bytes:
    """Of a number in its canonical form."""
    return blind_index(number, account_id=account_id, context="retention_legalhold.number")


class HeldCall(AccountOwned):
    """A call under a hold of certain calls. The database itself refuses to delete what it points to."""

    hold = models.ForeignKey(LegalHold, on_delete=models.PROTECT, related_name="held_calls")
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="+")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["hold", "call"], name="held_call_once")]

    def __str__(self) -> str:
        return f"#{self.call_id}"


auditlog.register(LegalHold, exclude_fields=["number_hash"], mask_fields=["number"], mask_callable="callcenter_site.audit.unsaid")
