"""Fills an empty portal with a demo account: its people, and a month of calls that came in as events.

The calls go through the same intake and fold as those of any customer. Stopped halfway, the next run makes the same
events again from the same seed and goes on where this one stopped; finished, it does nothing.
"""

import datetime as dt
import secrets
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from tqdm import tqdm

from agents.models import Agent, AgentPhone, SkillGroup, SkillGroupMember
from agents.onboarding import open_account
from calls.demo import center as demo
from calls.demo import files, sound
from calls.demo.lists import GROUP_POPS, GROUP_REPLIES, create_lists
from calls.demo.simulator import Event, history
from calls.ingest import accept_events, fold_due
from calls.models import AudioState, CallAudio, Recording, Voicemail
from calls.recordings import WAV, store_audio
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Role, ServiceNumber

BATCH = 1000
BATCHES_PER_FOLD = 10
"""Folding a day or so at once finds most calls whole, so that few are folded twice."""
FOLD_LIMIT = 20_000
KEY_SCOPES = [
    ApiKey.Scope.EVENTS_WRITE,
    ApiKey.Scope.CALLS_READ,
    ApiKey.Scope.FIGURES_READ,
    ApiKey.Scope.AGENTS_READ,
    ApiKey.Scope.CONFIGURATION_READ,
    ApiKey.Scope.BLACKLIST_CHECK,
]
RECORDED_DAYS = 4
N_RECORDINGS = 150
N_VOICEMAILS = 500

T = TypeVar("T")


class Command(BaseCommand):
    help = "Creates the demo account with a month of calls. Run again, it goes on where it was stopped, or does nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--calls", type=_positive, default=20_000, help="about how many calls (default 20000)")
        parser.add_argument("--days", type=_positive, default=30, help="how many days up to now (default 30)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same traffic (default 1)")

    def handle(self, *args: Any, calls: int, days: int, seed: int, **options: Any) -> None:
        account = Account.objects.filter(slug=demo.SLUG).first()
        plan = files.read_json(files.HISTORY)
        if account is None:
            self.stdout.write("Creating the demo account …")
            plan = _new_plan(n_calls=calls, days=days, seed=seed)
            account = _create_account(plan)
        if plan is None or plan["account"] != account.pk or plan["is_loaded"]:
            self.stdout.write("The demo is there; nothing to do.")
            return
        n_events = self._load_history(account, plan)
        n_files = self._store_sound(account)
        files.write_json(files.LIVE, {"as_of": plan["end"]})
        files.write_json(files.HISTORY, plan | {"is_loaded": True})
        self.stdout.write(f"{n_events} events and {n_files} sound files are in.")
        self.stdout.write(f"The sign-ins are in {files.path_of(files.SIGN_INS)}.")

    def _load_history(self, account: Account, plan: dict[str, Any]) -> int:
        """Calls first, in the order of time; then the agents' statuses in one go, which puts each chain together once."""
        end = dt.datetime.fromisoformat(plan["end"])
        events = history(
            demo.CENTER,
            start=dt.datetime.fromisoformat(plan["start"]),
            end=end,
            n_calls=plan["calls"],
            seed=plan["seed"],
            run=plan["run"],
            records_from=end - dt.timedelta(days=RECORDED_DAYS),
            recorded_share=_recorded_share(plan),
        )
        statuses: list[Event] = []
        n_done: int = plan["n_accepted"]
        with tqdm(total=plan["calls"], desc="Calls", unit="call", disable=None) as bar:
            for batch in _batches(islice(_calls_only(events, statuses), n_done, None), BATCH * BATCHES_PER_FOLD):
                for part in _batches(batch, BATCH):
                    _accept(account, part)
                _fold()
                n_done += len(batch)
                plan["n_accepted"] = n_done
                files.write_json(files.HISTORY, plan)
                bar.update(sum(event["type"] == "call.started" for event in batch))
                if bar.disable:  # no terminal: plain lines say how far it is
                    self.stdout.write(f"… calls up to {batch[-1]['time'][:10]}")
            bar.total = bar.n
        self.stdout.write("Agents' statuses …")
        for part in _batches(statuses, BATCH):
            _accept(account, part)
        _fold()
        return n_done + len(statuses)

    def _store_sound(self, account: Account) -> int:
        """Files for the newest recordings and voicemails that still expect one."""
        wanted: list[CallAudio] = []
        for model, n_wanted in ((Recording, N_RECORDINGS), (Voicemail, N_VOICEMAILS)):
            rows = model.objects.for_account(account)
            n_missing = max(0, n_wanted - rows.filter(state=AudioState.STORED).count())
            wanted += rows.filter(state=AudioState.EXPECTED).order_by("-recorded_at")[:n_missing]
        for row in tqdm(wanted, desc="Recordings", unit="file", disable=None):
            content = sound.wav(seconds=row.duration_seconds or 4, seed=row.pk)
            store_audio(audio=row, content=content, content_type=WAV)
        return len(wanted)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise ArgumentTypeError("must be a whole number from 1 up")
    return int(text)


def _new_plan(*, n_calls: int, days: int, seed: int) -> dict[str, Any]:
    end = timezone.now().replace(microsecond=0)
    start = end - dt.timedelta(days=days)
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "calls": n_calls,
        "seed": seed,
        "run": f"d{end:%y%m%d}-{secrets.token_hex(2)}",
        "n_accepted": 0,
        "is_loaded": False,
    }


def _recorded_share(plan: dict[str, Any]) -> float:
    """So many of the last days' calls that the recordings are about as many as get a file."""
    days = (dt.datetime.fromisoformat(plan["end"]) - dt.datetime.fromisoformat(plan["start"])).days or 1
    n_answered: float = 0.65 * plan["calls"] * min(RECORDED_DAYS, days) / days
    return min(0.5, N_RECORDINGS / n_answered)


def _calls_only(events: Iterable[Event], statuses: list[Event]) -> Iterator[Event]:
    for event in events:
        if event["type"] == "agent.status_changed":
            statuses.append(event)
        else:
            yield event


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _accept(account: Account, events: list[Event]) -> None:
    for event, answer in zip(events, accept_events(account=account, items=events, at=timezone.now()), strict=True):
        if answer["status"] == "rejected":
            reasons = "; ".join(f"{error['field']} {error['reason']}" for error in answer["errors"])
            raise CommandError(f"An event of type {event['type']} was rejected: {reasons}")


def _fold() -> None:
    while fold_due(at=timezone.now(), limit=FOLD_LIMIT):
        pass


# --- The account ------------------------------------------------------------------------------------------------------


@transaction.atomic
def _create_account(plan: dict[str, Any]) -> Account:
    """Everything or nothing; the files are written before the commit, so that no account is left that nobody can enter."""
    passwords = {person: secrets.token_urlsafe(12) for person in _SIGN_INS}
    open_account(
        name=demo.NAME,
        slug=demo.SLUG,
        time_zone=demo.TIME_ZONE,
        region=demo.REGION,
        administrator_name=demo.ADMINISTRATOR.name,
        administrator_email=demo.ADMINISTRATOR.email,
        password=passwords[demo.ADMINISTRATOR],
    )
    account = Account.objects.get(slug=demo.SLUG)
    roles = {role.kind: role for role in Role.objects.for_account(account)}
    people = {person.staff_id: _create_person(account, person, roles[Role.Kind.AGENT]) for person in demo.AGENTS}
    supervisor = _create_person(account, demo.SUPERVISOR, roles[Role.Kind.SUPERVISOR])
    inspector = _create_person(account, demo.INSPECTOR, roles[Role.Kind.INSPECTOR])
    first = people[demo.AGENTS[0].staff_id]
    for person, agent in ((demo.SUPERVISOR, supervisor), (demo.INSPECTOR, inspector), (demo.AGENTS[0], first)):
        agent.set_password(passwords[person])
        agent.save()
    _create_groups(account, people, supervisor)
    _create_phones(account, people)
    for line in demo.CENTER.lines:
        label, provider = _LINES[line.number]
        is_called_from = line.number == demo.CENTER.outbound_number
        ServiceNumber.objects.create(
            account=account,
            number=line.number,
            label=label,
            provider=provider,
            direction=ServiceNumber.Direction.BOTH if is_called_from else ServiceNumber.Direction.INBOUND,
            default_skill_group=line.skill_group,
        )
    # The demo's settings were looked at: no step of a new account is left open.
    LogEntry.objects.create(
        user_id=Agent.objects.get(account=account, role=roles[Role.Kind.ADMINISTRATOR]).pk,
        content_type=ContentType.objects.get_for_model(Account),
        object_id=str(account.pk),
        object_repr=f"#{account.pk}",
        action_flag=CHANGE,
    )
    _, key = create_api_key(account=account, name="Demo telephony", scopes=list(KEY_SCOPES))
    files.write(files.API_KEY, key + "\n")
    files.write(files.SIGN_INS, _sign_ins(passwords, key))
    plan["account"] = account.pk
    files.write_json(files.HISTORY, plan)
    return account


def _create_person(account: Account, person: demo.Person, role: Role) -> Agent:
    agent = Agent(
        account=account, role=role, staff_id=person.staff_id, email=person.email, name=person.name, nickname=person.nickname
    )
    agent.set_unusable_password()
    agent.save()
    return agent


def _create_groups(account: Account, people: dict[str, Agent], supervisor: Agent) -> None:
    replies, pops = create_lists(account)
    for group in demo.GROUPS:
        row = SkillGroup.objects.create(
            account=account,
            name=group.name,
            wrap_up_seconds=round(group.wrap_up),
            quick_reply_group=replies.get(GROUP_REPLIES.get(group.name, "")),
            screen_pop=pops.get(GROUP_POPS.get(group.name, "")),
        )
        members = [
            SkillGroupMember(
                account=account, skill_group=row, agent=people[seat.staff_id], priority=2 if seat.groups[0] == group.name else 4
            )
            for seat in demo.CENTER.seats
            if group.name in seat.groups
        ]
        if group.name in demo.SUPERVISED:
            members.append(SkillGroupMember(account=account, skill_group=row, agent=supervisor, priority=5))
        SkillGroupMember.objects.bulk_create(members)


def _create_phones(account: Account, people: dict[str, Agent]) -> None:
    """An extension for everybody, a mobile number for those who work on one."""
    for seat in demo.CENTER.seats:
        agent, last = people[seat.staff_id], int(seat.staff_id) % 1000
        numbers = [(AgentPhone.Kind.EXTENSION, f"8{last:03d}")]
        if seat.terminal == "mobile":
            numbers.append((AgentPhone.Kind.MOBILE, f"+8615500000{last:03d}"))
            agent.cellphone_pickup = Agent.CellphonePickup.WHEN_OFFLINE
            agent.save()
        for kind, number in numbers:
            AgentPhone.objects.create(account=account, agent=agent, kind=kind, number=number)


_SIGN_INS = {
    demo.ADMINISTRATOR: "administrator",
    demo.SUPERVISOR: "supervisor",
    demo.INSPECTOR: "quality inspector",
    demo.AGENTS[0]: "agent",
}
_LINES = {
    demo.HOTLINE: ("Hotline", "China Telecom"),
    demo.SALES_LINE: ("Sales Shanghai", "China Telecom"),
    demo.OFFICE_LINE: ("Head office", "China Unicom"),
}


def _sign_ins(passwords: dict[demo.Person, str], key: str) -> str:
    lines = [f"Sign-ins of {demo.NAME}:"]
    lines += [f"  {role:<18} {person.email:<34} {passwords[person]}" for person, role in _SIGN_INS.items()]
    lines.append(f"  {'API key':<18} {key}")
    lines.append(f"They are kept in {files.path_of(files.SIGN_INS)}.")
    return "\n".join(lines) + "\n"
