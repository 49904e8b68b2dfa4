"""What the system checks of the start and of production say."""

import json

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import ERROR, WARNING, run_checks

from callcenter_site.doctor.findings import Examined, examines


@examines("settings", otherwise="Run `manage.py check --deploy` by itself and mend what it says.")
def check_settings(examined: Examined) -> None:
    is_for_others = settings.PUBLIC_URL_IS_SET
    found = [message for message in run_checks(include_deployment_checks=is_for_others) if not message.is_silenced()]
    for message in found:
        say = examined.fail if message.level >= ERROR else examined.warn
        if message.level >= WARNING:
            say(message.id or "check", message.msg, message.hint or "See `manage.py check --deploy`.")
    if not found:
        examined.ok("checks", f"`check{' --deploy' if is_for_others else ''}` finds nothing.")
    if not is_for_others:
        examined.not_in_use("production", "PUBLIC_URL is not set, so what production must have was not looked for.")


@examines(
    "settings", otherwise="Run `manage.py collectstatic --noinput` as the portal's user, then start the web processes again."
)
def check_static_files(examined: Examined) -> None:
    """Without them pages fail, each with an error of its own."""
    names = getattr(staticfiles_storage, "manifest_name", None)
    if names is None:
        examined.not_in_use("static files", "They are served without a manifest.")
        return
    path = settings.STATIC_ROOT / names
    files = json.loads(path.read_text())["paths"] if path.exists() else {}
    missing = [stored for stored in files.values() if not (settings.STATIC_ROOT / stored).exists()]
    examined.within(
        "static files",
        f"{len(files)} files are collected." if files and not missing else f"{len(missing) or 'All'} files are missing.",
        is_ok=bool(files) and not missing,
        mend="Run `manage.py collectstatic --noinput`, then start the web processes again: they read the list once.",
    )
