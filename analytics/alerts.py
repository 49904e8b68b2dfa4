"""Alerts: a live figure beyond its limit is told once, and once more when it is well again.

What must never happen: two workers tell the same crossing twice, or one that died tells it never. So a rule changes its
state by a guarded update, and what is to be sent is a row of the same transaction, sent by whoever claims it.
"""

import datetime as dt
import json
import logging
import smtplib
import uuid
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.urls import reverse
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from agents.wording import to_the_second
from analytics import live
from analytics.live import Live, Scope
from analytics.models import AlertCrossing, AlertNotice, AlertRule
from callcenter_site.durations import clock
from callcenter_site.outgoing import OutgoingError, post
from callcenter_site.webhooks import signed_headers

log = logging.getLogger(__name__)

WAITS = (10, 30, 120, 600, 1800, 3600, 7200)
"""Seconds from one try to the next; after the last one a notice has failed."""
LEASE = dt.timedelta(minutes=2)


# --- Crossings -------------------------------------------------------------------------------------------------------


def check_all(*, at: dt.datetime) -> int:
    """Looks at every rule in use; how many crossed their limit or came back. Off duty a rule is within its limit, whatever the
    figures are."""
    rules = AlertRule.objects.filter(is_active=True, account__terminated_at=None).select_related("account", "skill_group")
    now: dict[int, Live] = {}
    n_changed = 0
    for rule in rules.order_by("account_id", "pk"):
        value = None
        if rule.is_on_duty(at):
            if rule.account_id not in now:
                now[rule.account_id] = live.seen(Scope(rule.account_id, None, None))
            value = value_of(rule, now[rule.account_id])
        n_changed += check(rule=rule, value=value, at=at)
    return n_changed


def value_of(rule: AlertRule, now: Live) -> float | None:
    """The figure a rule watches; None where there is none. A group out of use has none."""
    queues = now.queues
    if rule.skill_group_id is not None:
        found = [group.queues for group in now.groups if group.group_id == rule.skill_group_id]
        if not found:
            return None
        queues = found[0]
    match rule.metric:
        case AlertRule.Metric.IN_QUEUE:
            return queues.in_queue
        case AlertRule.Metric.LONGEST_WAIT:
            return queues.longest_wait_seconds or 0.0
        case AlertRule.Metric.SERVICE_LEVEL:
            return None if queues.service_level_rolling is None else queues.service_level_rolling * 100
        case _:
            return queues.staffed


def check(*, rule: AlertRule, value: float | None, at: dt.datetime) -> bool:
    """Whether the rule crossed its limit, or came back, by this look at it."""
    is_beyond = value is not None and rule.is_beyond(value) and rule.is_on_duty(at)
    if rule.is_raised == is_beyond:
        if rule.turning_since is not None:
            AlertRule.objects.filter(pk=rule.pk, turning_since=rule.turning_since).update(turning_since=None)
        return False
    if rule.turning_since is None:
        AlertRule.objects.filter(pk=rule.pk, turning_since=None, is_raised=rule.is_raised).update(turning_since=at)
        rule.turning_since = at
    if at - rule.turning_since < dt.timedelta(seconds=rule.hold_seconds):
        return False
    return _turn(rule, value, at)


@transaction.atomic
def _turn(rule: AlertRule, value: float | None, at: dt.datetime) -> bool:
    rows = AlertRule.objects.filter(pk=rule.pk, is_raised=rule.is_raised, turning_since=rule.turning_since)
    if rows.update(is_raised=not rule.is_raised, turning_since=None) != 1:
        return False  # another worker was quicker
    if rule.is_raised:
        crossing = AlertCrossing.objects.filter(rule=rule, recovered_at=None).order_by("-pk").first()
        if crossing is not None:
            AlertCrossing.objects.filter(pk=crossing.pk).update(recovered_at=at)
            _announce(rule, crossing, AlertNotice.About.RECOVERED, at)
    else:
        crossing = AlertCrossing.objects.create(
            account_id=rule.account_id,
            rule=rule,
            skill_group=rule.skill_group,
            metric=rule.metric,
            threshold=rule.threshold,
            value=value,
            began_at=rule.turning_since or at,
            crossed_at=at,
        )
        _announce(rule, crossing, AlertNotice.About.RAISED, at)
    return True


def _announce(rule: AlertRule, crossing: AlertCrossing, about: str, at: dt.datetime) -> None:
    channels = [AlertNotice.Channel.MAIL] if rule.addresses else []
    if rule.webhook_url:
        channels.append(AlertNotice.Channel.WEBHOOK)
    AlertNotice.objects.bulk_create(
        AlertNotice(
            account_id=rule.account_id,
            crossing=crossing,
            about=about,
            channel=channel,
            message_id=uuid.uuid4().hex,
            next_try_at=at,
        )
        for channel in channels
    )


# --- Notices ---------------------------------------------------------------------------------------------------------


def send_due(*, at: dt.datetime, limit: int = 50) -> int:
    """Sends what is due, the longest waiting first; how many went out."""
    due = AlertNotice.objects.filter(state=AlertNotice.State.WAITING, next_try_at__lte=at).order_by("next_try_at")
    n_sent = 0
    for notice in list(due.select_related("crossing__rule__account", "crossing__skill_group")[:limit]):
        claimed = AlertNotice.objects.filter(pk=notice.pk, state=AlertNotice.State.WAITING, next_try_at=notice.next_try_at)
        # The lease is also what is left where this process dies: the notice is due again then.
        if claimed.update(next_try_at=at + LEASE) == 1:
            n_sent += _send(notice, at)
    return n_sent


def _send(notice: AlertNotice, at: dt.datetime) -> bool:
    rows = AlertNotice.objects.filter(pk=notice.pk)
    rule = notice.crossing.rule
    try:
        if notice.channel == AlertNotice.Channel.MAIL:
            _mail(rule, notice).send()
        else:
            _post(rule, notice, at)
    except OutgoingError as error:
        _put_off(rows, notice, error.reason, at, is_final=error.is_final)
        return False
    except (OSError, smtplib.SMTPException) as error:
        _put_off(rows, notice, type(error).__name__, at, is_final=False)
        return False
    rows.update(state=AlertNotice.State.SENT, sent_at=at, next_try_at=None, problem="", n_tries=notice.n_tries + 1)
    return True


def _put_off(rows: Any, notice: AlertNotice, problem: str, at: dt.datetime, *, is_final: bool) -> None:
    log.info("alert notice %s was not delivered, try %d", notice.pk, notice.n_tries + 1)
    changes: dict[str, Any] = {"problem": problem[:200], "n_tries": notice.n_tries + 1}
    if is_final or notice.n_tries >= len(WAITS):
        rows.update(state=AlertNotice.State.FAILED, next_try_at=None, **changes)
    else:
        rows.update(next_try_at=at + dt.timedelta(seconds=WAITS[notice.n_tries]), **changes)


def _post(rule: AlertRule, notice: AlertNotice, at: dt.datetime) -> None:
    body = json.dumps(told(notice), ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers(secrets=[str(rule.webhook_secret)], message_id=notice.message_id, at=at, body=body)
    status = post(str(rule.webhook_url), body=body, headers={"Content-Type": "application/json", **headers})
    if not 200 <= status < 300:
        raise OutgoingError(_("its host answered %(status)s") % {"status": status}, is_final=status == 410)


def told(notice: AlertNotice) -> dict[str, Any]:
    """What a webhook gets: figures, names of what was set up, and nothing of a person or a call."""
    crossing = notice.crossing
    group = crossing.skill_group
    return {
        "type": f"alert.{notice.about}",
        "crossing": crossing.pk,
        "rule": {"id": crossing.rule_id, "name": crossing.rule.name},
        "metric": crossing.metric,
        "threshold": crossing.threshold,
        "value": crossing.value,
        "skill_group": None if group is None else {"id": group.pk, "name": group.name},
        "began_at": crossing.began_at.isoformat(),
        "crossed_at": crossing.crossed_at.isoformat(),
        "recovered_at": crossing.recovered_at.isoformat() if crossing.recovered_at else None,
    }


def _mail(rule: AlertRule, notice: AlertNotice) -> EmailMessage:
    """In the language of the account, and with its clock. Nobody sees who else gets it."""
    crossing, account = notice.crossing, rule.account
    with translation.override(account.language), timezone.override(account.zone):
        where = crossing.skill_group.name if crossing.skill_group else account.name
        is_over = notice.about == AlertNotice.About.RECOVERED
        subject = (
            _("Well again: %(rule)s (%(where)s)") % {"rule": rule.name, "where": where}
            if is_over
            else _("Alert: %(rule)s (%(where)s)") % {"rule": rule.name, "where": where}
        )
        moment = crossing.recovered_at if is_over and crossing.recovered_at else crossing.crossed_at
        limit = None if crossing.metric == AlertRule.Metric.NO_AGENT else said(crossing.metric, crossing.threshold)
        when = _("Well again: %(when)s") if is_over else _("Told: %(when)s")
        lines = [
            f"{rule.get_metric_display()}: {said(crossing.metric, crossing.value)}",
            *([] if limit is None else [_("Limit: %(limit)s") % {"limit": limit}]),
            _("Began: %(when)s") % {"when": to_the_second(crossing.began_at)},
            when % {"when": to_the_second(moment)},
            "",
            f"{settings.PUBLIC_URL}{reverse('analytics:now')}",
        ]
        mail = EmailMessage(subject, "\n".join(lines), bcc=rule.addresses)
    mail.extra_headers["Auto-Submitted"] = "auto-generated"
    return mail


def said(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    match metric:
        case AlertRule.Metric.LONGEST_WAIT:
            return clock(value)
        case AlertRule.Metric.SERVICE_LEVEL:
            return _("%(n)s %%") % {"n": formats.number_format(round(value, 1))}
        case _:
            return formats.number_format(round(value))
