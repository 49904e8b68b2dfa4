"""Within one account: whoever sees their own skill groups sees nothing of the people and calls of others, whatever else
their role lets them do.

The rows are those of the two-accounts tests. What is the account's configuration is everybody's who may see it; all else
holds a word that must not reach somebody of another group.
"""

import copy
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, reverse

from agents.models import Agent
from calls.models import Call, Connection, IncomingWebhook, SoundSource, UnknownName, WebhookDelivery
from configuration import models as configuration
from configuration.encryption import EncryptedTextField
from configuration.models import Account, Role
from tests.factories import AgentFactory, MemberFactory, SkillGroupFactory
from tests.isolation.conftest import kept_around_tests
from tests.isolation.test_admin import PAGES, as_person, object_pages, url_of
from tests.isolation.test_routes import PAGE, ROUTES, ROWS, Row
from tests.isolation.worlds import MISSING_ID, World, make_world, our_models

HIDDEN, COMMON = "hiddenelm", "commonash"
OF_THE_ACCOUNT = {
    Account,
    Role,
    configuration.ServiceNumber,
    configuration.IvrPrompt,
    configuration.BlockedNumber,
    configuration.Keyword,
    configuration.QuickReplyGroup,
    configuration.QuickReply,
    configuration.ScreenPop,
    configuration.BreakReason,
    configuration.Disposition,
    configuration.ApiKey,
    Connection,
    IncomingWebhook,
    WebhookDelivery,
    SoundSource,
    UnknownName,
}
"""What belongs to the account as a whole. A new model is not among it until it is said to be."""

OF_PEOPLE = [one for one in our_models() if one not in OF_THE_ACCOUNT]


def make_account_of_others() -> World:
    """An account whose every row, but its configuration, is about people and calls of a group that the narrow one is not in."""
    world = make_world(HIDDEN, 60_000_000)
    for model in OF_THE_ACCOUNT:
        row = world.rows[model]
        for column in model._meta.concrete_fields:
            value = getattr(row, column.attname)
            if isinstance(column, models.CharField | models.TextField | EncryptedTextField) and HIDDEN in str(value):
                setattr(row, column.attname, str(value).replace(HIDDEN, COMMON))
            elif isinstance(column, models.JSONField) and HIDDEN in str(value):
                setattr(row, column.attname, column.get_default())
        row.save()
    kinds = [ContentType.objects.get_for_model(model) for model in OF_THE_ACCOUNT]
    LogEntry.objects.filter(content_type__in=kinds).update(object_repr=COMMON, change_message=COMMON)
    configuration.ApiKey.objects.filter(name=HIDDEN).update(name=COMMON)
    Call.objects.filter(account=world.account).update(provider=COMMON)  # a telecom company; filters offer those of the account
    Role.objects.filter(account=world.account).exclude(pk=world.rows[Role].pk).update(requires_second_factor=False)
    return world


@pytest.fixture(scope="module")
def account_of_others(django_db_setup, django_db_blocker) -> Iterator[World]:
    with kept_around_tests(make_account_of_others, django_db_blocker) as world:
        yield world


@pytest.fixture
def world(account_of_others, db) -> World:
    return copy.deepcopy(account_of_others)


@pytest.fixture
def narrow(world) -> Agent:
    """Holds all that an administrator holds, over their own skill groups."""
    everything = Role.objects.get(account=world.account, kind=Role.Kind.ADMINISTRATOR).permissions
    role = Role.objects.create(
        account=world.account, name="Group administrator", permissions=everything, data_scope=Role.DataScope.GROUPS
    )
    person = AgentFactory(account=world.account, role=role, name="Narrow", email="narrow@example.com")
    group = SkillGroupFactory(account=world.account, name="Own group")
    MemberFactory(account=world.account, skill_group=group, agent=person)
    colleague = AgentFactory(account=world.account, name="Colleague")
    MemberFactory(account=world.account, skill_group=group, agent=colleague)
    return person


def said_in(response: Any) -> str:
    """All of an answer, its address and its file name too; a spreadsheet is unpacked."""
    body = b"".join(response.streaming_content) if response.streaming and not response.is_async else b""
    body = body or (b"" if response.streaming else response.content)
    if body[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(body)) as book:
            body = b" ".join(book.read(name) for name in book.namelist())
    head = f"{response.headers.get('Location', '')} {response.headers.get('Content-Disposition', '')}"
    return (head + body.decode(errors="replace")).lower()


def pages(model: Any) -> Iterator[str]:
    for name in ("changelist", "add"):
        yield url_of(model, name)
    yield url_of(model, "changelist") + f"?q={HIDDEN[:-1]}"
    for kind in ("csv", "xlsx"):
        try:
            yield url_of(model, "export", kind)
        except NoReverseMatch:
            return


def assert_says_nothing(client: Client, address: str, method: str = "get", **more: Any) -> HttpResponse:
    response = getattr(client, method)(address, **more)
    assert response.status_code < 500, address
    said = said_in(response)
    assert HIDDEN not in said, f"{method} {address}: {said[max(0, said.find(HIDDEN) - 200) : said.find(HIDDEN) + 100]}"
    return response  # type: ignore[no-any-return]


@pytest.mark.parametrize("model", list(PAGES), ids=lambda model: model._meta.label)
def test_pages_and_files_say_nothing_of_other_groups(world, narrow, model):
    client = as_person(narrow)
    for address in pages(model):
        assert_says_nothing(client, address)
    if model in OF_THE_ACCOUNT:
        assert client.get(url_of(model, "change", world.rows[model].pk)).status_code == 200, "the positive control"
    for template in object_pages(model):
        assert_says_nothing(client, template.format(id=world.rows[model].pk))
        assert_says_nothing(client, template.format(id=world.rows[model].pk), "post")


@pytest.mark.parametrize("model", [one for one in OF_PEOPLE if one in PAGES], ids=lambda model: model._meta.label)
def test_a_row_of_another_group_answers_like_one_that_does_not_exist(world, narrow, model):
    client = as_person(narrow)
    for template in object_pages(model):
        answers = []
        for one in (world.rows[model].pk, MISSING_ID):
            response = client.get(template.format(id=one), follow=True)
            answers.append((response.status_code, len(response.redirect_chain)))
        assert answers[0] == answers[1], template


def test_routes_say_nothing_of_other_groups(world, narrow):
    client = as_person(narrow)
    for name, told in ROUTES.items():
        if told == PAGE:
            for method in ("get", "post"):
                if name not in {"agents:sign-out", "admin:logout"}:
                    assert_says_nothing(client, reverse(name), method)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda one: one if isinstance(one, str) else one.model._meta.label)
def test_a_row_of_another_group_is_no_row_of_a_route(world, narrow, name, row: Row):
    if row.model in OF_THE_ACCOUNT:
        return
    client, before = as_person(narrow), world.everything()
    for method in ("get", "post", "put", "patch", "delete"):
        address = reverse(name, kwargs={row.parameter: world.rows[row.model].pk, **row.rest})
        assert assert_says_nothing(client, address, method).status_code >= 300
    assert world.everything() == before


@pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
def test_autocompletes_and_search_offer_nothing_of_other_groups(world, narrow, model):
    client = as_person(narrow)
    for column in model._meta.get_fields():
        query = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": column.name}
        for term in ("", HIDDEN[:-1]):
            assert_says_nothing(client, reverse("admin:autocomplete"), data=query | {"term": term})
    assert_says_nothing(client, reverse("admin:search"), data={"s": HIDDEN[:-1]})


def test_the_account_as_a_whole_is_seen_by_whoever_sees_it(world, narrow):
    """The positive control: with the whole account as scope, every page says the word, or holds the row."""
    narrow.role.data_scope = Role.DataScope.ACCOUNT
    narrow.role.save()
    client = as_person(narrow)
    for model in OF_PEOPLE:
        if model in PAGES:
            assert client.get(url_of(model, "change", world.rows[model].pk)).status_code == 200, model
    history = client.get(url_of(configuration.Keyword, "history", world.rows[configuration.Keyword].pk))
    assert HIDDEN in said_in(history), "who changed it is named"
    assert HIDDEN in said_in(client.get(url_of(Agent, "changelist")))
    assert HIDDEN in said_in(client.get(url_of(Agent, "export", "csv")))


def test_no_action_reaches_people_of_other_groups(world, narrow):
    client, before = as_person(narrow), world.everything()
    for model, page in PAGES.items():
        if model in OF_THE_ACCOUNT:
            continue
        for action in ("delete_selected", *(getattr(one, "__name__", one) for one in page.actions or ())):
            form = {"action": action, "_selected_action": [str(world.rows[model].pk)], "post": "yes"}
            assert_says_nothing(client, url_of(model, "changelist"), "post", data=form)
    assert world.everything() == before
