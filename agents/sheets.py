"""Agents and administrators as a file.

The rules are those of their page: nobody gives a role that may more than they do, changes somebody who may more than they
do, or takes away the last administrator. A file holds no passwords: new people get an invitation.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from agents.appointment import (
    EMAIL_CANNOT_BE_USED,
    NUMBER_IN_USE,
    OWN_EMAIL_IS_ELSEWHERE,
    holders_of_emails,
    is_oneself,
    keep_an_administrator,
    may_manage,
    phones_held,
    take_offline,
)
from agents.invitations import invite, tell_of_change
from agents.models import Agent, AgentPhone, SignInLink, SkillGroup, SkillGroupMember, email_index, phone_index
from agents.querysets import sees_account
from callcenter_site import legal_holds
from configuration.access import may_give_role
from configuration.importing.columns import KEEP, Choice, Column, YesNo, folded, in_every_language
from configuration.importing.sheet import NEW, Sheet, SheetRow, register, same_as
from configuration.models import Role
from configuration.sheets import REQUIRED, said_of, split_list

_PHONES = frozenset(f"agents.{action}_agentphone" for action in ("view", "add", "change", "delete"))
_MEMBERS = frozenset(f"agents.{action}_skillgroupmember" for action in ("view", "add", "change", "delete"))
_WITH_PRIORITY = re.compile(r"(.+?)\s*[:：]\s*([1-5])", re.DOTALL)
DEFAULT_PRIORITY = 3
_OWN_FIELDS = frozenset(field.name for field in Agent._meta.concrete_fields)


class _Text(Column):
    """One line of text. The column is encrypted, so its length is looked at here."""

    def read(self, text: str, sheet: Sheet) -> Any:
        text = " ".join(text.split())
        field: Any = Agent._meta.get_field(self.field)
        if not text and not field.blank:
            raise ValidationError(REQUIRED)
        if len(text) > field.max_length:
            raise ValidationError(_("At most %(n)d characters."), params={"n": field.max_length})
        return text


class _Email(_Text):
    def read(self, text: str, sheet: Sheet) -> Any:
        email = super().read(text, sheet)
        validate_email(email)
        return email


class _RoleColumn(Column):
    def read(self, text: str, sheet: Any) -> Any:
        if not text:
            return KEEP
        role = sheet.roles.get(folded(text))
        if role is None:
            raise ValidationError(
                _("There is no such role. Write one of: %(roles)s."),
                params={"roles": ", ".join(str(role) for role in dict.fromkeys(sheet.roles.values()))},
            )
        return role

    def show(self, row: Any, sheet: Sheet) -> str:
        return str(row.role or "")


def _of_number(number: str, fault: ValidationError) -> ValidationError:
    """What is wrong with one of several numbers in a cell, in the language it is read in."""
    said = lazy(lambda: fault.messages[0], str)()
    return ValidationError(_("%(number)s: %(fault)s"), params={"number": number, "fault": said})


class _Phones(Column):
    """All numbers of one kind, in one cell. Held on the row as a list until it is saved."""

    needs = _PHONES
    seen_with = frozenset({"agents.view_agentphone"})

    def __init__(self, name: str, heading: Any, kind: str, **rest: Any) -> None:
        super().__init__(name, heading, **rest)
        self.kind = kind

    def read(self, text: str, sheet: Sheet) -> Any:
        numbers = []
        for part in split_list(text):
            phone = AgentPhone(account=sheet.account, kind=self.kind, number=part)
            try:
                phone.clean()
            except ValidationError as error:
                raise ValidationError([_of_number(part[:40], one) for one in error.error_dict["number"]]) from error
            numbers.append(phone.number)
        return list(dict.fromkeys(numbers))

    def put(self, row: Any, value: Any) -> None:
        phones_of(row)[self.kind] = value

    def show(self, row: Any, sheet: Sheet) -> str:
        return "; ".join(phones_of(row).get(self.kind, ()))


class _Groups(Column):
    needs = _MEMBERS
    seen_with = frozenset({"agents.view_skillgroupmember"})

    def read(self, text: str, sheet: Any) -> Any:
        wanted: dict[str, int] = {}
        for part in split_list(text):
            found, priority = sheet.skill_groups.get(part), DEFAULT_PRIORITY  # a name may itself end like a priority
            if found is None and (match := _WITH_PRIORITY.fullmatch(part)):
                found, priority = sheet.skill_groups.get(match[1]), int(match[2])
            if found is None:
                raise ValidationError(_("There is no skill group %(name)s."), params={"name": part[:60]})
            wanted[found.name] = priority
        return wanted

    def put(self, row: Any, value: Any) -> None:
        row.__dict__["sheet_groups"] = value

    def show(self, row: Any, sheet: Any) -> str:
        groups = groups_of(row, sheet)
        return "; ".join(f"{name}:{priority}" for name, priority in sorted(groups.items()))


def phones_of(agent: Agent) -> dict[str, list[str]]:
    held: dict[str, list[str]] | None = agent.__dict__.get("sheet_phones")
    if held is None:
        held = defaultdict(list)
        if agent.pk is not None:
            for phone in agent.phones.all():
                held[phone.kind].append(phone.number)
        agent.__dict__["sheet_phones"] = held
    return held


def groups_of(agent: Agent, sheet: "AgentSheet") -> dict[str, int]:
    """Names and priorities of the groups somebody is in, as far as whoever asks sees them."""
    held: dict[str, int] | None = agent.__dict__.get("sheet_groups")
    if held is None:
        held = {}
        if agent.pk is not None:
            names = sheet.names_of_groups
            held = {names[one.skill_group_id]: one.priority for one in agent.memberships.all() if one.skill_group_id in names}
        agent.__dict__["sheet_groups"] = held
    return held


@register
class AgentSheet(Sheet):
    name = "agents"
    model = Agent
    title = _("Agents")
    key = ("staff_id",)
    key_column = "staff_id"
    per_batch = 200
    note = _("Passwords are never in a file. Whoever is new sets theirs with the link of an invitation.")
    options = {"invite": _("Send an invitation by mail to everybody who is new")}
    columns = (
        _Text(
            "staff_id",
            said_of(Agent, "staff_id"),
            help=_("Unique in the account; events name agents by it."),
            example="1001",
            required=True,
        ),
        _Text("name", said_of(Agent, "name"), example=_("Li Wei"), needed_by_new=True, width=24),
        _Text("nickname", said_of(Agent, "nickname"), example=_("Vivian")),
        _Email(
            "email",
            said_of(Agent, "email"),
            help=_("They sign in with it."),
            example="li.wei@example.com",
            needed_by_new=True,
            width=30,
        ),
        _RoleColumn("role", said_of(Agent, "role"), help=_("The name of a role."), example=_("Agent"), needed_by_new=True),
        _Phones("extension", _("extension"), AgentPhone.Kind.EXTENSION, help=_("Several with ; between them."), example="8001"),
        _Phones("mobile", _("mobile"), AgentPhone.Kind.MOBILE, example="+86 138 0013 8000", width=22),
        _Phones(
            "external", _("external numbers"), AgentPhone.Kind.EXTERNAL, example="+86 10 5555 0001; +86 10 5555 0002", width=34
        ),
        _Groups(
            "skill_groups",
            _("skill groups"),
            help=_("Names with ; between them, each with its priority from 1 to 5, like Sales:1; Support:3."),
            example=_("Sales:1; Support:3"),
            width=30,
        ),
        Choice("cellphone_pickup", said_of(Agent, "cellphone_pickup"), Agent.CellphonePickup, example=_("off")),
        YesNo("is_active", said_of(Agent, "is_active"), example=pgettext_lazy("in a cell of a list", "yes"), width=10),
    )

    def __init__(self, *, actor: Any, chosen: Mapping[str, Any] | None = None) -> None:
        super().__init__(actor=actor, chosen=chosen)
        self.roles: dict[str, Role] = {}
        for role in Role.objects.visible_to(actor).order_by("pk"):
            for said in (role.name, *in_every_language(Role.Kind(role.kind).label if role.is_built_in else "").values()):
                if said:
                    self.roles.setdefault(folded(said), role)
        self.skill_groups = {group.name: group for group in SkillGroup.objects.visible_to(actor)}
        self.names_of_groups = {group.pk: name for name, group in self.skill_groups.items()}
        self.leaving: set[int] = set()

    # Reading

    def rows(self) -> Any:
        return super().rows().select_related("role", "account").prefetch_related("phones", "memberships")

    def prepare(self, batch: Sequence[SheetRow]) -> None:
        wanted = {row.cells.get("staff_id", "") for row in batch}
        hidden = Agent.objects.for_account(self.account).filter(staff_id__in=wanted)
        seen = set(Agent.objects.visible_to(self.actor).filter(staff_id__in=wanted).values_list("pk", flat=True))
        self.hidden = {staff_id for pk, staff_id in hidden.values_list("pk", "staff_id") if pk not in seen}

    def check(self, batch: Sequence[SheetRow], seen: dict[Any, int]) -> None:
        super().check(batch, seen)
        good = [row for row in batch if not row.errors]
        self._check_emails(good, seen)
        self._check_phones(good, seen)

    def compare(self, row: SheetRow, values: Mapping[str, Any], there: Any | None) -> None:
        role, was_active = (there.role, there.is_active) if there is not None else (None, False)
        row.more["was_active"] = was_active
        super().compare(row, values, there)
        if row.instance.staff_id in self.hidden:
            row.fail("staff_id", _("This is in use already."))
        elif there is None and not row.errors:
            self._check_new(row)
        elif row.was:
            self._check_changed(row, role, was_active)

    def _check_new(self, row: SheetRow) -> None:
        agent = row.instance
        if agent.role is None:
            row.fail("role", REQUIRED)
        elif not may_give_role(self.actor, agent.role):
            row.fail("role", _("You can give only a role that may do no more than you."))
        if not sees_account(self.actor) and not groups_of(agent, self):
            row.fail("skill_groups", _("Name one of your own skill groups: you would not see this person otherwise."))

    def _check_changed(self, row: SheetRow, role: Role | None, was_active: bool) -> None:
        agent, oneself = row.instance, is_oneself(self.actor, row.instance)
        if not oneself and not may_manage(self.actor, Agent(pk=agent.pk, role=role)):
            row.fail(self.key_column, _("You cannot change somebody who may do more than you."))
            return
        if agent.role_id != (role.pk if role else None):
            if oneself:
                row.fail("role", _("You cannot change your own role."))
            elif not may_give_role(self.actor, agent.role):
                row.fail("role", _("You can give only a role that may do no more than you."))
        if oneself and row.was and "email" in row.was:
            row.fail("email", OWN_EMAIL_IS_ELSEWHERE)
        if was_active and not agent.is_active and oneself:
            row.fail("is_active", _("You cannot deactivate yourself."))
        if row.errors:
            return
        before = Agent(pk=agent.pk, account=self.account, role=role, is_active=was_active)
        try:
            with transaction.atomic():
                leaves = keep_an_administrator(before, role=agent.role, is_active=agent.is_active, besides=self.leaving)
        except ValidationError as error:
            row.fail("role" if agent.is_active else "is_active", error)
        else:
            self.leaving |= {agent.pk} if leaves else set()

    def _check_emails(self, rows: Sequence[SheetRow], seen: dict[Any, int]) -> None:
        hashes = {id(row): email_index(row.instance.email) for row in rows if "email" in row.cells}
        held = holders_of_emails(row.instance.email for row in rows if "email" in row.cells)
        for row in rows:
            digest = hashes.get(id(row))
            if digest is None:
                continue
            first = seen.setdefault(("email", digest), row.number)
            if first != row.number:
                row.fail("email", same_as(first))
            elif held.get(digest, row.instance.pk) != row.instance.pk:
                row.fail("email", EMAIL_CANNOT_BE_USED)

    def _check_phones(self, rows: Sequence[SheetRow], seen: dict[Any, int]) -> None:
        kinds = {column.kind: column.name for column in self.columns if isinstance(column, _Phones)}
        wanted: list[tuple[SheetRow, AgentPhone]] = []
        for row in rows:
            for kind, name in kinds.items():
                if name in row.cells:
                    for number in phones_of(row.instance).get(kind, ()):
                        digest = phone_index(number, account_id=self.account.pk)
                        wanted.append((row, AgentPhone(account=self.account, kind=kind, number_hash=digest)))
        self._keep_phones_under_hold(rows, kinds)
        held = phones_held(phone for _row, phone in wanted)
        for row, phone in wanted:
            key = phone.kind, phone.number_hash
            first = seen.setdefault(key, row.number)
            if first != row.number:
                row.fail(kinds[phone.kind], same_as(first))
            elif key in held and held[key].agent_id != row.instance.pk:
                row.fail(kinds[phone.kind], NUMBER_IN_USE)

    def _keep_phones_under_hold(self, rows: Sequence[SheetRow], kinds: Mapping[str, str]) -> None:
        there = {row.instance.pk: row for row in rows if row.instance.pk and "sheet_phones" in row.instance.__dict__}
        going = []
        for phone in AgentPhone.objects.filter(account=self.account, agent__in=list(there)):
            row = there[phone.agent_id]
            if kinds.get(phone.kind) in row.cells and phone.number not in phones_of(row.instance).get(phone.kind, ()):
                going.append(phone)
        for pk in legal_holds.kept(going):
            phone = next(one for one in going if one.pk == pk)
            there[phone.agent_id].fail(kinds[phone.kind], legal_holds.SAID)

    # Writing

    def write(self, batch: Sequence[SheetRow]) -> None:
        super().write(batch)
        if self.chosen.get("invite"):
            fresh = [row.instance for row in batch if row.kind == NEW and row.instance.is_active]
            if fresh:
                invite(agents=fresh, by=self.actor, at=timezone.now())

    def save(self, row: SheetRow) -> None:
        agent = row.instance
        if row.kind == NEW:
            agent.set_unusable_password()
            agent.save()
        else:  # status and presence are other people's, and change all the time
            fields = {column.field for column in self.columns if column.name in row.cells} & _OWN_FIELDS
            agent.save(update_fields=fields)
        if row.was and "email" in row.was:
            tell_of_change(agent=agent, kind=SignInLink.Kind.EMAIL, at=timezone.now(), address=row.was["email"])
        if row.more["was_active"] and not agent.is_active:
            take_offline(agent, at=timezone.now())
        if "sheet_phones" in agent.__dict__:
            self._save_phones(agent, row.cells)
        if "skill_groups" in row.cells:
            self._save_groups(agent)

    def _save_phones(self, agent: Agent, cells: Mapping[str, str]) -> None:
        for column in self.columns:
            if not isinstance(column, _Phones) or column.name not in cells:
                continue
            wanted = list(phones_of(agent).get(column.kind, ()))
            for phone in AgentPhone.objects.filter(account=self.account, agent=agent, kind=column.kind):
                if phone.number in wanted:
                    wanted.remove(phone.number)
                else:
                    phone.delete()
            for number in wanted:
                AgentPhone(account=self.account, agent=agent, kind=column.kind, number=number).save()

    def _save_groups(self, agent: Agent) -> None:
        wanted = dict(groups_of(agent, self))
        for member in SkillGroupMember.objects.filter(account=self.account, agent=agent):
            name = self.names_of_groups.get(member.skill_group_id)
            if name is None:
                continue  # a group that whoever imports does not see stays as it is
            priority = wanted.pop(name, None)
            if priority is None:
                member.delete()
            elif priority != member.priority:
                member.priority = priority
                member.save()
        for name, priority in wanted.items():
            SkillGroupMember(account=self.account, agent=agent, skill_group=self.skill_groups[name], priority=priority).save()
