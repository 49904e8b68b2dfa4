"""What stands on an agent's page beside the form. Apps to the right add their own to `AgentAdmin.panels`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone

from agents.devices import advice_of
from agents.models import Agent, DeviceCheck, Status, StatusChange
from agents.presence import CHOSEN_BY_AGENTS, break_reasons
from agents.wording import terminal
from configuration.access import SET_STATUS

STATUS_COLOURS: dict[str, str] = {
    Status.AVAILABLE: "success",
    Status.BUSY: "danger",
    Status.BREAK: "warning",
    Status.WRAP_UP: "info",
    Status.OFFLINE: "default",
}
RESULT_COLOURS: dict[str, str] = {
    DeviceCheck.Result.GOOD: "success",
    DeviceCheck.Result.FAIR: "warning",
    DeviceCheck.Result.BAD: "danger",
}
CHECKS_SHOWN = 5


@dataclass(frozen=True)
class Panel:
    """A part of the page for those who hold a permission. `context` is asked only then."""

    permission: str
    template: str
    context: Callable[[HttpRequest, Agent], dict[str, Any]]
    is_before_form: bool = False

    def shown(self, request: HttpRequest, agent: Agent) -> dict[str, Any]:
        return {"template": self.template, "is_before_form": self.is_before_form, **self.context(request, agent)}


def label(colour: str, text: Any) -> str:
    """As the theme draws labels in lists; on pages of one row it does not."""
    return render_to_string("unfold/helpers/label.html", {"type": colour, "text": text})


def status_now(request: HttpRequest, agent: Agent) -> dict[str, Any]:
    user: Any = request.user
    rows = StatusChange.objects.visible_to(user).filter(agent=agent, ended_at=None) if agent.status != Status.OFFLINE else None
    now = rows.order_by("-started_at", "-pk").first() if rows is not None else None
    return {
        "agent": agent,
        "at": timezone.now(),
        "colour": STATUS_COLOURS.get(agent.status, "default"),
        "set_by": now.get_source_display() if now is not None else "",
        "terminal": terminal(now.terminal) if now is not None else "",
        "may_set": user.has_perm(SET_STATUS),
        "is_oneself": agent.pk == user.pk,
        "choices": [Status(one) for one in CHOSEN_BY_AGENTS],
        "reasons": break_reasons(user.account_id) if user.has_perm(SET_STATUS) else [],
    }


def latest_checks(request: HttpRequest, agent: Agent) -> dict[str, Any]:
    user: Any = request.user
    rows = DeviceCheck.objects.visible_to(user).filter(agent=agent).order_by("-checked_at", "-pk")[:CHECKS_SHOWN]
    checks = [{"row": one, "colour": RESULT_COLOURS.get(one.result, "default"), "advice": advice_of(one)} for one in rows]
    return {"agent": agent, "checks": checks}


def own_panels() -> list[Panel]:
    return [
        Panel("agents.view_agent", "admin/agents/agent/status.html", status_now, is_before_form=True),
        Panel("agents.view_devicecheck", "admin/agents/agent/checks.html", latest_checks),
    ]
