"""The voicemail inbox: what is seen, by whom, and what is done with a message."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from calls.models import AudioState, SoundSource, Voicemail
from configuration.models import AuditEntry, Role
from tests.factories import AgentFactory, CallFactory, MemberFactory, SkillGroupFactory, VoicemailFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/voicemail/"


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


def message(account, **fields):
    return VoicemailFactory(call=CallFactory(account=account, **fields.pop("call", {})), recorded_at=timezone.now(), **fields)


def shown(client, query=""):
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def do(client, name, *rows):
    return client.post(LIST, {"action": name, "_selected_action": [row.pk for row in rows]}, follow=True)


def test_messages_are_narrowed_by_what_became_of_them(client, account, administrator):
    group, other = SkillGroupFactory(account=account), AgentFactory(account=account)
    heard = message(account, heard_at=timezone.now(), skill_group=group)
    done = message(account, called_back_at=timezone.now(), assigned_to=other)
    mine = message(account, assigned_to=administrator)
    VoicemailFactory()
    assert shown(client) == {heard.pk, done.pk, mine.pk}
    assert shown(client, "heard=no") == {done.pk, mine.pk} and shown(client, "heard=yes") == {heard.pk}
    assert shown(client, "called_back=yes") == {done.pk}
    assert shown(client, "owner=me") == {mine.pk} and shown(client, "owner=nobody") == {heard.pk}
    assert shown(client, f"assigned_to__id__exact={other.pk}") == {done.pk}
    assert shown(client, f"skill_group__id__exact={group.pk}") == {heard.pk}
    assert client.get(f"{LIST}?owner=9", follow=False).status_code == 302


def test_the_list_costs_the_same_for_one_and_for_many(client, account, administrator, django_assert_max_num_queries):
    agent = AgentFactory(account=account)
    for _ in range(3):
        message(account, assigned_to=agent, heard_by=agent, heard_at=timezone.now())
    client.get(LIST)
    with django_assert_max_num_queries(16) as few:
        client.get(LIST)
    for _ in range(5):
        message(account, assigned_to=agent, heard_by=agent, heard_at=timezone.now())
    with django_assert_max_num_queries(len(few)):
        client.get(LIST)


def test_actions_change_each_message_once_and_are_told_in_the_audit_log(client, account, administrator):
    rows = [message(account) for _ in range(2)]
    do(client, "mark_heard", *rows)
    do(client, "mark_heard", *rows)
    do(client, "mark_called_back", rows[0])
    do(client, "assign_to_me", rows[0])
    row = Voicemail.objects.get(pk=rows[0].pk)
    assert (row.heard_by, row.called_back_by, row.assigned_to) == (administrator,) * 3 and row.called_back_at
    told = AuditEntry.objects.filter(object_id=row.pk, action=AuditEntry.Action.UPDATE)
    assert told.count() == 3 and {entry.actor_id for entry in told} == {administrator.pk}
    do(client, "mark_unheard", *rows)
    do(client, "mark_not_called_back", *rows)
    do(client, "assign_to_nobody", *rows)
    row.refresh_from_db()
    assert (row.heard_at, row.heard_by, row.called_back_at, row.called_back_by, row.assigned_to) == (None,) * 5


def test_a_message_of_another_account_is_not_changed(client, administrator):
    foreign = VoicemailFactory()
    do(client, "mark_heard", foreign)
    assert Voicemail.objects.get().heard_at is None


def test_a_message_is_assigned_on_its_page_to_somebody_of_the_account(client, account, administrator):
    row, agent, gone, stranger = (
        message(account),
        AgentFactory(account=account),
        AgentFactory(account=account, is_active=False),
        AgentFactory(),
    )
    page = reverse("admin:calls_voicemail_change", args=[row.pk])
    assert client.get(page).status_code == 200
    for person in (gone, stranger):
        assert client.post(page, {"assigned_to": person.pk}).status_code == 200
        assert Voicemail.objects.get(pk=row.pk).assigned_to is None
    assert client.post(page, {"assigned_to": agent.pk}).status_code == 302
    assert Voicemail.objects.get(pk=row.pk).assigned_to == agent


def test_who_may_only_see_changes_nothing(client, account):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    row = message(account)
    assert shown(client) == {row.pk}
    do(client, "mark_heard", row)
    client.post(reverse("admin:calls_voicemail_change", args=[row.pk]), {"assigned_to": AgentFactory(account=account).pk})
    row.refresh_from_db()
    assert row.heard_at is None and row.assigned_to is None


def test_a_supervisor_sees_the_messages_of_own_groups_and_those_assigned(client, account):
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    client.force_login(person)
    group = SkillGroupFactory(account=account)
    MemberFactory(account=account, agent=person, skill_group=group)
    of_group, assigned, _other = message(account, skill_group=group), message(account, assigned_to=person), message(account)
    assert shown(client) == {of_group.pk, assigned.pk}


def test_the_call_back_is_found_by_its_number(client, account, administrator):
    row = message(account, call={"calling_number": "+8613800138000"})
    before = CallFactory(account=account, direction="outbound", called_number="+8613800138000")
    type(before).objects.filter(pk=before.pk).update(started_at=row.recorded_at - dt.timedelta(hours=1))
    assert "attempt of" not in client.get(LIST).content.decode()
    after = CallFactory(account=account, direction="outbound", called_number="+8613800138000")
    type(after).objects.filter(pk=after.pk).update(started_at=row.recorded_at + dt.timedelta(hours=1), answered_at=None)
    page = client.get(LIST).content.decode()
    assert "attempt of" in page and reverse("admin:calls_call_change", args=[after.pk]) in page


def test_the_badge_counts_what_nobody_heard(client, account, administrator):
    assert "min-w-[18px] bg-primary-100" not in client.get("/admin/calls/call/").content.decode()
    message(account)
    message(account, heard_at=timezone.now())
    VoicemailFactory()
    page = client.get("/admin/calls/call/").content.decode()
    assert page.partition("min-w-[18px] bg-primary-100")[2].partition(">")[2].startswith("1<")


def test_a_message_that_is_not_stored_has_no_player(client, account, administrator):
    message(account, state=AudioState.EXPECTED, key="")
    assert "<audio" not in client.get(LIST).content.decode()


def test_a_sources_secret_is_never_shown_and_kept_when_left_empty(client, account, administrator):
    add = reverse("admin:calls_soundsource_add")
    fields = {"host": " HTTPS://Files.Example.com/ ", "user_name": "u", "secret": "canary", "is_active": "on"}
    assert client.post(add, fields).status_code == 302
    source = SoundSource.objects.get()
    assert (source.host, source.secret, source.account) == ("files.example.com", "canary", account)
    page = reverse("admin:calls_soundsource_change", args=[source.pk])
    assert "canary" not in client.get(page).content.decode()
    client.post(page, fields | {"secret": "", "user_name": "v"})
    source = SoundSource.objects.get()
    assert (source.user_name, source.secret) == ("v", "canary")
    assert "canary" not in str(list(AuditEntry.objects.values_list("changes", flat=True)))


@pytest.mark.parametrize("host", ["", "a b", "example.com/path", "user@example.com", "*.example.com", "example.com:0"])
def test_a_source_is_one_host(client, administrator, host):
    answer = client.post(reverse("admin:calls_soundsource_add"), {"host": host, "is_active": "on"})
    assert answer.status_code == 200 and "host" in answer.context["adminform"].form.errors
