"""Who is not said to see the whole account sees what is their own."""

import pytest

from agents.models import Agent
from calls.models import Call
from configuration.models import AuditEntry, Role
from configuration.scoping import AccountQuerySet
from tests.isolation.worlds import World, make_world, our_models

pytestmark = pytest.mark.django_db


class Unsaid:
    """Somebody of an account of whom nothing says how far they see; the next kind of actor, say."""

    def __init__(self, like: Agent) -> None:
        self.account, self.account_id, self.pk = like.account, like.account_id, like.pk

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return True


@pytest.fixture
def world(db) -> World:
    return make_world("ouroak", 60_000_000)


def test_a_scope_that_nobody_named_is_the_narrowest(world):
    role = world.people[Role.Kind.ADMINISTRATOR].role
    role.data_scope = Role.DataScope.OWN
    role.save()
    narrow = Agent.objects.select_related("role", "account").get(pk=world.people[Role.Kind.ADMINISTRATOR].pk)
    wide = world.people[Role.Kind.INSPECTOR]

    def seen_by(actor: object) -> set[tuple[str, int]]:
        managers = [model._default_manager for model in our_models() if isinstance(model._default_manager.all(), AccountQuerySet)]
        return {(one.model.__name__, row.pk) for one in managers for row in one.visible_to(actor)}

    seen = seen_by(Unsaid(narrow))
    assert seen == seen_by(narrow)
    hidden = {name for name, _pk in seen_by(wide) - seen}
    assert {Agent.__name__, Call.__name__, AuditEntry.__name__, "Recording", "Voicemail", "CallEvent", "DeviceCheck"} <= hidden
