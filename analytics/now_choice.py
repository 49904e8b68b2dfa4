"""What of the page of now somebody looks at: some of the skill groups, and agents who do one thing. The address holds it."""

from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from agents.models import SkillGroup
from analytics import live

PARAMETERS = ("group", "activity")


@dataclass
class Choice:
    """What could not be read stands in `errors`, and is left out. No group chosen: all of them."""

    group_ids: frozenset[int] = frozenset()
    activity: str = ""
    errors: list[str] = field(default_factory=list)


def read(request: HttpRequest) -> Choice:
    """A group that the asker does not see is one that does not exist."""
    chosen = Choice()
    asked = [text for text in request.GET.getlist("group") if text]
    if asked:
        ids = {int(text) for text in asked if text.isascii() and text.isdecimal() and len(text) <= 18}
        user: Any = request.user
        chosen.group_ids = frozenset(SkillGroup.objects.visible_to(user).filter(pk__in=ids).values_list("pk", flat=True))
        if len(chosen.group_ids) != len(set(asked)):
            chosen.errors.append(_("There is no such skill group."))
    activity = request.GET.get("activity", "")
    if activity in live.ACTIVITIES:
        chosen.activity = activity
    elif activity:
        chosen.errors.append(_("There is nothing like this that agents do; choose one of the buttons above their list."))
    return chosen
