"""Every page of the admin, every role, two accounts: nothing of the other account is shown, chosen, changed or hinted at.

The pages come from the registry, the fields and filters from the pages, so whatever is registered is covered.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.models import AnonymousUser
from django.forms import ModelChoiceField
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, reverse

from agents.models import Agent
from callcenter_site.admin import OperatorAdmin, PortalAdmin
from configuration.models import Account, Role
from tests.isolation.worlds import MISSING_ID, our_models, pointers_between, without_ids

PAGES = {model: page for model, page in admin.site._registry.items() if isinstance(page, PortalAdmin)}
INSTALLATION_PAGES = {model: page for model, page in admin.site._registry.items() if isinstance(page, OperatorAdmin)}
KINDS = sorted(Role.BUILT_IN)

per_page = pytest.mark.parametrize("model", list(PAGES), ids=lambda model: model._meta.label)


def as_person(person: Any) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client


def url_of(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def request_of(person: Any) -> Any:
    request = RequestFactory().get("/")
    request.user = person or AnonymousUser()
    return request


def text_of(response: HttpResponse, *ids: Any) -> str:
    trail = json.dumps([response.status_code, getattr(response, "redirect_chain", []), response.headers.get("Location", "")])
    return without_ids(trail + response.content.decode(), *ids)


def messages_of(client: Client, response: Any) -> list[str]:
    """What the page that a redirect leads to would say; that page itself is no other for it, and costs the most. Taken
    away, so that no later page says it."""
    storage = getattr(response.wsgi_request, "_messages", None)
    session = client.session
    if session.pop("_messages", None) is not None:
        session.save()
    client.cookies.pop("messages", None)
    return [str(one.message) for one in getattr(storage, "_queued_messages", [])]


def assert_same(
    client: Client, foreign: tuple[str, Any], missing: tuple[str, Any], ids: tuple[Any, ...], canary: str, what: str
) -> None:
    """The same request with an id of theirs and with an id of nobody's: one answer."""
    answers = []
    for url, data in (foreign, missing):
        response = client.get(url) if data is None else client.post(url, data)
        answer = without_ids(str(messages_of(client, response)), *ids) + text_of(response, *ids)
        answers.append(answer)
        assert canary not in answer.lower(), f"{what}: {url} shows what is theirs"
    assert answers[0] == answers[1], f"{what}: {foreign[0]} answers otherwise than {missing[0]}"


def object_pages(model: Any) -> Iterator[str]:
    """Templates of the addresses below one row: change, delete, history, and what the page adds of its own."""
    base = url_of(model, "changelist")
    for pattern in PAGES[model].get_urls():
        if isinstance(pattern, URLPattern) and "object_id" in pattern.pattern.converters:
            yield base + str(pattern.pattern).replace("<path:object_id>", "{id}").replace("<int:object_id>", "{id}").lstrip("^")


def pointers_of(model: Any) -> list[Any]:
    """Foreign keys of a model to rows of accounts."""
    return [
        one
        for one in model._meta.concrete_fields
        if one.remote_field and one.name != "account" and one.remote_field.model in our_models()
    ]


def form_data(response: Any) -> dict[str, Any]:
    """What a browser would send back: the page's forms with what stands in them."""
    data: dict[str, Any] = {}
    context = response.context
    forms = [context["adminform"].form]
    for inline in context.get("inline_admin_formsets", []):
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if isinstance(value, bool):
                data.update({bound.html_name: "on"} if value else {})
            elif isinstance(value, list | tuple):
                data[bound.html_name] = [str(one) for one in value]
            elif value is not None and not hasattr(value, "isoformat"):
                data[bound.html_name] = str(value)
    return data


def test_every_page_stands_on_the_bases():
    strangers = [page for page in admin.site._registry.values() if not isinstance(page, PortalAdmin | OperatorAdmin)]
    assert strangers == []
    assert not [model for model in INSTALLATION_PAGES if model in our_models()], "a customer's rows are no operator's page"


def test_every_model_has_a_row_in_both_worlds(ours, theirs):
    assert set(ours.rows) == set(theirs.rows) == set(our_models())
    assert all(model._base_manager.filter(pk=row.pk).exists() for model, row in theirs.rows.items())


@per_page
def test_the_rightful_administrator_sees_the_row(ours, theirs, model):
    """The positive control: without it, a page that shows nobody anything would pass."""
    client, row = as_person(theirs.people[Role.Kind.ADMINISTRATOR]), theirs.rows[model]
    assert client.get(url_of(model, "change", row.pk)).status_code == 200
    listed = client.get(url_of(model, "changelist"), follow=True).content.decode()
    assert url_of(model, "change", row.pk) in listed or str(row.pk) in listed


@per_page
@pytest.mark.parametrize("kind", [*KINDS, "operator"])
def test_pages_show_nothing_of_the_other_account(ours, theirs, operator, model, kind):
    if kind == "operator" and model is Account:
        pytest.skip("accounts are the operator's own business")
    person = operator if kind == "operator" else ours.people[kind]
    client, foreign, page = as_person(person), theirs.rows[model].pk, PAGES[model]
    before = theirs.everything()

    addresses = [url_of(model, "changelist"), url_of(model, "changelist") + f"?q={theirs.canary[:-1]}", url_of(model, "add")]
    addresses += [url_of(model, "changelist") + f"?q={theirs.rows[Agent].pk}", url_of(model, "changelist") + "?all="]
    for pointer in pointers_of(model):
        addresses.append(url_of(model, "add") + f"?{pointer.name}={theirs.rows[pointer.remote_field.model].pk}")
    for address in addresses:
        response = client.get(address)
        shown = f"{messages_of(client, response)} {response.headers.get('Location', '')} {response.content.decode()}"
        assert theirs.canary not in shown.lower(), address

    for template in object_pages(model):
        for data in (None, {}, {"post": "yes"}):
            urls = [(template.format(id=one), data) for one in (foreign, MISSING_ID)]
            assert_same(client, urls[0], urls[1], (foreign, MISSING_ID), theirs.canary, kind)
    for extra in ("?_popup=1", "?_to_field=id&_popup=1"):
        urls = [(url_of(model, "change", one) + extra, None) for one in (foreign, MISSING_ID)]
        assert_same(client, urls[0], urls[1], (foreign, MISSING_ID), theirs.canary, kind)

    request = request_of(person)
    # Filters are asked of who is offered most of them: what they narrow is the same for everybody of an account.
    for item in page.get_list_filter(request) if kind == Role.Kind.ADMINISTRATOR else ():
        name = (
            (*getattr(item, "parameter_names", ()), getattr(item, "parameter_name", ""))[0] if isinstance(item, type) else item[0]
        )
        column = getattr(model, str(name), None)
        target = getattr(getattr(column, "field", None), "remote_field", None)
        ids = (theirs.rows[Agent].pk, MISSING_ID)
        if target is not None:
            related = {target.model, target.field.model} - {model}
            ids = (next((theirs.rows[one].pk for one in related if one in theirs.rows), ids[0]), MISSING_ID)
        for ending in ("", "__exact", "__id__exact", "__in"):
            urls = [(url_of(model, "changelist") + f"?{name}{ending}={one}", None) for one in ids]
            assert_same(client, urls[0], urls[1], ids, theirs.canary, f"{kind}, filter {name}")

    for action in page.get_actions(request):
        forms = [
            (url_of(model, "changelist"), {"action": action, "_selected_action": [str(one)], "post": "yes"})
            for one in (foreign, MISSING_ID)
        ]
        assert_same(client, forms[0], forms[1], (foreign, MISSING_ID), theirs.canary, f"{kind}, action {action}")

    assert theirs.everything() == before


@per_page
def test_hidden_columns_cannot_be_guessed_through_the_address(ours, theirs, model):
    client = as_person(ours.people[Role.Kind.ADMINISTRATOR])
    for column in model._meta.concrete_fields:
        for lookup in ("startswith", "regex", "gte"):
            address = url_of(model, "changelist") + f"?{column.name}__{lookup}=a"
            declared = PAGES[model].lookup_allowed(
                f"{column.name}__{lookup}", "a", request_of(ours.people[Role.Kind.ADMINISTRATOR])
            )
            assert lookup == "gte" or not declared
            if not declared and model is not Account:
                assert_left_out(client, address)
        for other in ("account__slug", "account__name__startswith", "account__wrapped_key__gte", "account"):
            if model is not Account:
                assert_left_out(client, url_of(model, "changelist") + f"?{other}=a")


def assert_left_out(client: Client, address: str) -> None:
    """The list is shown without what the address asked for."""
    response = client.get(address)
    assert (response.status_code, response.headers["Location"]) == (302, address.partition("?")[0]), address
    assert len(messages_of(client, response)) == 1


@per_page
@pytest.mark.parametrize("page", ["add", "change"])
def test_a_form_takes_no_id_of_the_other_account(ours, theirs, model, page):
    """Every choice of the form and its inlines, once with an id of theirs and once with an id of nobody's."""
    client = as_person(ours.people[Role.Kind.ADMINISTRATOR])
    address = url_of(model, "add") if page == "add" else url_of(model, "change", ours.rows[model].pk)
    response = client.get(address)
    if response.status_code != 200 or "adminform" not in (response.context or {}):
        form = (response.context or {}).get("form")
        may_add = PAGES[model].has_add_permission(request_of(ours.people[Role.Kind.ADMINISTRATOR]))
        assert page == "change" or not may_add or form is not None
        for name in _pointers_of_form(form) if page == "add" and may_add else ():
            data = {"kind": name}  # such a form asks what it is about first
            _post_both(client, address, data, name, theirs.rows[form.fields[name].queryset.model].pk, theirs.canary)
        return
    assert theirs.canary not in response.content.decode().lower()
    before, data = theirs.everything(), form_data(response)
    choices = [pointer for pointer in pointers_of(model) if pointer.name in response.context["adminform"].form.fields]
    for pointer in choices:
        _post_both(client, address, data, pointer.name, theirs.rows[pointer.remote_field.model].pk, theirs.canary)
    for inline in response.context.get("inline_admin_formsets", []):
        prefix, formset = inline.formset.prefix, inline.formset
        for pointer in pointers_of(formset.model):
            if pointer.name not in formset.empty_form.fields:
                continue
            total, row = int(data[f"{prefix}-TOTAL_FORMS"]), f"{prefix}-{data[f'{prefix}-TOTAL_FORMS']}"
            added = data | {f"{prefix}-TOTAL_FORMS": str(total + 1), f"{row}-priority": "3"}
            _post_both(client, address, added, f"{row}-{pointer.name}", theirs.rows[pointer.remote_field.model].pk, theirs.canary)
        if total := int(data[f"{prefix}-INITIAL_FORMS"]):
            # The row of an inline that is said to be edited is an id in the form, too.
            _post_both(client, address, data, f"{prefix}-0-id", theirs.rows[formset.model].pk, theirs.canary)
    assert theirs.everything() == before
    assert pointers_between(ours, theirs) == []


def _pointers_of_form(form: Any) -> list[str]:
    return [name for name, field in form.fields.items() if isinstance(field, ModelChoiceField)]


def _post_both(client: Client, address: str, data: dict[str, Any], name: str, foreign: Any, canary: str) -> None:
    forms = [(address, data | {name: str(one)}) for one in (foreign, MISSING_ID)]
    assert_same(client, forms[0], forms[1], (foreign, MISSING_ID), canary, name)


@pytest.mark.parametrize("kind", [*KINDS, "operator"])
def test_autocompletes_offer_nothing_of_the_other_account(ours, theirs, operator, kind):
    client = as_person(operator if kind == "operator" else ours.people[kind])
    for model in our_models():
        for column in model._meta.get_fields():
            # A column that leads to no other row is refused before role and term are read.
            leads = column.many_to_one or column.many_to_many
            for term in ("", theirs.canary[:3], theirs.canary, "operator") if leads else ("",) if kind == "administrator" else ():
                query = {
                    "app_label": model._meta.app_label,
                    "model_name": model._meta.model_name,
                    "field_name": column.name,
                    "term": term,
                }
                answer = client.get(reverse("admin:autocomplete"), query)
                assert answer.status_code in {200, 302, 403, 404}
                if kind != "operator" or column.name != "account":
                    assert theirs.canary not in answer.content.decode().lower(), query
                    assert ours.canary not in answer.content.decode() or kind != "operator", query


def test_autocompletes_offer_what_is_ones_own(ours, theirs):
    client = as_person(ours.people[Role.Kind.ADMINISTRATOR])
    query = {"app_label": "agents", "model_name": "skillgroupmember", "field_name": "agent", "term": ours.canary}
    found = client.get(reverse("admin:autocomplete"), query).json()["results"]
    assert str(ours.rows[Agent].pk) in {one["id"] for one in found}


@pytest.mark.parametrize("model", list(INSTALLATION_PAGES), ids=lambda model: model._meta.label)
def test_pages_of_the_installation_are_closed_to_every_role(ours, model):
    """Even a role that somehow holds their permissions."""
    greedy = ours.people[Role.Kind.ADMINISTRATOR]
    names = ("view", "add", "change", "delete")
    greedy.role.permissions = [
        *greedy.role.permissions,
        *(f"{model._meta.app_label}.{name}_{model._meta.model_name}" for name in names),
    ]
    greedy.role.save()
    for page in ("changelist", "add"):
        assert as_person(greedy).get(url_of(model, page)).status_code == 403


@pytest.mark.parametrize("model", list(INSTALLATION_PAGES), ids=lambda model: model._meta.label)
def test_operators_open_the_pages_of_the_installation(operator, model):
    assert as_person(operator).get(url_of(model, "changelist")).status_code == 200


@per_page
def test_the_history_of_a_row_is_its_accounts_own(ours, theirs, model):
    theirs_shown = as_person(theirs.people[Role.Kind.ADMINISTRATOR]).get(url_of(model, "history", theirs.rows[model].pk))
    assert theirs.canary in theirs_shown.content.decode().lower()
    ours_shown = as_person(ours.people[Role.Kind.ADMINISTRATOR]).get(url_of(model, "history", ours.rows[model].pk))
    assert theirs.canary not in ours_shown.content.decode().lower()


@per_page
def test_the_fields_of_a_page_hold_no_account(model):
    """The account is set by the server: no form offers it."""
    for person in (Agent(is_superuser=True),):
        assert "account" not in flatten_fieldsets(PAGES[model].get_fieldsets(request_of(person)))


def test_no_row_is_reached_through_the_redirect_to_any_object(ours, theirs, client):
    client.force_login(ours.people[Role.Kind.ADMINISTRATOR], backend="agents.sign_in.RoleBackend")
    assert client.get(f"/admin/r/1/{theirs.rows[Agent].pk}/").status_code == 404
