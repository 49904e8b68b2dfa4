"""The audit log is read by who may read it, in words, and changed by nobody."""

import csv
import datetime as dt

import pytest
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, AgentPhone
from callcenter_site.audit import Look, acting, log_look
from calls.models import Call
from configuration.admin import audit as page
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, AuditEntry, BlockedNumber, Role
from tests.factories import (
    PASSWORD,
    AgentFactory,
    CallFactory,
    MemberFactory,
    RecordingFactory,
    ServiceNumberFactory,
    SkillGroupFactory,
)

pytestmark = pytest.mark.django_db

LIST = "admin:configuration_auditentry_changelist"
EXPORT = "admin:configuration_auditentry_export"


@pytest.fixture
def boss(account, client) -> Agent:
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Ada Lin")
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    AuditEntry.objects.all().delete()
    return person


def listed(client, query: str = "") -> list[AuditEntry]:
    answer = client.get(reverse(LIST) + query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def as_text(client, query: str = "") -> str:
    return client.get(reverse(LIST) + query).content.decode()


def test_a_change_reads_as_who_what_on_which_row_and_from_what_to_what(client, boss, account):
    role = Role.objects.get(account=account, kind=Role.Kind.SUPERVISOR)
    with acting(boss):
        number = ServiceNumberFactory(account=account, label="Hotline", direction="both")
        number.label, number.direction = "Help desk", "inbound"
        number.save()
        person = AgentFactory(account=account, name="Wang Fang")
        person.role = role
        person.save()
    changed = {entry.line.row.text: entry.line for entry in listed(client, "?action=changed")}
    line = changed["Service number Help desk"]
    assert line.who.text == "Ada Lin" and line.who.link == reverse("admin:agents_agent_change", args=[boss.pk])
    assert line.row.link == reverse("admin:configuration_servicenumber_change", args=[number.pk])
    assert {(one.name, one.before, one.after) for one in line.changes} == {
        ("Label", "Hotline", "Help desk"),
        ("Direction", "both", "inbound"),
    }
    assert [(one.name, one.before, one.after) for one in changed["Agent Wang Fang"].changes] == [("Role", "Agent", "Supervisor")]


def test_a_roles_change_reads_as_what_its_people_may_now_and_may_no_longer(client, boss, account):
    role = Role.objects.create(account=account, name="Lead", permissions=["calls.view_call", "configuration.view_role"])
    role.permissions = ["calls.view_call", "calls.see_full_number"]
    role.save()
    changed, made = listed(client, "?kind=configuration.role")
    assert {(one.name, one.after) for one in changed.line.changes} == {
        ("May now", "See whole phone numbers"),
        ("May no longer", "See roles"),
    }
    assert ("May now", "See roles, See service records") in {(one.name, one.after) for one in made.line.changes}


def test_the_other_ends_of_relations_are_no_fields_of_a_row(client, boss, account):
    SkillGroupFactory(account=account)
    entry = AuditEntry.objects.get()
    text = client.get(reverse("admin:configuration_auditentry_change", args=[entry.pk])).content.decode()
    assert "SkillGroupMember.None" not in text and "created" in text and "(&#x27;" not in text


def test_what_is_personal_is_said_to_have_changed_and_not_how(client, boss, account):
    person = AgentFactory(account=account, name="Wang Fang")
    AuditEntry.objects.all().delete()
    person.nickname, person.email = "Fangfang", "fang@new.example"
    person.save()
    BlockedNumber.objects.create(account=account, number="+8613800138000", reason="rude, says Wang Fang")
    (blocked, entry) = listed(client)
    assert {(one.name, one.is_unsaid, one.after) for one in entry.line.changes} == {("Email", True, ""), ("Nickname", True, "")}
    assert {one.name for one in blocked.line.changes if one.is_unsaid} == {"Number", "Reason"}
    held = str(list(AuditEntry.objects.values()))
    assert not any(text in held for text in ("Fang", "fang", "13800138000"))


def test_names_are_looked_up_when_somebody_reads_so_a_renamed_or_erased_person_is_not_kept_here(client, boss, account):
    colleague = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, name="Before")
    with acting(colleague):
        ServiceNumberFactory(account=account)
    colleague.name = "After"
    colleague.save()
    assert "After" in {entry.line.who.text for entry in listed(client)}
    pk = colleague.pk
    Agent.objects.filter(pk=pk).delete()
    assert f"Person #{pk}" in {entry.line.who.text for entry in listed(client)}


def test_keys_operators_and_the_portal_itself_are_told_apart(client, boss, account):
    key, _text = create_api_key(account=account, name="CRM", scopes=[])
    operator = Agent.objects.create_superuser("root@example.com", PASSWORD, name="Root Secret")
    AuditEntry.objects.all().delete()
    number = ServiceNumberFactory(account=account)
    with acting(operator):
        Account.objects.get(pk=account.pk).save()
        account.name = "Renamed"
        account.save()
    AuditEntry.objects.create(
        account=account, api_key=key, content_type_id=AuditEntry.objects.first().content_type_id, object_pk="1", action=1
    )
    who = [entry.line.who.text for entry in listed(client)]
    assert who == ["API key CRM (" + key.prefix + "…)", f"Operator #{operator.pk}", "The portal"]
    assert number.pk and "Root Secret" not in as_text(client)


def test_looks_are_told_in_words_with_their_rows(client, boss, account):
    call = CallFactory(account=account, call_id="call-seven")
    other = CallFactory(account=account, call_id="call-eight")
    recording = RecordingFactory(call=call)
    log_look(Look.LISTENED, type(recording), [recording.pk], actor=boss, call=call.pk)
    log_look(Look.NUMBERS, Call, [call.pk, other.pk], actor=boss)
    several, heard = listed(client)
    assert (heard.line.deed, heard.line.row.text) == ("listened to a recording", f"Recording #{recording.pk} · call-seven")
    assert heard.line.row.link == reverse("admin:calls_call_change", args=[call.pk])
    assert (several.line.deed, several.line.row.text) == ("saw whole numbers", "Service records: 2")
    shown = client.get(reverse("admin:configuration_auditentry_change", args=[several.pk])).content.decode()
    assert "call-seven" in shown and reverse("admin:calls_call_change", args=[other.pk]) in shown


def test_rows_of_pages_the_reader_may_not_open_stay_numbers(client, account):
    role = Role.objects.create(
        account=account, name="Auditor", data_scope="account", permissions=["agents.enter_admin", "configuration.view_auditentry"]
    )
    client.force_login(AgentFactory(account=account, role=role), backend="agents.sign_in.RoleBackend")
    AuditEntry.objects.all().delete()
    number = ServiceNumberFactory(account=account, label="Hotline")
    member = MemberFactory(skill_group=SkillGroupFactory(account=account, name="Sales"))
    rows = {entry.line.row.text: entry.line.row.link for entry in listed(client)}
    assert rows[f"Service number #{number.pk}"] == "" and rows[f"Member #{member.pk}"] == ""
    assert not any("Sales" in text for text in rows)


def test_what_hangs_on_a_row_goes_by_that_row(client, boss, account):
    person = AgentFactory(account=account, name="Wang Fang")
    phone = AgentPhone.objects.create(account=account, agent=person, number="+8613800138000")
    entry = next(one for one in listed(client) if one.object_repr.startswith("agents.AgentPhone"))
    assert entry.line.row.text == f"Phone #{phone.pk} · Wang Fang"
    assert "13800138000" not in as_text(client)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?action=created", {"created"}),
        ("?action=changed", {"changed"}),
        ("?action=deleted", {"deleted"}),
        ("?action=listened", {"listened to a recording"}),
        ("?action=numbers", {"saw whole numbers"}),
        ("?kind=configuration.servicenumber", {"created", "changed", "deleted"}),
        ("?period=yesterday", {"saw whole numbers"}),
    ],
)
def test_the_list_is_narrowed_by_action_kind_and_period(client, boss, account, query, expected):
    number = ServiceNumberFactory(account=account)
    number.label = "x"
    number.save()
    number.delete()
    recording = RecordingFactory(call=CallFactory(account=account))
    log_look(Look.LISTENED, type(recording), [recording.pk], actor=boss)
    log_look(Look.NUMBERS, Call, [recording.call_id], actor=boss)
    AuditEntry.objects.filter(look="numbers").update(timestamp=timezone.now() - dt.timedelta(days=1))
    assert {entry.line.deed for entry in listed(client, query)} == expected


def test_the_list_is_narrowed_by_person_key_and_row(client, boss, account):
    colleague = AgentFactory(account=account)
    key, _text = create_api_key(account=account, name="CRM", scopes=[])
    AuditEntry.objects.all().delete()
    with acting(colleague):
        one = ServiceNumberFactory(account=account)
    with acting(boss):
        two = ServiceNumberFactory(account=account)
    log_look(Look.NUMBERS, Call, [one.pk + 5000], actor=type("Key", (), {"key": key, "account_id": account.pk})())
    assert [entry.object_id for entry in listed(client, f"?actor__id__exact={colleague.pk}")] == [one.pk]
    assert [entry.api_key_id for entry in listed(client, f"?api_key__id__exact={key.pk}")] == [key.pk]
    assert [entry.object_id for entry in listed(client, f"?q={two.pk}&kind=configuration.servicenumber")] == [two.pk]
    assert listed(client, "?q=nobody") == []


@pytest.mark.parametrize("query", ["?action=everything", "?kind=auth.user", "?period=ever", "?from=2026-13-01"])
def test_a_filter_that_is_not_offered_is_refused(client, boss, query):
    assert client.get(reverse(LIST) + query).status_code == 302


def test_another_accounts_entries_are_never_there(client, boss):
    theirs = ServiceNumberFactory(label="Theirfig")
    entry = AuditEntry.objects.get(object_id=theirs.pk)
    assert listed(client, "?period=all") == []
    assert "Theirfig" not in client.get(reverse(EXPORT)).content.decode()
    assert client.get(reverse("admin:configuration_auditentry_change", args=[entry.pk])).status_code == 302


def test_an_entry_of_the_installation_is_in_nobodys_list(client, boss):
    AuditEntry.objects.create(content_type_id=1, object_pk="1", action=1)
    assert listed(client, "?period=all") == []


@pytest.mark.parametrize("kind", [Role.Kind.SUPERVISOR, Role.Kind.INSPECTOR, Role.Kind.AGENT, "operator", "own groups only"])
def test_only_who_may_read_it_and_sees_the_whole_account_reads_it(client, account, kind):
    if kind == "operator":
        person = Agent.objects.create_superuser("root@example.com", PASSWORD, name="Root")
    elif kind == "own groups only":
        administrator = Role.objects.get(account=account, kind=Role.Kind.ADMINISTRATOR)
        role = Role.objects.create(account=account, name="Lead", data_scope="groups", permissions=administrator.permissions)
        person = AgentFactory(account=account, role=role)
    else:
        person = AgentFactory(account=account, kind=kind)
    ServiceNumberFactory(account=account, label="Hotline")
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    for address in (reverse(LIST), reverse(EXPORT)):
        answer = client.get(address)
        assert answer.status_code in ((200,) if kind == "own groups only" else (302, 403))
        assert "Hotline" not in answer.content.decode()


@pytest.mark.parametrize("kind", [Role.Kind.ADMINISTRATOR, "operator"])
@pytest.mark.parametrize("what", ["add", "change", "delete", "delete_selected"])
def test_nobody_adds_changes_or_deletes_an_entry(client, account, kind, what):
    boss = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    operator = Agent.objects.create_superuser("root@example.com", PASSWORD, name="Root")
    client.force_login(operator if kind == "operator" else boss, backend="agents.sign_in.RoleBackend")
    entry = AuditEntry.objects.filter(account=account).first()
    before = list(AuditEntry.objects.order_by("pk").values())
    if what == "delete_selected":
        answer = client.post(reverse(LIST), {"action": what, "_selected_action": [entry.pk], "post": "yes"})
    else:
        args = [] if what == "add" else [entry.pk]
        answer = client.post(reverse(f"admin:configuration_auditentry_{what}", args=args), {"post": "yes", "object_pk": "7"})
    assert answer.status_code in (200, 302, 403)
    assert list(AuditEntry.objects.order_by("pk").values())[: len(before)] == before


def test_the_export_holds_the_selection_neutralised_and_is_itself_told(client, boss, account):
    with acting(boss):
        number = ServiceNumberFactory(account=account, label="=HYPERLINK(1)")
        number.label = "Hotline"
        number.save()
        SkillGroupFactory(account=account, name="Sales")
    answer = client.get(reverse(EXPORT) + "?action=changed")
    lines = list(csv.reader(answer.content.decode("utf-8-sig").splitlines()))
    assert answer["Content-Type"].startswith("text/csv") and "attachment" in answer["Content-Disposition"]
    assert lines[0] == ["when", "who", "what", "on", "field", "from", "to", "request"] and len(lines) == 2
    assert lines[1][1:7] == ["Ada Lin", "changed", "Service number Hotline", "Label", "'=HYPERLINK(1)", "Hotline"]
    told = AuditEntry.objects.get(look="exported")
    assert (told.actor_id, told.account_id, told.additional_data) == (boss.pk, account.pk, {"n": 1})


def test_too_long_an_export_is_refused_with_what_to_do(client, boss, account, monkeypatch):
    monkeypatch.setattr(page, "MOST_EXPORTED", 2)
    SkillGroupFactory.create_batch(3, account=account)
    answer = client.get(reverse(EXPORT), follow=True)
    assert "Choose a shorter period." in answer.content.decode()
    assert not AuditEntry.objects.filter(look="exported").exists()


def test_an_entry_on_a_kind_that_is_gone_is_still_readable(client, boss, account):
    ServiceNumberFactory(account=account)
    AuditEntry.objects.update(content_type_id=987_654, object_repr="old.Thing#1")
    assert [entry.line.row.text for entry in listed(client)] == ["old.Thing#1"]


def test_a_damaged_entry_is_still_readable(client, boss, account):
    kind = AuditEntry.objects.model.content_type.field.related_model.objects.get_for_model(ApiKey).pk
    for changes in ({"gone": ["1", "2"]}, {"expires_at": ["?", "None"]}, {"scopes": ["[", "3"]}, {"name": "x"}):
        AuditEntry.objects.create(account=account, content_type_id=kind, object_pk="1", object_id=1, action=1, changes=changes)
    assert len(listed(client)) == 4


def test_the_list_costs_the_same_for_many_entries_as_for_few(client, boss, account, django_assert_max_num_queries):
    def happen(n: int) -> None:
        for _one in range(n):
            with acting(AgentFactory(account=account)):
                ServiceNumberFactory(account=account)
                MemberFactory(skill_group=SkillGroupFactory(account=account))
                log_look(Look.NUMBERS, Call, [CallFactory(account=account).pk], actor=boss)

    happen(1)
    with django_assert_max_num_queries(40) as few:
        listed(client)
    happen(12)
    with django_assert_max_num_queries(len(few)):
        listed(client)
