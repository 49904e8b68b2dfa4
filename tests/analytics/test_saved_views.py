"""Views of dashboards, kept under a name."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from analytics import saved_views
from analytics.models import SavedView
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory, signed_in

pytestmark = pytest.mark.django_db

ADDRESSES = {"period": "/admin/dashboard/", "agents": "/admin/dashboard/agents/", "quality": "/admin/dashboard/quality/"}


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


@pytest.fixture
def supervisor(account):
    """Sees only their own skill groups."""
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=SkillGroupFactory(account=account, name="Own"), agent=person)
    return person


@pytest.fixture
def own_scope(account):
    permissions = ["agents.enter_admin", "analytics.see_figures"]
    return AgentFactory(
        account=account, role=Role.objects.create(account=account, name="own", data_scope="own", permissions=permissions)
    )


def save(client, query, name="mine", page="period", **more):
    return client.post(f"{reverse('analytics:view-save', args=[page])}?{query}", {"name": name, **more}, follow=True)


def at(what, pk):
    return reverse(f"analytics:view-{what}", args=[pk])


def messages_of(answer):
    return [str(one) for one in answer.context["messages"]]


def test_what_is_kept_belongs_to_whoever_keeps_it(boss):
    client = signed_in(boss)
    page = save(client, "step=hour&period=last_7_days&page=3&direction=inbound&account=9")
    saved = SavedView.objects.get()
    assert (saved.owner, saved.account, saved.page, saved.is_shared) == (boss, boss.account, "period", False)
    assert saved.query == "period=last_7_days&direction=inbound&step=hour", "in one order, and only what is the view"
    assert messages_of(page) == ["Saved as “mine”."]
    assert 'aria-current="true">mine</a>' in page.content.decode()
    assert client.get(at("open", saved.pk)).headers["Location"] == f"/admin/dashboard/?{saved.query}"


def test_each_dashboard_lists_its_own_views(boss):
    client = signed_in(boss)
    for page in ADDRESSES:
        save(client, "period=yesterday", name=f"of {page}", page=page)
    save(client, "activity=break", name="of now", page="now")
    for page, address in {**ADDRESSES, "now": "/admin/now/"}.items():
        assert [one["name"] for one in client.get(address).context["saved"]["rows"]] == [f"of {page}"]


def test_the_columns_of_a_view_of_agents_come_back_all_of_them_also_when_it_is_sorted_anew(boss):
    client = signed_in(boss)
    save(client, "column=online_time&column=calls_taken&sort=-online_time&page=2", page="agents")
    page = client.get(at("open", SavedView.objects.get().pk), follow=True)
    assert [one["metric"].name for one in page.context["columns"]] == ["online_time", "calls_taken"]
    again = client.get("/admin/dashboard/agents/" + page.context["columns"][1]["link"])
    assert [one["metric"].name for one in again.context["columns"]] == ["online_time", "calls_taken"]
    assert again.context["columns"][1]["sorted"] == "descending"


def test_a_shared_view_shows_each_person_what_they_may_see(boss, supervisor):
    other = SkillGroupFactory(account=boss.account, name="Secret group")
    save(signed_in(boss), f"skill_group={other.pk}&period=today", is_shared="1")
    saved = SavedView.objects.get()
    page = signed_in(supervisor).get(at("open", saved.pk), follow=True)
    assert page.status_code == 200
    assert "There is no such skill group." in page.context["errors"]
    assert "Secret group" not in page.content.decode()
    assert page.context["filters"].skill_group is None


def test_views_that_are_not_shared_and_those_of_other_accounts_are_missing(boss, supervisor):
    save(signed_in(boss), "period=today")
    stranger = AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)
    save(signed_in(stranger), "period=today", is_shared="1")
    client = signed_in(supervisor)
    for row in SavedView.objects.all():
        assert client.get(at("open", row.pk)).status_code == 404
        for what in ("change", "delete"):
            assert client.post(at(what, row.pk), {"name": "x"}).status_code == 404
    assert SavedView.objects.filter(name="mine").count() == 2


def test_only_the_owner_renames_and_deletes_a_shared_view(boss, supervisor):
    client, colleague = signed_in(boss), signed_in(supervisor)
    save(client, "period=today", is_shared="1")
    saved = SavedView.objects.get()
    assert colleague.post(at("change", saved.pk), {"name": "theirs"}).status_code == 403
    assert colleague.post(at("delete", saved.pk)).status_code == 403
    assert client.get(at("delete", saved.pk)).status_code == 404, "nothing is deleted by following a link"
    client.post(at("change", saved.pk), {"name": "renamed"})
    saved.refresh_from_db()
    assert (saved.name, saved.is_shared, saved.query) == ("renamed", False, "period=today")
    client.post(at("delete", saved.pk))
    assert not SavedView.objects.exists()


def test_the_same_name_replaces_the_view_of_that_dashboard_only(boss):
    client = signed_in(boss)
    save(client, "period=today")
    save(client, "period=today", page="quality")
    save(client, "period=yesterday")
    assert set(SavedView.objects.values_list("page", "query")) == {("period", "period=yesterday"), ("quality", "period=today")}


def test_a_name_taken_by_another_of_ones_views_is_refused(boss):
    client = signed_in(boss)
    save(client, "period=today", name="a")
    save(client, "period=yesterday", name="b")
    page = client.post(at("change", SavedView.objects.get(name="b").pk), {"name": "a"}, follow=True)
    assert messages_of(page) == ["You have one of this name already."]
    assert set(SavedView.objects.values_list("name", flat=True)) == {"a", "b"}


@pytest.mark.parametrize(
    ("query", "page"),
    [("period=never", "period"), ("skill_group=999999999", "quality"), ("activity=sleeping", "now"), ("group=77", "now")],
)
def test_a_view_that_cannot_be_read_is_not_kept(boss, query, page):
    answer = save(signed_in(boss), query, page=page)
    assert not SavedView.objects.exists() and messages_of(answer)


@pytest.mark.parametrize("name", ["", " \u200b ", "x" * 61])
def test_a_view_needs_a_name_that_can_be_read(boss, name):
    save(signed_in(boss), "period=today", name=name)
    assert not SavedView.objects.exists()


def test_an_unknown_dashboard_and_somebody_without_figures_are_refused(boss, account):
    assert save(signed_in(boss), "", page="moon").status_code == 404
    role = Role.objects.create(account=account, name="x", data_scope="account", permissions=["agents.enter_admin"])
    assert save(signed_in(AgentFactory(account=account, role=role)), "").status_code == 403


def test_own_scope_keeps_views_for_oneself_only(own_scope):
    save(signed_in(own_scope), "period=today", is_shared="1")
    assert not SavedView.objects.get().is_shared


def test_so_many_can_be_kept_and_replacing_one_is_always_possible(boss, monkeypatch):
    monkeypatch.setattr(saved_views, "MOST_SAVED", 2)
    client = signed_in(boss)
    for name in "abc":
        save(client, "period=today", name=name)
    save(client, "period=yesterday", name="a")
    assert dict(SavedView.objects.values_list("name", "query")) == {"a": "period=yesterday", "b": "period=today"}


def test_now_shows_the_chosen_groups_and_a_foreign_one_is_missing(boss):
    mine, other = (SkillGroupFactory(account=boss.account, name=name) for name in ("Mine", "Other"))
    foreign = SkillGroupFactory(account=AccountFactory(), name="Foreign")
    client = signed_in(boss)
    page = client.get("/admin/now/", {"group": [mine.pk], "activity": "break"})
    assert [one["name"] for one in page.context["groups"]] == ["Mine"] and not page.context["errors"]
    assert 'data-now-chosen="break"' in page.content.decode()
    page = client.get("/admin/now/", {"group": [foreign.pk, other.pk]})
    assert [one["name"] for one in page.context["groups"]] == ["Other"]
    assert page.context["errors"] == ["There is no such skill group."]


def test_the_menu_costs_a_dashboard_one_query(boss, django_assert_num_queries):
    client = signed_in(boss)
    client.get(ADDRESSES["agents"])
    with CaptureQueriesContext(connection) as few:
        client.get(ADDRESSES["agents"])
    for n in range(30):
        SavedView.objects.create(account=boss.account, owner=boss, page="agents", name=f"v{n}", query="period=today")
    with django_assert_num_queries(len(few)):
        client.get(ADDRESSES["agents"])
