"""Opening an account makes its first administrator, in one step."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordToggleWidget, UnfoldAdminTextInputWidget

from agents.onboarding import open_account
from configuration.admin.accounts import AccountAdmin, AccountSettingsForm
from configuration.models import Account


class OpenAccountForm(AccountSettingsForm):
    """A new account with the first person who can sign in to it."""

    administrator_name = forms.CharField(
        label=pgettext_lazy("of a person", "Name"), max_length=100, widget=UnfoldAdminTextInputWidget
    )
    administrator_email = forms.EmailField(label=_("Email"), max_length=254, widget=UnfoldAdminEmailInputWidget)
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=UnfoldAdminPasswordToggleWidget({"autocomplete": "new-password"}),
        help_text=_("Hand it over in person; at least 10 characters."),
    )

    class Meta:
        model = Account
        fields = ["name", "slug", "time_zone", "region"]

    def _post_clean(self) -> None:
        """Opens the account as the last step of checking, in the transaction of the request: only `open_account` knows
        every reason against it, and those belong on this page."""
        super()._post_clean()
        if self.errors:
            return
        people = ("administrator_name", "administrator_email", "password")
        try:
            administrator = open_account(**{name: self.cleaned_data[name] for name in (*self.Meta.fields, *people)})
        except ValidationError as error:
            self.add_error(None, error)
        else:
            self.instance = administrator.account

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """There is nothing of the kind."""


@admin.register(Account)
class AccountWithPeopleAdmin(AccountAdmin):
    """Opening an account makes its first administrator, in one step."""

    opening = [
        (_("Account"), {"fields": ["name", "slug", "time_zone", "region"]}),
        (_("First administrator"), {"fields": ["administrator_name", "administrator_email", "password"]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fieldsets(request, obj) if obj is not None else self.opening

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = OpenAccountForm
        return super().get_form(request, obj, change=change, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
