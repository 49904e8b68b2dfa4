"""The page of a skill group: what it offers, and its members at a glance."""

import pytest
from django.urls import reverse
from django.utils import timezone

from agents.presence import change_status
from configuration.models import QuickReplyGroup, ScreenPop
from tests.factories import AccountFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db


def test_the_list_says_who_is_at_work(page, account, group, django_assert_num_queries):
    for status in ("available", "available", "break", "offline"):
        change_status(agent=MemberFactory(skill_group=group).agent, status=status, at=timezone.now())
    gone = MemberFactory(skill_group=group).agent
    gone.is_active = False
    gone.save()
    SkillGroupFactory(account=account, name="Empty")
    with django_assert_num_queries(3):
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
