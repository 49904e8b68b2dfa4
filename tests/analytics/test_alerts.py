"""Alerts: told once per crossing whoever looks, once more when it is well again, in their hours, and again until delivered."""

import datetime as dt
import json

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import reverse

from agents.models import Status
from agents.presence import change_status
from analytics import alerts
from analytics.erasure import erase_crossings
from analytics.models import AlertCrossing, AlertNotice, AlertRule
from callcenter_site.outgoing import OutgoingError
from callcenter_site.subjects import Subject, SubjectKind, Work
from callcenter_site.webhooks import verify
from configuration.models import Role
from tests.analytics.events import Story, post
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)  # Monday noon in Shanghai
Metric = AlertRule.Metric


def seconds(n):
    return NOW + dt.timedelta(seconds=n)


@pytest.fixture
def rule(account):
    return make_rule(account)


def make_rule(account, **given):
    given = {"name": "Queue", "metric": Metric.IN_QUEUE, "threshold": 2, "hold_seconds": 30, "mail_to": "a@x.example", **given}
    return AlertRule.objects.create(account=account, **given)


def look(rule, value, at):
    """As a worker does: with the rule as it is now."""
    rule.refresh_from_db()
    return alerts.check(rule=rule, value=value, at=at)


def test_a_limit_crossed_for_long_enough_is_told_once_and_again_when_it_is_well(rule):
    looks = [
        (0, 3, False),
        (29, 3, False),
        (30, 4, True),
        (35, 9, False),
        (60, 2, False),
        (89, 2, False),
        (90, 2, True),
        (95, 2, False),
    ]
    assert [look(rule, value, seconds(n)) for n, value, _ in looks] == [expected for *_, expected in looks]
    crossing = AlertCrossing.objects.get()
    assert (crossing.value, crossing.began_at, crossing.crossed_at, crossing.recovered_at) == (4, NOW, seconds(30), seconds(90))
    assert sorted(AlertNotice.objects.values_list("about", "channel")) == [("raised", "mail"), ("recovered", "mail")]


def test_the_limit_itself_is_not_beyond_it(account):
    assert not make_rule(account, name="q").is_beyond(2)
    level = make_rule(account, name="l", metric=Metric.SERVICE_LEVEL, threshold=80)
    assert (level.is_beyond(80), level.is_beyond(79.9)) == (False, True)
    nobody = make_rule(account, name="n", metric=Metric.NO_AGENT)
    assert (nobody.is_beyond(0), nobody.is_beyond(1)) == (True, False)


def test_what_goes_up_and_down_within_the_time_is_not_told(rule):
    for n, value in [(0, 3), (20, 2), (25, 3), (50, 3)]:
        assert not look(rule, value, seconds(n))
    assert look(rule, 3, seconds(55))
    for n, value in [(60, 1), (80, 3), (85, 1), (110, 1)]:
        assert not look(rule, value, seconds(n))
    assert AlertCrossing.objects.filter(recovered_at=None).count() == 1


def test_two_workers_that_see_the_same_tell_it_once(rule):
    look(rule, 3, NOW)
    one, other = (AlertRule.objects.get(pk=rule.pk) for _ in range(2))
    assert [alerts.check(rule=each, value=3, at=seconds(30)) for each in (one, other)] == [True, False]
    assert (AlertCrossing.objects.count(), AlertNotice.objects.count()) == (1, 1)
    look(rule, 0, seconds(40))
    one, other = (AlertRule.objects.get(pk=rule.pk) for _ in range(2))
    assert [alerts.check(rule=each, value=0, at=seconds(80)) for each in (one, other)] == [True, False]
    assert (AlertCrossing.objects.count(), AlertNotice.objects.count()) == (1, 2)


def test_two_workers_send_a_notice_once(rule):
    look(rule, 3, NOW)
    look(rule, 3, seconds(30))
    due = list(AlertNotice.objects.all())
    assert alerts.send_due(at=seconds(31)) == 1
    claimed = AlertNotice.objects.filter(pk=due[0].pk, state="waiting", next_try_at=due[0].next_try_at)
    assert claimed.update(next_try_at=None) == 0
    assert alerts.send_due(at=seconds(32)) == 0
    assert [sorted(one.bcc) for one in mail.outbox] == [["a@x.example"]]
    assert mail.outbox[0].to == []
    assert "Queue" in mail.outbox[0].subject


def test_a_webhook_is_signed_and_tried_again_until_it_is_taken(account, monkeypatch):
    rule = make_rule(account, mail_to="", webhook_url="https://hooks.example.com/in", hold_seconds=0)
    assert look(rule, 3, NOW)
    answers, sent = [OutgoingError("its host does not answer"), 500, 204], []

    def answer(address, *, body, headers):
        sent.append((address, body, headers))
        now = answers.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    monkeypatch.setattr(alerts, "post", answer)
    assert [alerts.send_due(at=seconds(n)) for n in (0, 9, 10, 39, 40)] == [0, 0, 0, 0, 1]
    notice = AlertNotice.objects.get()
    assert (notice.state, notice.n_tries, notice.problem) == ("sent", 3, "")
    secret = str(AlertRule.objects.get().webhook_secret)
    ids = {
        verify(secrets=[secret], headers=headers, body=body, at=seconds(n)).id
        for n, (_, body, headers) in zip((0, 10, 40), sent, strict=True)
    }
    assert ids == {notice.message_id}  # the receiver sees that it is the same
    told = json.loads(sent[-1][1])
    assert (told["type"], told["metric"], told["threshold"], told["value"]) == ("alert.raised", "in_queue", 2, 3)
    assert told["rule"] == {"id": rule.pk, "name": "Queue"}


def test_a_webhook_that_never_answers_is_given_up_and_said(account, monkeypatch):
    rule = make_rule(account, mail_to="", webhook_url="https://hooks.example.com/in", hold_seconds=0)
    look(rule, 3, NOW)

    def refuse(address, **rest):
        raise OutgoingError("its host does not answer")

    monkeypatch.setattr(alerts, "post", refuse)
    at = NOW
    for _ in range(len(alerts.WAITS) + 3):
        alerts.send_due(at=at)
        at += dt.timedelta(hours=3)
    notice = AlertNotice.objects.get()
    assert (notice.state, notice.n_tries, notice.next_try_at) == ("failed", len(alerts.WAITS) + 1, None)
    assert notice.problem == "its host does not answer"


def test_a_worker_that_dies_while_it_sends_leaves_the_notice_to_the_next(rule, monkeypatch):
    look(rule, 3, NOW)
    look(rule, 3, seconds(30))

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(alerts, "_mail", die)
    with pytest.raises(KeyboardInterrupt):
        alerts.send_due(at=seconds(31))
    monkeypatch.undo()
    assert alerts.send_due(at=seconds(60)) == 0
    assert alerts.send_due(at=seconds(31) + alerts.LEASE) == 1


@pytest.mark.parametrize(
    ("starts", "ends", "days", "local", "is_on"),
    [
        ("08:00", "20:00", [0], "2026-03-02T08:00", True),
        ("08:00", "20:00", [0], "2026-03-02T20:00", False),
        ("08:00", "20:00", [1], "2026-03-02T12:00", False),
        ("22:00", "06:00", [0], "2026-03-02T23:00", True),
        ("22:00", "06:00", [0], "2026-03-03T05:59", True),
        ("22:00", "06:00", [0], "2026-03-02T05:59", False),
        (None, None, [6], "2026-03-08T12:00", True),
    ],
)
def test_hours_are_those_on_the_wall(starts, ends, days, local, is_on):
    account = AccountFactory(time_zone="America/New_York")
    rule = AlertRule(
        account=account,
        weekdays=days,
        starts_at=dt.time.fromisoformat(starts) if starts else None,
        ends_at=dt.time.fromisoformat(ends) if ends else None,
    )
    assert rule.is_on_duty(dt.datetime.fromisoformat(local).replace(tzinfo=account.zone)) is is_on


def test_hours_follow_the_clock_when_it_is_changed():
    account = AccountFactory(time_zone="America/New_York")
    rule = AlertRule(account=account, weekdays=[6], starts_at=dt.time(8), ends_at=dt.time(9))
    winter, summer = dt.datetime(2026, 3, 1, 13, 30, tzinfo=dt.UTC), dt.datetime(2026, 3, 8, 12, 30, tzinfo=dt.UTC)
    assert rule.is_on_duty(winter) and rule.is_on_duty(summer)
    assert not rule.is_on_duty(summer + dt.timedelta(hours=1))


def test_rules_are_held_against_their_own_account_and_group(account, monkeypatch):
    group = SkillGroupFactory(account=account, name="S")
    agent = AgentFactory(account=account, staff_id="A")
    MemberFactory(skill_group=group, agent=agent)
    other = AccountFactory()
    rules = {
        name: make_rule(owner, name=name, hold_seconds=0, **given)
        for name, owner, given in [
            ("queue", account, {"threshold": 0}),
            ("of group", account, {"threshold": 0, "skill_group": group}),
            ("wait", account, {"metric": Metric.LONGEST_WAIT, "threshold": 60}),
            ("level", account, {"metric": Metric.SERVICE_LEVEL, "threshold": 80}),
            ("nobody", account, {"metric": Metric.NO_AGENT}),
            ("theirs", other, {"threshold": 0}),
            ("off", account, {"threshold": 0, "is_active": False}),
        ]
    }
    now = dt.datetime.now(dt.UTC)
    post(account, Story(account, now - dt.timedelta(seconds=90), "waits").queued(0, "S").items, at=now)
    assert alerts.check_all(at=now) == 5
    raised = set(AlertRule.objects.filter(is_raised=True).values_list("name", flat=True))
    assert raised == {"queue", "of group", "wait", "level", "nobody"}
    assert alerts.check_all(at=now) == 0
    from django.core.cache import cache

    cache.clear()
    change_status(agent=agent, status=Status.AVAILABLE, at=now)
    assert alerts.check_all(at=now) == 1
    assert rules["nobody"].crossings.get().recovered_at == now


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mail_to": ""}, "mail_to"),
        ({"mail_to": "a@x.example, nonsense"}, "mail_to"),
        ({"mail_to": ", ".join(f"a{n}@x.example" for n in range(21))}, "mail_to"),
        ({"webhook_url": "http://hooks.example.com/"}, "webhook_url"),
        ({"webhook_url": "https://user:pw@hooks.example.com/"}, "webhook_url"),
        ({"metric": Metric.SERVICE_LEVEL, "threshold": 101}, "threshold"),
        ({"weekdays": [7]}, "weekdays"),
        ({"weekdays": []}, "weekdays"),
        ({"starts_at": dt.time(8)}, "ends_at"),
        ({"name": " "}, "name"),
    ],
)
def test_what_makes_no_sense_is_said_on_its_field(account, given, field):
    rule = AlertRule(account=account, **{"name": "Queue", "mail_to": "a@x.example", **given})
    with pytest.raises(ValidationError) as refused:
        rule.clean()
    assert list(refused.value.message_dict) == [field]


def test_a_supervisor_of_groups_has_the_alerts_of_those_groups_only(client, account):
    groups = [SkillGroupFactory(account=account) for _ in range(2)]
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=groups[0], agent=person)
    for number, group in enumerate([*groups, None]):
        make_rule(account, name=f"r{number}", skill_group=group)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    assert [one["name"] for one in client.get("/api/v1/alerts/").json()["results"]] == ["r0"]
    body = {"name": "mine", "mail_to": "a@x.example", "skill_group": groups[1].pk}
    assert client.post("/api/v1/alerts/", body, content_type="application/json").status_code == 400
    assert client.post("/api/v1/alerts/", {**body, "skill_group": None}, content_type="application/json").status_code == 403
    assert (
        client.post("/api/v1/alerts/", {**body, "skill_group": groups[0].pk}, content_type="application/json").status_code == 201
    )
    assert AlertRule.objects.count() == 4


def test_the_secret_is_shown_once_and_by_nothing_else(client, account):
    rule = make_rule(account, webhook_url="https://hooks.example.com/in")
    assert str(rule.webhook_secret).startswith("whsec_")
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    address = reverse("admin:analytics_alertrule_secret", args=[rule.pk])
    assert client.get(address).status_code == 403
    secret = client.post(address).context["secret"]
    for url in (reverse("admin:analytics_alertrule_change", args=[rule.pk]), f"/api/v1/alerts/{rule.pk}/"):
        assert secret not in client.get(url).content.decode()
    assert str(AlertRule.objects.get().webhook_secret) == secret


def test_somebody_who_is_erased_gets_no_more_mails(account):
    from analytics.subjects import STORES

    store = next(one for one in STORES if one.name == "alert_mails")
    both = make_rule(account, mail_to="Zhang@x.example, b@x.example")
    alone = make_rule(account, name="alone", mail_to="zhang@x.example")
    make_rule(account, name="other")
    subject = Subject(SubjectKind.AGENT, account.pk, "CN", names=frozenset({"zhang@x.example"}))
    found = store.find(subject, None, 100).ids
    assert found == [both.pk, alone.pk]
    store.erase(subject, found, Work(at=NOW))
    assert store.find(subject, None, 100).ids == []
    both.refresh_from_db()
    alone.refresh_from_db()
    assert (both.addresses, both.is_active, alone.addresses, alone.is_active) == (["b@x.example"], True, [], False)


def test_past_alerts_are_listed_with_what_became_of_telling(client, account, rule):
    look(rule, 3, NOW)
    look(rule, 3, seconds(30))
    alerts.send_due(at=seconds(31))
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    page = client.get(reverse("admin:analytics_alertcrossing_changelist")).content.decode()
    assert "mail, raised: sent" in page
    told = client.get("/api/v1/alert-crossings/?open=true").json()["results"]
    assert [(one["rule"], one["value"], one["notices"][0]["state"]) for one in told] == [(rule.pk, 3, "sent")]
    assert client.get("/api/v1/alert-crossings/?open=false").json()["results"] == []


def test_past_alerts_go_after_their_time_with_their_messages_and_one_that_is_not_over_stays(rule):
    for n, is_over in ((0, True), (1, True), (2, False), (40, True)):
        crossing = AlertCrossing.objects.create(
            account=rule.account,
            rule=rule,
            metric=rule.metric,
            threshold=2,
            began_at=NOW,
            crossed_at=NOW + dt.timedelta(days=n),
            recovered_at=NOW + dt.timedelta(days=n, hours=1) if is_over else None,
        )
        AlertNotice.objects.create(account=rule.account, crossing=crossing, about="raised", channel="mail", message_id=str(n))
    foreign = make_rule(AccountFactory())
    theirs = AlertCrossing.objects.create(
        account=foreign.account, rule=foreign, metric="in_queue", threshold=1, began_at=NOW, crossed_at=NOW, recovered_at=NOW
    )
    gone, cursor = 0, None
    while True:
        batch = erase_crossings(account=rule.account, before=NOW + dt.timedelta(days=10), after=cursor, limit=1)
        gone, cursor = gone + batch.n_rows, batch.cursor
        if cursor is None:
            break
    assert gone == 2
    left = AlertCrossing.objects.for_account(rule.account).order_by("crossed_at")
    assert [one.crossed_at - NOW for one in left] == [dt.timedelta(days=2), dt.timedelta(days=40)]
    assert set(AlertNotice.objects.values_list("message_id", flat=True)) == {"2", "40"}
    assert AlertCrossing.objects.filter(pk=theirs.pk).exists()
