"""The form on which somebody puts down what a person asked for."""

import datetime as dt
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDateWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from agents.models import Agent
from calls.models import Call
from retention.access_request import KINDS as SHOWN_KINDS
from retention.models import DeletionRequest
from retention.models.requests import KINDS


class SubjectForm(forms.Form):
    kind = forms.ChoiceField(label=_("About"), choices=KINDS, initial="number", widget=UnfoldAdminSelectWidget)
    number = forms.CharField(
        label=_("Phone number"),
        max_length=40,
        required=False,
        help_text=_("In any written form."),
        widget=UnfoldAdminTextInputWidget,
    )
    agent = forms.ModelChoiceField(
        label=_("Agent"), queryset=Agent.objects.none(), required=False, widget=UnfoldAdminSelectWidget
    )
    call_id = forms.CharField(label=_("Call ID"), max_length=255, required=False, widget=UnfoldAdminTextInputWidget)
    reference = forms.CharField(
        label=_("Reference"),
        max_length=60,
        required=False,
        help_text=_("Your own, such as a ticket number. No names and no numbers."),
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, asker: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people: Any = self.fields["agent"]
        people.queryset = Agent.objects.visible_to(asker).filter(erased_at=None).order_by("staff_id")
        self.calls: Any = Call.objects.visible_to(asker)

    def clean_call_id(self) -> str:
        call_id: str = self.cleaned_data["call_id"].strip()
        if self.data.get("kind") == "call" and not self.calls.filter(call_id=call_id).exists():
            raise forms.ValidationError(_("There is no such call."))
        return call_id

    def said(self) -> dict[str, Any]:
        return {name: self.cleaned_data.get(name) for name in ("number", "agent", "call_id", "first_day", "last_day")}


class DeletionForm(SubjectForm):
    first_day = forms.DateField(label=_("First day"), required=False, widget=UnfoldAdminDateWidget)
    last_day = forms.DateField(
        label=_("Last day"),
        required=False,
        help_text=_("Calls that ended on these days, both included."),
        widget=UnfoldAdminDateWidget,
    )
    received_on = forms.DateField(
        label=_("Received on"),
        required=False,
        help_text=_("The 30 days run from here. Empty: today."),
        widget=UnfoldAdminDateWidget,
    )
    keeps_block = forms.ChoiceField(
        label=_("If the number is blocked"),
        choices=[("", _("remove it from the blacklist")), *((one.value, one.label) for one in DeletionRequest.BlockReason)],
        required=False,
        help_text=_("With a reason it stays blocked by a keyed hash, which names the number to nobody."),
        widget=UnfoldAdminSelectWidget,
    )
    field_order = ("kind", "number", "agent", "call_id", "first_day", "last_day", "keeps_block", "received_on", "reference")

    def received_at(self, zone: dt.tzinfo, at: dt.datetime) -> dt.datetime | None:
        day = self.cleaned_data.get("received_on")
        if day is None or day == at.astimezone(zone).date():
            return None
        return dt.datetime.combine(day, dt.time(), tzinfo=zone)


class AccessForm(SubjectForm):
    field_order = ("kind", "number", "agent", "call_id", "reference")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds: Any = self.fields["kind"]
        kinds.choices = [(value, label) for value, label in KINDS if value in SHOWN_KINDS]
