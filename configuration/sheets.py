"""The lists of configuration that come and go as files."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from callcenter_site.audit import log_rows
from callcenter_site.names import alike
from callcenter_site.phone_numbers import mask_written
from configuration.access import RIGHTS, beyond_rights, frees_oneself, holds, may_change_role, may_give_role, reaches, rights_in
from configuration.blacklist import insert_blocked
from configuration.importing.columns import (
    Choice,
    Column,
    Moment,
    NumberColumn,
    Text,
    WholeNumber,
    YesNo,
    folded,
    in_every_language,
)
from configuration.importing.sheet import CHANGED, NEW, Sheet, SheetRow, register, same_as
from configuration.models import (
    AuditEntry,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from configuration.sorting import next_order


def said_of(model: type[models.Model], name: str) -> Text:
    """What a field is called on its page."""
    field: Any = model._meta.get_field(name)
    said: Text = field.verbose_name
    return said


REQUIRED = _("This field is required.")
LIST_BREAK = re.compile(r"[;,；，、\n]+")
"""What parts several things in one cell, in either language."""


def split_list(text: str) -> list[str]:
    return [part.strip() for part in LIST_BREAK.split(text) if part.strip()]


# --- Blacklist -------------------------------------------------------------------------------------------------------


class _Written(NumberColumn):
    """A number, or a prefix with its star."""

    def put(self, row: Any, value: Any) -> None:
        row.number, row.is_prefix = value, False

    def show(self, row: Any, sheet: Sheet) -> str:
        return str(row.written)

    def masked(self, shown: str) -> str:
        return mask_written(shown)


@register
class BlacklistSheet(Sheet):
    """Up to hundreds of thousands of rows: one row object is used for all of them, for making them costs more than
    checking, and they are written in the fewest statements. The rules are those of `BlockedNumber.clean` itself."""

    name = "blacklist"
    model = BlockedNumber
    title = _("Blocked numbers")
    key = ("number", "is_prefix")
    key_is_name = False
    key_column = "number"
    per_batch = 2000
    note = _("A prefix that takes in a whole country is not imported: add it by hand, where you are asked to confirm it.")
    columns = (
        _Written(
            "number",
            said_of(BlockedNumber, "number"),
            help=_("In any written form. End it with * for a prefix."),
            example="+86 138 0013 8000",
            required=True,
            width=22,
        ),
        Choice("direction", said_of(BlockedNumber, "direction"), BlockedNumber.Direction, example=_("inbound")),
        Column("reason", said_of(BlockedNumber, "reason"), help=_("At most 200 characters."), example=_("Prank calls"), width=40),
        Moment(
            "blocked_until",
            said_of(BlockedNumber, "blocked_until"),
            help=_("A day counts in full. Empty: for good."),
            example="2027-12-31",
            width=22,
        ),
    )

    def check(self, batch: Sequence[SheetRow], seen: dict[Any, int]) -> None:
        at, draft = timezone.now(), self.new()
        fields: dict[str, Any] = {name: self.model._meta.get_field(name) for name in ("number", "reason")}
        lengths = {name: int(field.max_length) for name, field in fields.items()}
        names = list(batch[0].cells) if batch else []
        told = []
        for row in batch:
            values = self.read(row)
            for name, most in lengths.items():
                text = values.get(name, "")
                if len(text) > most or (name == "number" and not text):
                    self._check_field(row, name, text)
            told.append((values, self._canonical(draft, row, values)))
        there = self._there({key[0] for _values, key in told})
        for row, (values, key) in zip(batch, told, strict=True):
            first = seen.setdefault(key, row.number)
            if first != row.number and key[0]:
                row.fail(self.key_column, same_as(first))
            known = there.get(key)
            until = values.get("blocked_until", known[3] if known else None)
            if key[1] or until is not None:
                self._check_what_depends(draft, row, key, until, known)
            if not row.errors:
                self._compare(row, values, key, known, at, names)

    def _check_field(self, row: SheetRow, name: str, text: str) -> None:
        field: Any = self.model._meta.get_field(name)
        try:
            field.clean(text, None)
        except ValidationError as error:
            row.fail(name, error)

    def _canonical(self, draft: BlockedNumber, row: SheetRow, values: Mapping[str, Any]) -> tuple[str, bool]:
        """The row's key; what depends on whether it is there already is left for later."""
        draft.stored, draft.confirm_broad, draft.blocked_until = None, True, None
        draft.number, draft.is_prefix, draft.reason = values.get("number", ""), False, values.get("reason", "")
        try:
            draft.clean()
        except ValidationError as error:
            said = {name for name, _message in row.errors}
            for name, errors in error.error_dict.items():
                if name not in said:
                    row.fail(name, ValidationError(errors))
        if "reason" in values:
            row.more["reason"] = draft.reason
        return draft.number, draft.is_prefix

    def _check_what_depends(
        self, draft: BlockedNumber, row: SheetRow, key: tuple[str, bool], until: Any, known: Any | None
    ) -> None:
        """A prefix may be broad, and a time past, if they stood there before."""
        draft.stored = None if known is None else {"number": key[0], "is_prefix": key[1], "blocked_until": known[3]}
        draft.number, draft.is_prefix, draft.blocked_until, draft.confirm_broad = key[0], key[1], until, False
        if key[1] and known is None:
            draft.number = f"{key[0]}*"
        try:
            draft.clean()
        except ValidationError as error:
            said = {name for name, _message in row.errors}
            for name, errors in error.error_dict.items():
                if name in said:
                    continue
                is_broad = any(one.code == "broad" for one in errors)
                by_hand = _("This prefix takes in a whole country, or nearly. Add it by hand and confirm it.")
                row.fail(name, by_hand if is_broad else ValidationError(errors))

    def _there(self, numbers: set[str]) -> dict[tuple[str, bool], tuple[Any, ...]]:
        rows = self.rows().filter(number__in=numbers)
        columns = ("number", "is_prefix", "pk", "direction", "reason", "blocked_until")
        return {
            (number, is_prefix): (pk, direction, reason, until)
            for number, is_prefix, pk, direction, reason, until in rows.values_list(*columns).order_by()
        }

    def _compare(
        self, row: SheetRow, values: Mapping[str, Any], key: tuple[str, bool], known: Any | None, at: Any, names: list[str]
    ) -> None:
        pk, *old = known or (None, BlockedNumber.Direction.INBOUND.value, "", None)
        direction = values.get("direction", old[0])
        direction = direction if isinstance(direction, str) else old[0]  # an empty cell keeps it
        reason = row.more.pop("reason", old[1])
        until = values.get("blocked_until", old[2])
        row.more = {"pk": pk, "row": (self.account.pk, *key, direction, reason, until, at)}
        if known is not None:
            pairs = (("direction", old[0], direction), ("reason", old[1], reason), ("blocked_until", old[2], until))
            changed = [name for name, before, after in pairs if before != after]
            if changed:
                was: Any = self.model(direction=old[0], reason=old[1], blocked_until=old[2])
                row.was = self.shown(was, [name for name in changed if name in names])
            else:
                row.was = {}

    def write(self, batch: Sequence[SheetRow]) -> None:
        insert_blocked(account=self.account, rows=[row.more["row"] for row in batch if row.kind == NEW], by=self.actor)
        changed = [row for row in batch if row.kind == CHANGED]
        rows = []
        for row in changed:
            _account, _number, _is_prefix, direction, reason, until, _at = row.more["row"]
            rows.append(BlockedNumber(pk=row.more["pk"], direction=direction, reason=reason, blocked_until=until))
        if rows:
            self.rows().order_by().bulk_update(rows, ["direction", "reason", "blocked_until"], batch_size=500)
        ids, said = [row.more["pk"] for row in changed], [dict.fromkeys(row.was or {}, ("…", "…")) for row in changed]
        log_rows(BlockedNumber, ids, actor=self.actor, action=AuditEntry.Action.UPDATE, changes=said)


class _Sorted(Sheet):
    """A list in an order of its own: a new row whose cell says none goes to the end, as on the list's page."""

    def save(self, row: SheetRow) -> None:
        if row.kind == NEW and not row.cells.get("order"):
            row.instance.order = next_order(self.rows())
        super().save(row)


# --- Quick replies ---------------------------------------------------------------------------------------------------


class _GroupColumn(Column):
    def read(self, text: str, sheet: Sheet) -> Any:
        if not text:
            raise ValidationError(REQUIRED)
        return text

    def put(self, row: Any, value: Any) -> None:
        """The sheet puts the group: it knows which there are."""

    def show(self, row: Any, sheet: Sheet) -> str:
        return str(row.group.name)


@register
class QuickReplySheet(_Sorted):
    name = "quick_replies"
    model = QuickReply
    title = _("Quick replies")
    key = ("group", "title")
    key_paths = ("group__name", "title")
    key_column = "title"
    note = _("Groups that are not there yet are made.")
    columns = (
        _GroupColumn("group", said_of(QuickReply, "group"), example=_("Greetings"), required=True),
        Column("title", said_of(QuickReply, "title"), example=_("Good morning"), required=True, width=24),
        Column(
            "text",
            said_of(QuickReply, "text"),
            help=_("May hold placeholders such as {caller_number}."),
            example=_("Good morning, how can I help you?"),
            required=True,
            width=60,
        ),
        WholeNumber("order", said_of(QuickReply, "order"), example="1", width=10),
        YesNo("is_active", said_of(QuickReply, "is_active"), example=_("yes"), width=10),
    )

    @classmethod
    def needs_to_import(cls) -> set[str]:
        return super().needs_to_import() | {"configuration.add_quickreplygroup"}

    def rows(self) -> Any:
        return super().rows().select_related("group")

    def prepare(self, batch: Sequence[SheetRow]) -> None:
        groups = QuickReplyGroup.objects.visible_to(self.actor)
        self.groups: dict[str, QuickReplyGroup] = {alike(group.name): group for group in groups}

    def group(self, text: str) -> QuickReplyGroup:
        name = _clean_name(text)
        return self.groups.setdefault(alike(name), QuickReplyGroup(account=self.account, name=name))

    def put(self, instance: Any, values: Mapping[str, Any]) -> None:
        super().put(instance, values)
        if "group" in values:
            instance.group = self.group(values["group"])

    def key_of(self, instance: Any) -> tuple[Any, ...]:
        try:
            group = instance.group.name
        except QuickReplyGroup.DoesNotExist:  # its cell was empty
            group = ""
        return group, instance.title

    def find(self, keys: Sequence[tuple[Any, ...]]) -> dict[tuple[Any, ...], Any]:
        found = self.rows().filter(group__name__in={key[0] for key in keys}, title__in={key[1] for key in keys})
        return self.by_key(found, keys)

    def validate(self, row: SheetRow) -> None:
        super().validate(row)
        group = getattr(row.instance, "group", None) if not row.errors else None
        if group is not None and group.pk is None:
            try:
                group.clean_fields(exclude={"account"})
                group.clean()
            except ValidationError as error:
                row.fail("group", error)

    def save(self, row: SheetRow) -> None:
        group = row.instance.group
        if group.pk is None:
            group.save()
        row.instance.group = group  # its id is known only now
        super().save(row)


def _clean_name(text: str) -> str:
    return " ".join(text.split())


# --- The short lists -------------------------------------------------------------------------------------------------


@register
class KeywordSheet(Sheet):
    name = "keywords"
    model = Keyword
    title = _("Keywords")
    key = ("phrase",)
    key_column = "phrase"
    columns = (
        Column("phrase", said_of(Keyword, "phrase"), example=_("cancel my contract"), required=True, width=36),
        Column("category", said_of(Keyword, "category"), example=_("Complaints"), width=24),
        Choice("severity", said_of(Keyword, "severity"), Keyword.Severity, example=_("warning")),
        Choice("match_mode", said_of(Keyword, "match_mode"), Keyword.MatchMode, example=_("anywhere")),
        YesNo("is_active", said_of(Keyword, "is_active"), example=_("yes"), width=10),
    )


@register
class ServiceNumberSheet(Sheet):
    name = "service_numbers"
    model = ServiceNumber
    title = _("Service numbers")
    key = ("number",)
    key_is_name = False
    key_column = "number"
    columns = (
        Column(
            "number",
            said_of(ServiceNumber, "number"),
            help=_("As +8610… or in national form."),
            example="+86 10 5555 0001",
            required=True,
            width=22,
        ),
        Column("label", said_of(ServiceNumber, "label"), example=_("Hotline"), width=24),
        Column("provider", said_of(ServiceNumber, "provider"), help=_("Empty: looked up from the number."), width=24),
        Choice("direction", said_of(ServiceNumber, "direction"), ServiceNumber.Direction, example=_("both")),
        Column("default_skill_group", said_of(ServiceNumber, "default_skill_group"), example=_("Sales"), width=24),
        WholeNumber("priority", said_of(ServiceNumber, "priority"), example="0", width=10),
        YesNo("is_active", said_of(ServiceNumber, "is_active"), example=_("yes"), width=10),
    )


class _Named(_Sorted):
    """A list of names."""

    key = ("name",)
    key_column = "name"


@register
class BreakReasonSheet(_Named):
    name = "break_reasons"
    model = BreakReason
    title = _("Break reasons")
    columns = (
        Column("name", said_of(BreakReason, "name"), example=_("Lunch"), required=True, width=30),
        WholeNumber("order", said_of(BreakReason, "order"), example="1", width=10),
        YesNo("is_active", said_of(BreakReason, "is_active"), example=_("yes"), width=10),
    )


@register
class DispositionSheet(_Named):
    name = "dispositions"
    model = Disposition
    title = _("Dispositions")
    columns = (
        Column("name", said_of(Disposition, "name"), example=_("Order taken"), required=True, width=30),
        WholeNumber("order", said_of(Disposition, "order"), example="1", width=10),
        YesNo("is_active", said_of(Disposition, "is_active"), example=_("yes"), width=10),
    )


@register
class IvrPromptSheet(Sheet):
    name = "ivr_prompts"
    model = IvrPrompt
    title = _("IVR prompts")
    key = ("code",)
    key_column = "code"
    note = _("Audio files are not imported: add such prompts by hand.")
    columns = (
        Column(
            "code",
            said_of(IvrPrompt, "code"),
            help=_("Events and call flows name the prompt by it."),
            example="welcome",
            required=True,
        ),
        Choice("kind", said_of(IvrPrompt, "kind"), IvrPrompt.Kind, example=_("text to speech")),
        Column("text", said_of(IvrPrompt, "text"), example=_("Welcome. For sales press 1."), width=60),
        Column("language", said_of(IvrPrompt, "language"), help=_("A language tag such as en or zh-CN."), example="en", width=12),
        YesNo("is_active", said_of(IvrPrompt, "is_active"), example=_("yes"), width=10),
    )


class _Rights(Column):
    """What stands beside the boxes of the role's page, in any of the portal's languages, or names of permissions."""

    _meant: ClassVar[dict[str, frozenset[str]]] = {}

    def read(self, text: str, sheet: Sheet) -> Any:
        meant, given = self.meant(), set[str]()
        for part in re.split(r"[;；\n]+", text):  # there are commas within
            if not part.strip():
                continue
            if folded(part) not in meant:
                raise ValidationError(
                    _("There is no right %(name)s. Write them as on the page of a role."), params={"name": part.strip()[:60]}
                )
            given |= meant[folded(part)]
        return sorted(given)

    def meant(self) -> dict[str, frozenset[str]]:
        if not self._meant:
            for right in (one for _title, rights in RIGHTS for one in rights):
                for said in in_every_language(right.label).values():
                    self._meant[folded(said)] = right.permissions
                for permission in right.permissions:
                    self._meant[folded(permission)] = frozenset({permission})
        return self._meant

    def show(self, row: Any, sheet: Sheet) -> str:
        labels = {one.key: str(one.label) for _title, rights in RIGHTS for one in rights}
        return "; ".join([*(labels[key] for key in rights_in(row.permissions)), *beyond_rights(row.permissions)])


@register
class RoleSheet(Sheet):
    """Nobody gives in a file what they could not give on the page."""

    name = "roles"
    model = Role
    title = _("Roles")
    key = ("name",)
    key_column = "name"
    columns = (
        Column("name", said_of(Role, "name"), example=_("Team lead"), required=True, width=24),
        Choice("data_scope", said_of(Role, "data_scope"), Role.DataScope, example=_("own skill groups"), width=20),
        YesNo("requires_second_factor", said_of(Role, "requires_second_factor"), example=_("yes"), width=12),
        _Rights(
            "permissions",
            pgettext_lazy("what a role or key allows", "may"),
            help=_("What is ticked on the role's page, with ; between."),
            example=_("See agents"),
            width=80,
        ),
    )

    def compare(self, row: SheetRow, values: Mapping[str, Any], there: Any | None) -> None:
        may_give = there is None or may_give_role(self.actor, there)
        may_change = there is None or may_change_role(self.actor, there)
        stored = None if there is None else Role(pk=there.pk, requires_second_factor=there.requires_second_factor)
        super().compare(row, values, there)
        changed = set(row.was or {}) if there is not None else {column.name for column in self.columns}
        if row.errors or not changed:
            return
        if not may_give:
            row.fail(self.key_column, _("You cannot change a role that may do more than you."))
        elif not may_change and changed - {"requires_second_factor"}:
            row.fail(self.key_column, _("Of a built-in role, and of your own, you can change only the second factor."))
        elif stored is not None and frees_oneself(self.actor, stored, asks=row.instance.requires_second_factor):
            row.fail("requires_second_factor", _("This is your own role: somebody else has to turn its second factor off."))
        elif not holds(self.actor, row.instance.permissions):
            row.fail("permissions", _("You can give only what you may do yourself."))
        elif not reaches(self.actor, row.instance.data_scope):
            row.fail("data_scope", _("You can let others see only as far as you do."))


class _FieldsShown(Column):
    def read(self, text: str, sheet: Sheet) -> Any:
        words = Choice("", "", ScreenPop.Field)
        return list(dict.fromkeys(words.read(part, sheet) for part in split_list(text)))

    def show(self, row: Any, sheet: Sheet) -> str:
        labels = dict(ScreenPop.Field.choices)
        return "; ".join(str(labels.get(name, name)) for name in row.fields_shown)


@register
class ScreenPopSheet(_Named):
    name = "screen_pops"
    model = ScreenPop
    title = _("Inbound pop-ups")
    columns = (
        Column("name", said_of(ScreenPop, "name"), example=_("Customer page"), required=True, width=24),
        Column(
            "url_template",
            said_of(ScreenPop, "url_template"),
            help=_("https:// with placeholders such as {caller_number}."),
            example="https://crm.example.com/?number={caller_number}",
            width=60,
        ),
        _FieldsShown(
            "fields_shown",
            said_of(ScreenPop, "fields_shown"),
            help=_("Several with ; between them."),
            example=_("caller number"),
            width=40,
        ),
        WholeNumber("order", said_of(ScreenPop, "order"), example="1", width=10),
        YesNo("is_active", said_of(ScreenPop, "is_active"), example=_("yes"), width=10),
    )
