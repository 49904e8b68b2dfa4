"""System checks: what production must have, and what keeps accounts apart, each with an id and a hint.

`check` and every start run the ones about the code; `check --deploy` adds production's settings; `check --database
default` and `migrate` add the database's own.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib import admin
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.urls import URLPattern, URLResolver, get_resolver

from callcenter_site import env

API_PREFIX = "api/v1/"
MODELS_OF_NO_ACCOUNT = {
    "configuration.Account": "operators open and close accounts; an account's own people see their own row",
    "django_celery_beat.PeriodicTask": "the timetable is the installation's",
    "django_celery_beat.IntervalSchedule": "the timetable is the installation's",
    "django_celery_beat.CrontabSchedule": "the timetable is the installation's",
}
"""Pages for operators, on models whose rows belong to no customer, and why."""


def _on_mysql() -> bool:
    return bool(settings.DATABASES["default"]["ENGINE"].endswith("mysql"))


# --- Production ------------------------------------------------------------------------------------------------------
@register(Tags.security, deploy=True)
def check_secrets(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """A secret made up on one machine is missing on the next, and with it everything it signed or encrypted."""
    if not _on_mysql():
        return []
    return [
        Error(
            f"{name} is not set: this machine made one up and keeps it under {settings.VAR_DIR}.",
            hint=hint,
            id=f"callcenter.E00{number}",
        )
        for number, name, hint in (
            (1, "SECRET_KEY", "Set SECRET_KEY (or SECRET_KEY_FILE) to the same random text of 50 characters on every machine."),
            (
                2,
                "ENCRYPTION_KEYS",
                "Set ENCRYPTION_KEYS (or ENCRYPTION_KEYS_FILE) to id:base64 of 32 bytes; keep a copy elsewhere.",
            ),
        )
        if not env.text(name)
    ]


@register(Tags.security, deploy=True)
def check_addresses(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if not settings.PUBLIC_URL.startswith("https://"):
        found.append(
            Error(
                "PUBLIC_URL is not an https:// address.",
                hint="Set PUBLIC_URL to what people type, like https://portal.example.com, and end TLS in front of the portal.",
                id="callcenter.E003",
            )
        )
    if settings.COS_BUCKET:
        missing = [name for name in ("COS_SECRET_ID", "COS_SECRET_KEY") if not env.text(name)]
        if missing:
            found.append(
                Error(
                    f"COS_BUCKET is set without {' and '.join(missing)}.",
                    hint="Recordings can be neither stored nor played. Set the credentials, or their _FILE forms.",
                    id="callcenter.E004",
                )
            )
        if env.text("COS_ENDPOINT").startswith("http://"):
            found.append(
                Warning(
                    "COS_ENDPOINT is a http:// address: recordings travel unencrypted.",
                    hint="Use the https:// endpoint of the store.",
                    id="callcenter.W005",
                )
            )
    return found


@register(Tags.compatibility, deploy=True)
def check_services(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """What one process keeps for itself is not shared by several."""
    if not _on_mysql():
        return []
    found: list[CheckMessage] = []
    if not settings.REDIS_URL:
        found.append(
            Warning(
                "REDIS_URL is not set: each web process counts limits and caches live figures for itself.",
                hint="Set REDIS_URL when more than one process serves the portal.",
                id="callcenter.W006",
            )
        )
    if settings.CELERY_EMBEDDED:
        found.append(
            Warning(
                "CELERY_BROKER_URL is not set: jobs run only where `manage.py serve` runs, and only once.",
                hint="Set CELERY_BROKER_URL and run Celery workers and one beat beside the web processes.",
                id="callcenter.W007",
            )
        )
    if not settings.MAIL_IS_SET:
        found.append(
            Warning(
                "EMAIL_URL is not set: invitations and links for forgotten passwords reach nobody.",
                hint="Set EMAIL_URL, like smtps://user:password@mail.example.com:465, and DEFAULT_FROM_EMAIL.",
                id="callcenter.W009",
            )
        )
    elif settings.DEFAULT_FROM_EMAIL.endswith("@localhost.localdomain"):
        found.append(
            Warning(
                "DEFAULT_FROM_EMAIL is not set: mail servers refuse portal@localhost.localdomain as sender.",
                hint="Set DEFAULT_FROM_EMAIL to an address your mail server sends for.",
                id="callcenter.W010",
            )
        )
    if not settings.COS_BUCKET:
        found.append(
            Warning(
                "COS_BUCKET is not set: recordings are files of this machine.",
                hint="Set COS_BUCKET when more than one machine serves the portal.",
                id="callcenter.W008",
            )
        )
    return found


# --- The database ----------------------------------------------------------------------------------------------------
@register(Tags.database)
def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    return [message for alias in databases or () if connections[alias].vendor == "mysql" for message in _mysql(alias)]


def _mysql(alias: str) -> Iterator[CheckMessage]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SHOW VARIABLES WHERE Variable_name IN"
            " ('character_set_database', 'sql_mode', 'transaction_isolation', 'tx_isolation', 'default_storage_engine')"
        )
        variables = dict(cursor.fetchall())
        cursor.execute("SELECT CONVERT_TZ('2000-01-01 00:00:00', 'UTC', 'Asia/Shanghai')")
        knows_zones = cursor.fetchone() != (None,)
    if variables["character_set_database"] != "utf8mb4":
        yield Error(
            f"The database's character set is {variables['character_set_database']}.",
            hint="ALTER DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, before the first migrate.",
            obj=alias,
            id="callcenter.E010",
        )
    if not {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"} & set(variables["sql_mode"].split(",")):
        yield Error(
            "The database cuts values that do not fit.",
            hint="Leave sql_mode to the portal: it asks for STRICT_TRANS_TABLES in each session.",
            obj=alias,
            id="callcenter.E011",
        )
    isolation = variables.get("transaction_isolation", variables.get("tx_isolation"))
    if isolation != "READ-COMMITTED":
        yield Error(
            f"Transactions run as {isolation}.",
            hint="Leave the isolation level to the portal: it asks for READ COMMITTED, under which writers wait least.",
            obj=alias,
            id="callcenter.E012",
        )
    if variables["default_storage_engine"] != "InnoDB":
        yield Error(
            f"New tables are made with {variables['default_storage_engine']}, which knows no transactions.",
            hint="Set default_storage_engine to InnoDB.",
            obj=alias,
            id="callcenter.E013",
        )
    # Figures are counted in stored UTC slots and need no zones of the database; Django's date drill-down does.
    pages = [type(page).__name__ for page in admin.site._registry.values() if page.date_hierarchy]
    if pages and not knows_zones:
        yield Error(
            f"The database knows no time zones, which {', '.join(pages)} needs.",
            hint="mariadb-tzinfo-to-sql /usr/share/zoneinfo | mariadb mysql (MySQL: mysql_tzinfo_to_sql)",
            obj=alias,
            id="callcenter.E014",
        )


# --- Accounts apart --------------------------------------------------------------------------------------------------
@register(Tags.admin)
def check_admin_pages(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    from callcenter_site.admin import OperatorAdmin, PortalAdmin, PortalInline  # registers pages, so the apps come first

    found: list[CheckMessage] = []
    for model, page in admin.site._registry.items():
        label = model._meta.label
        if isinstance(page, OperatorAdmin) and label not in MODELS_OF_NO_ACCOUNT:
            found.append(
                Error(
                    f"{type(page).__name__} shows {label} to operators, across accounts.",
                    hint="Derive it from callcenter_site.admin.PortalAdmin, or name the model and the reason in checks.py.",
                    obj=type(page),
                    id="callcenter.E020",
                )
            )
        if not isinstance(page, PortalAdmin | OperatorAdmin):
            found.append(
                Error(
                    f"{type(page).__name__} does not keep accounts apart.",
                    hint="Derive it from callcenter_site.admin.PortalAdmin.",
                    obj=type(page),
                    id="callcenter.E021",
                )
            )
        found += [
            Error(
                f"{inline.__name__} does not keep accounts apart.",
                hint="Derive it from callcenter_site.admin.PortalInline.",
                obj=type(page),
                id="callcenter.E022",
            )
            for inline in page.inlines
            if not issubclass(inline, PortalInline)
        ]
        if page.raw_id_fields:
            found.append(
                Error(
                    f"{type(page).__name__} uses raw_id_fields, which show the name of any row.",
                    hint="Use autocomplete_fields.",
                    obj=type(page),
                    id="callcenter.E023",
                )
            )
    return found


@register(Tags.urls)
def check_api_views(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    known = {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        for codename in (
            *(f"{action}_{model._meta.model_name}" for action in model._meta.default_permissions),
            *(codename for codename, _ in model._meta.permissions),
        )
    }
    return [message for path, callback in api_routes() for message in _api_view(path, callback, known)]


def api_routes() -> Iterator[tuple[str, Any]]:
    """Every route of the API with what answers there."""
    return ((path, callback) for path, callback in _routes(get_resolver()) if path.startswith(API_PREFIX))


def _routes(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from _routes(entry, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


def _api_view(path: str, callback: Any, known: set[str]) -> Iterator[CheckMessage]:
    from callcenter_site.rest import RequiredPermission  # needs the settings of Django REST framework

    view = getattr(callback, "cls", None)
    bases = [base for base in getattr(view, "__mro__", ()) if base.__module__ == "callcenter_site.rest"]
    if view is None or not bases:
        yield Error(
            f"/{path} does not stand on a view of callcenter_site.rest.",
            hint="Derive the view from PortalView or an Account…ViewSet.",
            obj=view or callback,
            id="callcenter.E030",
        )
        return
    if not any(isinstance(rule, type) and issubclass(rule, RequiredPermission) for rule in view.permission_classes):
        yield Error(f"/{path} does not ask for a permission.", hint="Keep RequiredPermission.", obj=view, id="callcenter.E031")
    actions = getattr(callback, "actions", None)
    methods = {name.upper() for name in actions or (name for name in view.http_method_names if hasattr(view, name))}
    # What an action of a view says for itself goes before what the view says.
    said = getattr(callback, "initkwargs", {}).get("required_permissions", view.required_permissions)
    for method in sorted(methods - {"OPTIONS", "HEAD"}):
        needed = said.get(method)
        if needed not in known:
            yield Error(
                f"/{path} says for {method} " + (f"{needed!r}, which no model defines." if needed else "no permission."),
                hint="Name one permission per method in required_permissions.",
                obj=view,
                id="callcenter.E032",
            )
