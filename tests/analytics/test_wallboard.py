"""Wallboards: figures only, by a link that can be renewed and revoked, and of no group that is not on it."""

import datetime as dt
import json
from functools import partial

import pytest
import time_machine
from auditlog import get_logentry_model
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from analytics import wallboard
from analytics.models import Display
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
BY_LINK = reverse("wallboard:figures-by-link")


@pytest.fixture
def groups(account):
    found = [SkillGroupFactory(account=account, name=name) for name in ("Sales", "Service")]
    for number, group in enumerate(found):
        MemberFactory(skill_group=group, agent=AgentFactory(account=account, staff_id=f"staff-{number}", name="Zhang Wei"))
    now = timezone.now()
    take_in(
        Story(account, now - dt.timedelta(seconds=40), "a").queued(0, "Sales").rings(1, "staff-0"),
        Story(account, now - dt.timedelta(seconds=30), "b").queued(0, "Service"),
        at=now,
    )
    return found


@pytest.fixture
def display(account, groups):
    return Display.objects.create(account=account, name="Floor", group_ids=[groups[0].pk])


def token_of(link):
    return link.partition("#")[2]


def ask(client, token, **extra):
    return client.get(BY_LINK, headers={"Authorization": f"Display {token}"}, **extra)


def sign_in(client, person):
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return person


def test_a_link_shows_figures_of_its_groups_and_nothing_of_people(client, display, groups):
    answer = ask(client, token_of(wallboard.make_link(display=display, at=timezone.now())))
    told = answer.json()
    assert [group["name"] for group in told["figures"]["skill_groups"]] == ["Sales"]
    assert (told["figures"]["total"]["ringing"], told["figures"]["total"]["in_queue"]) == (1, 0)
    assert told["figures"]["total"]["in_ivr"] is None
    assert set(told["figures"]) == {"at", "counted_to", "version", "total", "agents", "skill_groups", "connections"}
    text = answer.content.decode()
    for personal in ("Zhang", "staff-0", "138001", *(f'"agent":{pk}' for pk in Agent.objects.values_list("pk", flat=True))):
        assert personal not in text
    assert "no-store" in answer.headers["Cache-Control"]


def test_the_token_is_behind_the_hash_and_only_its_hash_is_kept(display):
    link = wallboard.make_link(display=display, at=timezone.now())
    address, _, token = link.partition("#")
    assert address.endswith("/wallboard/show/")
    display.refresh_from_db()
    assert token.partition(".")[2] not in json.dumps([str(value) for value in Display.objects.values_list().get()])
    for entry in get_logentry_model().objects.values_list("changes", flat=True):
        assert token.partition(".")[2] not in str(entry) and display.token_hash not in str(entry)


def test_a_new_link_ends_the_one_before_and_a_revoked_one_shows_nothing(client, display):
    first = token_of(wallboard.make_link(display=display, at=timezone.now()))
    second = token_of(wallboard.make_link(display=display, at=timezone.now()))
    assert (ask(client, first).status_code, ask(client, second).status_code) == (404, 200)
    assert wallboard.revoke_link(display=display)
    assert not wallboard.revoke_link(display=display)
    gone, never = ask(client, second), ask(client, "0" * 12 + ".nothing")
    assert (gone.status_code, gone.content) == (never.status_code, never.content)
    assert gone.status_code == 404


def test_screens_hear_of_another_link_once_it_is_stored(display, account, monkeypatch, django_capture_on_commit_callbacks):
    told = []
    monkeypatch.setattr(wallboard, "publish", told.extend)
    for change in (partial(wallboard.make_link, at=timezone.now()), wallboard.revoke_link):
        with django_capture_on_commit_callbacks(execute=True):
            change(display=display)
            assert told == []
        assert told == [f"account:{account.pk}"]
        told.clear()


def test_an_open_stream_ends_with_its_link(display, account):
    wallboard.make_link(display=display, at=timezone.now())
    view = wallboard.topic_of_display(display, by_link=True).partition(":")[2].partition(":")[2]
    signed_in = wallboard.topic_of_display(display, by_link=False).partition(":")[2].partition(":")[2]
    assert json.loads(wallboard.render_view(account.pk, view))["skill_groups"]
    assert wallboard.render_view(AccountFactory().pk, view) is None
    wallboard.make_link(display=display, at=timezone.now())
    assert wallboard.render_view(account.pk, view) is None
    assert wallboard.render_view(account.pk, signed_in) is not None
    display.delete()
    assert wallboard.render_view(account.pk, signed_in) is None


def test_a_link_of_a_terminated_account_shows_nothing(client, display, account):
    token = token_of(wallboard.make_link(display=display, at=timezone.now()))
    account.terminated_at = timezone.now()
    account.save()
    assert ask(client, token).status_code == 404


def test_wrong_links_are_refused_for_a_while(client, display):
    token = token_of(wallboard.make_link(display=display, at=timezone.now()))
    cache.clear()
    for _ in range(20):
        assert ask(client, "guess").status_code == 404
    assert ask(client, token).status_code == 429
    assert ask(client, token, REMOTE_ADDR="203.0.113.9").status_code == 200


def test_when_a_link_was_last_used_is_noted_once_a_minute(client, display, django_assert_num_queries):
    with time_machine.travel("2026-03-02T04:00:00Z", tick=False) as clock:
        token = token_of(wallboard.make_link(display=display, at=timezone.now()))
        ask(client, token)
        first = Display.objects.get().token_seen_at
        clock.shift(30)
        ask(client, token)
        assert Display.objects.get().token_seen_at == first
        clock.shift(31)
        ask(client, token)
        assert Display.objects.get().token_seen_at > first
    assert Display.objects.get().version == 2  # being looked at is no change


def test_a_supervisor_of_groups_has_the_displays_of_those_groups_only(client, account, display, groups):
    person = sign_in(client, AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    MemberFactory(skill_group=groups[0], agent=person)
    Display.objects.create(account=account, name="Both", group_ids=[group.pk for group in groups])
    Display.objects.create(account=account, name="All", group_ids=[])
    assert [one.name for one in Display.objects.visible_to(person)] == ["Floor"]
    assert client.get(reverse("wallboard:display-figures", args=[display.pk])).status_code == 200
    for other in Display.objects.exclude(pk=display.pk):
        assert client.get(reverse("wallboard:display-figures", args=[other.pk])).status_code == 404
    everything = client.get(reverse("wallboard:figures")).json()["figures"]
    assert [group["name"] for group in everything["skill_groups"]] == ["Sales"]
    assert everything["total"]["in_ivr"] is None


def test_a_display_speaks_its_own_language(client, account, display):
    display.language = "zh-hans"
    display.save()
    told = ask(client, token_of(wallboard.make_link(display=display, at=timezone.now()))).json()["board"]
    assert told["language"] == "zh-hans"
    assert told["words"]["activities"]["break"] != "Break"


def test_what_is_set_up_is_checked_on_its_field(client, account, groups):
    sign_in(client, AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    url = "/api/v1/wallboards/"
    theirs = SkillGroupFactory(account=AccountFactory())

    def faults(**body):
        answer = client.post(url, {"name": "Wall", **body}, content_type="application/json")
        return [error["field"] for error in answer.json().get("errors", [])]

    assert faults(queue_warning=5, queue_alarm=4) == ["queue_alarm"]
    assert faults(level_warning=60, level_alarm=70) == ["level_alarm"]
    assert faults(level_warning=101) == ["level_warning"]
    assert faults(tiles=[]) == ["tiles"]
    assert faults(tiles=["names"])[0].startswith("tiles")
    assert faults(group_ids=[theirs.pk]) == faults(group_ids=[99999999]) == ["group_ids"]
    assert faults() == []
    assert faults() == ["name"]


def test_the_page_of_a_display_makes_a_link_shown_once(client, account, display):
    sign_in(client, AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    address = reverse("admin:analytics_display_link", args=[display.pk])
    assert client.get(address).status_code == 403
    page = client.post(address)
    token = page.context["link"].partition("#")[2]
    assert token in page.content.decode()
    assert ask(client, token).status_code == 200
    for shown in ("change", "history"):
        assert token not in client.get(reverse(f"admin:analytics_display_{shown}", args=[display.pk])).content.decode()
    client.post(reverse("admin:analytics_display_unlink", args=[display.pk]))
    assert ask(client, token).status_code == 404


def test_a_supervisor_makes_displays_of_own_groups_in_the_admin(client, account, groups):
    person = sign_in(client, AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    MemberFactory(skill_group=groups[0], agent=person)
    form = {
        "name": "Mine",
        "language": "en",
        "tiles": ["in_queue", "groups"],
        "queue_warning": 1,
        "queue_alarm": 2,
        "wait_warning": 10,
        "wait_alarm": 20,
        "level_warning": 80,
        "level_alarm": 60,
    }
    add = reverse("admin:analytics_display_add")
    assert "group_ids" in client.post(add, form).context["adminform"].form.errors
    assert "group_ids" in client.post(add, {**form, "group_ids": [groups[1].pk]}).context["adminform"].form.errors
    assert client.post(add, {**form, "group_ids": [groups[0].pk]}).status_code == 302
    assert Display.objects.get().group_ids == [groups[0].pk]
