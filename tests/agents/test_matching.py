"""Whom an event means."""

from agents.matching import find_agents, find_skill_groups
from tests.factories import AgentFactory, SkillGroupFactory


def test_the_staff_id_comes_before_the_email_and_one_query_finds_all(account, django_assert_num_queries):
    by_email = AgentFactory(account=account, staff_id="1", email="li@example.com")
    by_id = AgentFactory(account=account, staff_id="wang@example.com", email="other@example.com")
    shadowed = AgentFactory(account=account, staff_id="3", email="wang@example.com")
    with django_assert_num_queries(1):
        found = find_agents(account=account, references=["1", "LI@example.com", "wang@example.com", "nobody", "", "3"])
    assert found == {"1": by_email.pk, "LI@example.com": by_email.pk, "wang@example.com": by_id.pk, "3": shadowed.pk}


def test_people_of_another_account_are_not_found(account):
    stranger = AgentFactory(staff_id="77", email="far@example.com")
    assert find_agents(account=account, references=[stranger.staff_id, "far@example.com"]) == {}


def test_letter_case_of_a_staff_id_and_a_group_name_counts(account):
    AgentFactory(account=account, staff_id="ab1")
    group = SkillGroupFactory(account=account, name="Sales")
    SkillGroupFactory(name="Support")
    assert find_agents(account=account, references=["AB1"]) == {}
    assert find_skill_groups(account=account, names=["Sales", "sales", "Support", ""]) == {"Sales": group.pk}
