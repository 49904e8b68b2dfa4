"""The staffing calculator's page."""

import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from analytics.models import GroupTotal
from callcenter_site.slots import slot_of
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
URL = reverse("analytics:staffing")


@pytest.fixture
def boss(client, account):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return person


def ask(client, **query):
    return client.get(URL, query).context


def test_a_typed_load_is_worked_out(client, boss):
    result = ask(client, calls=100, minutes=30, handle=180, level=80, target=20, occupancy=100, shrinkage=30)["result"]
    assert (result["needed"], result["scheduled"]) == (14, 20)
    assert [row["agents"] for row in result["rows"]] == list(range(11, 20))
    assert result["rows"][3]["values"][0] == "88.8 %"
    assert not ask(client, calls=100, handle=180, occupancy=100)["result"]["has_patience"]


def test_too_few_agents_are_said_and_not_counted(client, boss):
    page = client.get(URL, {"calls": 1, "minutes": 15, "handle": 900, "level": 1, "target": 0, "occupancy": 100})
    assert [row["is_stable"] for row in page.context["result"]["rows"]][:2] == [False, True]
    assert "the queue only grows" in page.content.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [("calls", "nan"), ("calls", "inf"), ("calls", "-1"), ("handle", "0"), ("minutes", "17"), ("patience", "0"), ("level", "x")],
)
def test_what_makes_no_sense_is_said_on_its_field(client, boss, name, value):
    context = ask(client, **{name: value})
    assert list(context["form"].errors) == [name]
    assert context["result"] is None


def test_a_load_no_center_has_is_refused(client, boss):
    assert ask(client, calls=20000, minutes=15, handle=7200)["result"]["is_too_large"]


def test_a_group_fills_in_what_it_saw(client, boss):
    group = SkillGroupFactory(account=boss.account)
    today = slot_of(timezone.now()).replace(hour=4, minute=0)
    for days in (2, 3):
        for minutes, n in ((0, 10), (15, 20), (60, 4)):
            GroupTotal.objects.create(
                account=boss.account,
                skill_group=group,
                slot=today - dt.timedelta(days=days) + dt.timedelta(minutes=minutes),
                n_entries=n,
                n_legs=n,
                talk_seconds=100 * n,
                wrap_up_seconds=20 * n,
                n_abandoned=2,
                wait_seconds=90,
            )
    form = ask(client, skill_group=group.pk)["form"]
    assert {name: form[name].value() for name in ("calls", "handle", "patience")} == {"calls": 30, "handle": 120, "patience": 45}
    assert ask(client, skill_group=group.pk, calls=7)["form"]["calls"].value() == "7"


def test_a_group_of_another_account_is_one_that_does_not_exist(client, boss):
    theirs = SkillGroupFactory(account=AccountFactory(), name="Theirs")
    page = client.get(URL, {"skill_group": theirs.pk})
    assert page.context["group"] is None
    assert "Theirs" not in page.content.decode()


def test_it_is_for_those_who_see_figures(client, account):
    client.force_login(AgentFactory(account=account), backend="agents.sign_in.RoleBackend")
    assert client.get(URL).status_code in (302, 403)
