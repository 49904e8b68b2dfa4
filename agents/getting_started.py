"""What a new account still needs before its first call, each with the page that does it.

The list stands on the front page of whoever may do all of it, and goes when the last step is done.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from agents.models import SkillGroup, SkillGroupMember
from configuration.models import Account, ApiKey, BreakReason, ServiceNumber


@dataclass(frozen=True)
class Step:
    title: Any
    about: Any
    address: str
    is_done: bool


_STEPS: list[tuple[str, Any, Any, str, tuple[str, ...]]] = [
    (
        "settings",
        _("Check the account's settings"),
        _("Time zone, phone region and service level decide how days, numbers and figures are read. Save the page once."),
        "admin:configuration_account_changelist",
        ("configuration.change_account",),
    ),
    (
        "groups",
        _("Make a skill group"),
        _("Calls are queued for a group, and its agents take them."),
        "admin:agents_skillgroup_add",
        ("agents.add_skillgroup",),
    ),
    (
        "people",
        _("Add agents and put them into a group"),
        _("One by one or from a file; each gets a link by mail to choose a password."),
        "admin:agents_agent_add#memberships-group",
        ("agents.add_agent", "agents.add_skillgroupmember"),
    ),
    (
        "numbers",
        _("Enter your service numbers"),
        _("The numbers customers call, and where their calls go."),
        "admin:configuration_servicenumber_add",
        ("configuration.add_servicenumber",),
    ),
    (
        "breaks",
        _("Choose the break reasons"),
        _("What agents choose from when they go on a break. The usual ones are one click away."),
        "admin:configuration_breakreason_changelist",
        ("configuration.add_breakreason",),
    ),
    (
        "key",
        _("Connect your telephony platform"),
        _("Make an API key that may post events, and give it to whoever runs the platform."),
        "admin:configuration_apikey_add",
        ("configuration.add_apikey",),
    ),
]


def steps_for(actor: Any) -> list[Step]:
    """The steps of the asker's account, done and open; none for who may not do them all, and none when all are done."""
    account: Account | None = getattr(actor, "account", None)
    if account is None or not all(actor.has_perm(one) for *_rest, permissions in _STEPS for one in permissions):
        return []
    done = _done(account)
    if all(done.values()):
        return []
    return [Step(title, about, _address(url), done[key]) for key, title, about, url, _permissions in _STEPS]


def _address(page: str) -> str:
    """Of a page, and perhaps of a part of it behind a #."""
    name, mark, part = page.partition("#")
    return f"{reverse(name)}{mark}{part}"


def _done(account: Account) -> dict[str, bool]:
    """What is there already, in one query: the front page asks each time."""
    saved = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Account), object_id=str(account.pk), action_flag=CHANGE
    )
    keys = ApiKey.objects.for_account(account).filter(revoked_at=None)
    members = SkillGroupMember.objects.for_account(account).filter(agent__is_active=True, skill_group__is_active=True)
    found: dict[str, bool] = (
        Account.objects.filter(pk=account.pk)
        .values(
            settings=Exists(saved),
            groups=Exists(SkillGroup.objects.for_account(account).filter(is_active=True)),
            people=Exists(members),
            numbers=Exists(ServiceNumber.objects.for_account(account).filter(is_active=True)),
            breaks=Exists(BreakReason.objects.for_account(account).filter(is_active=True)),
            key=Exists(keys.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()))),
        )
        .get()
    )
    return {key: bool(is_there) for key, is_there in found.items()}
