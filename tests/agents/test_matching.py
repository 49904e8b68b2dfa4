"""Whom an event means."""

from agents.matching import find_agents, find_skill_groups
from agents.models import AgentPhone
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


class TestByNumber:
    def phone(self, agent, number, kind="extension"):
        return AgentPhone.objects.create(account=agent.account, agent=agent, kind=kind, number=number)

    def test_a_number_that_is_one_agents_alone_names_them_however_it_is_written(self, account, django_assert_num_queries):
        agent, other = AgentFactory(account=account, staff_id="A1"), AgentFactory(account=account, staff_id="A2")
        self.phone(agent, "+8613800138000", "mobile")
        self.phone(agent, "+8613800138000", "external")
        self.phone(other, "8002")
        with django_assert_num_queries(2):
            found = find_agents(account=account, references=["138 0013 8000", "8002", "A1", "8009"])
        assert found == {"138 0013 8000": agent.pk, "8002": other.pk, "A1": agent.pk}

    def test_a_number_of_two_agents_names_nobody(self, account):
        self.phone(AgentFactory(account=account), "8001")
        self.phone(AgentFactory(account=account), "8001", "external")
        assert find_agents(account=account, references=["8001"]) == {}

    def test_a_staff_id_comes_before_a_number(self, account):
        by_id = AgentFactory(account=account, staff_id="8001")
        self.phone(AgentFactory(account=account), "8001")
        assert find_agents(account=account, references=["8001"]) == {"8001": by_id.pk}

    def test_a_number_of_another_account_names_nobody(self, account):
        self.phone(AgentFactory(), "8001")
        assert find_agents(account=account, references=["8001"]) == {}
