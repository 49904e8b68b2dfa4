"""The forms on the way in."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from agents.models import Agent

if TYPE_CHECKING:
    _SetPasswordForm = SetPasswordForm[Agent]
else:
    _SetPasswordForm = SetPasswordForm

WIDE = " ".join(BASE_INPUT_CLASSES)


class SignInForm(AuthenticationForm):
    """Email and password, for everybody: what a person may open is decided by the page they open."""

    error_messages = {
        "invalid_login": _("Email and password do not match, or this account cannot sign in."),
        "inactive": _("Email and password do not match, or this account cannot sign in."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Email")
        self.fields["username"].widget.input_type = "email"
        self.fields["username"].widget.attrs["autocomplete"] = "username"
        self.fields["password"].widget.attrs["autocomplete"] = "current-password"

    def confirm_login_allowed(self, user: Any) -> None:
        """Whether somebody may sign in is the backend's answer; the page they open asks for its own permission."""


class CodeField(forms.CharField):
    """One field for the code from the phone and for a recovery code."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "class": WIDE}
        super().__init__(max_length=40, widget=forms.TextInput(attrs), **kwargs)

    def asks_for_digits(self) -> None:
        self.widget.attrs["inputmode"] = "numeric"


class PasswordField(forms.CharField):
    """The present password, asked for again."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"autocomplete": "current-password", "class": WIDE}
        super().__init__(label=_("Your password"), strip=False, widget=forms.PasswordInput(attrs), **kwargs)


class CodeForm(forms.Form):
    """The second step of signing in."""

    code = CodeField(label=_("Code"))

    def __init__(self, *args: Any, with_recovery_code: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["code"]
        field.widget.attrs["autofocus"] = ""
        if with_recovery_code:
            field.label = _("Recovery code")
            field.widget.attrs["autocomplete"] = "off"
        else:
            field.asks_for_digits()


class ProvenForm(forms.Form):
    """Begins with what proves who is there: the password, where it was not typed just now, and a code, where there is a
    second factor. Both are checked by the page, which counts what is wrong."""

    password = PasswordField()
    present_code = CodeField(label=_("Present code"), help_text=_("From the app you use now, or one of your recovery codes."))

    def __init__(self, *args: Any, asks_password: bool, asks_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not asks_password:
            del self.fields["password"]
        if not asks_code:
            del self.fields["present_code"]
        next(iter(self.fields.values())).widget.attrs["autofocus"] = ""


class SetUpForm(ProvenForm):
    code = CodeField(label=_("Code the app shows"), help_text=_("Six digits; a new one every half minute."))
    field_order = ["password", "present_code", "code"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["code"]
        field.asks_for_digits()


class ChangeEmailForm(ProvenForm):
    """Always with the password, however lately it was typed: the email is where a forgotten one is sent."""

    email = forms.EmailField(
        label=_("New email"), max_length=254, widget=forms.EmailInput({"autocomplete": "email", "class": WIDE})
    )
    field_order = ["email", "password", "present_code"]


class ForgottenForm(forms.Form):
    email = forms.EmailField(
        label=_("Email"), max_length=254, widget=forms.EmailInput({"autocomplete": "username", "autofocus": "", "class": WIDE})
    )


class NewPasswordForm(_SetPasswordForm):
    """Behind a link: a new password, twice, with the rules beside the first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget.attrs.update({"autocomplete": "new-password", "class": WIDE})
        next(iter(self.fields.values())).widget.attrs["autofocus"] = ""


class ChangePasswordForm(NewPasswordForm):
    """The present one first; the page checks it, as it does wherever it is asked for again."""

    password = PasswordField()
    field_order = ["password", "new_password1", "new_password2"]
