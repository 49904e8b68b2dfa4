"""Who changed what stays known, by ids and field names; what people are called does not get in."""

import contextvars
import datetime as dt
import io
from importlib import import_module
from types import SimpleNamespace
from unittest import mock

import pytest
from auditlog.registry import auditlog
from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, AgentPhone, DeviceCheck, SkillGroup, SkillGroupMember, Status
from agents.onboarding import open_account
from agents.presence import change_status
from callcenter_site import audit
from callcenter_site.audit import Look
from calls.models import Call, Recording
from configuration.api_keys import ApiKeyActor, create_api_key, revoke_api_keys
from configuration.encryption import EncryptedTextField
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
from tests.factories import PASSWORD, AgentFactory, CallFactory, MemberFactory, ServiceNumberFactory, SkillGroupFactory

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
    return list(AuditEntry.objects.get_for_object(row).exclude(action=Action.ACCESS).order_by("pk"))


def everything() -> str:
    return str(list(AuditEntry.objects.values()))


def person_form(agent: Agent, **changes: object) -> dict[str, object]:
    form = {"name": agent.name, "nickname": "", "staff_id": agent.staff_id, "role": agent.role_id, "email": agent.email}
    groups = {f"{name}-{which}_FORMS": "0" for name in ("memberships", "phones") for which in ("TOTAL", "INITIAL")}
    return {**form, "cellphone_pickup": "off", "is_active": "on", **groups, **changes}


def test_what_an_account_sets_up_and_its_people_are_kept_in_the_log():
    assert {
        model for model in auditlog.get_models() if model._meta.app_label in ("configuration", "agents")
    } == KEPT_MODELS | LISTS


def test_a_change_on_a_persons_page_says_who_whom_and_which_fields_and_nothing_personal(client, boss, account):
    person = AgentFactory(account=account)
    AuditEntry.objects.all().delete()
    personal = {"name": f"{CANARY} One", "nickname": CANARY, "staff_id": f"{CANARY}-7", "email": f"{CANARY}@example.com"}
    form = person_form(person, **personal, new_password="Coriander on 4 Tuesdays")
    answer = client.post(reverse("admin:agents_agent_change", args=[person.pk]), form)
    assert answer.status_code == 302
    (entry,) = entries(person)
    assert (entry.action, entry.actor_id, entry.object_id) == (Action.UPDATE, boss.pk, person.pk)
    assert set(entry.changes) == {"name", "nickname", "staff_id", "email", "password"}
    assert (entry.account_id, entry.additional_data, entry.object_repr) == (account.pk, None, f"agents.Agent#{person.pk}")
    assert CANARY.casefold() not in everything().casefold() and "Coriander" not in everything()


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


# --- Who looks ---------------------------------------------------------------------------------------------------------


def looks() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=Action.ACCESS).order_by("pk"))


def told() -> list[tuple]:
    return [(entry.look, entry.content_type.model, entry.object_id) for entry in looks()]


@pytest.fixture
def calls(account):
    return CallFactory.create_batch(3, account=account)


def test_a_list_with_whole_numbers_is_one_entry_with_the_rows_shown(client, boss, account, calls):
    CallFactory()  # somebody else's
    client.get(reverse("admin:calls_call_changelist"))
    (entry,) = looks()
    assert (entry.look, entry.actor_id, entry.account_id, entry.object_id, entry.object_pk) == (
        "numbers",
        boss.pk,
        account.pk,
        None,
        "",
    )
    assert sorted(entry.additional_data["ids"]) == sorted(call.pk for call in calls) and entry.additional_data["n"] == 3


def test_a_list_is_told_each_time_it_is_opened_and_costs_one_query_more(client, account, calls):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    address = reverse("admin:calls_call_changelist")
    client.get(address)

    def n_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(address)
        return len(queries)

    whole = n_queries()
    assert len(looks()) == 2
    person.role.permissions = [one for one in person.role.permissions if one != "calls.see_full_number"]
    person.role.save()
    assert n_queries() == whole - 1 and len(looks()) == 2


def test_an_empty_list_shows_nothing_to_tell_of(client, boss):
    client.get(reverse("admin:calls_call_changelist"))
    assert looks() == []


def test_opening_records_events_people_phones_and_checks_is_told(client, boss, account, calls):
    person = AgentFactory(account=account)
    check = DeviceCheck.objects.create(account=account, agent=person, result="good")
    pages = {
        ("calls_call_change", calls[0].pk): ("numbers", "call", calls[0].pk),
        ("agents_agent_change", person.pk): ("person", "agent", person.pk),
        ("agents_devicecheck_change", check.pk): ("devices", "devicecheck", check.pk),
        ("agents_devicecheck_changelist", None): ("devices", "devicecheck", check.pk),
        ("agents_agent_changelist", None): ("phones", "agent", None),
    }
    for (name, pk), expected in pages.items():
        AuditEntry.objects.all().delete()
        assert client.get(reverse(f"admin:{name}", args=[pk] if pk else [])).status_code == 200
        assert expected in told(), name


def test_who_sees_masked_numbers_only_has_not_looked_at_any(client, account, calls):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    client.get(reverse("admin:calls_call_changelist"))
    client.get(reverse("admin:calls_call_change", args=[calls[0].pk]))
    client.get("/api/v1/calls/")
    assert "numbers" not in {look for look, _model, _pk in told()}


def test_what_answers_like_nothing_is_no_look(client, boss):
    client.get(reverse("admin:calls_call_change", args=[CallFactory().pk]))
    client.get(reverse("admin:agents_agent_change", args=[AgentFactory().pk]))
    assert looks() == []


def test_a_key_that_asks_every_second_leaves_one_entry_a_minute_for_each_view(client, account, calls, monkeypatch):
    key, secret = create_api_key(account=account, name="CRM", scopes=["calls:read"])
    ask = {"headers": {"authorization": f"Api-Key {secret}"}}
    seconds = []
    add = audit.cache.add

    def noted(key, value, timeout):
        if key.startswith("limit:"):  # requests are counted in the same cache
            return add(key, value, timeout)
        seconds.append(timeout)
        return add(key, value, timeout)

    monkeypatch.setattr(audit.cache, "add", noted)
    for _ in range(3):
        client.get("/api/v1/calls/", **ask)
    client.get(f"/api/v1/calls/{calls[0].pk}/", **ask)
    assert told() == [("numbers", "call", None), ("numbers", "call", calls[0].pk)]
    cache.clear()  # as when the minute is over
    client.get("/api/v1/calls/", **ask)
    assert set(seconds) == {60}
    assert [(entry.api_key_id, entry.actor_id, entry.account_id) for entry in looks()] == [(key.pk, None, account.pk)] * 3


def test_two_keys_are_told_apart(client, account, calls):
    for name in ("CRM", "BI"):
        _key, secret = create_api_key(account=account, name=name, scopes=["calls:read"])
        client.get("/api/v1/calls/", headers={"authorization": f"Api-Key {secret}"})
    assert len({entry.api_key_id for entry in looks()}) == 2


def test_without_a_cache_each_look_of_a_key_is_told_rather_than_none(account, calls, monkeypatch):
    key, _secret = create_api_key(account=account, name="CRM", scopes=["calls:read"])
    monkeypatch.setattr(audit.cache, "add", lambda *args: None)
    for _ in range(2):
        audit.log_look(Look.NUMBERS, Call, [calls[0].pk], actor=ApiKeyActor(key))
    assert len(looks()) == 2


def test_a_part_of_a_page_that_fetches_itself_again_is_told_when_it_shows_something_else(account, calls):
    person = AgentFactory(account=account)
    for ids in ([1, 2], [1, 2], [1, 2, 3], [1, 2]):
        audit.log_look(Look.NUMBERS, Call, ids, actor=person, place="desk", once_in_seconds=3600)
    assert [entry.additional_data["ids"] for entry in looks()] == [[1, 2], [1, 2, 3]]


def test_what_a_key_changes_is_put_down_to_the_key(account, rf):
    key, _secret = create_api_key(account=account, name="CRM", scopes=[])
    request = rf.post("/")
    request.user = AnonymousUser()

    def view(asked):
        asked.user = ApiKeyActor(key)  # as the API's views do once they have read the header
        ServiceNumberFactory(account=account)

    audit.AuditMiddleware(view)(request)
    entry = AuditEntry.objects.order_by("pk").last()
    assert (entry.api_key_id, entry.actor_id) == (key.pk, None)
    ServiceNumberFactory(account=account)
    entry = AuditEntry.objects.order_by("pk").last()
    assert (entry.api_key_id, entry.actor_id) == (None, None), "after the request nobody is said to have done it"


def test_requests_at_the_same_moment_keep_their_people_apart(account, rf, monkeypatch):
    """The library tells requests apart by the time of day."""
    one, two = AgentFactory(account=account), AgentFactory(account=account)
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    seen: list[int | None] = []

    def request_of(person, inner):
        request = rf.get("/")
        request.user = person
        audit.AuditMiddleware(inner)(request)

    def make(*_args):
        ServiceNumberFactory(account=account)
        seen.append(AuditEntry.objects.order_by("pk").last().actor_id)

    def outer(_request):
        threading_context = contextvars.copy_context()
        threading_context.run(request_of, two, make)
        make()

    request_of(one, outer)
    assert seen == [two.pk, one.pk]


def test_every_encrypted_column_of_a_logged_model_is_left_unsaid():
    for model in auditlog.get_models():
        fields = auditlog.get_model_fields(model)
        hidden = {*fields["mask_fields"], *fields["exclude_fields"]}
        encrypted = {column.name for column in model._meta.concrete_fields if isinstance(column, EncryptedTextField)}
        assert encrypted <= hidden, model


def test_the_log_has_no_column_for_an_email_or_an_address():
    columns = {column.name for column in AuditEntry._meta.concrete_fields}
    assert not columns & {"actor_email", "remote_addr", "remote_port", "changes_text"}


# --- The library's own table -------------------------------------------------------------------------------------------


def old_entries(**rows: object) -> None:
    apps = MigrationExecutor(connection).loader.project_state([("auditlog", "0017_add_actor_email")]).apps
    old = apps.get_model("auditlog", "LogEntry")
    old.objects.bulk_create(
        old(
            content_type_id=rows["kind"],
            object_pk=str(n),
            object_id=n,
            object_repr=f"x#{n}",
            actor_id=rows["actor"],
            action=rows.get("action", 1),
            changes={"label": ["a", "b"]},
            additional_data=rows.get("said"),
        )
        for n in range(1, int(rows.get("n", 1)) + 1)
    )


def move() -> None:
    module = import_module("configuration.migrations.0007_move_audit_entries")
    state = MigrationExecutor(connection).loader.project_state(
        [("configuration", "0007_move_audit_entries"), ("auditlog", "0017_add_actor_email")]
    )
    with mock.patch.object(module, "BATCH", 2):
        module.move(state.apps, SimpleNamespace(connection=connection))


def n_old() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM auditlog_logentry")
        return int(cursor.fetchone()[0])


def test_entries_of_before_are_moved_with_their_account_and_words(account):
    person = AgentFactory(account=account)
    AuditEntry.objects.all().delete()
    number = ContentType.objects.get_for_model(ServiceNumber).pk
    sound = ContentType.objects.get_for_model(Recording).pk
    old_entries(kind=number, actor=person.pk, n=3, said={"account": account.pk})
    old_entries(kind=sound, actor=person.pk, action=3, said={"account": account.pk, "call": 7})
    old_entries(kind=number, actor=None, said={"account": 987_654})
    old_entries(kind=number, actor=None)
    move()
    move()  # cut off and run again
    rows = AuditEntry.objects.order_by("pk").values_list(
        "content_type_id", "object_id", "action", "look", "account_id", "actor_id"
    )
    assert list(rows) == [
        (number, 1, 1, "", account.pk, person.pk),
        (number, 2, 1, "", account.pk, person.pk),
        (number, 3, 1, "", account.pk, person.pk),
        (sound, 1, 3, "listened", account.pk, person.pk),
        (number, 1, 1, "", None, None),
        (number, 1, 1, "", None, None),
    ]
    assert AuditEntry.objects.get(look="listened").additional_data == {"call": 7} and n_old() == 0
    assert AuditEntry.objects.first().changes == {"label": ["a", "b"]}


def test_nothing_is_written_into_the_librarys_table_any_more(account):
    ServiceNumberFactory(account=account).delete()
    assert n_old() == 0 and AuditEntry.objects.exists()
