"""Storage plans: how long calls are kept beyond the six months."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from configuration.admin.lists import ListAdmin
from configuration.models import Account
from retention import plans, policy
from retention.models import StoragePlan


@admin.register(StoragePlan)
class StoragePlanAdmin(ListAdmin):
    list_display = ["show_kind", "months", "from_day", "to_day", "show_state"]
    list_display_links = ["show_kind"]
    fields = ["kind", "months", "from_day", "to_day"]
    list_filter: Any = []
    actions: Any = []
    empty_value_display = "–"
    empty_icon = "inventory_2"
    empty_title = _("No storage plans")
    empty_text = _(
        "Calls are kept for six calendar months after they end. A plan keeps them for longer while it runs, and 14 days more."
    )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what was promised, and for how long, stays to be seen

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        plans.note(plan=obj, at=timezone.now())

    @display(description=_("kind"), ordering="kind")
    def show_kind(self, plan: StoragePlan) -> str:
        return str(plan.get_kind_display())

    @display(description=_("State"), label={"coming": "info", "runs": "success", "grace": "warning", "over": "default"})
    def show_state(self, plan: StoragePlan) -> tuple[str, Any]:
        today = timezone.localdate()
        if plan.from_day > today:
            return "coming", _("begins later")
        if plan.to_day is None or plan.to_day >= today:
            return "runs", _("runs")
        if plan.to_day + policy.GRACE >= today:
            return "grace", _("lapsed, in its grace until %(day)s") % {"day": (plan.to_day + policy.GRACE).isoformat()}
        return "over", _("over")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        account = Account.objects.visible_to(request.user).first()  # type: ignore[arg-type]  # a person, signed in
        return {"from_day": policy.local_day(account, timezone.now())} if account else {}
