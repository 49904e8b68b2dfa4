"""Lists of the admin, whatever their address asks for."""

import logging
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from callcenter_site.admin import OperatorAdmin, PortalAdmin
from configuration.models import Account, BreakReason, Role
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

LISTS = [model for model, page in admin.site._registry.items() if isinstance(page, PortalAdmin | OperatorAdmin)]
UNREADABLE = ["x\x00", "9" * 40]


def list_of(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.fixture
def client(account, operator) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    return client


@pytest.fixture
def operator() -> Agent:
    return Agent.objects.create_superuser(email="operator@example.com", password="not a secret 1", name="Operator")


def client_for(model: Any, client: Client, operator: Agent) -> Client:
    if isinstance(admin.site._registry[model], OperatorAdmin) or model is Account:
        client.force_login(operator, backend="agents.sign_in.RoleBackend")
    return client


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_a_parameter_that_nothing_reads_is_left_out_quietly(client, operator, caplog, model):
    caplog.set_level(logging.WARNING)
    answer = client_for(model, client, operator).get(list_of(model), {"x__gte": "1", "o__o": "1", "q": "a"})
    assert answer.status_code == 302
    if not answer["Location"].startswith(list_of(model)):
        return  # the page of one's own account alone
    assert answer["Location"] == f"{list_of(model)}?q=a"
    page = client.get(answer["Location"])
    assert page.status_code == 200 and "shown without it: x__gte, o__o." in page.content.decode()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.label)
def test_a_value_that_cannot_be_read_is_no_error(client, operator, caplog, model):
    """Of every filter that a list has."""
    caplog.set_level(logging.ERROR)
    client, page = client_for(model, client, operator), admin.site._registry[model]
    names = {"p", "o", "all", "q"}
    for item in page.list_filter:
        declared = [*getattr(item, "parameter_names", ()), getattr(item, "parameter_name", "")] if isinstance(item, type) else []
        field = "" if declared else item if isinstance(item, str) else item[0]
        names |= {f"{field}{ending}" for ending in ("__exact", "__id__exact", "__isnull", "_from")} if field else set()
        names |= set(filter(None, declared))
    for value in UNREADABLE:  # a value that a filter lets through stays, and is shown
        assert client.get(list_of(model), dict.fromkeys(sorted(names), value), follow=True).status_code == 200, value
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_only_what_cannot_be_read_is_left_out(client):
    answer = client.get(list_of(BreakReason), {"is_active__exact": "1", "nonsense": "1", "o": "1", "e": "1"})
    assert answer["Location"] == f"{list_of(BreakReason)}?is_active__exact=1&o=1"
