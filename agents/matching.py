"""Which agents and skill groups an event means: it names them by staff ID or email, and by name."""

from collections.abc import Iterable

from django.db.models import Q

from agents.models import Agent, SkillGroup, email_index
from configuration.models import Account


def find_agents(*, account: Account, references: Iterable[str]) -> dict[str, int]:
    """Ids of the agents that references mean: the staff ID letter by letter first, else the login email.

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
    return {reference: pk for reference, pk in found.items() if pk is not None}


def find_skill_groups(*, account: Account, names: Iterable[str]) -> dict[str, int]:
    """Ids of the skill groups with exactly these names."""
    wanted = {name for name in names if name}
    if not wanted:
        return {}
    rows = SkillGroup.objects.for_account(account).filter(name__in=wanted).values_list("name", "pk")
    return {name: pk for name, pk in rows if name in wanted}
