"""A new customer: their account, its roles, and the first person who can sign in.

All of it or nothing: an account without an administrator could be entered by nobody.
"""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from agents.appointment import require_free_email
from agents.models import Agent
from configuration.access import create_built_in_roles
from configuration.models import Account, Role

FIRST_STAFF_ID = "1"


def open_account(
    *,
    name: str,
    slug: str,
    time_zone: str,
    region: str,
    administrator_name: str,
    administrator_email: str,
    password: str,
) -> Agent:
    """Makes the account with its built-in roles and returns its first administrator.

    Raises `ValidationError` naming `name`, `slug`, `time_zone`, `region`, `administrator_name`,
    `administrator_email` or `password`; every field at fault is named at once.
    """
    account = Account(name=name.strip(), slug=slug, time_zone=time_zone, region=region.upper())
    administrator = Agent(staff_id=FIRST_STAFF_ID, name=administrator_name.strip(), email=administrator_email.strip())
    _check(account, administrator, password)
    administrator.set_password(password)
    try:
        with transaction.atomic():
            account.save()
            administrator.account = account
            administrator.role = create_built_in_roles(account)[Role.Kind.ADMINISTRATOR]
            administrator.save()
    except IntegrityError as error:  # somebody took the short name or the email since it was looked up
        raise ValidationError({"administrator_email": _("This short name or email cannot be used.")}) from error
    return administrator


def free_slug(name: str) -> str:
    """A short name made from the account's name that no account has yet."""
    base = slugify(name)[:40] or "account"
    taken = set(Account.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if slug not in taken)


def _check(account: Account, administrator: Agent, password: str) -> None:
    errors: dict[str, list[ValidationError]] = {}

    def found(field: str, error: ValidationError) -> None:
        errors.setdefault(field, []).extend(error.error_list)

    try:
        account.full_clean()
    except ValidationError as error:
        for field, reasons in error.error_dict.items():
            errors.setdefault(field, []).extend(reasons)
    if not administrator.name:
        found("administrator_name", ValidationError(_("This field is required.")))
    try:
        validate_email(administrator.email)
    except ValidationError as error:
        found("administrator_email", error)
    else:
        try:
            require_free_email(administrator.email, agent=administrator)
        except ValidationError as error:
            found("administrator_email", ValidationError(error.messages))
    try:
        validate_password(password, user=administrator)
    except ValidationError as error:
        found("password", error)
    if errors:
        raise ValidationError(errors)
