"""People from files: who may be made, changed and dismissed by whom, and what the file never does."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, AgentPhone, SignInLink, SkillGroupMember, Status
from agents.presence import force_offline
from agents.sheets import AgentSheet
from callcenter_site.sheets import write_xlsx
from configuration.importing import report
from configuration.importing.report import preview_of
from configuration.importing.run import choose_to_write, work_on
from configuration.importing.sheet import BAD, CHANGED, NEW, SAME, SheetRow
from configuration.importing.upload import open_import
from configuration.models import AuditEntry, ImportRun, Role
from tests.configuration.test_importing import checked, counts, errors_of, upload, written
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

HEADINGS = ["Staff ID", "Name", "Email", "Role"]
ALL = [
    "Staff ID",
    "Name",
    "Nickname",
    "Email",
    "Role",
    "Extension",
    "Mobile",
    "External numbers",
    "Skill groups",
    "Cellphone pickup",
    "Active",
]


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, staff_id="boss", name="Boss", email="boss@example.com")


@pytest.fixture
def sales(account):
    return SkillGroupFactory(account=account, name="Sales")


@pytest.fixture
def support(account):
    return SkillGroupFactory(account=account, name="Support: 2")


def said(run) -> list[tuple[int, str, str]]:
    return [(row, column, message) for row, column, _cell, message in errors_of(run)]


def custom_role(account, *permissions, scope=Role.DataScope.ACCOUNT, name="Clerk") -> Role:
    return Role.objects.create(account=account, name=name, permissions=list(permissions), data_scope=scope)


CLERK = (
    "agents.enter_admin",
    "agents.use_desk",
    "calls.view_call",
    "calls.see_full_number",
    "agents.view_agent",
    "agents.add_agent",
    "agents.change_agent",
)


def test_new_people_come_with_everything_a_row_says(account, boss, sales, support):
    run = written(
        AgentSheet,
        boss,
        ALL,
        [
            "1001",
            "Li  Wei",
            "Vivian",
            "Li.Wei@example.com",
            "agent",
            "8001",
            "13800138000; 13800138001",
            "+1 415 555 0100",
            "Sales:1; Support: 2:5",
            "always",
            "yes",
        ],
        ["1002", "王芳", "", "wang@example.com", "Supervisor", "", "", "", "Support: 2", "", "no"],
    )
    assert counts(run) == {NEW: 2, CHANGED: 0, SAME: 0, BAD: 0}, said(run)
    first, second = Agent.objects.get(staff_id="1001"), Agent.objects.get(staff_id="1002")
    assert (first.account, first.name, first.nickname, first.email) == (account, "Li Wei", "Vivian", "Li.Wei@example.com")
    assert (first.role.kind, first.cellphone_pickup, first.is_active) == (Role.Kind.AGENT, "always", True)
    assert {(phone.kind, phone.number) for phone in first.phones.all()} == {
        ("extension", "8001"),
        ("mobile", "+8613800138000"),
        ("mobile", "+8613800138001"),
        ("external", "+14155550100"),
    }
    assert dict(first.memberships.values_list("skill_group__name", "priority")) == {"Sales": 1, "Support: 2": 5}
    assert dict(second.memberships.values_list("skill_group__name", "priority")) == {"Support: 2": 3}
    assert not second.is_active
    assert not first.has_usable_password()
    assert not SignInLink.objects.exists()


def test_a_second_run_of_the_same_file_changes_nothing(account, boss, sales):
    rows = (ALL, ["1001", "Li Wei", "", "li@example.com", "Agent", "8001", "", "", "Sales:1", "off", "yes"])
    written(AgentSheet, boss, *rows)
    before = list(Agent.objects.order_by("pk").values())
    again = written(AgentSheet, boss, *rows)
    assert counts(again) == {NEW: 0, CHANGED: 0, SAME: 1, BAD: 0}
    assert list(Agent.objects.order_by("pk").values()) == before
    assert (AgentPhone.objects.count(), SkillGroupMember.objects.count()) == (1, 1)


def test_a_column_that_is_not_there_stays_and_an_empty_cell_clears(account, boss, sales):
    written(
        AgentSheet,
        boss,
        ALL,
        ["1001", "Li Wei", "Vi", "li@example.com", "Agent", "8001", "13800138000", "", "Sales:1", "always", "yes"],
    )
    run = written(
        AgentSheet, boss, ["staff_id", "name", "nickname", "email", "extension"], ["1001", "Li Wei", "", "li@example.com", ""]
    )
    assert counts(run)[CHANGED] == 1
    agent = Agent.objects.get(staff_id="1001")
    assert (agent.nickname, agent.role.kind, agent.cellphone_pickup) == ("", Role.Kind.AGENT, "always")
    assert {phone.kind for phone in agent.phones.all()} == {"mobile"}
    assert agent.memberships.count() == 1


def test_people_who_are_there_move_to_other_groups_by_staff_id_alone(account, boss, sales, support):
    agent = AgentFactory(account=account, staff_id="1001", name="Li Wei", email="li@example.com", nickname="Vi")
    MemberFactory(skill_group=sales, agent=agent, account=account, priority=1)
    run = written(AgentSheet, boss, ["Staff ID", "Skill groups"], ["1001", "Support: 2:4"], ["1002", "Sales"])
    assert counts(run) == {NEW: 0, CHANGED: 1, SAME: 0, BAD: 1}
    assert dict(agent.memberships.values_list("skill_group__name", "priority")) == {"Support: 2": 4}
    agent.refresh_from_db()
    assert (agent.name, agent.email, agent.nickname) == ("Li Wei", "li@example.com", "Vi")
    missing = "The file has no such column, and a new row needs it."
    assert said(run) == [(3, name, missing) for name in ("Name", "Email", "Role")]


def test_invitations_are_sent_only_if_chosen_and_only_to_who_is_new_and_active(account, boss):
    AgentFactory(account=account, staff_id="old", name="Old", email="old@example.com")
    written(
        AgentSheet,
        boss,
        [*HEADINGS, "Active"],
        ["old", "Older", "old@example.com", "Agent", "yes"],
        ["1001", "A", "a@example.com", "Agent", "yes"],
        ["1002", "B", "b@example.com", "Agent", "no"],
        chosen={"invite": True},
    )
    assert [link.agent.staff_id for link in SignInLink.objects.all()] == ["1001"]


def test_each_mistake_is_told_with_its_column(account, boss):
    AgentFactory(account=account, staff_id="there", email="taken@example.com")
    run = checked(
        AgentSheet,
        boss,
        ALL,
        ["1001", "", "", "no email", "King", "", "x", "", "Nowhere:1", "sometimes", "perhaps"],
        ["1002", "B", "", "taken@example.com", "Agent", "", "", "", "", "", ""],
        ["1003", "C", "", "c@example.com", "", "", "", "", "", "", ""],
        ["1004", "D", "", "C@Example.com", "Agent", "", "", "", "", "", ""],
        ["1003", "E", "", "e@example.com", "Agent", "", "", "", "", "", ""],
        ["1005", "x" * 101, "", "f@example.com", "Agent", "", "", "", "", "", ""],
    )
    assert counts(run) == {NEW: 1, CHANGED: 0, SAME: 0, BAD: 5}
    columns = {(row, column) for row, column, _message in said(run)}
    assert columns == {
        *((2, name) for name in ("Name", "Email", "Role", "Mobile", "Skill groups", "Cellphone pickup", "Active")),
        (3, "Email"),
        (4, "Role"),
        (6, "Staff ID"),
        (7, "Name"),
    }
    assert "This email cannot be used." in {message for row, _column, message in said(run) if row == 3}


def test_an_email_of_another_account_is_refused_in_the_same_words_as_one_of_ones_own(account, boss):
    AgentFactory(email="theirs@example.com")
    AgentFactory(account=account, email="ours@example.com")
    run = checked(AgentSheet, boss, HEADINGS, ["1", "A", "theirs@example.com", "Agent"], ["2", "B", "ours@example.com", "Agent"])
    assert [message for _row, _column, message in said(run)] == ["This email cannot be used."] * 2


def test_a_staff_id_of_another_account_is_free(account, boss):
    theirs = AgentFactory(staff_id="1001", name="Theirs")
    run = written(AgentSheet, boss, HEADINGS, ["1001", "Ours", "ours@example.com", "Agent"])
    assert counts(run)[NEW] == 1
    assert Agent.objects.filter(staff_id="1001").count() == 2
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"


def test_groups_and_roles_of_another_account_are_not_there(account, boss):
    SkillGroupFactory(name="Their group")
    custom_role(AccountFactory(), name="Their role")
    run = checked(AgentSheet, boss, [*HEADINGS, "Skill groups"], ["1", "A", "a@example.com", "Their role", "Their group:1"])
    assert {column for _row, column, _message in said(run)} == {"Role", "Skill groups"}
    assert "Their" not in next(message for _row, column, message in said(run) if column == "Role")


def test_a_number_two_people_would_have_is_refused(account, boss):
    holder = AgentFactory(account=account, staff_id="holder")
    AgentPhone.objects.create(account=account, agent=holder, kind="extension", number="8001")
    run = checked(
        AgentSheet,
        boss,
        [*HEADINGS, "Extension"],
        ["1", "A", "a@example.com", "Agent", "8001"],
        ["2", "B", "b@example.com", "Agent", "8002"],
        ["3", "C", "c@example.com", "Agent", "8002"],
    )
    assert said(run) == [(2, "Extension", "This is in use already."), (4, "Extension", "The same as in row 3.")]


# --- Who may what ----------------------------------------------------------------------------------------------------


def test_nobody_gives_a_role_that_may_more_than_they_do(account, boss):
    clerk = AgentFactory(account=account, role=custom_role(account, *CLERK), staff_id="clerk")
    run = checked(AgentSheet, clerk, HEADINGS, ["1", "A", "a@example.com", "Agent"], ["2", "B", "b@example.com", "Administrator"])
    assert said(run) == [(3, "Role", "You can give only a role that may do no more than you.")]


def test_nobody_changes_somebody_who_may_more_than_they_do(account, boss):
    clerk = AgentFactory(
        account=account, role=custom_role(account, *CLERK), staff_id="clerk", name="Clerk", email="clerk@example.com"
    )
    run = written(
        AgentSheet, clerk, HEADINGS[:3], ["boss", "Boss", "stolen@example.com"], ["clerk", "Clark", "clerk@example.com"]
    )
    assert said(run) == [(2, "Staff ID", "You cannot change somebody who may do more than you.")]
    boss.refresh_from_db()
    assert boss.email == "boss@example.com"
    clerk.refresh_from_db()
    assert clerk.name == "Clark"


def test_a_row_that_changes_nothing_of_somebody_higher_is_no_error(account, boss):
    clerk = AgentFactory(account=account, role=custom_role(account, *CLERK), staff_id="clerk")
    run = checked(AgentSheet, clerk, HEADINGS, ["boss", "Boss", "boss@example.com", "Administrator"])
    assert counts(run) == {NEW: 0, CHANGED: 0, SAME: 1, BAD: 0}


def test_ones_own_email_stays_and_that_of_others_is_told_to_the_one_from_before(account, boss):
    AgentFactory(account=account, staff_id="A7", name="Wang", email="wang@example.com")
    run = written(AgentSheet, boss, ["Staff ID", "Email"], ["boss", "new@example.com"], ["A7", "li@example.com"])
    assert [(row, column) for row, column, _message in said(run)] == [(2, "Email")]
    boss.refresh_from_db()
    assert boss.email == "boss@example.com"
    assert [(one.kind, one.agent.staff_id, one.sent_to) for one in SignInLink.objects.all()] == [
        ("email", "A7", "wang@example.com")
    ]


def test_ones_own_role_and_access_stay(account, boss):
    AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    run = checked(AgentSheet, boss, [*HEADINGS, "Active"], ["boss", "Boss", "boss@example.com", "Agent", "no"])
    assert {(column, message) for _row, column, message in said(run)} == {
        ("Role", "You cannot change your own role."),
        ("Active", "You cannot deactivate yourself."),
    }


def test_the_last_administrators_cannot_be_dismissed_together(account, boss):
    """Each alone could go; a file that takes both away leaves the second."""
    for staff_id in ("one", "two"):
        AgentFactory(
            account=account, kind=Role.Kind.ADMINISTRATOR, staff_id=staff_id, name=staff_id, email=f"{staff_id}@example.com"
        )
    boss.is_active = True
    chief = AgentFactory(account=account, role=custom_role(account, *boss.role.permissions, name="Chief"), staff_id="chief")
    Agent.objects.filter(pk=boss.pk).update(is_active=False)
    run = written(
        AgentSheet,
        chief,
        [*HEADINGS, "Active"],
        ["one", "one", "one@example.com", "Agent", "yes"],
        ["two", "two", "two@example.com", "Administrator", "no"],
    )
    assert [(row, column) for row, column, _message in said(run)] == [(3, "Active")]
    assert "appoint another one first" in said(run)[0][2]
    assert Agent.objects.filter(role__kind=Role.Kind.ADMINISTRATOR, is_active=True).count() == 1


def test_who_is_deactivated_goes_offline(account, boss):
    agent = AgentFactory(account=account, staff_id="1", name="A", email="a@example.com", status=Status.AVAILABLE, is_online=True)
    written(AgentSheet, boss, [*HEADINGS, "Active"], ["1", "A", "a@example.com", "Agent", "no"])
    agent.refresh_from_db()
    assert (agent.is_active, agent.status) == (False, Status.OFFLINE)


def test_what_others_do_between_look_and_write_stands(account, boss):
    agent = AgentFactory(account=account, staff_id="1", name="A", email="a@example.com", status=Status.AVAILABLE)
    sheet = AgentSheet(actor=boss)
    row = SheetRow(2, {"staff_id": "1", "nickname": "Nick", "email": "new@example.com"})
    sheet.check([row], {})
    assert not row.errors
    force_offline(agents=[agent], by=boss, at=timezone.now())
    Agent.objects.filter(pk=agent.pk).update(cellphone_pickup="always")
    sheet.write([row])
    agent.refresh_from_db()
    assert (agent.nickname, agent.status, agent.cellphone_pickup) == ("Nick", Status.OFFLINE, "always")
    assert agent.forced_offline_at is not None
    assert Agent.objects.get_by_natural_key("new@example.com") == agent


def test_rows_are_locked_before_they_are_read_to_be_written(account, boss, monkeypatch):
    """What SQLite does not need, said by the order of the questions."""
    AgentFactory(account=account, staff_id="1", name="A", email="a@example.com")
    asked = []
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, *args, **more: asked.append("lock") or rows)
    real = AgentSheet.by_key
    monkeypatch.setattr(AgentSheet, "by_key", lambda self, rows, keys: asked.append("read") or real(self, rows, keys))
    sheet = AgentSheet(actor=boss)
    with transaction.atomic():
        sheet.check([SheetRow(2, {"staff_id": "1", "name": "B"})], {})
    assert asked[:2] == ["lock", "read"]


def test_columns_one_may_not_write_are_named(account, boss):
    clerk = AgentFactory(account=account, role=custom_role(account, *CLERK))
    with pytest.raises(ValidationError, match="You may not change the column Extension, Skill groups"):
        upload(AgentSheet, clerk, [*HEADINGS, "Extension", "Skill groups"], ["1", "A", "a@example.com", "Agent", "1", ""])


def test_who_may_not_see_phones_sees_none_in_the_imports_of_others(account, boss):
    there = AgentFactory(account=account, staff_id="1", name="A", email="a@example.com")
    AgentPhone.objects.create(account=account, agent=there, kind="mobile", number="+8613800138000")
    run = checked(
        AgentSheet,
        boss,
        [*HEADINGS, "Mobile"],
        ["1", "A", "a@example.com", "", "13800138001"],
        ["2", "B", "b@example.com", "Agent", "13800138002"],
        ["3", "C", "c@example.com", "Agent", "13800138003 at home"],
    )
    role = custom_role(account, *CLERK, "configuration.view_importrun")
    clerk = AgentFactory(account=account, role=role)
    assert run in ImportRun.objects.visible_to(clerk)
    names, rows = preview_of(run, reader=clerk)
    assert names == ["staff_id", "name", "email", "role"]
    errors = list(report.errors_of(run, reader=clerk))
    assert "1380013" not in f"{rows}{errors}"
    assert (4, "Mobile", "", "You may not see this column.") in errors
    names, rows = preview_of(run, reader=boss)
    assert "mobile" in names and "13800138000" in str(rows) and "13800138001" in str(rows)


def test_who_may_not_write_phones_has_none_written(account, boss):
    """Whoever presses the button is whose rights count, not who uploaded the file."""
    run = checked(AgentSheet, boss, [*HEADINGS, "Mobile"], ["1", "A", "a@example.com", "Agent", "13800138001"])
    clerk = AgentFactory(account=account, role=custom_role(account, *CLERK, "configuration.view_importrun"))
    with pytest.raises(PermissionDenied):
        choose_to_write(run, actor=clerk, only_if_all_good=False)
    run.refresh_from_db()
    assert (run.state, run.started_by) == (ImportRun.State.CHECKED, boss.pk)


@pytest.mark.parametrize("decided", [False, True])
def test_who_loses_the_right_to_phones_meanwhile_writes_none(account, decided):
    role = custom_role(account, *CLERK, *(f"agents.{action}_agentphone" for action in ("view", "add", "change", "delete")))
    clerk = AgentFactory(account=account, role=role)
    rows = ([*HEADINGS, "Mobile"], ["1", "A", "a@example.com", "Agent", "13800138001"])
    run = checked(AgentSheet, clerk, *rows) if decided else upload(AgentSheet, clerk, *rows)
    if decided:
        assert choose_to_write(run, actor=clerk, only_if_all_good=False)
    role.permissions = sorted(CLERK)
    role.save()
    work_on(run.pk)
    run.refresh_from_db()
    assert (run.state, run.problem) == (ImportRun.State.FAILED, "forbidden")
    assert not AgentPhone.objects.exists() and not Agent.objects.filter(staff_id="1").exists()


def test_who_sees_own_groups_brings_people_into_those_and_touches_no_others(account, boss, sales, support):
    scope = Role.DataScope.GROUPS
    permissions = [*CLERK, *(f"agents.{action}_skillgroupmember" for action in ("view", "add", "change", "delete"))]
    lead = AgentFactory(account=account, role=custom_role(account, *permissions, scope=scope), staff_id="lead")
    MemberFactory(skill_group=sales, agent=lead, account=account)
    both = AgentFactory(account=account, staff_id="both", name="Both", email="both@example.com")
    MemberFactory(skill_group=sales, agent=both, account=account, priority=1)
    MemberFactory(skill_group=support, agent=both, account=account, priority=1)
    AgentFactory(account=account, staff_id="hidden", name="Hidden", email="hidden@example.com")
    run = written(
        AgentSheet,
        lead,
        [*HEADINGS, "Skill groups"],
        ["1", "A", "a@example.com", "Agent", "Sales:2"],
        ["2", "B", "b@example.com", "Agent", ""],
        ["3", "C", "c@example.com", "Agent", "Support: 2"],
        ["hidden", "Mine", "hidden@example.com", "Agent", "Sales:2"],
        ["both", "Both", "both@example.com", "Agent", "Sales:4"],
    )
    assert [(row, column) for row, column, _message in said(run)] == [
        (3, "Skill groups"),
        (4, "Skill groups"),
        (5, "Staff ID"),
    ]
    assert dict(both.memberships.values_list("skill_group__name", "priority")) == {"Sales": 4, "Support: 2": 1}
    assert Agent.objects.get(staff_id="hidden").name == "Hidden"


def test_what_an_import_does_is_put_down_to_whoever_began_it_by_ids_alone(account, boss):
    run = written(
        AgentSheet, boss, [*HEADINGS, "Mobile"], ["1001", "Secret Person", "secret@example.com", "Agent", "13800138000"]
    )
    entries = AuditEntry.objects.filter(account=account)
    made = entries.get(
        content_type__model="agent", object_id=Agent.objects.get(staff_id="1001").pk, action=AuditEntry.Action.CREATE
    )
    assert made.actor_id == boss.pk
    assert entries.filter(content_type__model="importrun", object_id=run.pk, actor_id=boss.pk).count() >= 2
    everything = str(list(entries.values()))
    for personal in ("Secret", "secret@example.com", "13800138000", "1001"):
        assert personal not in everything


# --- Export ----------------------------------------------------------------------------------------------------------


def test_what_is_exported_comes_back_the_same_for_every_row(account, boss, sales, support):
    for number in range(5):
        agent = AgentFactory(account=account, nickname=f"nick {number}", cellphone_pickup="always" if number % 2 else "off")
        MemberFactory(skill_group=sales, agent=agent, account=account, priority=number % 5 + 1)
        AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=f"+861380013800{number}")
        AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=f"+861390013900{number}")
    AgentFactory(account=account, is_active=False, kind=Role.Kind.INSPECTOR)
    sheet = AgentSheet(actor=boss)
    ids = sheet.ids(Agent.objects.visible_to(boss))
    file = write_xlsx(sheet.export(ids), title="agents")
    run = open_import(sheet=AgentSheet, actor=boss, file=file, at=timezone.now())
    work_on(run.pk)
    run.refresh_from_db()
    assert counts(run) == {NEW: 0, CHANGED: 0, SAME: 7, BAD: 0}, said(run)


def test_phones_are_left_out_for_who_may_not_see_them(account, boss):
    inspector = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    AgentPhone.objects.create(account=account, agent=boss, kind="mobile", number="+8613800138000")
    sheet = AgentSheet(actor=inspector)
    rows = list(sheet.export(sheet.ids(Agent.objects.visible_to(inspector))))
    assert "Mobile" not in rows[0]
    assert "13800138000" not in str(rows)
    assert "13800138000" in str(list(AgentSheet(actor=boss).export([boss.pk])))


def test_exporting_asks_the_database_per_batch_and_not_per_row(account, boss, sales, django_assert_num_queries):
    def add(count: int) -> None:
        for _ in range(count):
            agent = AgentFactory(account=account)
            MemberFactory(skill_group=sales, agent=agent, account=account)
            AgentPhone.objects.create(account=account, agent=agent, kind="mobile", number=f"+8613800{agent.pk:06}")

    def exported() -> int:
        sheet = AgentSheet(actor=boss)
        return len(list(sheet.export(sheet.ids(Agent.objects.visible_to(boss)))))

    add(2)
    exported()
    with CaptureQueriesContext(connection) as few:
        assert exported() == 1 + 1 + 2
    add(30)
    with django_assert_num_queries(len(few)):
        assert exported() == 1 + 1 + 32


def test_checking_asks_the_database_per_batch_and_not_per_row(account, boss, sales, django_assert_max_num_queries):
    for number in range(60):
        AgentFactory(account=account, staff_id=f"s{number}", name=f"n{number}", email=f"e{number}@example.com")
    rows = [[f"s{number}", f"n{number}", f"e{number}@example.com", "Agent"] for number in range(60)]
    run = upload(AgentSheet, boss, HEADINGS, *rows)
    with django_assert_max_num_queries(40):
        work_on(run.pk)
    run.refresh_from_db()
    assert run.n_same == 60
