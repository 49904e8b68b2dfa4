"""Mails about signing in: links with which people set their own password (invitations, and for those who forgot theirs),
and word of what was changed.

A link is good once, for a time, and only while the person has the password and the email they had when it was made; a
newer one of its kind takes its place. It is worked out from its row and a secret: no table
holds it, and it is in no log of ours. The answer to somebody who forgot their password says nothing of who has that
email, and takes as long either way.

Mails wait as rows: a task is only told that there are some, and what it loses the timetable sends.
"""

import datetime as dt
import logging
import re
import smtplib
import time
from collections.abc import Iterable
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from agents.appointment import may_manage
from agents.models import Agent, SignInLink, email_index
from callcenter_site.audit import log_update
from callcenter_site.celery import nudge
from configuration.encryption import installation_index
from configuration.models import Account
from configuration.scoping import Actor

log = logging.getLogger(__name__)

LASTS = {SignInLink.Kind.INVITATION: dt.timedelta(days=3), SignInLink.Kind.RESET: dt.timedelta(hours=1)}
CHANGES = {
    SignInLink.Kind.PASSWORD: gettext_noop("Your password was changed."),
    SignInLink.Kind.EMAIL: gettext_noop("The email you sign in with was changed: from now on it is another than this one."),
    SignInLink.Kind.FACTOR_ON: gettext_noop(
        "A second factor was set up for your sign-in; one from before is not asked for any more."
    ),
    SignInLink.Kind.FACTOR_OFF: gettext_noop("The second factor of your sign-in was turned off."),
    SignInLink.Kind.CODES: gettext_noop(
        "New recovery codes were made for your sign-in; those from before open nothing any more."
    ),
}
"""What a mail without a link tells."""
TOLD_WITHIN = dt.timedelta(days=1)
TRY_AGAIN = [dt.timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)]
CLAIMED_FOR = dt.timedelta(minutes=2)
"""Longer than a mail server is waited for; a mail whose worker was killed is sent again after it."""
PER_EMAIL, PER_ADDRESS = 3, 20
"""How many links an hour may be asked for with one email, and from one address (a whole call center may share one)."""

PROBLEMS = {
    "refused": gettext_noop("The mail server refused the address."),
    "sender": gettext_noop("The mail server refused the portal as sender."),
    "unreachable": gettext_noop("The mail server could not be reached."),
    "late": gettext_noop("The link ran out before it could be sent."),
}


class TooMany(ValidationError):
    """Too many links were asked for from one address; nothing was looked up."""


@transaction.atomic
def invite(*, agents: Iterable[Agent], by: Actor, at: dt.datetime, kind: str = SignInLink.Kind.INVITATION) -> list[SignInLink]:
    """Sends each person a link with which they set their password. All of them or none.

    Raises `ValidationError` for oneself, for somebody who may more than `by`, and for somebody who is not active.
    """
    people = list(agents)
    for agent in people:
        if not may_manage(by, agent):
            raise ValidationError(_("You cannot send a link to yourself, or to somebody who may do more than you."))
        if not agent.is_active:
            raise ValidationError(_("Somebody among them is not active: activate them first."))
    links = [_make(agent, kind, at=at, email_hash=agent.email_hash) for agent in people]
    for agent in people:
        log_update(agent, sign_in_link=("", kind))
    return links


def tell_of_change(*, agent: Agent, kind: str, at: dt.datetime, address: str = "") -> None:
    """A mail to the person whose sign-in was changed, whoever changed it: so a stolen session does not go unnoticed.

    `address` is where it goes if not to their email: the one from before. Called in the transaction of the change.
    """
    SignInLink.objects.create(
        account_id=agent.account_id,
        agent=agent,
        kind=kind,
        created_at=at,
        expires_at=at + TOLD_WITHIN,
        next_try_at=at,
        email_hash=agent.email_hash,
        sent_to=address,
    )
    _nudge_on_commit()


def has_password(agent: Agent) -> bool:
    """Whether somebody chose one: who was only invited has none that could be changed."""
    return bool(agent.password) and agent.has_usable_password()


def ask_for_reset(*, email: str, address: str, at: dt.datetime) -> None:
    """For who forgot their password: a link, if anybody who can sign in has this email. The caller learns nothing of it.

    Raises `TooMany` by the address alone.
    """
    email_hash, asked_from = email_index(email), installation_index(address, context="agents_signinlink.asked_from")
    lately = SignInLink.objects.filter(created_at__gt=at - dt.timedelta(hours=1))
    if lately.filter(asked_from=asked_from).count() >= PER_ADDRESS:
        raise TooMany(_("Too many links were asked for from here. Try again in an hour."))
    agent = Agent.objects.select_related("account").filter(email_hash=email_hash).first()
    if agent is not None and not _may_sign_in(agent):
        agent = None
    is_one_too_many = lately.filter(email_hash=email_hash, asked_from__isnull=False).count() >= PER_EMAIL
    with transaction.atomic():
        _make(None if is_one_too_many else agent, SignInLink.Kind.RESET, at=at, email_hash=email_hash, asked_from=asked_from)


def address_of(link: SignInLink) -> str:
    """The whole address to open. It stands in the question, which is never logged, not in the path."""
    return f"{settings.PUBLIC_URL}{reverse('sign_in:set-password')}?key={link.pk}-{_secret(link)}"


def is_good(link: SignInLink, *, at: dt.datetime) -> bool:
    is_open = link.kind in LASTS and link.used_at is None and at < link.expires_at
    return is_open and link.agent is not None and _may_sign_in(link.agent)


def open_link(key: str, *, at: dt.datetime) -> SignInLink | None:
    """The link behind a key, if it is good."""
    found = re.fullmatch(r"([0-9]{1,18})-([0-9a-f]{64})", key)
    links = SignInLink.objects.select_related("agent__account", "agent__role", "agent__authenticator")
    link = links.filter(pk=int(found[1]), agent__isnull=False).first() if found else None
    if link is None or found is None or not constant_time_compare(found[2], _secret(link)):
        return None
    return link if is_good(link, at=at) else None


@transaction.atomic
def set_password(*, link: SignInLink, password: str, at: dt.datetime) -> Agent:
    """Uses the link up. Raises `ValidationError` for a weak password (the link stays good), or if it was used meanwhile."""
    agent = _person_of(link)
    validate_password(password, agent)
    if SignInLink.objects.filter(pk=link.pk, used_at=None).update(used_at=at) != 1:
        raise ValidationError(_("This link was used already."))
    SignInLink.objects.filter(agent=agent, kind__in=LASTS, used_at=None).update(used_at=at)
    had_one = has_password(agent)
    agent.set_password(password)
    agent.save(update_fields=["password"])
    if had_one:
        tell_of_change(agent=agent, kind=SignInLink.Kind.PASSWORD, at=at)
    # Who locked themselves out with the forgotten password may come in with the new one.
    AxesProxyHandler.reset_attempts(username=email_index(agent.email).hex())
    return agent


def newest_link(agent: Agent) -> SignInLink | None:
    return SignInLink.objects.filter(agent=agent, kind__in=LASTS).order_by("-pk").first()


def can_be_handed_over(link: SignInLink | None, *, at: dt.datetime) -> bool:
    """Whether an administrator may look at a link: it is good, and no mail brought it."""
    return link is not None and is_good(link, at=at) and (link.state != SignInLink.State.SENT or not settings.MAIL_IS_SET)


def deliver(*, link_id: int, at: dt.datetime) -> str:
    """Sends one mail, unless somebody else does; returns the state it is in then."""
    due = SignInLink.objects.filter(pk=link_id, state=SignInLink.State.WAITING, next_try_at__lte=at)
    if due.update(next_try_at=at + CLAIMED_FOR, n_tries=F("n_tries") + 1) != 1:
        return ""
    link = SignInLink.objects.select_related("agent__account", "agent__role").get(pk=link_id)
    if link.agent is None:
        return _now_is(link, SignInLink.State.SENT)
    if link.kind in LASTS and not is_good(link, at=at):
        return _now_is(link, SignInLink.State.FAILED, "late" if link.used_at is None and at >= link.expires_at else "")
    try:
        _mail(link).send()
    except (smtplib.SMTPException, OSError) as error:
        log.warning("mail for sign-in link %d was not taken: %s", link.pk, type(error).__name__)
        problem = _problem(error)
        pause = TRY_AGAIN[link.n_tries - 1] if link.n_tries <= len(TRY_AGAIN) else None
        if problem == "refused" or pause is None:
            return _now_is(link, SignInLink.State.FAILED, problem)
        SignInLink.objects.filter(pk=link.pk).update(next_try_at=at + pause, problem=problem)
        return str(link.state)
    return _now_is(link, SignInLink.State.SENT)


def deliver_due(*, at: dt.datetime, limit: int = 200) -> int:
    """Sends the mails that wait; how many were sent."""
    due = SignInLink.objects.filter(state=SignInLink.State.WAITING, next_try_at__lte=at).order_by("next_try_at", "pk")
    n_sent, begun = 0, time.monotonic()
    for pk in list(due.values_list("pk", flat=True)[:limit]):
        # Time goes on meanwhile: a mail claimed as of the beginning would be free for the next worker at once.
        now = at + dt.timedelta(seconds=int(time.monotonic() - begun))
        n_sent += deliver(link_id=pk, at=now) == SignInLink.State.SENT
    return n_sent


def _make(agent: Agent | None, kind: str, *, at: dt.datetime, email_hash: bytes, asked_from: bytes | None = None) -> SignInLink:
    # Of its kind only: who asks for a reset with somebody else's email must not take their invitation away.
    SignInLink.objects.filter(agent_id=agent.pk if agent else 0, kind=kind, used_at=None).update(used_at=at)
    link = SignInLink.objects.create(
        account_id=agent.account_id if agent else None,
        agent=agent,
        kind=kind,
        created_at=at,
        expires_at=at + LASTS[SignInLink.Kind(kind)],
        next_try_at=at,
        email_hash=email_hash,
        asked_from=asked_from,  # type: ignore[misc]
    )
    _nudge_on_commit()
    return link


def _nudge_on_commit() -> None:
    """Once for all mails of a transaction: a broker that does not answer is waited for once."""
    if not any(callback is _nudge for _savepoints, callback, _robust in transaction.get_connection().run_on_commit):
        transaction.on_commit(_nudge)


def _nudge() -> None:
    """Sends now instead of at the next tick."""
    from agents.tasks import send_sign_in_links  # the task calls this module

    nudge(send_sign_in_links)


def _secret(link: SignInLink) -> str:
    agent = _person_of(link)
    meant = f"{link.pk}|{link.kind}|{link.created_at.isoformat()}|{agent.pk}|{agent.password}|{bytes(agent.email_hash).hex()}"
    return salted_hmac("agents.invitations", meant, algorithm="sha256").hexdigest()


def _person_of(link: SignInLink) -> Agent:
    if link.agent is None:
        raise ValueError("nobody has the email this link was asked for with")
    return link.agent


def _may_sign_in(agent: Agent) -> bool:
    return agent.is_active and (agent.account is None or agent.account.is_open)


def _now_is(link: SignInLink, state: str, problem: str = "") -> str:
    SignInLink.objects.filter(pk=link.pk).update(state=state, problem=problem, next_try_at=None, sent_to="")
    return state


def _problem(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _said in error.recipients.values()]
        return "refused" if codes and all(code >= 500 for code in codes) else "unreachable"
    if isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPAuthenticationError | smtplib.SMTPDataError):
        return "sender"
    return "unreachable"


def _mail(link: SignInLink) -> EmailMultiAlternatives:
    """In the language of the account, and with its clock."""
    agent = _person_of(link)
    account: Account | None = agent.account
    with (
        translation.override(account.language if account else settings.LANGUAGE_CODE),
        timezone.override(account.zone if account else dt.UTC),
    ):
        context: dict[str, Any] = {"person": agent, "account": account, "portal": settings.PUBLIC_URL}
        if link.kind in CHANGES:
            subject, template = _("Your sign-in to the call center portal was changed"), "change"
            forgotten = f"{settings.PUBLIC_URL}{reverse('sign_in:forgotten')}"
            context |= {
                "change": _(CHANGES[SignInLink.Kind(link.kind)]),
                "changed_at": timezone.localtime(link.created_at),
                "forgotten": "" if link.kind == SignInLink.Kind.EMAIL else forgotten,
            }
        else:
            is_invitation, template = link.kind == SignInLink.Kind.INVITATION, link.kind
            subject = (
                _("Your sign-in to the call center portal")
                if is_invitation
                else _("Set a new password for the call center portal")
            )
            context |= {"link": address_of(link), "expires_at": timezone.localtime(link.expires_at)}
        text, page = (render_to_string(f"sign_in/mail/{template}.{kind}", context) for kind in ("txt", "html"))
        mail = EmailMultiAlternatives(subject, text, to=[str(link.sent_to) or agent.email])
        mail.attach_alternative(page, "text/html")
    mail.extra_headers["Auto-Submitted"] = "auto-generated"
    return mail


def why_not_delivered(link: SignInLink) -> str:
    return _(PROBLEMS[link.problem]) if link.problem in PROBLEMS else ""


NO_MAIL_SERVER = gettext_lazy(
    "No mail server is set up, so mails reach nobody (they are kept as files). Hand the link over yourself."
)
