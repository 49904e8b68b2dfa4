"""Two accounts with a row of every model, made from the models' fields, so that a new model is covered the day it is made.

Each world's text columns, encrypted ones too, hold its canary: a word that must never reach somebody of the other world.
"""

import datetime as dt
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone

from agents.models import Agent
from callcenter_site.fields import Sha256Field
from callcenter_site.slots import slot_of
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.encryption import EncryptedTextField
from configuration.models import Account, ApiKey, ImportChunk, Role
from tests.factories import AgentFactory

OUR_APPS = ("configuration", "agents", "calls", "analytics", "retention")
MISSING_ID = 70_999_999
"""An id no row has, as long as those of the rows, so that two answers differ in nothing but the digits."""


def our_models() -> list[type[models.Model]]:
    """Every model of ours, each after those it points to."""
    todo = [model for app in OUR_APPS for model in apps.get_app_config(app).get_models()]
    ordered: list[type[models.Model]] = []
    while todo:
        ready = [model for model in todo if not (_targets(model) - {model}) & set(todo)]
        assert ready, f"models that point at each other: {todo}"
        ordered += ready
        todo = [model for model in todo if model not in ready]
    return ordered


def _targets(model: type[models.Model]) -> set[type[models.Model]]:
    return {one.remote_field.model for one in model._meta.concrete_fields if one.remote_field}


@dataclass
class World:
    canary: str
    first_id: int
    account: Account
    rows: dict[type[models.Model], models.Model] = field(default_factory=dict)
    people: dict[str, Agent] = field(default_factory=dict)
    key: str = ""

    def everything(self) -> dict[str, Any]:
        """All columns of all rows, for a before and after."""
        return {
            f"{model._meta.label}#{row.pk}": model._base_manager.filter(pk=row.pk).values_list().first()
            for model, row in self.rows.items()
        }


def make_world(canary: str, first_id: int) -> World:
    account = Account.objects.create(pk=first_id, name=canary, slug=canary.lower(), time_zone="Asia/Shanghai")
    roles = create_built_in_roles(account)
    world = World(canary, first_id, account, {Account: account})
    for position, model in enumerate(our_models(), start=1):
        if model is not Account:
            world.rows[model] = _make(world, model, first_id + position)
    for kind, role in roles.items():
        # The canary stands in the columns of people as well; their skill group is the one there is.
        world.people[kind] = AgentFactory(account=account, role=role, name=f"{canary} {kind}", email=f"{kind}@{canary}.example")
    for model, row in world.rows.items():
        LogEntry.objects.create(
            user_id=world.people[Role.Kind.ADMINISTRATOR].pk,
            content_type=ContentType.objects.get_for_model(model),
            object_id=str(row.pk),
            object_repr=canary,
            action_flag=CHANGE,
            change_message=canary,
        )
    world.key = create_api_key(account=account, name=canary, scopes=list(ApiKey.Scope.values))[1]
    return world


def _make(world: World, model: type[models.Model], pk: int) -> models.Model:
    row = model(pk=pk)
    for column in model._meta.concrete_fields:
        if not column.primary_key and (value := _value(world, column)) is not None:
            setattr(row, column.attname if column.remote_field else column.name, value)
    if isinstance(row, Agent):
        row.email = f"{world.canary}@{world.canary}.example"
    if isinstance(row, ImportChunk):  # its page reads them
        row.rows, row.errors = json.dumps([[2, [world.canary]]]), json.dumps([[2, world.canary, world.canary]])
    row.save(force_insert=True)
    return row


def _value(world: World, column: Any) -> Any:  # noqa: PLR0911 (one line per kind of column)
    if column.remote_field and column.remote_field.model is ContentType:
        return ContentType.objects.get_for_model(Account).pk
    if column.remote_field and column.remote_field.model is column.model:
        return None  # the first of its kind points to no other
    if column.remote_field:
        return world.account.pk if column.remote_field.model is Account else world.rows[column.remote_field.model].pk
    if isinstance(column, Sha256Field):
        return os.urandom(32)
    if column.choices:
        return column.flatchoices[-1][0]  # custom roles, stored files, ended calls: what shows the most
    if isinstance(column, EncryptedTextField | models.CharField | models.TextField):
        assert column.max_length is None or column.max_length >= len(world.canary), column
        return world.canary
    if column.name == "counts":
        return {world.canary: 1}
    if isinstance(column, models.JSONField):
        return {"note": world.canary} if column.get_default() == {} else column.get_default()
    if column.name == "slot":
        return slot_of(timezone.now())
    if isinstance(column, models.DateTimeField):
        return None if column.null else timezone.now() - dt.timedelta(minutes=5)
    if isinstance(column, models.DateField):
        return timezone.now().date()
    if isinstance(column, models.BooleanField):
        return column.get_default()
    if isinstance(column, models.IntegerField | models.FloatField):
        return 1
    return column.get_default()


def without_ids(text: str, *ids: Any) -> str:
    """An answer without what may differ between two requests that mean the same: ids asked for, and form tokens."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]+"', "", text)
    text = re.sub(r'"csrfmiddlewaretoken": "[^"]+"', "", text)
    for one in ids:
        text = text.replace(str(one), "ID")
    return text


def pointers_between(one: World, other: World) -> list[str]:
    """Rows of one world that point at a row of the other: there must never be any."""
    found = []
    for model in our_models():
        if not any(column.name == "account" for column in model._meta.concrete_fields):
            continue
        for column in model._meta.concrete_fields:
            if column.name == "account" or not column.remote_field or not hasattr(column.remote_field.model, "account"):
                continue
            for here, there in ((one, other), (other, one)):
                rows = model._base_manager.filter(account_id=here.account.pk, **{f"{column.name}__account_id": there.account.pk})
                found += [f"{model._meta.label}#{pk}.{column.name}" for pk in rows.values_list("pk", flat=True)]
    return found
