"""Warnings before a deletion request is due, and when it is overdue: each once, by mail, to those who can decide.

A mail says which request and until when, and nothing of whom it is about.
"""

import datetime as dt
import logging
import smtplib
from typing import Any

from django.core.mail import EmailMessage
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.models import Agent
from retention import telling
from retention.deletion import APPROVE
from retention.models import DeletionRequest

log = logging.getLogger(__name__)

AHEAD = (7, 3, 0)
"""Days before it is due; 0: when it is overdue."""


def pressing(account_id: int, *, at: dt.datetime) -> list[DeletionRequest]:
    """Open requests of an account of which people were to be warned by now, the most pressing first."""
    return list(pressing_rows(account_id, at=at).order_by("due_at"))


def pressing_rows(account_id: int, *, at: dt.datetime) -> Any:
    rows = DeletionRequest.objects.for_account(account_id).filter(state__in=DeletionRequest.OPEN)
    return rows.filter(due_at__lt=at + dt.timedelta(days=AHEAD[0]))


def warn(*, at: dt.datetime) -> int:
    """Sends the warnings that are due; of how many requests."""
    n_warned = 0
    for days in reversed(AHEAD):  # of one that is overdue already, only that is said
        late = DeletionRequest.objects.filter(state__in=DeletionRequest.OPEN, due_at__lte=at + dt.timedelta(days=days))
        for request in late.filter(Q(warned_for=None) | Q(warned_for__gt=days)).select_related("account").order_by("due_at"):
            before = request.warned_for
            mine = DeletionRequest.objects.filter(pk=request.pk, warned_for=before)
            if mine.update(warned_for=days) == 1:  # of two who warn at once, one does
                log.warning("deletion request %s is due in %s days", request.pk, request.days_left(at=at))
                _mail(request, at=at)
                n_warned += 1
    return n_warned


def _mail(request: DeletionRequest, *, at: dt.datetime) -> None:
    people = Agent.objects.for_account(request.account_id).filter(is_active=True).select_related("account", "role")
    to = [person.email for person in people if person.has_perm(APPROVE)]
    if not to or not request.account.is_open:
        to = [operator.email for operator in Agent.objects.filter(is_superuser=True, is_active=True)]
    with translation.override(request.account.language), timezone.override(request.account.zone):
        subject, body = _words(request, at=at)
        for address in to:
            try:
                EmailMessage(subject, body, to=[address]).send()
            except (smtplib.SMTPException, OSError) as error:
                log.warning("a warning of deletion request %s was not taken: %s", request.pk, type(error).__name__)


def _words(request: DeletionRequest, *, at: dt.datetime) -> tuple[str, str]:
    left = request.days_left(at=at)
    due = timezone.localtime(request.due_at).strftime("%Y-%m-%d %H:%M")
    if left < 0:
        subject = _("Deletion request #%(pk)s is overdue") % {"pk": request.pk}
    else:
        words = ngettext("Deletion request #%(pk)s is due in %(n)s day", "Deletion request #%(pk)s is due in %(n)s days", left)
        subject = words % {"pk": request.pk, "n": left}
    address = telling.address_of("admin:retention_deletionrequest_change", request.pk)
    said = _("The request is %(state)s. It was promised to be done by %(due)s.") % {
        "state": request.get_state_display(),
        "due": due,
    }
    return subject, f"{said}\n\n{address}\n"
