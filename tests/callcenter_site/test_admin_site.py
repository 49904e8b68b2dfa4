"""Addresses of the admin that belong to no page of ours."""

import pytest
from django.urls import reverse

from configuration.models import Role
from tests.factories import AgentFactory, CallFactory, CallLegFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


@pytest.mark.parametrize("page", ["x", "0", "-1", "2", "1.5", "9" * 5000, "%00"])
@pytest.mark.parametrize("extended", ["", "&extended=1"])
def test_a_page_of_search_results_that_is_not_there_is_not_found(administrator, client, page, extended):
    assert client.get(f"/admin/search/?s=a{extended}").status_code == 200
    assert client.get(f"/admin/search/?s=a&page={page}{extended}").status_code == 404


def autocomplete(client, app: str, model: str, field: str):
    query = {"app_label": app, "model_name": model, "field_name": field, "term": ""}
    return client.get(reverse("admin:autocomplete"), query)


@pytest.mark.parametrize(
    ("app", "model", "field"),
    [
        ("agents", "skillgroupmember", "agent"),
        ("agents", "skillgroupmember", "skill_group"),
        ("agents", "statuschange", "agent"),
        ("calls", "call", "agent"),
    ],
)
def test_what_a_form_or_filter_asks_for_is_offered(administrator, client, app, model, field):
    assert autocomplete(client, app, model, field).status_code == 200


@pytest.mark.parametrize(
    ("app", "model", "field"),
    [("calls", "callleg", "call"), ("calls", "queueentry", "call"), ("calls", "callleg", "agent"), ("calls", "call", "legs")],
)
def test_what_no_form_asks_for_is_not_searched(administrator, client, account, app, model, field):
    CallLegFactory(call=CallFactory(account=account))
    assert autocomplete(client, app, model, field).status_code == 403
