"""Storage beyond the six months: bought or tried, for a time."""

from auditlog.registry import auditlog
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from configuration.scoping import AccountOwned
from retention.querysets import WholeAccountQuerySet


class StoragePlan(AccountOwned):
    """While it runs, and 14 days longer, the account's calls are kept for so many months. The longest plan counts."""

    class Kind(models.TextChoices):
        TRIAL = "trial", _("Trial")
        PURCHASED = "purchased", _("Purchased")

    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.PURCHASED)
    months = models.PositiveSmallIntegerField(
        _("months kept"), validators=[MinValueValidator(7), MaxValueValidator(120)], help_text=_("From 7 to 120.")
    )
    from_day = models.DateField(_("from"))
    to_day = models.DateField(
        _("to"), null=True, blank=True, help_text=_("The last day, included. Empty: until it is cancelled.")
    )
    made_at = models.DateTimeField(_("made"), default=timezone.now, editable=False)

    objects = WholeAccountQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("storage plan")
        verbose_name_plural = _("storage plans")
        ordering = ["-from_day", "-pk"]
        default_permissions = ("view", "add", "change")
        indexes = [models.Index(fields=["account", "from_day"], name="storage_plan_account")]

    def __str__(self) -> str:
        return f"#{self.pk}"

    def clean(self) -> None:
        if self.from_day and self.to_day and self.to_day < self.from_day:
            raise ValidationError({"to_day": _("The last day lies before the first.")})
        if self.kind == self.Kind.TRIAL and self.to_day is None:
            raise ValidationError({"to_day": _("A trial has a last day.")})


class PlanNotice(AccountOwned):
    """That administrators were told of a plan's end. Told once for each end a plan had."""

    class Step(models.TextChoices):
        START = "start", _("the grace began")
        WEEK = "week", _("7 days before its end")
        DAY = "day", _("1 day before its end")

    plan = models.ForeignKey(StoragePlan, on_delete=models.PROTECT, related_name="notices")
    to_day = models.DateField(help_text="The plan's last day, as it was when this was told.")
    step = models.CharField(max_length=10, choices=Step)
    told_at = models.DateTimeField()
    n_mails = models.PositiveSmallIntegerField(default=0)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["plan", "to_day", "step"], name="plan_notice_once")]

    def __str__(self) -> str:
        return f"#{self.plan_id} {self.step}"


auditlog.register(StoragePlan)
