"""What agents write about a call: a remark and a disposition, said as an event of the portal's own.

Like everything about a call they come into its record by folding, so they stand beside what a platform says and outlive a
folding anew. Whoever writes last has the last word, and is asked first where somebody else wrote meanwhile.
"""

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from agents.models import Agent
from callcenter_site.audit import log_update, unsaid
from calls.ingest import accept_events
from calls.lifecycle import PORTAL_SOURCE
from calls.masking import sees_numbers, shown_text
from calls.models import Call, CallEvent, CallLeg, EventState, LegKind
from calls.querysets import CallEventQuerySet
from configuration.access import CHANGE_REMARK
from configuration.models import Disposition

LONGEST = 5000
_AN_INSTANT = dt.timedelta(milliseconds=1)
_MOST_READ = 50
_SAID = "call.remarked"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Remark:
    text: str
    disposition: str

    @property
    def fingerprint(self) -> str:
        """What a form remembers of the remark it began with."""
        return hashlib.sha256(f"{self.text}\0{self.disposition}".encode()).hexdigest()[:16]


class ChangedMeanwhile(Exception):
    """Somebody else has written since the form was opened; nothing was kept."""

    def __init__(self, now: Remark) -> None:
        super().__init__(_("Somebody else has written about this call meanwhile. Look at it, then save again."))
        self.now = now


def new_token() -> str:
    """Names one sending of a form."""
    return secrets.token_hex(16)


def current_remark(call: Call) -> Remark:
    """The last word on a call, also where it is accepted and not yet in the record."""
    said = list(_said_of(call).values_list("data", flat=True)[:_MOST_READ])
    if not said:
        return Remark(call.remark, call.disposition)
    disposition = next((data["disposition"] for data in said if data.get("disposition")), call.disposition)
    return Remark(said[0]["text"], disposition)


def _said_of(call: Call) -> CallEventQuerySet:
    rows = CallEvent.objects.for_account(call.account_id).filter(call_key=call.call_key, type=_SAID)
    return rows.exclude(state=EventState.DEAD).order_by("-occurred_at", "-pk")


def may_remark(person: Agent, call: Call) -> bool:
    """Whoever took the call, and those with the right to edit the remarks of others; of calls they may see."""
    if person.has_perm(CHANGE_REMARK):
        return True
    legs = CallLeg.objects.for_account(call.account_id).filter(call_id=call.pk, agent_id=person.pk, kind=LegKind.AGENT)
    return bool(legs.filter(answered_at__isnull=False).exists())


def only_adds(person: Agent, remark: Remark) -> bool:
    """Whoever does not see a number in the remark must not lose it by saving: what they write is put below."""
    return shown_text(remark.text, whole=sees_numbers(person)) != remark.text


def dispositions(*, account_id: int, current: str) -> list[str]:
    """The account's in use in their order, and the one the call has, whoever gave it."""
    names = list(
        Disposition.objects.for_account(account_id)
        .filter(is_active=True)
        .order_by("order", "name")
        .values_list("name", flat=True)
    )
    return names if not current or current in names else [current, *names]


def write_remark(*, call: Call, by: Agent, form: Mapping[str, str], at: dt.datetime) -> Remark:
    """Says what somebody wrote, unless the remark is no longer the one they began with; what now stands.

    Of the form: `text`, `disposition`, the fingerprint `began_with`, and the `token` of this sending: the same again changes
    nothing. Raises `ValidationError` and `ChangedMeanwhile`.
    """
    text, disposition = form.get("text", ""), form.get("disposition", "")
    began_with, token = form.get("began_with", ""), form.get("token", "")
    before = current_remark(call)
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    after = Remark(_below(before.text, text) if only_adds(by, before) else text, disposition.strip() or before.disposition)
    if after == before:
        return before
    _check(call, before, after)
    own = CallEvent.objects.for_account(call.account_id).filter(source=PORTAL_SOURCE, call_key=call.call_key, type=_SAID)
    if token and own.filter(event_id=_event_id(by, token)).exists():
        if _was_sent(call, by, token, text, after):
            return before
        token = ""  # sent before, and written anew since: the answer to the first was lost
    elif began_with != before.fingerprint:
        raise ChangedMeanwhile(before)
    newest = _said_of(call).values_list("occurred_at", flat=True).first()
    moment = max([at, call.last_event_at + _AN_INSTANT, *([newest + _AN_INSTANT] if newest else [])])
    [answer] = accept_events(
        account=call.account,
        items=[
            {
                "specversion": "1.0",
                "source": PORTAL_SOURCE,
                "id": _event_id(by, token or new_token()),
                "type": _SAID,
                "subject": call.call_id,
                "time": moment.isoformat(),
                "data": {
                    "text": after.text,
                    **({"agent": by.staff_id} if by.staff_id else {}),
                    **({"disposition": after.disposition} if after.disposition else {}),
                },
            }
        ],
        at=at,
        is_own=True,
    )
    if answer["status"] == "rejected" and answer["code"] != 409:  # 409: sent twice at the same time, and kept once
        raise ValidationError({"text": [error["reason"] for error in answer["errors"]]})
    log_update(call, **{name: (unsaid(was), unsaid(now)) for name, was, now in _changes(before, after)})
    return after


def _below(before: str, text: str) -> str:
    return "\n".join(part for part in (before, text) if part)


def _check(call: Call, before: Remark, after: Remark) -> None:
    errors: dict[str, list[str]] = {}
    if len(after.text) > LONGEST:
        errors["text"] = [
            _("A remark has at most %(n)d characters; this has %(have)d.") % {"n": LONGEST, "have": len(after.text)}
        ]
    if after.disposition != before.disposition:
        known = dispositions(account_id=call.account_id, current=before.disposition)
        if after.disposition not in known:
            errors["disposition"] = [_("Choose one of the dispositions in the list.")]
    if errors:
        raise ValidationError(errors)


def _event_id(by: Agent, token: str) -> str:
    return f"remark-{by.pk}-{hashlib.sha256(token.encode()).hexdigest()[:32]}"


def _was_sent(call: Call, by: Agent, token: str, text: str, after: Remark) -> bool:
    """Whether this very text went in with this token. Where it was added below another, that stands above it."""
    rows = CallEvent.objects.for_account(call.account_id).filter(call_key=call.call_key, event_id=_event_id(by, token))
    sent = rows.values_list("data", flat=True).first() or {}
    said = str(sent.get("text", ""))
    is_same_text = said in (text, after.text) or (bool(text) and said.endswith(f"\n{text}"))
    return is_same_text and sent.get("disposition", "") in ("", after.disposition)


def _changes(before: Remark, after: Remark) -> list[tuple[str, str, str]]:
    pairs = [("remark", before.text, after.text), ("disposition", before.disposition, after.disposition)]
    return [pair for pair in pairs if pair[1] != pair[2]]
