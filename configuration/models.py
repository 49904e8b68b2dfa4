"""What a customer sets up: the account itself, roles, numbers, prompts, and the lists calls are handled by."""

import re
import zoneinfo
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Self

from auditlog.models import AbstractLogEntry, LogEntryManager
from auditlog.registry import auditlog
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from callcenter_site.audit import Look
from callcenter_site.fields import Sha256Field
from callcenter_site.names import is_visible
from callcenter_site.ownership import IN_USE, taken_on
from callcenter_site.phone_numbers import (
    HIDDEN,
    is_broad,
    mask_written,
    one_number,
    one_prefix,
    provider_of,
    validate_region,
)
from configuration.encryption import ACCOUNT_KEY, EncryptedTextField, KeepsKey, new_wrapped_key, wrapped_for
from configuration.placeholders import check_placeholders
from configuration.querysets import ImportRunQuerySet
from configuration.scoping import AccountOwned, AccountQuerySet, AccountsQuerySet, Actor
from configuration.screen_pops import check_address


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(_("%(value)s is not an IANA time zone; write it like Asia/Shanghai."), params={"value": value})


def check_levels(good: int, poor: int) -> None:
    """Raises `ValidationError` where a service level would be green and red at once."""
    if poor > good:
        raise ValidationError({"level_poor": _("Red begins below green: choose at most %(good)d.") % {"good": good}})


class Account(KeepsKey, models.Model):
    """A customer's call center. Everything it owns carries its id."""

    class Language(models.TextChoices):
        ENGLISH = "en", _("English")
        CHINESE = "zh-hans", _("Simplified Chinese")

    name = models.CharField(_("name"), max_length=100)
    slug = models.SlugField(_("short name"), max_length=50, unique=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", validators=[validate_time_zone], help_text=_("Days and reports follow it.")
    )
    region = models.CharField(
        _("phone region"),
        max_length=2,
        default="CN",
        validators=[validate_region],
        help_text=_("Two-letter country in which a number without + is read."),
    )
    language = models.CharField(_("language"), max_length=10, choices=Language, default=Language.ENGLISH)
    service_level_seconds = models.PositiveIntegerField(
        _("service level target (seconds)"), default=20, validators=[MinValueValidator(1), MaxValueValidator(3600)]
    )
    short_abandon_seconds = models.PositiveIntegerField(
        _("short abandon (seconds)"),
        default=5,
        validators=[MaxValueValidator(3600)],
        help_text=_("Callers who give up within this time are left out of the service level."),
    )
    level_good = models.PositiveSmallIntegerField(
        _("green from (%)"), default=80, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    level_poor = models.PositiveSmallIntegerField(
        _("red below (%)"),
        default=60,
        validators=[MaxValueValidator(100)],
        help_text=_("Of the service level, where it is shown live. Between the two it is yellow."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    terminated_at = models.DateTimeField(_("terminated"), null=True, blank=True, editable=False)
    restoring_since = models.DateTimeField(null=True, editable=False)
    """While a backup is brought back: nobody signs in before what was erased is gone again."""
    key_id = models.CharField(max_length=20, editable=False, default="")
    wrapped_key = models.BinaryField(editable=False, default=b"")
    """The account's data key number 1, made with it; empty once a rotation has replaced it (`configuration/encryption.py`)."""
    key_made_under = models.CharField(max_length=20, editable=False, default="")
    """As of `DataKey`; empty: `key_id`."""

    objects = AccountsQuerySet.as_manager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        check_levels(self.level_good, self.level_poor)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self._state.adding and not self.wrapped_key:
            self.key_id, self.wrapped_key = new_wrapped_key()
        if not self._state.adding and not args and kwargs.get("update_fields") is None:
            # Only a rotation touches the key: a form opened before one must not bring the old one back.
            names = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            kwargs["update_fields"] = names - {"key_id", "wrapped_key", "key_made_under"}
        super().save(*args, **kwargs)

    def get_additional_data(self) -> dict[str, Any]:
        return {"account": self.pk}

    def bound_to(self) -> bytes:
        return ACCOUNT_KEY

    @property
    def is_open(self) -> bool:
        return self.terminated_at is None and self.restoring_since is None

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)


class DataKey(KeepsKey, models.Model):
    """A key of an account, or of the installation, wrapped by one from the environment (`configuration/encryption.py`)."""

    class Purpose(models.TextChoices):
        DATA = "data", "encrypts values"
        INDEX = "index", "keyed hashes of an account's values"
        SIGN_IN = "sign_in", "keyed hashes of login emails"
        BACKUP = "backup", "encrypts an account's backups"

    account = models.ForeignKey(
        Account, on_delete=models.PROTECT, null=True, editable=False, related_name="data_keys", db_index=False
    )
    owner = models.BigIntegerField(editable=False)
    """The account's id, 0 for the installation: to a database no two NULLs are equal, and each key is there once."""
    purpose = models.CharField(max_length=10, choices=Purpose, editable=False)
    number = models.PositiveIntegerField(default=1, editable=False)
    """Values name the data key that opens them by it. The highest encrypts."""
    key_id = models.CharField(max_length=20, editable=False)
    wrapped_key = models.BinaryField(editable=False)
    made_under = models.CharField(max_length=20, editable=False)
    """The key from the environment that wrapped it first: where that one leaked, this one is to be replaced."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("data key")
        verbose_name_plural = _("data keys")
        ordering = ["owner", "purpose", "number"]
        constraints = [models.UniqueConstraint(fields=["owner", "purpose", "number"], name="data_key_once")]
        indexes = [models.Index(fields=["account"], name="data_key_account")]

    def __str__(self) -> str:
        return f"{self.owner} {self.purpose} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.owner = self.account_id or 0
        super().save(*args, **kwargs)

    def bound_to(self) -> bytes:
        return wrapped_for(self.owner, self.purpose, self.number)


def in_one_line(text: str) -> str:
    """Without spaces around it, and with single ones in it."""
    return " ".join(text.split())


def needed_name(text: str, *, field: str = "name") -> str:
    """A name in one line, in which there is something to see."""
    name = in_one_line(text)
    if text and not is_visible(name):
        raise ValidationError({field: _("This field is required.")})
    return name


class Listed(AccountOwned):
    """A row of one of the lists an account keeps. What is unique in the account is checked on the field people type it in,
    wherever the row comes from: a page, the API, an import."""

    remembered: ClassVar[tuple[str, ...]] = ()
    """Fields whose stored value `clean` compares with."""
    stored: dict[str, Any] | None = None
    """Their values as they stand in the database; None: not there yet."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        row._remember()
        return row

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        self._remember()

    def _remember(self) -> None:
        if self.remembered:
            self.stored = {name: self.__dict__.get(name) for name in self.remembered}

    def has_changed(self, name: str) -> bool:
        return self.stored is None or self.stored[name] != getattr(self, name)

    def validate_constraints(self, exclude: Collection[str] | None = None) -> None:
        """Django's own leaves out every constraint with a field that is not on the form, as the account never is."""
        named = {field.name for field in self._meta.concrete_fields} - set(exclude or ())
        if errors := {name: ValidationError(IN_USE, code="unique") for name in taken_on(self, among=named)}:
            raise ValidationError(errors)


class Role(Listed):
    """What its people may do (Django permissions) and whose records they see (data scope)."""

    class Kind(models.TextChoices):
        ADMINISTRATOR = "administrator", _("Administrator")
        SUPERVISOR = "supervisor", _("Supervisor")
        INSPECTOR = "inspector", _("Quality inspector")
        AGENT = "agent", _("Agent")
        CUSTOM = "custom", _("Custom")

    class DataScope(models.TextChoices):
        OWN = "own", _("own records")
        GROUPS = "groups", _("own skill groups")
        ACCOUNT = "account", _("whole account")

    BUILT_IN = frozenset({Kind.ADMINISTRATOR, Kind.SUPERVISOR, Kind.INSPECTOR, Kind.AGENT})

    name = models.CharField(_("name"), max_length=60)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.CUSTOM, editable=False)
    data_scope = models.CharField(_("sees"), max_length=10, choices=DataScope, default=DataScope.OWN)
    permissions = models.JSONField(_("permissions"), default=list, blank=True)
    requires_second_factor = models.BooleanField(
        _("second factor required"), default=False, help_text=_("Its people sign in with a code from their phone as well.")
    )

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="role_name_once")]

    def __str__(self) -> str:
        return str(self.get_kind_display()) if self.is_built_in else self.name

    @property
    def is_built_in(self) -> bool:
        return self.kind in self.BUILT_IN

    def clean(self) -> None:
        self.name = needed_name(self.name)


class ServiceNumber(Listed):
    """A number the center owns: callers dial it, or agents call out from it."""

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("inbound")
        OUTBOUND = "outbound", _("outbound")
        BOTH = "both", _("both")

    number = models.CharField(_("number"), max_length=32, help_text=_("As +8610… or in national form."))
    label = models.CharField(_("label"), max_length=60, blank=True)
    provider = models.CharField(
        _("telecom provider"), max_length=60, blank=True, help_text=_("Empty: looked up from the number.")
    )
    direction = models.CharField(_("direction"), max_length=10, choices=Direction, default=Direction.BOTH)
    default_skill_group = models.CharField(_("default skill group"), max_length=60, blank=True)
    priority = models.PositiveSmallIntegerField(
        _("priority"),
        default=0,
        validators=[MaxValueValidator(1000)],
        help_text=_("Of its callers in the queue, from 0 to 1000. The platform asks for it before it accepts a call."),
    )
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("service number")
        verbose_name_plural = _("service numbers")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="service_number_once")]

    def __str__(self) -> str:
        return self.label or self.number

    @property
    def label_and_number(self) -> str:
        """As lists show it, where one label may stand for several numbers."""
        return f"{self.label} · {self.number}" if self.label else self.number

    remembered = ("number", "provider", "default_skill_group")
    skill_group_called: ClassVar[Callable[[int, str], str | None]] = staticmethod(lambda account_id, name: name)
    """The name, as it is written there, of the account's skill group in use that is meant; `agents`, which knows them, puts
    its own here."""

    def clean(self) -> None:
        try:
            self.number = one_number(self.number, self.account.region)
        except ValidationError as error:
            raise ValidationError({"number": error}) from error
        self.label, self.provider = in_one_line(self.label), in_one_line(self.provider)
        if self.label and not is_visible(self.label):
            raise ValidationError({"label": _("There is nothing to see in this. Leave it empty or write a name.")})
        self.default_skill_group = in_one_line(self.default_skill_group)
        if self.default_skill_group and self.has_changed("default_skill_group"):
            named = type(self).skill_group_called(self.account_id, self.default_skill_group)
            if named is None:
                raise ValidationError({"default_skill_group": _("There is no such skill group in use.")})
            self.default_skill_group = named
        was_looked_up = (
            self.stored is not None
            and self.has_changed("number")
            and not self.has_changed("provider")
            and self.provider == self._look_up_provider(self.stored["number"])
        )
        if not self.provider or was_looked_up:
            self.provider = self._look_up_provider(self.number)

    def _look_up_provider(self, number: str) -> str:
        return provider_of(number, self.account.language.partition("-")[0])[:60]


def language_tag(text: str) -> str:
    """A language tag with its letters as is usual, zh-Hant-TW; empty stays empty."""
    first, *rest = text.strip().replace("_", "-").split("-")
    if not first and not rest:
        return ""
    if not re.fullmatch(r"[a-z]{2,3}", first, re.ASCII | re.IGNORECASE) or not all(
        re.fullmatch(r"[a-z0-9]{2,8}", part, re.ASCII | re.IGNORECASE) for part in rest
    ):
        raise ValidationError(_("This is not a language tag; write it like en, zh-CN or pt-BR."))
    usual = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(usual.get(len(part), str.lower)(part) for part in rest)])


class IvrPrompt(Listed):
    """What a caller hears: text the platform's voice reads, a text in the engine's own language, or an audio file."""

    class Kind(models.TextChoices):
        TTS = "tts", _("text to speech")
        ENGINE = "engine", _("engine text")
        AUDIO = "audio", _("audio file")

    code = models.SlugField(_("code"), max_length=60, help_text=_("Events and call flows name the prompt by it."))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.TTS)
    text = models.TextField(_("text"), max_length=2000, blank=True)
    language = models.CharField(_("language"), max_length=20, blank=True, help_text=_("A language tag such as en or zh-CN."))
    is_active = models.BooleanField(_("in use"), default=True)
    audio_key = models.CharField(max_length=200, blank=True, editable=False)
    audio_type = models.CharField(max_length=60, blank=True, editable=False)
    audio_bytes = models.PositiveIntegerField(default=0, editable=False)
    loose_key = models.CharField(max_length=200, blank=True, editable=False)
    """A file beside the one in use: being written, or replaced and about to go."""
    loose_since = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("IVR prompt")
        verbose_name_plural = _("IVR prompts")
        ordering = ["code"]
        constraints = [models.UniqueConstraint(fields=["account", "code"], name="ivr_prompt_once")]

    audio_comes: bool = False
    """Set by who is about to store the file: the row is made first."""

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        errors: dict[str, Any] = {}
        self.text = self.text.strip()
        if self.kind == self.Kind.AUDIO and not (self.audio_key or self.audio_comes):
            errors["kind"] = _("An audio prompt needs its file.")
        elif self.kind in (self.Kind.TTS, self.Kind.ENGINE) and not self.text:
            errors["text"] = _("Write what the caller hears.")
        try:
            self.language = language_tag(self.language)
        except ValidationError as error:
            errors["language"] = error
        if errors:
            raise ValidationError(errors)


class BlockedNumber(Listed):
    """A number, or all numbers that begin with a prefix, whose calls are refused."""

    class Direction(models.TextChoices):
        INBOUND = "inbound", _("inbound")
        OUTBOUND = "outbound", _("outbound")
        BOTH = "both", _("both")

    number = models.CharField(_("number"), max_length=32, help_text=_("In any written form. End it with * for a prefix."))
    is_prefix = models.BooleanField(_("prefix"), default=False, editable=False)
    direction = models.CharField(_("direction"), max_length=10, choices=Direction, default=Direction.INBOUND)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    blocked_until = models.DateTimeField(_("until"), null=True, blank=True, help_text=_("Empty: for good."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    number_hash = Sha256Field(null=True, editable=False)  # type: ignore[misc]  # the library's types know it as bytes only
    """Keyed, of a number that was erased and stays blocked; what stands in its place in `number` says nothing."""

    class Meta:
        verbose_name = _("blocked number")
        verbose_name_plural = _("blocked numbers")
        ordering = ["-created_at", "-pk"]
        permissions = [("check_number", "May ask whether a number is blocked")]
        constraints = [models.UniqueConstraint(fields=["account", "number", "is_prefix"], name="blocked_number_once")]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="blocked_time"),
            models.Index(fields=["account", "number_hash"], name="blocked_hash"),
        ]

    remembered = ("number", "is_prefix", "blocked_until")
    confirm_broad: bool = False
    """Set by who was asked, and means it: a prefix may take in a whole country, or everybody."""

    def __str__(self) -> str:
        return self.masked

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """The prefix of every number is the empty one."""
        is_everybody = self.is_prefix and self.number == ""
        super().clean_fields(exclude={*(exclude or ()), "number"} if is_everybody else exclude)

    def clean(self) -> None:
        """Takes a number in any written form; one that ends in * or … is a prefix. Asks the database nothing."""
        errors: dict[str, Any] = {}
        if self.number_hash is not None and self.has_changed("number"):
            self.number_hash = None  # type: ignore[assignment]
        written = self.number.strip()
        begins = re.sub(r"(\s*(\*|＊|…|\.\.\.))+$", "", written)
        if begins != written:
            self.is_prefix = True
        elif self.stored is not None and self.has_changed("number"):
            self.is_prefix = False
        if self.number_hash is not None or (not written and not self.is_prefix):
            pass  # erased, and blocked by its hash; or said to be required already
        elif HIDDEN in written:
            errors["number"] = _("A part of this number is hidden. Write it in full.")
        else:
            try:
                self._read_number(begins)
            except ValidationError as error:
                errors["number"] = error
        if self.blocked_until is not None and self.has_changed("blocked_until") and self.blocked_until <= timezone.now():
            errors["blocked_until"] = _("This time has passed. Leave it empty to block for good.")
        self.reason = in_one_line(self.reason)
        if errors:
            raise ValidationError(errors)

    def _read_number(self, written: str) -> None:
        region = self.account.region
        if not self.is_prefix:
            if "*" in written or "＊" in written or "#" in written or "＃" in written:
                raise ValidationError(_("This is not a phone number. Only a prefix has a star, at its end."))
            self.number = one_number(written, region)
            return
        self.number = one_prefix(written, region)
        if is_broad(self.number) and not self.confirm_broad and (self.has_changed("number") or self.has_changed("is_prefix")):
            raise ValidationError(self._how_broad(), code="broad")

    def _how_broad(self) -> Any:
        if self.number in ("", "+"):
            return _("This would block every number. Confirm it if you mean it.")
        return _("%s would block a whole country, or most of it. Confirm it if you mean it.") % self.written

    def is_expired(self, *, at: Any) -> bool:
        return self.blocked_until is not None and self.blocked_until <= at

    @property
    def written(self) -> str:
        """As people write it: a prefix with its star."""
        if self.number_hash is not None:
            return str(_("erased number"))
        return f"{self.number}*" if self.is_prefix else self.number

    @property
    def masked(self) -> str:
        """The same for those who may not see numbers in full."""
        return self.written if self.number_hash is not None else mask_written(self.written)


class Keyword(Listed):
    """A phrase looked for in what callers say and agents write."""

    class Severity(models.TextChoices):
        INFO = "info", _("note")
        WARNING = "warning", _("warning")
        CRITICAL = "critical", _("critical")

    class MatchMode(models.TextChoices):
        WORD = "word", _("whole word")
        ANYWHERE = "anywhere", _("anywhere")

    phrase = models.CharField(_("phrase"), max_length=100)
    category = models.CharField(_("category"), max_length=60, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity, default=Severity.INFO)
    match_mode = models.CharField(_("found"), max_length=10, choices=MatchMode, default=MatchMode.WORD)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("keyword")
        verbose_name_plural = _("keywords")
        ordering = ["phrase"]
        constraints = [models.UniqueConstraint(fields=["account", "phrase"], name="keyword_once")]

    def __str__(self) -> str:
        return self.phrase

    def clean(self) -> None:
        self.phrase, self.category = in_one_line(self.phrase), in_one_line(self.category)
        if self.phrase and not any(character.isalnum() for character in self.phrase):
            raise ValidationError({"phrase": _("A phrase has at least one letter or digit.")})


class QuickReplyGroup(Listed):
    """Quick replies that belong together; a skill group may point at the one its agents need."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)

    class Meta:
        verbose_name = _("quick-reply group")
        verbose_name_plural = _("quick-reply groups")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="quick_reply_group_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name = needed_name(self.name)


class QuickReply(Listed):
    """A sentence an agent sends or reads out with one click."""

    group = models.ForeignKey(QuickReplyGroup, on_delete=models.PROTECT, related_name="replies", verbose_name=_("group"))
    title = models.CharField(_("title"), max_length=100)
    text = models.TextField(_("text"), max_length=2000)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("quick reply")
        verbose_name_plural = _("quick replies")
        ordering = ["group__order", "group__name", "order", "title"]
        constraints = [models.UniqueConstraint(fields=["group", "title"], name="quick_reply_once")]
        indexes = [models.Index(fields=["account", "group", "order"], name="quick_reply_order")]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        errors: dict[str, Any] = {
            name: _("This field is required.")
            for name in ("title", "text")
            if getattr(self, name) and not is_visible(getattr(self, name))
        }
        self.title, self.text = in_one_line(self.title), self.text.strip()
        try:
            check_placeholders(self.text)
        except ValidationError as error:
            errors["text"] = error
        if errors:
            raise ValidationError(errors)


class ScreenPop(Listed):
    """A page of the customer's own system that opens beside a ringing call."""

    class Field(models.TextChoices):
        CALLER_NUMBER = "caller_number", _("caller number")
        PROVIDER = "provider", _("telecom provider")
        LOCATION = "location", _("location")
        IVR_PATH = "ivr_path", _("IVR path")
        LAST_CALLS = "last_calls", _("last calls")

    name = models.CharField(_("name"), max_length=60)
    url_template = models.CharField(
        _("address"), max_length=1000, blank=True, help_text=_("https:// with placeholders such as {caller_number}.")
    )
    fields_shown = models.JSONField(_("fields shown"), default=list, blank=True)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("inbound pop-up")
        verbose_name_plural = _("inbound pop-ups")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="screen_pop_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name, self.url_template = needed_name(self.name), self.url_template.strip()
        errors: dict[str, Any] = {}
        if self.url_template:
            try:
                check_address(self.url_template)
            except ValidationError as error:
                errors["url_template"] = error
        shown = self.fields_shown if isinstance(self.fields_shown, list) else [self.fields_shown]
        unknown = [one for one in shown if one not in self.Field.values]
        if unknown:
            errors["fields_shown"] = ValidationError(
                _("There is no field %(name)s. You can show: %(known)s."),
                params={"name": str(unknown[0])[:40], "known": ", ".join(self.Field.values)},
            )
        else:
            self.fields_shown = list(dict.fromkeys(shown))
        if errors:
            raise ValidationError(errors)


class BreakReason(Listed):
    """Why an agent is on a break; they choose it at the desk."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("break reason")
        verbose_name_plural = _("break reasons")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="break_reason_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name = needed_name(self.name)


class Disposition(Listed):
    """The result code an agent gives a call."""

    name = models.CharField(_("name"), max_length=60)
    order = models.PositiveIntegerField(_("order"), default=0)
    is_active = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("disposition")
        verbose_name_plural = _("dispositions")
        ordering = ["order", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="disposition_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.name = needed_name(self.name)


class ApiKey(AccountOwned):
    """An integrator's credential. The secret is shown once; only its SHA-256 is kept."""

    class Scope(models.TextChoices):
        EVENTS_WRITE = "events:write", _("post events")
        CALLS_READ = "calls:read", _("read service records")
        FIGURES_READ = "figures:read", _("read figures")
        AGENTS_READ = "agents:read", _("read agents and their status")
        AGENTS_WRITE = "agents:write", _("manage agents, skill groups and status")
        CONFIGURATION_READ = "configuration:read", _("read configuration")
        CONFIGURATION_WRITE = "configuration:write", _("manage configuration")
        BLACKLIST_CHECK = "blacklist:check", _("ask whether a number is blocked")
        RECORDINGS_WRITE = "recordings:write", _("send recordings and voicemail")
        RECORDINGS_READ = "recordings:read", _("fetch recordings and voicemail")
        VOICEMAIL_WRITE = "voicemail:write", _("mark and assign voicemail")
        CALLS_SCREEN = "calls:screen", _("ask whether a call is let in")
        PRIVACY_WRITE = "privacy:write", _("enter deletion and access requests")
        HOLDS_WRITE = "holds:write", _("place and release legal holds")

    name = models.CharField(_("name"), max_length=60, help_text=_("Which system uses it."))
    prefix = models.CharField(_("prefix"), max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["account", "created_at"], name="api_key_account")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        self.name = needed_name(self.name)

    def is_usable(self, *, at: Any) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


class ImportRun(AccountOwned):
    """One file of rows somebody brought in: checked first, written when they say so.

    The rows stand encrypted in its chunks until they are written or a day has passed; the report stays.
    """

    class State(models.TextChoices):
        CHECKING = "checking", _("being checked")
        CHECKED = "checked", _("checked")
        WRITING = "writing", _("being written")
        DONE = "done", _("done")
        DISCARDED = "discarded", _("discarded")
        FAILED = "failed", _("failed")

    AT_WORK = frozenset({State.CHECKING, State.WRITING})
    OPEN = AT_WORK | {State.CHECKED}

    sheet = models.CharField(_("what"), max_length=40, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.CHECKING, editable=False)
    started_by = models.PositiveBigIntegerField(null=True, editable=False)
    """Id of the person whose permissions and data scope it is checked and written with."""
    language = models.CharField(max_length=10, default="en", editable=False)
    """What the report is written in: the language of whoever reads it."""
    columns = models.JSONField(default=list, editable=False)
    """Names of the sheet's columns in the order of the file; an empty name: a column without a heading."""
    options = models.JSONField(default=dict, editable=False)
    only_if_all_good = models.BooleanField(default=False, editable=False)
    problem = models.CharField(_("problem"), max_length=200, blank=True, editable=False)
    """Why it stopped, a key of `importing.report.PROBLEMS`."""
    preview = EncryptedTextField(editable=False)
    n_rows = models.PositiveIntegerField(_("rows"), default=0, editable=False)
    n_done = models.PositiveIntegerField(_("rows gone through"), default=0, editable=False)
    n_new = models.PositiveIntegerField(_("new"), default=0, editable=False)
    n_changed = models.PositiveIntegerField(_("changed"), default=0, editable=False)
    n_same = models.PositiveIntegerField(_("unchanged"), default=0, editable=False)
    n_bad = models.PositiveIntegerField(_("with errors"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    lease = models.PositiveIntegerField(default=0, editable=False)
    """Counts who took it up; a worker that was thought dead finds another number here and stops."""
    heartbeat_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)

    objects = ImportRunQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "created_at", "id"], name="import_time"),
            models.Index(fields=["state", "heartbeat_at"], name="import_state"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.sheet}"


class ImportChunk(AccountOwned):
    """Some rows of an import, checked together and written in one transaction."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    n_rows = models.PositiveIntegerField(default=0)
    rows = EncryptedTextField()
    """JSON, a list of [number of the row, cells]; rows that were written are gone from it."""
    errors = EncryptedTextField()
    """JSON, a list of [number of the row, name of the column, what is wrong]."""
    n_new = models.PositiveIntegerField(default=0)
    n_changed = models.PositiveIntegerField(default=0)
    n_same = models.PositiveIntegerField(default=0)
    n_bad = models.PositiveIntegerField(default=0)
    written_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("rows of an import")
        verbose_name_plural = _("rows of imports")
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="import_chunk_once")]

    def __str__(self) -> str:
        return f"#{self.run_id} {self.number}"


class IdempotencyKey(AccountOwned):
    """A request over the API that named itself, so that sending it again makes nothing twice. Forgotten after a day."""

    key_hash = Sha256Field(editable=False)
    """Of whoever asked and the key they chose: two who choose the same key do not meet."""
    request_hash = Sha256Field(editable=False)
    """Keyed, for a short body could be guessed from a plain one."""
    claimed_at = models.DateTimeField(editable=False)
    """Since when somebody works on it; names their turn, if it is taken over from one who died."""
    status_code = models.PositiveSmallIntegerField(null=True, editable=False)
    """Null: not answered yet."""
    answer = EncryptedTextField(editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("idempotency key")
        verbose_name_plural = _("idempotency keys")
        constraints = [models.UniqueConstraint(fields=["account", "key_hash"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["created_at", "id"], name="idempotency_time")]

    def __str__(self) -> str:
        return f"#{self.pk}"


class AuditEntryQuerySet(AccountQuerySet):
    """Entries of one account. Those without one, of what operators do to the installation, are in nobody's list."""

    def visible_to(self, actor: Actor) -> Self:
        """Only whoever sees the whole account: an entry may be about anybody in it."""
        rows = super().visible_to(actor)
        return rows if getattr(actor, "data_scope", Role.DataScope.OWN) == Role.DataScope.ACCOUNT else rows.none()


class AuditEntry(AbstractLogEntry):
    """Who did what to which row. Ids only: what is personal stays where it is erased with its person.

    Written by `callcenter_site/audit.py` and the library, read by administrators, changed by nobody.
    """

    Action = AbstractLogEntry.Action

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True, editable=False, related_name="+", db_index=False)
    # Without constraints: who did it, and to what, stays known by id when those rows are gone.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("who"),
        db_constraint=False,
        db_index=False,
    )
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.DO_NOTHING,
        null=True,
        related_name="+",
        verbose_name=_("API key"),
        db_constraint=False,
        db_index=False,
    )
    content_type = models.ForeignKey(
        ContentType,
        on_delete=models.DO_NOTHING,
        related_name="+",
        verbose_name=_("kind"),
        db_constraint=False,
        db_index=False,
    )
    object_pk = models.CharField(max_length=255)
    object_id = models.BigIntegerField(null=True)
    action = models.PositiveSmallIntegerField(_("action"), choices=AbstractLogEntry.Action.choices)
    look = models.CharField(max_length=20, choices=Look, blank=True, default="")
    """What was looked at; empty for a change."""
    cid = models.CharField(_("request"), max_length=64, null=True)
    """The request's id, as in the log lines."""
    timestamp = models.DateTimeField(_("when"), default=timezone.now)
    # Columns of the library that would hold something personal, or nothing.
    remote_addr = remote_port = actor_email = changes_text = None

    objects = LogEntryManager.from_queryset(AuditEntryQuerySet)()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ["-timestamp", "-pk"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["account", "timestamp", "id"], name="audit_time"),
            models.Index(fields=["account", "actor", "timestamp"], name="audit_actor"),
            models.Index(fields=["account", "api_key", "timestamp"], name="audit_api_key"),
            models.Index(fields=["account", "action", "timestamp"], name="audit_action"),
            models.Index(fields=["account", "content_type", "timestamp"], name="audit_kind"),
            models.Index(fields=["account", "content_type", "object_id"], name="audit_object"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


auditlog.register(IvrPrompt, exclude_fields=["loose_key", "loose_since"])
for _model in (Keyword, QuickReplyGroup, QuickReply, ScreenPop, BreakReason, Disposition):
    auditlog.register(_model)
auditlog.register(
    BlockedNumber, exclude_fields=["number_hash"], mask_fields=["number", "reason"], mask_callable="callcenter_site.audit.unsaid"
)
auditlog.register(Account, exclude_fields=["key_id", "wrapped_key", "key_made_under"])
auditlog.register(Role)
auditlog.register(ServiceNumber)
auditlog.register(ApiKey, exclude_fields=["secret_hash", "last_used_at"])
