"""The page of a service number, with the skill groups it may lead to."""

import pytest

from configuration.models import AuditEntry, ServiceNumber
from configuration.sheets import ServiceNumberSheet
from tests.configuration.admin.conftest import boss, client, errors_on, page  # noqa: F401 (fixtures)
from tests.configuration.test_importing import errors_of, written
from tests.factories import AccountFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db


def form(number: str, **fields):
    return {
        "number": number,
        "label": "",
        "direction": "both",
        "is_active": "on",
        "provider": "",
        "default_skill_group": "",
        "priority": "0",
        **fields,
    }


def choices(client, address: str) -> list[str]:  # noqa: F811
    return [value for value, _label in client.get(address).context["adminform"].form.fields["default_skill_group"].choices]


def test_the_groups_of_the_account_are_offered_and_nobody_elses(client, account):  # noqa: F811
    SkillGroupFactory(account=account, name="Sales")
    SkillGroupFactory(account=account, name="Given up", is_active=False)
    SkillGroupFactory(account=AccountFactory(), name="Theirs")
    assert choices(client, page(ServiceNumber, "add")) == ["", "Sales"]
    assert list(errors_on(client.post(page(ServiceNumber, "add"), form("010 5550 0001", default_skill_group="Theirs")))) == [
        "default_skill_group"
    ]
    assert client.post(page(ServiceNumber, "add"), form("010 5550 0001", default_skill_group="Sales")).status_code == 302
    assert ServiceNumber.objects.get().default_skill_group == "Sales"


def test_a_group_that_is_gone_stays_until_it_is_changed(client, account):  # noqa: F811
    row = ServiceNumber.objects.create(account=account, number="+861055500001", default_skill_group="Old name")
    assert choices(client, page(ServiceNumber, "change", row.pk)) == ["", "Old name"]
    assert client.post(page(ServiceNumber, "change", row.pk), form(row.number, default_skill_group="Old name")).status_code == 302


def test_the_api_and_an_import_take_a_group_in_use_only(client, boss, account):  # noqa: F811
    SkillGroupFactory(account=account, name="Sales")
    SkillGroupFactory(account=account, name="Given up", is_active=False)
    SkillGroupFactory(account=AccountFactory(), name="Theirs")
    for name in ("Theirs", "Nowhere", "Given up"):
        body = {"number": "+861055500001", "default_skill_group": name}
        answer = client.post("/api/v1/service-numbers/", body, content_type="application/json")
        assert answer.status_code == 400
        assert answer.json()["errors"] == [{"field": "default_skill_group", "reason": "There is no such skill group in use."}]
    run = written(
        ServiceNumberSheet,
        boss,
        ["Number", "Default skill group"],
        ["+861055500001", "Sales"],
        ["+861055500002", "Theirs"],
        ["+861055500003", ""],
    )
    assert [(row, column) for row, column, _cell, _said in errors_of(run)] == [(3, "Default skill group")]
    assert list(ServiceNumber.objects.values_list("default_skill_group", flat=True)) == ["Sales", ""]


def test_a_number_goes_along_when_its_group_is_renamed(client, account):  # noqa: F811
    group = SkillGroupFactory(account=account, name="Sales")
    SkillGroupFactory(account=account, name="Support")
    other = AccountFactory()
    rows = [
        ServiceNumber.objects.create(account=account, number="+861055500001", default_skill_group="Sales"),
        ServiceNumber.objects.create(account=account, number="+861055500002", default_skill_group="Support"),
        ServiceNumber.objects.create(account=other, number="+861055500001", default_skill_group="Sales"),
    ]
    address = f"/api/v1/skill-groups/{group.pk}/"
    assert client.patch(address, {"name": "Sales 2"}, content_type="application/json").status_code == 200
    for row in rows:
        row.refresh_from_db()
    assert [row.default_skill_group for row in rows] == ["Sales 2", "Support", "Sales"]
    entry = AuditEntry.objects.filter(content_type__model="servicenumber", object_id=rows[0].pk).latest("pk")
    assert list(entry.changes) == ["default_skill_group"]
    group.refresh_from_db()
    group.name = "not saved"
    group.save(update_fields=["wrap_up_seconds"])
    rows[0].refresh_from_db()
    assert rows[0].default_skill_group == "Sales 2"


def test_a_number_is_shown_readable_and_found_in_any_form(client, account):  # noqa: F811
    ServiceNumber.objects.create(account=account, number="+8613800138000", label="Hotline")
    ServiceNumber.objects.create(account=account, number="95588")
    text = client.get(page(ServiceNumber, "changelist")).content.decode()
    assert "+86 138 0013 8000" in text
    for term in ("138-0013-8000", "0086 13800138000", "hotline", "95588"):
        rows = client.get(page(ServiceNumber, "changelist"), {"q": term}).context["cl"].result_list
        assert len(rows) == 1, term


def test_a_number_there_is_already_is_said_on_its_field(client, account):  # noqa: F811
    ServiceNumber.objects.create(account=account, number="+8613800138000")
    assert errors_on(client.post(page(ServiceNumber, "add"), form("138 0013 8000"))) == {"number": ["This is in use already."]}
    assert list(errors_on(client.post(page(ServiceNumber, "add"), form("hello")))) == ["number"]
