"""Moving people between skill groups, within what the mover may."""

import pytest
from auditlog import get_logentry_model
from django.core.exceptions import ValidationError

from agents.membership import Move, move_agents
from agents.models import SkillGroupMember
from configuration.models import AuditEntry, Role
from tests.factories import AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def test_only_what_changes_is_counted_and_a_second_time_changes_nothing(account, boss):
    group = SkillGroupFactory(account=account)
    people = [MemberFactory(skill_group=group, priority=2).agent, AgentFactory(account=account)]
    assert move_agents(agents=people, skill_group=group, move=Move.ADD, priority=2, by=boss) == 1
    assert move_agents(agents=people, skill_group=group, move=Move.ADD, priority=2, by=boss) == 0
    assert move_agents(agents=people, skill_group=group, move=Move.REMOVE, by=boss) == 2
    assert move_agents(agents=people, skill_group=group, move=Move.REMOVE, by=boss) == 0


def test_moving_leaves_alone_the_groups_the_mover_does_not_see(account):
    own, hidden, target = (SkillGroupFactory(account=account) for _ in range(3))
    mover = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    agent = MemberFactory(skill_group=own).agent
    MemberFactory(skill_group=hidden, agent=agent)
    for group in (own, target):
        MemberFactory(skill_group=group, agent=mover)
    assert move_agents(agents=[agent], skill_group=target, move=Move.MOVE, by=mover) == 1
    assert set(SkillGroupMember.objects.filter(agent=agent).values_list("skill_group", flat=True)) == {hidden.pk, target.pk}


def test_nobody_reaches_a_group_they_do_not_see(account):
    mover, agent = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), AgentFactory(account=account)
    for group in (SkillGroupFactory(account=account), SkillGroupFactory()):
        with pytest.raises(ValidationError):
            move_agents(agents=[agent], skill_group=group, move=Move.ADD, by=mover)
    assert not SkillGroupMember.objects.exists()


def test_people_of_another_account_are_not_put_into_a_group(account, boss):
    with pytest.raises(ValidationError):
        move_agents(agents=[AgentFactory()], skill_group=SkillGroupFactory(account=account), move=Move.ADD, by=boss)


def test_who_may_do_more_sees_no_more_by_the_hand_of_who_may_less(account):
    group = SkillGroupFactory(account=account)
    supervisor = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    helper = Role.objects.create(
        account=account, name="Helper", data_scope="account", permissions=["agents.view_agent", "agents.add_skillgroupmember"]
    )
    mover = AgentFactory(account=account, role=helper)
    with pytest.raises(ValidationError):
        move_agents(agents=[supervisor], skill_group=group, move=Move.ADD, by=mover)
    plain = AgentFactory(account=account)
    assert move_agents(agents=[plain], skill_group=group, move=Move.ADD, by=mover) == 1


def test_each_change_is_in_the_audit_log(account, boss):
    group, agent = SkillGroupFactory(account=account), AgentFactory(account=account)
    before = get_logentry_model().objects.count()
    move_agents(agents=[agent], skill_group=group, move=Move.ADD, by=boss)
    move_agents(agents=[agent], skill_group=group, move=Move.ADD, priority=1, by=boss)
    move_agents(agents=[agent], skill_group=group, move=Move.REMOVE, by=boss)
    assert get_logentry_model().objects.count() == before + 3


def entries() -> list[tuple[int, dict]]:
    rows = AuditEntry.objects.filter(content_type__model="skillgroupmember").order_by("pk")
    return list(rows.values_list("action", "changes"))


def test_each_change_of_many_is_in_the_audit_log_and_their_number_costs_no_queries(account, boss, django_assert_max_num_queries):
    old, new = SkillGroupFactory(account=account), SkillGroupFactory(account=account)
    people = [MemberFactory(skill_group=old).agent for _n in range(40)]
    AuditEntry.objects.all().delete()
    with django_assert_max_num_queries(14):
        assert move_agents(agents=people, skill_group=new, move=Move.MOVE, priority=2, by=boss) == 40
    assert set(SkillGroupMember.objects.values_list("skill_group", "priority")) == {(new.pk, 2)}
    assert SkillGroupMember.objects.count() == 40
    said = entries()
    pk = people[7].pk
    assert (2, {"skill_group": [str(old.pk), "None"], "agent": [str(pk), "None"], "priority": ["3", "None"]}) in said
    assert (0, {"skill_group": ["None", str(new.pk)], "agent": ["None", str(pk)], "priority": ["None", "2"]}) in said
    assert len(said) == 80 and set(AuditEntry.objects.values_list("actor", "account")) == {(boss.pk, account.pk)}
    with django_assert_max_num_queries(12):
        assert move_agents(agents=people, skill_group=new, move=Move.ADD, priority=1, by=boss) == 40
    assert entries()[80:] == [(1, {"priority": ["2", "1"]})] * 40
