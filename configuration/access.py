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
HANDLE_VOICEMAIL = "calls.change_voicemail"
SEND_RECORDING = "calls.add_recording"
SEND_VOICEMAIL = "calls.add_voicemail"
SEE_FIGURES = "analytics.see_figures"
SEE_AGENTS = "agents.view_agent"
SET_STATUS = "agents.set_status"
CHANGE_REMARK = "calls.change_remark"


def _all_of(app: str, model: str, *actions: str) -> set[str]:
    return {f"{app}.{action}_{model}" for action in actions or ("view", "add", "change", "delete")}


def _all_of_each(app: str, models: Iterable[str], *actions: str) -> set[str]:
    return set().union(*(_all_of(app, model, *actions) for model in models))


_AGENT = {"agents.use_desk", "calls.view_call", SEE_FULL_NUMBER}
_LISTS = ("breakreason", "disposition", "ivrprompt", "screenpop")
"""What administrators set up and everybody at a screen may look up."""
_HANDLED = ("quickreply", "quickreplygroup", "blockednumber", "keyword")
"""What supervisors keep up to date in their daily work."""
_ASKED_FOR = ("deletionrequest", "accessrequest")
"""What people ask of what is held on them."""
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
        HANDLE_VOICEMAIL,
        CHANGE_REMARK,
        "agents.use_desk",
        "agents.view_agentphone",
        "agents.view_devicecheck",
        "agents.view_statuschange",
        "configuration.view_servicenumber",
    }
    | _all_of_each("configuration", _HANDLED)
    | _all_of_each("analytics", ("display", "alertrule"))
    | {"analytics.view_alertcrossing"}
)
_ADMINISTRATOR = (
    _SUPERVISOR
    | {f"calls.{name}" for name in ("view_callevent", "redrive_callevent", "view_connection", "view_unknownname")}
    | {"retention.view_purgerun", "calls.view_incomingsound"}
    | {"retention.change_purgerun", "retention.view_ledgerentry", "retention.view_filedeletion"}
    | {"retention.change_filedeletion", "retention.view_backupobject"}
    | _all_of_each("retention", ("storageplan", "legalhold"), "view", "add", "change")
    | {"retention.approve_deletionrequest"}
    | _all_of_each("retention", _ASKED_FOR, "view", "add")
    | _all_of("calls", "soundsource")
    | _all_of("calls", "incomingwebhook", "view", "add", "change")
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
} | {SEE_FULL_NUMBER, "analytics.view_display", "analytics.view_alertrule", "analytics.view_alertcrossing"}
CHECK_NUMBER = "configuration.check_number"
SCREEN_CALL = "calls.screen_call"
SCOPE_PERMISSIONS: dict[str, set[str]] = {
    ApiKey.Scope.EVENTS_WRITE: {"calls.add_callevent"},
    ApiKey.Scope.CALLS_READ: {"calls.view_call", SEE_FULL_NUMBER, SEE_RECORDINGS, SEE_VOICEMAIL},
    ApiKey.Scope.FIGURES_READ: {SEE_FIGURES},
    ApiKey.Scope.AGENTS_READ: _AGENTS_READ,
    ApiKey.Scope.AGENTS_WRITE: _AGENTS_READ
    | {SET_STATUS, "agents.add_devicecheck"}
    | _all_of("agents", "agent", "view", "add", "change")
    | _all_of_each("agents", ("agentphone", "skillgroupmember"))
    | _all_of("agents", "skillgroup", "view", "add", "change"),
    ApiKey.Scope.CONFIGURATION_READ: _CONFIGURATION_READ | {CHECK_NUMBER},
    ApiKey.Scope.CONFIGURATION_WRITE: _CONFIGURATION_READ
    | {CHECK_NUMBER}
    | _all_of_each("configuration", (*_LISTS, *_HANDLED, "servicenumber", "role"))
    | _all_of("configuration", "apikey", "view", "add", "change")
    | _all_of("configuration", "account", "view", "change")
    | _all_of_each("analytics", ("display", "alertrule")),
    ApiKey.Scope.BLACKLIST_CHECK: {CHECK_NUMBER},
    ApiKey.Scope.CALLS_SCREEN: {SCREEN_CALL},
    ApiKey.Scope.RECORDINGS_WRITE: {SEND_RECORDING, SEND_VOICEMAIL},
    ApiKey.Scope.RECORDINGS_READ: {SEE_RECORDINGS, SEE_VOICEMAIL, LISTEN},
    ApiKey.Scope.PRIVACY_WRITE: _all_of_each("retention", _ASKED_FOR, "view", "add"),
    ApiKey.Scope.HOLDS_WRITE: _all_of("retention", "legalhold", "view", "add", "change"),
    ApiKey.Scope.VOICEMAIL_WRITE: {SEE_VOICEMAIL, HANDLE_VOICEMAIL},
}
ONLY_FOR_KEYS = {
    "calls.add_callevent",
    "agents.add_devicecheck",
    CHECK_NUMBER,
    SCREEN_CALL,
    SEND_RECORDING,
    SEND_VOICEMAIL,
}
"""What no role holds, because no person does it: whoever makes keys may give it to one."""
HANDED_ON: dict[str, frozenset[str]] = {ApiKey.Scope.AGENTS_WRITE: frozenset(_AGENT)}
"""What a scope lets a key hand on in a role that sees own records only, though the key does none of it itself: keys bring
agents in, and agents work at the desk and see their own calls."""


@dataclass(frozen=True)
class Right:
    """One line of a role's page: what it allows, in words, and the permissions behind it."""

    label: Any
    permissions: frozenset[str]
    about: Any = ""
    """The same in a sentence."""

    @property
    def key(self) -> str:
        return ",".join(sorted(self.permissions))


def _right(label: Any, *permissions: str | set[str], about: Any = "") -> Right:
    return Right(label, frozenset().union(*({one} if isinstance(one, str) else one for one in permissions)), about)


RIGHTS: list[tuple[Any, list[Right]]] = [
    (
        _("Where they work"),
        [
            _right(
                _("Enter the admin"),
                ENTER_ADMIN,
                about=_("Sign in to these pages at all. Without it a person sees only the agent desk."),
            ),
            _right(_("Use the agent desk"), "agents.use_desk", about=_("Sign in at the desk, choose a status and take calls.")),
        ],
    ),
    (
        _("Calls and figures"),
        [
            _right(
                _("See dashboards and figures"),
                SEE_FIGURES,
                about=_("Live state, figures of past days and the comparison of groups and agents, as far as the role sees."),
            ),
            _right(
                _("Manage wallboards"),
                _all_of("analytics", "display"),
                about=_("Set up screens for the wall, and give out links that show their figures without signing in."),
            ),
            _right(
                _("Manage alerts"),
                _all_of("analytics", "alertrule"),
                "analytics.view_alertcrossing",
                about=_("Say which live figure has a limit and who is told beyond it, and see what was told."),
            ),
            _right(
                _("See service records"),
                "calls.view_call",
                about=_("Each call with its times, agents and outcome. Numbers are masked unless the next right is ticked too."),
            ),
            _right(
                _("See whole phone numbers"),
                SEE_FULL_NUMBER,
                about=_("Customers' numbers are shown whole, and each look at one is in the audit log."),
            ),
            _right(
                _("Edit remarks of others"),
                "calls.view_call",
                CHANGE_REMARK,
                about=_("Write the remark and the disposition of calls that others took. One's own need no right."),
            ),
            _right(
                _("See which recordings and voicemail there are"),
                SEE_RECORDINGS,
                SEE_VOICEMAIL,
                about=_("That there is one, when and how long. Not what was said."),
            ),
            _right(
                _("Listen to recordings and voicemail"),
                SEE_RECORDINGS,
                SEE_VOICEMAIL,
                LISTEN,
                about=_("Play what was said. Each listening is in the audit log."),
            ),
            _right(
                _("Assign voicemail and mark it heard or called back"),
                SEE_VOICEMAIL,
                HANDLE_VOICEMAIL,
                about=_("Keep the voicemail inbox: who takes care of a message, and what became of it."),
            ),
        ],
    ),
    (
        _("People"),
        [
            _right(_("See agents"), "agents.view_agent", about=_("Names, staff IDs, roles, groups and present status.")),
            _right(
                _("See agents' phone numbers"),
                "agents.view_agent",
                "agents.view_agentphone",
                about=_("The extensions and mobile numbers agents are reached on."),
            ),
            _right(
                _("Add agents"),
                _all_of("agents", "agent", "view", "add"),
                _all_of("agents", "agentphone"),
                about=_("Invite new people, with a role that may not do more than one's own."),
            ),
            _right(
                _("Change and deactivate agents"),
                _all_of("agents", "agent", "view", "change"),
                _all_of("agents", "agentphone"),
                about=_("Change names, roles and numbers, reset passwords, and end somebody's access."),
            ),
            _right(
                _("See status changes"),
                "agents.view_statuschange",
                about=_("Who was available, busy or on a break, from when until when."),
            ),
            _right(
                _("Set the status of others and take them offline"),
                "agents.view_agent",
                SET_STATUS,
                about=_("For the agent who forgot to sign out, or must not take calls now."),
            ),
            _right(
                _("See device checks"),
                "agents.view_devicecheck",
                about=_("Whether an agent's microphone, camera, browser and network are fit for calls, with advice."),
            ),
            _right(
                _("See skill groups"),
                "agents.view_skillgroup",
                "agents.view_skillgroupmember",
                about=_("Which groups there are, and who is in them with which priority."),
            ),
            _right(
                _("Manage skill groups and who is in them"),
                _all_of("agents", "skillgroup", "view", "add", "change"),
                _all_of("agents", "skillgroupmember"),
                about=_("Make groups, set their targets and wrap-up time, and move agents between them."),
            ),
            _right(_("See roles"), "configuration.view_role", about=_("This page, without changing it.")),
            _right(
                _("Manage roles"),
                _all_of("configuration", "role"),
                about=_("Make and change roles of your own. Nobody gives more than they may do themselves."),
            ),
        ],
    ),
    (
        _("Configuration"),
        [
            _right(
                _("See the account's settings"),
                "configuration.view_account",
                about=_("Time zone, phone region, language and service-level target."),
            ),
            _right(
                _("Change the account's settings"),
                _all_of("configuration", "account", "view", "change"),
                about=_("They decide how days are cut, how numbers are read and what counts as in time."),
            ),
            _right(_("See service numbers"), "configuration.view_servicenumber", about=_("The numbers the center owns.")),
            _right(
                _("Manage service numbers"),
                _all_of("configuration", "servicenumber"),
                about=_("Add numbers, say which way they are used, and where their calls go."),
            ),
            _right(
                _("See quick replies"),
                "configuration.view_quickreply",
                "configuration.view_quickreplygroup",
                about=_("The sentences agents send with one click."),
            ),
            _right(
                _("Manage quick replies"),
                _all_of_each("configuration", ("quickreply", "quickreplygroup")),
                about=_("Write, sort and take out of use the sentences of all agents."),
            ),
            _right(
                _("See the blacklist"),
                "configuration.view_blockednumber",
                about=_("Which numbers are blocked and why. They are masked unless whole phone numbers are ticked too."),
            ),
            _right(
                _("Manage the blacklist"),
                _all_of("configuration", "blockednumber"),
                about=_("Block numbers and let them call again."),
            ),
            _right(
                _("See keywords"),
                "configuration.view_keyword",
                about=_("Which phrases are looked for in what callers say and agents write."),
            ),
            _right(_("Manage keywords"), _all_of("configuration", "keyword"), about=_("Add phrases and say how grave a hit is.")),
            _right(
                _("See IVR prompts, pop-ups, break reasons and dispositions"),
                _all_of_each("configuration", _LISTS, "view"),
                about=_("The lists that shape menus, the ringing call, breaks and the result of a call."),
            ),
            _right(
                _("Manage IVR prompts, pop-ups, break reasons and dispositions"),
                _all_of_each("configuration", _LISTS),
                about=_("Change what callers hear and what agents see and choose."),
            ),
            _right(
                _("See API keys"),
                "configuration.view_apikey",
                about=_("Which systems have access, what they may do and when they last did. Never the key itself."),
            ),
            _right(
                _("Make and revoke API keys"),
                _all_of("configuration", "apikey", "view", "add", "change"),
                about=_("Give a system access, or end it at once. Only for who sees the whole account."),
            ),
        ],
    ),
    (
        _("Operation"),
        [
            _right(
                _("See incoming events"),
                "calls.view_callevent",
                about=_("What the telephony platform posted, raw, for who looks for a fault."),
            ),
            _right(
                _("Fold failed events again"),
                "calls.view_callevent",
                "calls.redrive_callevent",
                about=_("Try again after what an event needed was set up."),
            ),
            _right(
                _("See how telephony platforms are connected"),
                "calls.view_connection",
                about=_("When each was last heard, and what was refused and why."),
            ),
            _right(
                _("Make and renew signed webhooks"),
                _all_of("calls", "incomingwebhook", "view", "add", "change"),
                about=_("Addresses that platforms post events to, and the secrets they sign with."),
            ),
            _right(
                _("See sound files on their way"),
                "calls.view_incomingsound",
                about=_("Files that wait for the store or for their call, and why."),
            ),
            _right(
                _("Say where recordings are fetched from"),
                _all_of("calls", "soundsource"),
                about=_(
                    "Which hosts the portal asks for recordings that a platform announces by address, and with which password."
                ),
            ),
            _right(
                _("See names in events that fit nobody"),
                "calls.view_unknownname",
                about=_("Agents and groups that events name and nobody here has."),
            ),
            _right(
                _("See purge runs"), "retention.view_purgerun", about=_("What was deleted when its time was over, and how much.")
            ),
            _right(
                _("Confirm and stop purges"),
                "retention.view_purgerun",
                "retention.change_purgerun",
                about=_("Let a run go on that would delete far more than usual, and switch the purge of the account off and on."),
            ),
            _right(
                _("See what is kept and what proves its deletion"),
                "retention.view_ledgerentry",
                "retention.view_filedeletion",
                about=_("The page on privacy, the ledger of deletions, and files that are still to be deleted."),
            ),
            _right(
                _("See backups"),
                "retention.view_backupobject",
                about=_("Which days were backed up, and whether they were read back. Not what is in them."),
            ),
            _right(
                _("Try again to delete files"),
                "retention.view_filedeletion",
                "retention.change_filedeletion",
                about=_("Files that the store did not delete, at once instead of when they are due."),
            ),
            _right(
                _("See storage plans"),
                "retention.view_storageplan",
                about=_("For how long calls are kept beyond the six months."),
            ),
            _right(
                _("Add and change storage plans"),
                _all_of("retention", "storageplan", "view", "add", "change"),
                about=_("Keep calls for longer, for a time. What a plan keeps costs storage."),
            ),
            _right(_("See legal holds"), "retention.view_legalhold", about=_("What must not be deleted, and since when.")),
            _right(
                _("Place and release legal holds"),
                _all_of("retention", "legalhold", "view", "add", "change"),
                about=_("Keep calls, numbers, agents, days or the whole account from every deletion, until released."),
            ),
            _right(
                _("See deletion and access requests"),
                _all_of_each("retention", _ASKED_FOR, "view"),
                about=_("What people asked to have erased or to be told, how far it is, and the certificates."),
            ),
            _right(
                _("Enter deletion and access requests"),
                _all_of_each("retention", _ASKED_FOR, "view", "add"),
                about=_("Put down that somebody asked. An access request gives out all that is held on a person."),
            ),
            _right(
                _("Approve and reject deletion requests"),
                "retention.view_deletionrequest",
                "retention.approve_deletionrequest",
                about=_("Have what was asked for erased for good, from every store."),
            ),
            _right(
                _("Read the audit log"),
                "configuration.view_auditentry",
                about=_("Who changed what, and who listened or looked at a number. Nobody can change it."),
            ),
            _right(
                _("See imports of everybody"),
                "configuration.view_importrun",
                about=_("Files others brought in, with how many rows went in. One's own are seen without it."),
            ),
        ],
    ),
]


def rights_in(permissions: list[str]) -> list[str]:
    """The lines of the role page that a list of permissions ticks."""
    held = set(permissions)
    return [one.key for _title, rights in RIGHTS for one in rights if one.permissions <= held]


def beyond_rights(permissions: list[str]) -> list[str]:
    """What is held without completing a line, as the API can give it."""
    complete = {permission for key in rights_in(permissions) for permission in key.split(",")}
    return sorted(set(permissions) - complete)


_REACH = [Role.DataScope.OWN, Role.DataScope.GROUPS, Role.DataScope.ACCOUNT]


def holds(actor: Actor, permissions: Iterable[str]) -> bool:
    """Whether an actor has every one of these permissions: nobody gives more than they have."""
    return all(actor.has_perm(permission) for permission in permissions)


def reaches(actor: Actor, data_scope: str) -> bool:
    """Whether an actor sees at least as far as a data scope."""
    own = getattr(actor, "data_scope", Role.DataScope.OWN)
    return _REACH.index(Role.DataScope(data_scope)) <= _REACH.index(Role.DataScope(own))


def may_give_role(actor: Actor, role: Role) -> bool:
    handed_on: frozenset[str] = getattr(actor, "handed_on", frozenset()) if role.data_scope == Role.DataScope.OWN else frozenset()
    return holds(actor, set(role.permissions) - handed_on) and reaches(actor, role.data_scope)


def may_change_role(actor: Actor, role: Role) -> bool:
    """Built-in roles stay as they are, nobody changes their own, and nobody one that may more than they do."""
    return not role.is_built_in and role.pk != getattr(actor, "role_id", None) and may_give_role(actor, role)


def frees_oneself(actor: Actor, role: Role, *, asks: bool) -> bool:
    """Whether somebody would drop the second factor from their own role: whoever sits at their screen could, too."""
    return role.requires_second_factor and not asks and role.pk == getattr(actor, "role_id", None)


def may_give_scope(actor: Actor, scope: str) -> bool:
    """Keys see the whole account, so only who does may make one. A key gives only what it holds itself."""
    is_key = getattr(actor, "pk", None) is None
    needed = SCOPE_PERMISSIONS[scope] - (set() if is_key else ONLY_FOR_KEYS)
    return reaches(actor, Role.DataScope.ACCOUNT) and holds(actor, needed)


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
