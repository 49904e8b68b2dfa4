"""The second factor: a code from the app on somebody's phone, or one of ten recovery codes.

No code opens twice, and whoever guesses waits longer each time. The key is stored encrypted, of recovery codes only the
hash; neither is ever shown again, logged or mailed.
"""

import datetime as dt
import hashlib
import math
import re
import secrets
import unicodedata
from base64 import b32decode, b32encode
from typing import Any
from urllib.parse import quote, urlencode

import qrcode
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy
from django_otp.oath import TOTP
from qrcode.image.svg import SvgPathImage

from agents.appointment import may_manage
from agents.invitations import tell_of_change
from agents.models import Agent, Authenticator, RecoveryCode, SignInLink
from callcenter_site.audit import log_update
from configuration.scoping import Actor

KEY_BYTES = 20
TOLERANCE = 1
"""Steps of half a minute by which a phone's clock may be wrong."""
SET_UP_TAKES = dt.timedelta(hours=1)
"""How long a key that was shown stays the one to confirm."""
N_RECOVERY_CODES = 10
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""Without those that are taken for one another; 16 of them are 79 bits, so a plain hash keeps them."""
CODE_LETTERS = 16


class TooSoon(ValidationError):
    """After a wrong code the next one has to wait; it was not looked at."""


def begin_set_up(*, agent: Agent, at: dt.datetime) -> str:
    """The key to show. It is the same for an hour, so that a page shown again does not spoil a code already scanned."""
    with transaction.atomic():
        Authenticator.objects.get_or_create(user=agent, defaults={"account_id": agent.account_id})
        row = Authenticator.objects.select_for_update().get(user=agent)
        if not row.new_key or row.new_key_at is None or at - row.new_key_at > SET_UP_TAKES:
            row.new_key, row.new_key_at = b32encode(secrets.token_bytes(KEY_BYTES)).decode(), at
            row.save(update_fields=["new_key", "new_key_at"])
    return str(row.new_key)


def confirm_set_up(*, agent: Agent, code: str, at: dt.datetime) -> list[str]:
    """Takes the key that was shown into use, in place of any before it; returns new recovery codes, to be shown once.

    Raises `ValidationError` for a code that was not made with it.
    """
    wanted = _plain(code)
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().filter(user=agent).first()
        if row is None or not row.new_key or row.new_key_at is None or at - row.new_key_at > SET_UP_TAKES:
            raise ValidationError(_("This key has expired. Scan the new one."))
        step = _step_of(row.new_key, wanted, at=at, after=-1)
        if step is None:
            raise ValidationError(_("This code does not fit. Check the phone's clock, and type the code the app shows now."))
        was_on = row.confirmed
        row.key, row.new_key, row.new_key_at = row.new_key, "", None
        row.confirmed, row.confirmed_at, row.last_step = True, at, step
        row.throttle_reset(commit=False)
        row.save()
        agent.authenticator = row
        log_update(agent, second_factor=("on" if was_on else "off", "on"))
        tell_of_change(agent=agent, kind=SignInLink.Kind.FACTOR_ON, at=at)
        return _make_codes(agent, at=at)


@transaction.atomic
def make_recovery_codes(*, agent: Agent, at: dt.datetime) -> list[str]:
    """Ten new codes, to be shown once; those from before open nothing any more."""
    tell_of_change(agent=agent, kind=SignInLink.Kind.CODES, at=at)
    return _make_codes(agent, at=at)


def _make_codes(agent: Agent, *, at: dt.datetime) -> list[str]:
    plain = ["".join(secrets.choice(LETTERS) for _n in range(CODE_LETTERS)) for _n in range(N_RECOVERY_CODES)]
    RecoveryCode.objects.filter(agent=agent).delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(account_id=agent.account_id, agent=agent, code_hash=_hash(agent, one), made_at=at) for one in plain
    )
    log_update(agent, recovery_codes=("", "made"))
    return ["-".join(one[n : n + 4] for n in range(0, CODE_LETTERS, 4)) for one in plain]


def n_recovery_codes(agent: Agent) -> int:
    """How many are left."""
    return RecoveryCode.objects.filter(agent=agent, used_at=None).count()


def check_code(*, agent: Agent, text: str, at: dt.datetime) -> Authenticator:
    """Accepts a code once: one that the app shows, or a recovery code.

    Raises `ValidationError` for a wrong one, and `TooSoon` while the pause after the last wrong one lasts.
    """
    code = _plain(text)
    with transaction.atomic():  # what is refused is counted, so nothing is raised in here
        # The lock makes guesses sent at the same moment wait for each other's pause.
        row: Authenticator | None = Authenticator.objects.select_for_update().filter(user=agent, confirmed=True).first()
        if row is None:
            raise ValidationError(_("There is no second factor any more. Sign in again."))
        is_allowed, why = row.verify_is_allowed()
        is_right = is_allowed and (_takes_step(row, code, at=at) or _takes_recovery_code(agent, code, at=at))
        if is_right:
            row.throttle_reset(commit=False)
            row.save(update_fields=["throttling_failure_timestamp", "throttling_failure_count"])
        elif is_allowed:
            row.throttle_increment()
    if not is_allowed:
        raise TooSoon(_wait((why or {}).get("locked_until", at), at))
    if not is_right:
        raise ValidationError(_("This code is not right, or was used already."))
    return row


@transaction.atomic
def turn_off(*, agent: Agent, at: dt.datetime) -> bool:
    """Removes key and recovery codes; whether there was a second factor. Other sessions of the person end."""
    rows = Authenticator.objects.filter(user=agent)
    was_on: bool = rows.filter(confirmed=True).exists()
    rows.delete()
    RecoveryCode.objects.filter(agent=agent).delete()
    agent._state.fields_cache.pop("authenticator", None)
    if was_on:
        log_update(agent, second_factor=("on", "off"))
        tell_of_change(agent=agent, kind=SignInLink.Kind.FACTOR_OFF, at=at)
    return was_on


def reset(*, agent: Agent, by: Actor, at: dt.datetime) -> None:
    """For who lost phone and codes. Raises `ValidationError` for oneself and for somebody who may more than `by`."""
    if not may_manage(by, agent):
        raise ValidationError(_("You cannot reset your own second factor, or that of somebody who may do more than you."))
    if not turn_off(agent=agent, at=at):
        raise ValidationError(_("There is no second factor to reset."))


def is_recovery_code(text: str) -> bool:
    """Whether somebody typed a recovery code, right or wrong."""
    return len(_plain(text)) == CODE_LETTERS


def reads_as_groups(key: str) -> str:
    """A key as people type it."""
    return " ".join(key[n : n + 4] for n in range(0, len(key), 4))


def key_address(*, agent: Agent, key: str, issuer: str) -> str:
    """What the picture says to the app: https://github.com/google/google-authenticator/wiki/Key-Uri-Format."""
    issuer = issuer.replace(":", " ").strip()
    label = f"{quote(issuer)}:{quote(agent.email)}"
    return f"otpauth://totp/{label}?{urlencode({'secret': key, 'issuer': issuer}, quote_via=quote)}"


def picture_of(address: str) -> str:
    """A QR code as an SVG element."""
    made: Any = qrcode.make(address, image_factory=SvgPathImage, box_size=10, border=2)
    return str(made.to_string(encoding="unicode"))


def _takes_step(row: Authenticator, code: str, *, at: dt.datetime) -> bool:
    step = _step_of(row.key, code, at=at, after=row.last_step)
    # Where a database ignores the lock, the condition still lets only one of two in.
    return step is not None and bool(Authenticator.objects.filter(pk=row.pk, last_step__lt=step).update(last_step=step))


def _takes_recovery_code(agent: Agent, code: str, *, at: dt.datetime) -> bool:
    if not is_recovery_code(code):
        return False
    unused = RecoveryCode.objects.filter(agent=agent, code_hash=_hash(agent, code), used_at=None)
    if unused.update(used_at=at) != 1:
        return False
    log_update(agent, recovery_codes=("", "one used"))
    return True


def _step_of(key: str, code: str, *, at: dt.datetime, after: int) -> int | None:
    """The time step a code belongs to, if it is one later than `after` and near enough to now."""
    if not re.fullmatch(r"[0-9]{6}", code):
        return None
    totp: Any = TOTP(b32decode(key))
    totp.time = at.timestamp()
    return int(totp.t()) if totp.verify(int(code), TOLERANCE, after + 1) else None


def _plain(text: str) -> str:
    """Without the gaps that apps and sheets show, and in the letters of an English keyboard."""
    return re.sub(r"[\s\-–]", "", unicodedata.normalize("NFKC", text)).lower()


def _hash(agent: Agent, plain: str) -> bytes:
    return hashlib.sha256(f"{agent.pk}:{plain}".encode()).digest()


def _wait(until: dt.datetime, at: dt.datetime) -> Any:
    seconds = max(1, math.ceil((until - at).total_seconds()))
    return ngettext_lazy(
        "Too many wrong codes. Wait %d second, then type the code shown by then.",
        "Too many wrong codes. Wait %d seconds, then type the code shown by then.",
        seconds,
    ) % (seconds,)
