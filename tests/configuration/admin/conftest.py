from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from configuration.models import Role
from tests.factories import AgentFactory


@pytest.fixture
def boss(account) -> Agent:
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


def client_of(person: Agent) -> Client:
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client


@pytest.fixture
def client(boss) -> Client:
    return client_of(boss)


def page(model: Any, name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def errors_on(response: Any) -> dict[str, list[str]]:
    """What a form that was not taken says, by field."""
    assert response.status_code == 200, response.status_code
    return {name: list(texts) for name, texts in response.context["adminform"].form.errors.items()}
