"""Who changed what stays known, by ids and field names; what people are called does not get in."""

import datetime as dt
import io

import pytest
from auditlog.registry import auditlog
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, AgentPhone, SkillGroup, SkillGroupMember, Status
from agents.onboarding import open_account
from agents.presence import change_status
from configuration.api_keys import create_api_key, revoke_api_keys
from configuration.models import (
    Account,
    ApiKey,
    AuditEntry,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from tests.factories import PASSWORD, AgentFactory, MemberFactory, ServiceNumberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

CANARY = "Quetzalcoatl"
LISTS = {IvrPrompt, BlockedNumber, Keyword, QuickReplyGroup, QuickReply, ScreenPop, BreakReason, Disposition}
KEPT_MODELS = {Account, Role, ServiceNumber, ApiKey, Agent, AgentPhone, SkillGroup, SkillGroupMember}
Action = AuditEntry.Action


@pytest.fixture
def boss(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


def entries(row) -> list[AuditEntry]:
    return list(AuditEntry.objects.get_for_object(row).order_by("pk"))


def everything() -> str:
    return str(list(AuditEntry.objects.values()))


def person_form(agent: Agent, **changes: object) -> dict[str, object]:
    form = {"name": agent.name, "nickname": "", "staff_id": agent.staff_id, "role": agent.role_id, "email": agent.email}
    groups = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    return {**form, "cellphone_pickup": "off", "is_active": "on", **groups, **changes}


def test_what_an_account_sets_up_and_its_people_are_kept_in_the_log():
    assert {
        model for model in auditlog.get_models() if model._meta.app_label in ("configuration", "agents")
    } == KEPT_MODELS | LISTS


def test_a_change_on_a_persons_page_says_who_whom_and_which_fields_and_nothing_personal(client, boss, account):
    person = AgentFactory(account=account)
    AuditEntry.objects.all().delete()
    personal = {"name": f"{CANARY} One", "nickname": CANARY, "staff_id": f"{CANARY}-7", "email": f"{CANARY}@example.com"}
    form = person_form(person, **personal, new_password=f"{CANARY} {CANARY}")
    answer = client.post(reverse("admin:agents_agent_change", args=[person.pk]), form)
    assert answer.status_code == 302
    (entry,) = entries(person)
    assert (entry.action, entry.actor_id, entry.object_id) == (Action.UPDATE, boss.pk, person.pk)
    assert set(entry.changes) == {"name", "nickname", "staff_id", "email", "password"}
    assert (entry.account_id, entry.additional_data, entry.object_repr) == (account.pk, None, f"agents.Agent#{person.pk}")
    assert CANARY.casefold() not in everything().casefold()


def test_no_personal_value_gets_in_by_any_way_a_person_comes_changes_or_goes(account, client, boss):
    person = AgentFactory(account=account, name=CANARY, nickname=CANARY, email=f"{CANARY}@example.com", staff_id=CANARY)
    membership = MemberFactory(skill_group=SkillGroupFactory(account=account), agent=person)
    person.nickname = f"{CANARY} II"
    person.save()
    client.post(reverse("admin:agents_agent_changelist"), {"action": "deactivate", "_selected_action": [person.pk]})
    operator = Agent.objects.create_superuser(f"{CANARY}@op.example", PASSWORD, name=CANARY)
    open_account(
        name="Harbour",
        slug="harbour",
        time_zone="UTC",
        region="CN",
        administrator_name=CANARY,
        administrator_email=f"{CANARY}@harbour.example",
        password=PASSWORD,
    )
    membership.delete()
    person.delete()
    operator.delete()
    actions = set(AuditEntry.objects.values_list("content_type__model", "action"))
    assert {("agent", Action.CREATE), ("agent", Action.UPDATE), ("agent", Action.DELETE)} <= actions
    assert {("skillgroupmember", Action.CREATE), ("skillgroupmember", Action.DELETE)} <= actions
    assert CANARY.casefold() not in everything().casefold()


def test_every_entry_names_the_account_it_belongs_to(account):
    create_api_key(account=account, name="PBX", scopes=[])
    ServiceNumberFactory(account=account)
    MemberFactory(skill_group=SkillGroupFactory(account=account))
    assert set(AuditEntry.objects.values_list("content_type__model", flat=True)) == {
        model._meta.model_name for model in KEPT_MODELS - {AgentPhone}
    }
    assert {entry.account_id for entry in AuditEntry.objects.all()} == {account.pk}


def test_a_command_leaves_an_entry_without_a_person_behind_it(db, monkeypatch):
    for name, value in (("ACCOUNT_NAME", "Harbour"), ("ADMIN_EMAIL", f"{CANARY}@example.com"), ("ADMIN_PASSWORD", PASSWORD)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    call_command("create_account")
    (entry,) = entries(Agent.objects.get())
    assert (entry.action, entry.actor_id) == (Action.CREATE, None)
    assert CANARY.casefold() not in everything().casefold()


def test_a_revoked_key_and_a_changed_role_say_from_what_to_what(account):
    key, secret = create_api_key(account=account, name="PBX", scopes=["calls:read"])
    role = Role.objects.create(account=account, name="Reader", permissions=["calls.view_call"])
    revoke_api_keys(keys=[key], at=timezone.now())
    revoke_api_keys(keys=[key], at=timezone.now() + dt.timedelta(seconds=1))
    role.permissions = ["calls.view_call", "agents.view_agent"]
    role.save()
    assert [(entry.action, set(entry.changes)) for entry in entries(key)][1:] == [(Action.UPDATE, {"revoked_at"})]
    assert entries(role)[-1].changes == {"permissions": ['["calls.view_call"]', '["calls.view_call", "agents.view_agent"]']}
    assert secret.partition(".")[2] not in everything() and key.secret_hash not in everything()


def test_what_happens_all_day_is_no_change_of_configuration(account, client):
    person = AgentFactory(account=account)
    key, secret = create_api_key(account=account, name="PBX", scopes=["calls:read"])
    AuditEntry.objects.all().delete()
    client.post(reverse("admin:login"), {"username": person.email, "password": PASSWORD})
    change_status(agent=person, status=Status.AVAILABLE, at=timezone.now())
    client.get("/api/v1/calls/", headers={"authorization": f"Api-Key {secret}"})
    key.refresh_from_db()
    assert person.pk and key.last_used_at is not None
    assert not AuditEntry.objects.exists()
