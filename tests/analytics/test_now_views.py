"""The page of what goes on now."""

import datetime as dt
import json

import pytest
import time_machine
from django.core import signing
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.urls import reverse

from analytics import live
from analytics.models import CallTotal
from analytics.now_views import today_and_usual
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def center(account):
    groups = [SkillGroupFactory(account=account, name=name) for name in ("Sales", "Service")]
    for number, group in enumerate(groups):
        MemberFactory(skill_group=group, agent=AgentFactory(account=account, staff_id=f"A{number}", name=f"Person {number}"))
    take_in(
        Story(account, NOW - dt.timedelta(seconds=40), "a").queued(0, "Sales"),
        Story(account, NOW - dt.timedelta(seconds=30), "b").queued(0, "Service"),
        at=NOW,
    )
    return groups


def sign_in(client, person):
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return person


def supervisor_of(client, group):
    person = sign_in(client, AgentFactory(account=group.account, kind=Role.Kind.SUPERVISOR))
    MemberFactory(skill_group=group, agent=person)
    return person


def test_a_supervisor_of_groups_sees_those_groups_and_their_people_only(client, center):
    supervisor_of(client, center[0])
    page = client.get(reverse("analytics:now")).content.decode()
    assert "Person 0" in page and "Person 1" not in page
    figures = client.get(reverse("analytics:now-figures")).json()["figures"]
    assert [group["name"] for group in figures["skill_groups"]] == ["Sales"]
    assert (figures["calls"]["in_queue"], figures["calls"]["today"]) == (1, None)
    assert len(figures["people"]) == 2  # the agent and the supervisor


def test_the_link_opens_the_view_of_just_what_the_person_sees(client, center):
    supervisor = supervisor_of(client, center[0])
    link = client.get(reverse("analytics:now-figures")).json()["link"]
    topics = signing.TimestampSigner(salt="callcenter_site.streams").unsign_object(link.partition("to=")[2])
    assert topics == [f"view:{supervisor.account_id}:now:{center[0].pk}:{supervisor.pk}:people"]


def test_who_may_not_see_agents_is_told_of_none(client, account, center):
    role = Role.objects.create(
        account=account, name="Figures", permissions=["agents.enter_admin", "analytics.see_figures"], data_scope="account"
    )
    sign_in(client, AgentFactory(account=account, role=role))
    answer = client.get(reverse("analytics:now-figures")).json()
    assert "people" not in answer["figures"]
    assert "Person 0" not in client.get(reverse("analytics:now")).content.decode()
    (topic,) = signing.TimestampSigner(salt="callcenter_site.streams").unsign_object(answer["link"].partition("to=")[2])
    assert topic.endswith(":")


def test_the_page_asks_no_more_for_more_agents_and_groups(client, account, center, django_assert_max_num_queries):
    sign_in(client, AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    for number in range(12):
        MemberFactory(skill_group=SkillGroupFactory(account=account), agent=AgentFactory(account=account, name=f"More {number}"))
    with django_assert_max_num_queries(41):
        client.get(reverse("analytics:now"))
    with django_assert_max_num_queries(5):
        client.get(reverse("analytics:now-figures"))


def test_a_usual_day_is_the_mean_of_the_same_weekdays_that_had_calls(account):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    for weeks, n in ((0, 5), (1, 10), (2, 20), (4, 30), (5, 1000)):  # three weeks ago was a holiday
        CallTotal.objects.create(account=account, slot=NOW.replace(minute=15) - dt.timedelta(weeks=weeks), n_calls=n)
    CallTotal.objects.create(account=account, slot=NOW.replace(minute=15) - dt.timedelta(days=6), n_calls=1000)
    curve = today_and_usual(boss, live.scope_of(boss), at=NOW)
    noon = 24  # 12:15 in Shanghai
    assert curve["n_days"] == 3
    assert (curve["datasets"][0]["data"][noon], curve["datasets"][1]["data"][noon]) == (5, 20)
    assert sum(curve["datasets"][1]["data"]) == 20
    assert curve["datasets"][0]["data"][noon + 1] is None
    other = AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)
    assert today_and_usual(other, live.scope_of(other), at=NOW)["n_days"] == 0


def test_a_usual_day_goes_by_the_clock_on_the_wall_when_it_is_changed(account):
    account.time_zone = "America/New_York"
    account.save()
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    at = dt.datetime(2026, 3, 8, 16, 0, tzinfo=dt.UTC)  # noon, on the day that has no 02:00
    CallTotal.objects.create(account=account, slot=dt.datetime(2026, 3, 1, 14, 0, tzinfo=dt.UTC), n_calls=8)  # 09:00 in winter
    CallTotal.objects.create(account=account, slot=dt.datetime(2026, 3, 8, 13, 0, tzinfo=dt.UTC), n_calls=6)  # 09:00 in summer
    cache.clear()
    curve = today_and_usual(boss, live.scope_of(boss), at=at)
    assert (curve["datasets"][0]["data"][18], curve["datasets"][1]["data"][18]) == (6, 8)


def test_what_the_page_knows_at_first_is_what_it_is_told_later(client, account, center):
    sign_in(client, AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    page = client.get(reverse("analytics:now")).content.decode()
    first = json.loads(page.partition('id="now-told" type="application/json">')[2].partition("</script>")[0])
    assert first["figures"] == client.get(reverse("analytics:now-figures")).json()["figures"]


def test_colours_follow_the_account_and_each_group_of_its_own_mind(client, account):
    sign_in(client, AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    account.level_good, account.level_poor = 90, 70
    account.save()
    plain = SkillGroupFactory(account=account, name="Plain")
    strict = SkillGroupFactory(account=account, name="Strict", level_good=95)
    levels = client.get("/admin/now/").context["told"]["levels"]
    assert levels == {"": (0.9, 0.7), str(plain.pk): (0.9, 0.7), str(strict.pk): (0.95, 0.7)}


@pytest.mark.parametrize(("good", "poor"), [(60, 61), (None, 81), (59, None)])
def test_red_does_not_begin_above_green(account, good, poor):
    group = SkillGroupFactory.build(account=account, level_good=good, level_poor=poor)
    with pytest.raises(ValidationError) as caught:
        group.full_clean(exclude=["account"])
    assert list(caught.value.message_dict) == ["level_poor"]
