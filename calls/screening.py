"""Whether a call is let in, and what the platform needs to go on with it. Asked before a call is accepted, so each answer
costs a few queries along indexes, however long the lists are; nothing of it is kept."""

import datetime as dt
from dataclasses import dataclass, field

from callcenter_site.phone_numbers import canonical, provider_of
from calls.models import Call, Direction
from configuration.blacklist import find_block
from configuration.models import Account, BlockedNumber, IvrPrompt, ServiceNumber

MOST_PROMPTS = 100


@dataclass(slots=True)
class Screening:
    direction: str
    block: BlockedNumber | None
    service_number: ServiceNumber | None
    provider: str
    location: str
    prompts: list[IvrPrompt]
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """Field and what is odd about it; the call is let in all the same."""

    @property
    def is_allowed(self) -> bool:
        return self.block is None


def screen_call(
    *, account: Account, calling_number: str, called_number: str, direction: str, prompt_codes: list[str] | None, at: dt.datetime
) -> Screening:
    """`prompt_codes` narrows the prompts to those a call flow plays; None: all in use. Four queries."""
    is_inbound = direction == Direction.INBOUND
    customer, center = (calling_number, called_number) if is_inbound else (called_number, calling_number)
    block = find_block(account=account, number=customer, direction=direction, at=at)
    number = canonical(center, account.region)
    owned = ServiceNumber.objects.for_account(account).filter(number=number).first()
    provider, location = _where_from(account, customer)
    screening = Screening(
        direction=direction,
        block=block,
        service_number=owned if owned is not None and owned.is_active else None,
        provider=provider,
        location=location,
        prompts=_prompts(account, prompt_codes),
    )
    screening.warnings = _warnings(owned, "called_number" if is_inbound else "calling_number", direction)
    if missing := sorted(set(prompt_codes or ()) - {prompt.code for prompt in screening.prompts}):
        screening.warnings.append(("prompts", f"no prompt in use has the code {missing[0]}"))
    if prompt_codes is None and len(screening.prompts) > MOST_PROMPTS:
        del screening.prompts[MOST_PROMPTS:]
        screening.warnings.append(("prompts", f"only the first {MOST_PROMPTS} are listed; name those you play"))
    return screening


def _where_from(account: Account, number: str) -> tuple[str, str]:
    """Provider and location of the customer's number: what the platform said when it last called, else what its beginning
    tells."""
    found = canonical(number, account.region)
    if not found.startswith("+"):
        return "", ""
    last = Call.objects.for_account(account).filter(calling_number=found).order_by("-started_at", "-pk")
    provider, location = last.values_list("provider", "location").first() or ("", "")
    return provider or provider_of(found, account.language.partition("-")[0]), location


def _prompts(account: Account, codes: list[str] | None) -> list[IvrPrompt]:
    if codes is not None and not codes:
        return []
    rows = IvrPrompt.objects.for_account(account).filter(is_active=True)
    if codes is not None:
        wanted = set(codes)
        return [prompt for prompt in rows.filter(code__in=wanted).order_by("code") if prompt.code in wanted]
    return list(rows.order_by("code")[: MOST_PROMPTS + 1])


def _warnings(owned: ServiceNumber | None, name: str, direction: str) -> list[tuple[str, str]]:
    if owned is None:
        return [(name, "is no service number of this account; the call is let in without its settings")]
    if not owned.is_active:
        return [(name, "is a service number that is not in use; the call is let in without its settings")]
    if owned.direction not in (direction, ServiceNumber.Direction.BOTH):
        return [(name, f"is a service number that is not for {direction} calls")]
    return []
