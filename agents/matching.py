"""Which agents and skill groups an event means: it names them by staff ID, email or phone number, and by name."""

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Q

from agents.models import Agent, AgentPhone, SkillGroup, email_index, phone_index
from callcenter_site.phone_numbers import canonical, is_number
from configuration.models import Account


def find_agents(*, account: Account, references: Iterable[str]) -> dict[str, int]:
    """Ids of the agents that references mean: the staff ID letter by letter first, else the login email, else a phone
    number, in whatever form it is written, that belongs to one agent alone.

    A reference that means nobody of the account is not in the answer.
    """
    wanted = {reference for reference in references if reference}
    if not wanted:
        return {}
    hashes_of = {reference: email_index(reference) for reference in wanted if "@" in reference}
    rows = list(
        Agent.objects.for_account(account)
        .filter(Q(staff_id__in=wanted) | Q(email_hash__in=set(hashes_of.values())))
        .values_list("pk", "staff_id", "email_hash")
    )
    # MariaDB compares text without regard to case and trailing spaces; here letters count.
    by_staff_id = {staff_id: pk for pk, staff_id, _ in rows}
    by_email = {bytes(digest): pk for pk, _, digest in rows}
    found = {reference: by_staff_id.get(reference) or by_email.get(hashes_of.get(reference, b"")) for reference in wanted}
    known = {reference: pk for reference, pk in found.items() if pk is not None}
    return known | _find_by_number(account, wanted - known.keys())


def _find_by_number(account: Account, references: Iterable[str]) -> dict[str, int]:
    numbers = {reference: canonical(reference, account.region) for reference in references}
    indexes = {
        reference: phone_index(number, account_id=account.pk) for reference, number in numbers.items() if is_number(number)
    }
    if not indexes:
        return {}
    owners: dict[bytes, set[int]] = defaultdict(set)
    rows = AgentPhone.objects.for_account(account).filter(number_hash__in=set(indexes.values()))
    for index, agent_id in rows.values_list("number_hash", "agent_id"):
        owners[bytes(index)].add(agent_id)
    return {reference: next(iter(owners[index])) for reference, index in indexes.items() if len(owners[index]) == 1}


def find_skill_groups(*, account: Account, names: Iterable[str]) -> dict[str, int]:
    """Ids of the skill groups with exactly these names."""
    wanted = {name for name in names if name}
    if not wanted:
        return {}
    rows = SkillGroup.objects.for_account(account).filter(name__in=wanted).values_list("name", "pk")
    return {name: pk for name, pk in rows if name in wanted}
