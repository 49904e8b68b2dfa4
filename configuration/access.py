"""Who may do what: built-in roles, their permissions, and the scopes of API keys.

A role holds Django permissions, so the admin, the API and the templates all ask `has_perm`. Built-in roles get what
stands here when an account is made; an administrator may give custom roles any part of what they hold themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from configuration.models import Account, ApiKey, Role
from configuration.scoping import Actor

ENTER_ADMIN = "agents.enter_admin"
SEE_FULL_NUMBER = "calls.see_full_number"
LISTEN = "calls.listen_recording"
SEE_RECORDINGS = "calls.view_recording"
SEE_VOICEMAIL = "calls.view_voicemail"
SEE_FIGURES = "analytics.see_figures"
SET_STATUS = "agents.set_status"


def _all_of(app: str, model: str, *actions: str) -> set[str]:
    return {f"{app}.{action}_{model}" for action in actions or ("view", "add", "change", "delete")}


def _all_of_each(app: str, models: Iterable[str], *actions: str) -> set[str]:
    return set().union(*(_all_of(app, model, *actions) for model in models))


_AGENT = {"agents.use_desk", "calls.view_call", SEE_FULL_NUMBER}
_LISTS = ("breakreason", "disposition", "ivrprompt", "screenpop")
"""What administrators set up and everybody at a screen may look up."""
_HANDLED = ("quickreply", "quickreplygroup", "blockednumber", "keyword")
"""What supervisors keep up to date in their daily work."""
_INSPECTOR = {
    ENTER_ADMIN,
    SEE_FIGURES,
    LISTEN,
    "agents.view_agent",
    "agents.view_skillgroup",
    "agents.view_skillgroupmember",
    "calls.view_call",
    SEE_RECORDINGS,
    SEE_VOICEMAIL,
    "configuration.view_keyword",
    "configuration.view_quickreply",
    "configuration.view_quickreplygroup",
    *(f"configuration.view_{model}" for model in _LISTS),
}
_SUPERVISOR = (
    _INSPECTOR
    | {
        SEE_FULL_NUMBER,
        SET_STATUS,
        "agents.use_desk",
        "agents.view_agentphone",
        "agents.view_devicecheck",
        "agents.view_statuschange",
        "configuration.view_servicenumber",
    }
    | _all_of_each("configuration", _HANDLED)
)
_ADMINISTRATOR = (
    _SUPERVISOR
    | {"calls.view_callevent", "calls.redrive_callevent", "calls.view_unknownname", "retention.view_purgerun"}
    | _all_of("agents", "agent", "view", "add", "change")
    | _all_of("agents", "agentphone")
    | _all_of("agents", "skillgroup", "view", "add", "change")
    | _all_of("agents", "skillgroupmember")
    | {"configuration.view_auditentry", "configuration.view_importrun"}
    | _all_of_each("configuration", _LISTS)
    | _all_of("configuration", "account", "view", "change")
    | _all_of("configuration", "role")
    | _all_of("configuration", "servicenumber")
    | _all_of("configuration", "apikey", "view", "add", "change")
)

ROLE_PERMISSIONS: dict[str, set[str]] = {
    Role.Kind.ADMINISTRATOR: _ADMINISTRATOR,
    Role.Kind.SUPERVISOR: _SUPERVISOR,
    Role.Kind.INSPECTOR: _INSPECTOR,
    Role.Kind.AGENT: _AGENT,
}
ROLE_SCOPES = {
    Role.Kind.ADMINISTRATOR: Role.DataScope.ACCOUNT,
    Role.Kind.SUPERVISOR: Role.DataScope.GROUPS,
    Role.Kind.INSPECTOR: Role.DataScope.ACCOUNT,
    Role.Kind.AGENT: Role.DataScope.OWN,
}

_AGENTS_READ = {
    f"agents.view_{model}" for model in ("agent", "agentphone", "skillgroup", "skillgroupmember", "statuschange", "devicecheck")
}
_CONFIGURATION_READ = {
    f"configuration.view_{model}" for model in (*_LISTS, *_HANDLED, "servicenumber", "role", "apikey", "account")
}
SCOPE_PERMISSIONS: dict[str, set[str]] = {
    ApiKey.Scope.EVENTS_WRITE: {"calls.add_callevent"},
    ApiKey.Scope.CALLS_READ: {"calls.view_call", SEE_FULL_NUMBER, SEE_RECORDINGS, SEE_VOICEMAIL},
    ApiKey.Scope.FIGURES_READ: {SEE_FIGURES},
    ApiKey.Scope.AGENTS_READ: _AGENTS_READ,
    ApiKey.Scope.AGENTS_WRITE: _AGENTS_READ
    | {SET_STATUS}
    | _all_of("agents", "agent", "view", "add", "change")
    | _all_of_each("agents", ("agentphone", "skillgroupmember"))
    | _all_of("agents", "skillgroup", "view", "add", "change"),
    ApiKey.Scope.CONFIGURATION_READ: _CONFIGURATION_READ,
    ApiKey.Scope.CONFIGURATION_WRITE: _CONFIGURATION_READ
    | _all_of_each("configuration", (*_LISTS, *_HANDLED, "servicenumber", "role"))
    | _all_of("configuration", "apikey", "view", "add", "change")
    | _all_of("configuration", "account", "view", "change"),
    ApiKey.Scope.BLACKLIST_CHECK: {"configuration.check_number"},
}
ONLY_FOR_KEYS = {"calls.add_callevent", "configuration.check_number"}
"""What no role holds, because no person does it: whoever makes keys may give it to one."""


@dataclass(frozen=True)
class Right:
    """One line of a role's page: what it allows, in words, and the permissions behind it."""

    label: Any
    permissions: frozenset[str]

    @property
    def key(self) -> str:
        return ",".join(sorted(self.permissions))


def _right(label: Any, *permissions: str | set[str]) -> Right:
    return Right(label, frozenset().union(*({one} if isinstance(one, str) else one for one in permissions)))


RIGHTS: list[tuple[Any, list[Right]]] = [
    (
        _("Where they work"),
        [
            _right(_("Enter the admin"), ENTER_ADMIN),
            _right(_("Use the agent desk"), "agents.use_desk"),
        ],
    ),
    (
        _("Calls and figures"),
        [
            _right(_("See dashboards and figures"), SEE_FIGURES),
            _right(_("See service records"), "calls.view_call"),
            _right(_("See whole phone numbers"), SEE_FULL_NUMBER),
            _right(_("See which recordings and voicemail there are"), SEE_RECORDINGS, SEE_VOICEMAIL),
            _right(_("Listen to recordings and voicemail"), SEE_RECORDINGS, SEE_VOICEMAIL, LISTEN),
        ],
    ),
    (
        _("People"),
        [
            _right(_("See agents"), "agents.view_agent"),
            _right(_("See agents' phone numbers"), "agents.view_agent", "agents.view_agentphone"),
            _right(_("Add agents"), _all_of("agents", "agent", "view", "add"), _all_of("agents", "agentphone")),
            _right(
                _("Change and deactivate agents"), _all_of("agents", "agent", "view", "change"), _all_of("agents", "agentphone")
            ),
            _right(_("See status changes"), "agents.view_statuschange"),
            _right(_("Set the status of others and take them offline"), "agents.view_agent", SET_STATUS),
            _right(_("See device checks"), "agents.view_devicecheck"),
            _right(_("See skill groups"), "agents.view_skillgroup", "agents.view_skillgroupmember"),
            _right(
                _("Manage skill groups and who is in them"),
                _all_of("agents", "skillgroup", "view", "add", "change"),
                _all_of("agents", "skillgroupmember"),
            ),
            _right(_("See roles"), "configuration.view_role"),
            _right(_("Manage roles"), _all_of("configuration", "role")),
        ],
    ),
    (
        _("Configuration"),
        [
            _right(_("See the account's settings"), "configuration.view_account"),
            _right(_("Change the account's settings"), _all_of("configuration", "account", "view", "change")),
            _right(_("See service numbers"), "configuration.view_servicenumber"),
            _right(_("Manage service numbers"), _all_of("configuration", "servicenumber")),
            _right(_("See quick replies"), "configuration.view_quickreply", "configuration.view_quickreplygroup"),
            _right(_("Manage quick replies"), _all_of_each("configuration", ("quickreply", "quickreplygroup"))),
            _right(_("See the blacklist"), "configuration.view_blockednumber"),
            _right(_("Manage the blacklist"), _all_of("configuration", "blockednumber")),
            _right(_("See keywords"), "configuration.view_keyword"),
            _right(_("Manage keywords"), _all_of("configuration", "keyword")),
            _right(_("See IVR prompts, pop-ups, break reasons and dispositions"), _all_of_each("configuration", _LISTS, "view")),
            _right(_("Manage IVR prompts, pop-ups, break reasons and dispositions"), _all_of_each("configuration", _LISTS)),
            _right(_("See API keys"), "configuration.view_apikey"),
            _right(_("Make and revoke API keys"), _all_of("configuration", "apikey", "view", "add", "change")),
        ],
    ),
    (
        _("Operation"),
        [
            _right(_("See incoming events"), "calls.view_callevent"),
            _right(_("Fold failed events again"), "calls.view_callevent", "calls.redrive_callevent"),
            _right(_("See names in events that fit nobody"), "calls.view_unknownname"),
            _right(_("See purge runs"), "retention.view_purgerun"),
            _right(_("Read the audit log"), "configuration.view_auditentry"),
            _right(_("See imports of everybody"), "configuration.view_importrun"),
        ],
    ),
]

_REACH = [Role.DataScope.OWN, Role.DataScope.GROUPS, Role.DataScope.ACCOUNT]


def holds(actor: Actor, permissions: Iterable[str]) -> bool:
    """Whether an actor has every one of these permissions: nobody gives more than they have."""
    return all(actor.has_perm(permission) for permission in permissions)


def reaches(actor: Actor, data_scope: str) -> bool:
    """Whether an actor sees at least as far as a data scope."""
    own = getattr(actor, "data_scope", Role.DataScope.OWN)
    return _REACH.index(Role.DataScope(data_scope)) <= _REACH.index(Role.DataScope(own))


def may_give_role(actor: Actor, role: Role) -> bool:
    return holds(actor, role.permissions) and reaches(actor, role.data_scope)


def may_give_scope(actor: Actor, scope: str) -> bool:
    """Keys see the whole account, so only who does may make one."""
    return reaches(actor, Role.DataScope.ACCOUNT) and holds(actor, SCOPE_PERMISSIONS[scope] - ONLY_FOR_KEYS)


def create_built_in_roles(account: Account) -> dict[str, Role]:
    """The four roles every account starts with; run again, it brings their permissions up to date."""
    return {
        kind: Role.objects.update_or_create(
            account=account,
            kind=kind,
            defaults={
                "name": Role.Kind(kind).name.capitalize(),
                "permissions": sorted(permissions),
                "data_scope": ROLE_SCOPES[Role.Kind(kind)],
            },
        )[0]
        for kind, permissions in ROLE_PERMISSIONS.items()
    }


def update_built_in_roles() -> None:
    """Gives the built-in roles of every account the permissions and the data scope that stand here."""
    for kind, permissions in ROLE_PERMISSIONS.items():
        Role.objects.filter(kind=kind).update(permissions=sorted(permissions), data_scope=ROLE_SCOPES[Role.Kind(kind)])
