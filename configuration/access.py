"""Who may do what: built-in roles, their permissions, and the scopes of API keys.

A role holds Django permissions, so the admin, the API and the templates all ask `has_perm`. Built-in roles get what
stands here when an account is made; an administrator may give custom roles any part of what they hold themselves.
"""

from configuration.models import Account, ApiKey, Role

ENTER_ADMIN = "agents.enter_admin"
SEE_FULL_NUMBER = "calls.see_full_number"
LISTEN = "calls.listen_recording"
SEE_FIGURES = "analytics.see_figures"

_AGENT = {"agents.use_desk", "calls.view_call", SEE_FULL_NUMBER}
_INSPECTOR = {
    ENTER_ADMIN,
    SEE_FIGURES,
    LISTEN,
    "agents.view_agent",
    "agents.view_skillgroup",
    "calls.view_call",
    "calls.view_recording",
    "calls.view_voicemail",
}
_SUPERVISOR = _INSPECTOR | {
    SEE_FULL_NUMBER,
    "agents.use_desk",
    "agents.view_statuschange",
    "agents.change_agent_status",
    "calls.view_callevent",
    "configuration.view_servicenumber",
}
_ADMINISTRATOR = (
    _SUPERVISOR
    | {"calls.redrive_callevent", "retention.view_purgerun", "configuration.view_account", "configuration.change_account"}
    | {
        f"{app}.{action}_{model}"
        for app, model in (
            ("agents", "agent"),
            ("agents", "skillgroup"),
            ("agents", "skillgroupmember"),
            ("configuration", "role"),
            ("configuration", "servicenumber"),
            ("configuration", "apikey"),
        )
        for action in ("view", "add", "change", "delete")
    }
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

SCOPE_PERMISSIONS: dict[str, set[str]] = {
    ApiKey.Scope.EVENTS_WRITE: {"calls.add_callevent"},
    ApiKey.Scope.CALLS_READ: {"calls.view_call", SEE_FULL_NUMBER},
    ApiKey.Scope.FIGURES_READ: {SEE_FIGURES},
    ApiKey.Scope.AGENTS_READ: {"agents.view_agent", "agents.view_skillgroup"},
}


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

