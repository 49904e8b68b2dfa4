"""Files whose rows have gone: each is named here until no version of it is left in the store."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from callcenter_site.fields import Sha256Field
from configuration.scoping import AccountOwned
from retention.querysets import WholeAccountQuerySet


class FileDeletion(AccountOwned):
    """A file that is to go. The row comes in the transaction that deletes the file's own row, and goes after the file."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        BLOCKED = "blocked", _("Blocked")

    key = models.CharField(max_length=200, help_text="Name in object storage: random, nothing personal.")
    key_hash = Sha256Field(editable=False)
    cause = models.CharField(_("cause"), max_length=40, help_text="The run or request it goes with, like purge:12.")
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    put_at = models.DateTimeField(_("since"))
    due_at = models.DateTimeField(_("due"))
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    error = models.CharField(_("reason"), max_length=60, blank=True, help_text="What the store answered: a code.")
    lease = models.BigIntegerField(default=0, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)

    objects = WholeAccountQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("file to delete")
        verbose_name_plural = _("files to delete")
        ordering = ["put_at", "pk"]
        default_permissions = ("view", "change")
        constraints = [models.UniqueConstraint(fields=["account", "key_hash"], name="file_deletion_once")]
        indexes = [
            models.Index(fields=["due_at", "id"], name="file_deletion_due"),
            models.Index(fields=["account", "cause"], name="file_deletion_cause"),
            models.Index(fields=["account", "state", "put_at"], name="file_deletion_state"),
            models.Index(fields=["lease"], name="file_deletion_lease"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
