"""The page of a skill group: what it offers, and its members at a glance."""

import pytest
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, SkillGroupMember, email_index
from agents.presence import change_status
from configuration.models import QuickReplyGroup, Role, ScreenPop
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory
from tests.isolation.test_admin import form_data

pytestmark = pytest.mark.django_db


def test_the_list_says_who_is_at_work(page, account, group, django_assert_num_queries):
    for status in ("available", "available", "break", "offline"):
        change_status(agent=MemberFactory(skill_group=group).agent, status=status, at=timezone.now())
    gone = MemberFactory(skill_group=group).agent
    gone.is_active = False
    gone.save()
    SkillGroupFactory(account=account, name="Empty")
    with django_assert_num_queries(5):
        shown = page.get(reverse("admin:agents_skillgroup_changelist"))
    rows = {row.name: (row.n_members, row.n_available, row.n_working) for row in shown.context["cl"].result_list}
    assert rows == {"Sales": (4, 2, 3), "Empty": (0, 0, 0)}
    assert "2 of 3 available" in shown.content.decode() and "nobody at work" in shown.content.decode()


def test_the_page_shows_each_members_status(page, agent, group):
    change_status(agent=agent, status="break", at=timezone.now())
    shown = page.get(reverse("admin:agents_skillgroup_change", args=[group.pk])).content.decode()
    assert "Break" in shown and "&#x27;break&#x27;" not in shown


def test_a_group_gets_its_pop_up_and_quick_replies_of_its_own_account_only(page, account, group):
    ours, theirs = account, AccountFactory()
    pops = [ScreenPop.objects.create(account=one, name="CRM", url_template="https://crm.example.com/") for one in (ours, theirs)]
    replies = [QuickReplyGroup.objects.create(account=one, name="Hello") for one in (ours, theirs)]
    address = reverse("admin:agents_skillgroup_change", args=[group.pk])
    form = {"name": "Sales", "wrap_up_seconds": "30", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    refused = page.post(address, form | {"screen_pop": pops[1].pk, "quick_reply_group": replies[1].pk})
    assert set(refused.context["adminform"].form.errors) == {"screen_pop", "quick_reply_group"}
    assert page.post(address, form | {"screen_pop": pops[0].pk, "quick_reply_group": replies[0].pk}).status_code == 302
    group.refresh_from_db()
    assert (group.screen_pop, group.quick_reply_group) == (pops[0], replies[0])


# --- Members ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def manager(account, sign_in):
    """Manages groups, and may otherwise do less than a supervisor."""
    members = [f"agents.{action}_skillgroupmember" for action in ("view", "add", "change", "delete")]
    permissions = ["agents.enter_admin", "agents.view_agent", "agents.view_skillgroup", "agents.change_skillgroup", *members]
    role = Role.objects.create(account=account, name="Groups", permissions=permissions, data_scope="account")
    return sign_in(AgentFactory(account=account, role=role))


def sent(client, address: str, **changes: str) -> dict[str, str]:
    return form_data(client.get(address)) | changes


def added(agent, place: int = 0) -> dict[str, str]:
    """A new row below as many as there are."""
    return {
        "memberships-TOTAL_FORMS": str(place + 1),
        f"memberships-{place}-agent": agent.pk,
        f"memberships-{place}-priority": "2",
    }


def many_members(group, n: int) -> list[SkillGroupMember]:
    people = [
        Agent(account=group.account, staff_id=f"m{number}", name=f"Member {number}", email=f"m{number}@example.com")
        for number in range(n)
    ]
    for one in people:
        one.email_hash = email_index(one.email)
    Agent.objects.bulk_create(people)
    rows = [SkillGroupMember(account=group.account, skill_group=group, agent=one, priority=1) for one in people]
    SkillGroupMember.objects.bulk_create(rows)
    return list(SkillGroupMember.objects.filter(skill_group=group).order_by("pk"))


def address_of(group) -> str:
    return reverse("admin:agents_skillgroup_change", args=[group.pk])


def test_nobody_puts_somebody_into_a_group_who_may_do_more_and_sees_by_their_groups(manager, account, group):
    """The API refuses it in the same words."""
    address = address_of(group)
    supervisor, plain = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), AgentFactory(account=account)
    refused = manager.post(address, sent(manager, address, **added(supervisor)))
    assert "You cannot change what somebody sees who may do more than you." in refused.content.decode()
    assert not SkillGroupMember.objects.exists()
    assert manager.post(address, sent(manager, address, **added(plain))).status_code == 302
    assert SkillGroupMember.objects.get().agent == plain


@pytest.mark.parametrize("change", [{"memberships-0-priority": "5"}, {"memberships-0-DELETE": "on"}])
def test_nobody_changes_or_ends_such_a_membership_either(manager, page, account, group, change):
    member = MemberFactory(skill_group=group, agent=AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), priority=1)
    address = address_of(group)
    refused = manager.post(address, sent(manager, address, **change))
    assert refused.status_code == 200
    assert "You cannot change what somebody sees who may do more than you." in refused.content.decode()
    assert SkillGroupMember.objects.get(pk=member.pk).priority == 1
    assert manager.post(address, sent(manager, address)).status_code == 302  # as it was
    assert page.post(address, sent(page, address, **change)).status_code == 302
    assert not SkillGroupMember.objects.filter(pk=member.pk, priority=1).exists()


def test_a_group_of_three_hundred_is_shown_and_saved_a_page_at_a_time(page, account, group, django_assert_max_num_queries):
    members = many_members(group, 300)
    address = address_of(group)
    with django_assert_max_num_queries(20):
        shown = page.get(address)
    assert len(shown.content) < 600_000
    form = form_data(shown)
    assert form["memberships-INITIAL_FORMS"] == "50" and len(form) < 400
    with django_assert_max_num_queries(30):
        assert page.post(address, form | {"memberships-7-priority": "5"}).status_code == 302
    assert list(SkillGroupMember.objects.filter(priority=5)) == [members[7]]
    last = address + "?memberships-page=6"
    assert page.post(last, sent(page, last) | {"memberships-49-DELETE": "on"}).status_code == 302
    assert SkillGroupMember.objects.count() == 299
    assert not SkillGroupMember.objects.filter(pk=members[7].pk).exists()  # by priority it had become the last


def test_a_page_that_moved_since_saves_the_rows_it_showed(page, account, group):
    members = many_members(group, 60)
    address = address_of(group) + "?memberships-page=2"
    form = sent(page, address) | {"memberships-9-priority": "4"}
    SkillGroupMember.objects.filter(pk__in=[one.pk for one in members[:20]]).delete()
    assert page.post(address, form).status_code == 302
    assert list(SkillGroupMember.objects.filter(priority=4)) == [members[59]]
    assert SkillGroupMember.objects.count() == 40


def test_who_is_on_another_page_of_the_members_is_not_added_again(page, account, group):
    members = many_members(group, 55)
    address = address_of(group)
    refused = page.post(address, sent(page, address) | added(members[54].agent, place=50))
    assert refused.status_code == 200 and "This agent is in the skill group already." in refused.content.decode()
    assert SkillGroupMember.objects.count() == 55


def test_a_member_of_another_group_is_not_reached_by_its_id(page, account, group):
    MemberFactory(skill_group=group, priority=1)
    for other in (MemberFactory(skill_group=SkillGroupFactory(account=account), priority=1), MemberFactory(priority=1)):
        address = address_of(group)
        refused = page.post(address, sent(page, address) | {"memberships-0-id": str(other.pk), "memberships-0-priority": "5"})
        assert refused.status_code == 200
        other.refresh_from_db()
        assert other.priority == 1
