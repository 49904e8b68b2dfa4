"""People: their personal columns and who may do what."""

import pytest
from django.db import connection

from agents.models import Agent
from configuration.encryption import DecryptionError
from configuration.models import Role
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def test_personal_columns_are_unreadable_in_the_database():
    agent = AgentFactory(name="Wang Fang", email="wang@example.com")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, email FROM agents_agent WHERE id = %s", [agent.pk])
        stored = b"".join(bytes(value) for value in cursor.fetchone())
    assert b"Wang" not in stored and b"wang" not in stored
    assert Agent.objects.get(pk=agent.pk).name == "Wang Fang"


def test_a_value_moved_to_another_account_does_not_open():
    agent, other = AgentFactory(), AgentFactory()
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM agents_agent WHERE id = %s", [agent.pk])
        stored = cursor.fetchone()[0]
        cursor.execute("UPDATE agents_agent SET name = %s WHERE id = %s", [stored, other.pk])
    with pytest.raises(DecryptionError):
        _ = Agent.objects.get(pk=other.pk).name


def test_people_sign_in_by_email_in_any_case(client):
    AgentFactory(email="Li@Example.com", kind=Role.Kind.ADMINISTRATOR)
    answer = client.post("/admin/login/", {"username": "li@EXAMPLE.com", "password": PASSWORD})
    assert answer.status_code == 302


def test_a_role_answers_for_its_people_and_an_inactive_person_may_nothing():
    supervisor = AgentFactory(kind=Role.Kind.SUPERVISOR)
    assert supervisor.has_perm("calls.view_call") and not supervisor.has_perm("agents.add_agent")
    supervisor.is_active = False
    assert not supervisor.has_perm("calls.view_call")


def test_an_account_gets_its_own_data_key():
    assert AccountFactory().wrapped_key != AccountFactory().wrapped_key
