"""Do figures cost the same whatever the number of calls, and are they there in time?

Needs MariaDB or MySQL by DATABASE_URL, with the right to make a throwaway database. Two accounts are made of 200 agents and 20
groups over 180 days: one with 5,000,000 calls, one with 50,000. One day of calls and statuses is told as events and folded; every
other day is a copy of it in SQL, several times over, at other minutes, of other agents and groups. The counts of three days and
of today are made by the real rollup; those of the days between are copies of the second, and a rebuild of some of them proves
that they are what the rollup makes: it must change nothing.

Measured: the period dashboard of 30 days and a 60-day report of queues by day, in time and in queries, against the small account;
a refill after 1,000 calls changed; a full rebuild of the small account. Exits with 1 if a limit is passed.

    python -m tests.services python benchmarks/figures.py
    python -m tests.services python benchmarks/figures.py --calls 20000 --small 2000 --days 10 --agents 20 --groups 4
"""

import argparse
import datetime as dt
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up; the names in statements are our own)
from django.conf import settings
from django.core.cache import cache
from django.db import connection, models, transaction
from django.db.models import Max, Min
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_databases, setup_test_environment, teardown_databases
from django.utils import timezone
from tqdm import tqdm

from agents.models import Agent, SkillGroup, SkillGroupMember, StaleAgentTime, StatusChange
from analytics.models import FillMark
from analytics.rollup import drain_stale_slots, rebuild
from analytics.tables import MAKES_DAYS, TABLES
from callcenter_site.slots import SLOT_SECONDS, day_bounds, slot_of
from calls.ingest import accept_events, fold_due
from calls.models import Call, CallLeg, QueueEntry, StaleCallSlot
from configuration.access import create_built_in_roles
from configuration.api_keys import create_api_key
from configuration.models import Account, ApiKey, Role, ServiceNumber

LIMIT_MS, LIMIT_QUERIES, LIMIT_RATIO = 100.0, 10, 1.3
REFILL_SECONDS, REBUILD_SECONDS = 2.0, 21.6
ROUNDS = 15
TEMPLATE = 2600
"""Calls of a day that are folded for it, at most; the others are their copies."""
COPY_SECONDS = 420
"""How much later each copy happens than the one before."""
ZONE = "Asia/Shanghai"
NUMBERS = tuple(f"+86105550{n:04}" for n in range(6))
PROVIDERS = ("China Mobile", "China Unicom", "China Telecom")
DISPOSITIONS = ("Solved", "Call back", "Complaint", "")
HELD_AFTER = 10
KEPT_INDEXES = frozenset({"call_started", "call_state", "call_once", "PRIMARY"})
"""Of calls; the others serve lists of records, and filling them row by row takes longer than everything else here."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=5_000_000)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument(
        "--buffer-pool", metavar="BYTES", type=int, help="sets that of the server, which should be a throwaway one"
    )
    options = parser.parse_args()
    if connection.vendor != "mysql":
        parser.error("this needs MariaDB or MySQL: set DATABASE_URL, or run it beside tests.services")
    setup_test_environment()
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    made = setup_databases(verbosity=0, interactive=False)
    try:
        return measure(options)
    finally:
        teardown_databases(made, verbosity=0)


def measure(options: argparse.Namespace) -> int:
    if options.buffer_pool:
        run(f"SET GLOBAL innodb_buffer_pool_size = {options.buffer_pool}")
    print(
        f"{options.calls:,} against {options.small:,} calls, {options.days} days,"
        f" {options.agents} agents, {options.groups} groups"
    )
    at = timezone.now()
    today = at.astimezone(day_zone()).date()
    days = [today - dt.timedelta(days=n) for n in range(options.days - 1, -1, -1)]
    verdicts = Verdicts()
    with timed("built"):
        centers = build(options, days, at)
    small, large = centers
    for center in centers:
        check_copies(center, days, verdicts)
    compare("dashboard of 30 days", centers, lambda center: center.dashboard(today), verdicts)
    compare("queues by day, 60 days", centers, lambda center: center.report(today), verdicts)
    for center in centers:
        refill(center, verdicts)
    n_days = max(1, -(-options.small * len(days) // options.calls))
    full_rebuild(large, days[-1 - n_days : -1], verdicts)
    full_rebuild(small, days, verdicts)
    return verdicts.n_failed > 0


class Verdicts:
    n_failed = 0

    def say(self, what: str, value: float, limit: float, unit: str = "") -> None:
        is_fine = value <= limit
        self.n_failed += not is_fine
        said = f"at most {limit:g}" if limit < math.inf else "to be known"
        print(f"  {what:<58} {value:10,.2f} {unit:<7} {said}{'' if is_fine else '   FAILED'}", flush=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"  {what} in {time.perf_counter() - began:.1f} s", flush=True)


def run(statement: str, values: tuple[Any, ...] = ()) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return int(cursor.rowcount)


def day_zone() -> dt.tzinfo:
    return Account(time_zone=ZONE).zone


# --- The accounts ----------------------------------------------------------------------------------------------------


class Center:
    """An account with its people: ids without gaps, so that copies of a call can be of others."""

    def __init__(self, slug: str, options: argparse.Namespace) -> None:
        self.account = Account.objects.create(name=slug, slug=slug, time_zone=ZONE, region="CN")
        self.n_agents, self.n_days = options.agents, options.days
        roles = create_built_in_roles(self.account)
        self.groups = [SkillGroup.objects.create(account=self.account, name=f"Group {n:02}") for n in range(options.groups)]
        self.agents = []
        for n in range(options.agents):
            agent = Agent(account=self.account, role=roles[Role.Kind.AGENT], staff_id=f"{1000 + n}", name=f"Agent {n}")
            agent.email = f"{slug}-{n}@example.com"
            agent.save()
            self.agents.append(agent)
        for n, agent in enumerate(self.agents):
            group = self.groups[n % options.groups]
            SkillGroupMember.objects.create(account=self.account, skill_group=group, agent=agent)
        for rows in (self.groups, self.agents):
            assert [row.pk for row in rows] == list(range(rows[0].pk, rows[0].pk + len(rows)))
        for number in NUMBERS:
            ServiceNumber.objects.create(account=self.account, number=number)
        boss = Agent(account=self.account, role=roles[Role.Kind.ADMINISTRATOR], staff_id="1", name="Boss")
        boss.email = f"boss@{slug}.example.com"
        boss.save()
        self.boss = boss
        self.client = Client()
        self.client.force_login(boss, backend="agents.sign_in.RoleBackend")
        scopes = [ApiKey.Scope.FIGURES_READ, ApiKey.Scope.EVENTS_WRITE]
        self.key = create_api_key(account=self.account, name="benchmark", scopes=scopes)[1]
        self.n_calls, self.is_large = 0, slug == "large"

    def ask(self, path: str) -> tuple[float, int]:
        """Milliseconds and queries of an answer, nothing but the session being cached."""
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            answer = self.client.get(path, headers={"Authorization": f"Api-Key {self.key}"} if path.startswith("/api/") else {})
            spent = time.perf_counter() - began
        assert answer.status_code == 200, (answer.status_code, answer.content[:300])
        return spent * 1000, len(queries)

    def dashboard(self, today: dt.date) -> tuple[float, int]:
        return self.ask(f"/admin/dashboard/?from={today - dt.timedelta(days=29)}&to={today}")

    def report(self, today: dt.date) -> tuple[float, int]:
        metrics = "offered,queue_answered,abandoned,service_level,asa,average_wait,longest_wait,aht"
        period = f"from={today - dt.timedelta(days=59)}&to={today}"
        return self.ask(f"/api/v1/reports/query?metrics={metrics}&group_by=day,skill_group&{period}&limit=2000")


def build(options: argparse.Namespace, days: list[dt.date], at: dt.datetime) -> tuple[Center, Center]:
    template, small, large = (Center(slug, options) for slug in ("template", "small", "large"))
    per_day = {small: -(-options.small // len(days)), large: -(-options.calls // len(days))}
    copies = {center: -(-n // TEMPLATE) for center, n in per_day.items()}
    of_template = {center: -(-per_day[center] // copies[center]) for center in per_day}
    n_template = max(of_template.values())
    with timed(f"{n_template:,} calls of one day folded"):
        fold(template, n_template, days[0])
    for name in indexes_of(Call) - KEPT_INDEXES:
        run(f"DROP INDEX {name} ON {Call._meta.db_table}")
    for center in per_day:
        with timed(f"{center.account.slug}: facts copied"):
            copy_facts(template, center, of_template[center], copies[center], days, at)
            analyze(Call, CallLeg, QueueEntry, StatusChange)
        with timed(f"{center.account.slug}: {center.n_calls:,} calls counted"):
            count(center, days, at)
    analyze(*{model for table in TABLES for model in (table.slots, table.days)})
    return small, large


def analyze(*tables: type[models.Model]) -> None:
    """As a server does by itself some time after so many rows have come."""
    run(f"ANALYZE TABLE {', '.join(model._meta.db_table for model in tables)}")


def indexes_of(model: type[models.Model]) -> set[str]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
        keys = {name for name, one in found.items() if one["foreign_key"]}
        for name in keys:
            cursor.execute(f"ALTER TABLE {model._meta.db_table} DROP FOREIGN KEY {name}")
    return {name for name, one in found.items() if one["index"] or one["unique"]}


# --- One day, as it was told -----------------------------------------------------------------------------------------


def fold(center: Center, n_calls: int, day: dt.date) -> None:
    chance = random.Random(1)
    start = day_bounds(day, center.account.zone)[0]
    events = [event for n in range(n_calls) for event in call_events(center, n, start, chance)]
    events += [event for n, agent in enumerate(center.agents) for event in shift_events(agent, n, start)]
    for first in tqdm(range(0, len(events), 1000), desc="folding", unit="k events", disable=None):
        answers = accept_events(account=center.account, items=events[first : first + 1000], at=timezone.now())
        assert not [answer for answer in answers if answer["status"] == "rejected"], answers[:3]
    while fold_due(at=timezone.now()):
        pass
    for marks in (StaleCallSlot, StaleAgentTime):
        marks.objects.for_account(center.account).delete()


def event(subject: str, type: str, at: dt.datetime, **data: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "source": "benchmark",
        "id": f"{subject}-{type}-{at.timestamp()}",
        "type": type,
        "subject": subject,
        "time": at.isoformat(),
        "data": data,
    }


def call_events(center: Center, number: int, start: dt.datetime, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Calls come around the clock, three of four of them by day. Most queue and are answered, one in ten goes out."""
    hour = chance.choice([*range(24), *[8, 9, 10, 11, 13, 14, 15, 16, 17] * 5])
    now = start + dt.timedelta(hours=hour, milliseconds=chance.randrange(3_600_000))
    name, group, agent = f"c{number}", chance.choice(center.groups).name, chance.choice(center.agents).staff_id
    customer, own = f"+86138{chance.randrange(10**8):08}", chance.choice(NUMBERS)

    def say(type: str, after: float = 0, **data: Any) -> dict[str, Any]:
        nonlocal now
        now += dt.timedelta(seconds=round(after, 3))
        return event(name, type, now, **data)

    is_outbound, fate = chance.random() < 0.1, chance.random()
    talk = chance.expovariate(1 / 170)
    if is_outbound:
        yield say("call.started", direction="outbound", calling_number=own, called_number=customer)
    else:
        yield say(
            "call.started", direction="inbound", calling_number=customer, called_number=own, provider=chance.choice(PROVIDERS)
        )
        yield say("call.ivr_prompted", 1, step="menu", prompt="welcome", kind="tts")
        if fate > 0.95:
            yield say("call.ended", 8, party="customer")
            return
        yield say("call.queued", 12, skill_group=group)
        wait = chance.expovariate(1 / 15)
        if fate > 0.85:
            yield say("call.ended", wait * 3, party="customer")
            return
        yield say("call.ringing", wait, agent=agent)
    yield say("call.answered", 3, agent=agent)
    if talk > 60 and chance.random() < 0.2:
        yield say("call.held", HELD_AFTER, agent=agent)
        yield say("call.resumed", 25, agent=agent)
    yield say("call.ended", talk, party="customer")
    yield say("call.wrap_up_ended", 20, agent=agent)
    if chance.random() < 0.3:
        yield say("call.rated", asked=True, score=chance.choice([5, 5, 4, 3, 1]), scale=5)
    if disposition := chance.choice(DISPOSITIONS):
        yield say("call.remarked", agent=agent, text="", disposition=disposition)


def shift_events(agent: Agent, number: int, start: dt.datetime) -> Iterator[dict[str, Any]]:
    """A working day of nine hours, half of the people from eight on, the others around the clock."""
    begins = start + dt.timedelta(hours=8 if number % 2 else number % 15, minutes=number % 30)
    for hours, status in ((0, "available"), (2, "break"), (2.25, "available"), (4, "break"), (5, "available"), (9, "offline")):
        at = begins + dt.timedelta(hours=hours)
        yield event(agent.staff_id, "agent.status_changed", at, agent=agent.staff_id, status=status)


# --- Every other day -------------------------------------------------------------------------------------------------


def copy_facts(template: Center, center: Center, n_template: int, copies: int, days: list[dt.date], at: dt.datetime) -> None:
    told = Call.objects.for_account(template.account)
    first = told.aggregate(first=Min("pk"))["first"]
    span = told.aggregate(last=Max("pk"))["last"] - first + 1
    base = Call.objects.aggregate(last=Max("pk"))["last"] + 1 - first
    chosen = list(told.order_by("pk").values_list("pk", flat=True)[:n_template])
    up_to = chosen[-1]
    numbers = " UNION ALL ".join(f"SELECT {k} AS k" for k in range(copies))
    run("SET SESSION foreign_key_checks = 0, SESSION unique_checks = 0")
    for n, _day in enumerate(tqdm(days, desc=center.account.slug, unit="day", disable=None)):
        call_id = f"({base} + {n * copies * span} + k * {span} + %s)"
        shift = f"INTERVAL {n * 86400} + k * {COPY_SECONDS} SECOND"
        common: dict[str, str] = {"account_id": str(center.account.pk)}
        people = {
            "agent_id": rotated("t.agent_id", template.agents, center.agents, 17),
            "skill_group_id": rotated("t.skill_group_id", template.groups, center.groups, 3),
        }
        new_call = call_id % "t.id"
        is_last = n == len(days) - 1
        with transaction.atomic():
            center.n_calls += copy(
                Call,
                common
                | people
                | {
                    "id": new_call,
                    "call_id": f"CONCAT('call-', {new_call})",
                    "call_key": f"UNHEX(LPAD(HEX({new_call}), 64, '0'))",
                    "ended_on": f"DATE(CONVERT_TZ(t.ended_at + {shift}, '+00:00', '+08:00'))",
                },
                shift,
                f"JOIN ({numbers}) copies WHERE t.account_id = {template.account.pk} AND t.id <= {up_to}"
                + (f" AND t.last_event_at + {shift} < '{at:%Y-%m-%d %H:%M:%S}'" if is_last else ""),
            )
            held = f"t.answered_at + INTERVAL {n * 86400} + k * {COPY_SECONDS} + {HELD_AFTER}"
            iso = "'%Y-%m-%dT%H:%i:%s.%f+00:00'"
            holds = (
                f"IF(t.hold_seconds > 0, JSON_ARRAY(JSON_ARRAY(DATE_FORMAT({held} SECOND, {iso}),"
                f" DATE_FORMAT({held} + t.hold_seconds SECOND, {iso}))), JSON_ARRAY())"
            )
            for part, special in ((QueueEntry, {}), (CallLeg, {"holds": holds})):
                own = {name: text for name, text in people.items() if has_column(part, name)}
                of_call = call_id % "t.call_id"
                copy(
                    part,
                    common | own | special | {"call_id": of_call},
                    shift,
                    f"JOIN ({numbers}) copies WHERE t.account_id = {template.account.pk} AND t.call_id <= {up_to}"
                    + (f" AND EXISTS (SELECT 1 FROM {Call._meta.db_table} c WHERE c.id = {of_call})" if is_last else ""),
                )
            tomorrow = f"(SELECT MIN(x.started_at) FROM {StatusChange._meta.db_table} x WHERE x.agent_id = t.agent_id)"
            copy(
                StatusChange,
                common
                | {
                    "agent_id": rotated("t.agent_id", template.agents, center.agents, 0),
                    "change_key": f"UNHEX(SHA2(CONCAT('{center.account.slug}-{n}-', t.id), 256))",
                    "ended_at": f"COALESCE(t.ended_at, {tomorrow} + INTERVAL 1 DAY) + INTERVAL {n} DAY",
                    "started_at": f"t.started_at + INTERVAL {n} DAY",
                },
                shift,
                f"WHERE t.account_id = {template.account.pk}"
                + (f" AND t.started_at + INTERVAL {n} DAY < '{at:%Y-%m-%d %H:%M:%S}'" if is_last else ""),
            )
    StatusChange.objects.for_account(center.account).filter(ended_at__gt=at).update(ended_at=None)
    run("SET SESSION foreign_key_checks = 1, SESSION unique_checks = 1")


def rotated(column: str, old: list[Any], new: list[Any], by: int) -> str:
    """The same row's place among those of the other account, further along with each copy."""
    return f"{new[0].pk} + ({column} - {old[0].pk} + {f'k * {by}' if by else '0'}) % {len(new)}"


def has_column(model: type[models.Model], name: str) -> bool:
    return any(field.column == name for field in model._meta.concrete_fields)


def copy(model: type[models.Model], special: dict[str, str], shift: str, which: str) -> int:
    columns = [field for field in model._meta.concrete_fields if not field.primary_key or "id" in special]
    values = []
    for field in columns:
        text = f"t.{field.column}"
        if field.column in special:
            text = special[field.column]
        elif isinstance(field, models.DateTimeField):
            text = f"{text} + {shift}"
        values.append(text)
    names = ", ".join(str(field.column) for field in columns)
    return run(f"INSERT INTO {model._meta.db_table} ({names}) SELECT {', '.join(values)} FROM {model._meta.db_table} t {which}")


# --- Their counts ----------------------------------------------------------------------------------------------------


def count(center: Center, days: list[dt.date], at: dt.datetime) -> None:
    """Days 0, 1, the last whole one and today as the rollup counts them; the others are day 1 again."""
    account = center.account
    FillMark.objects.create(account=account, zone=ZONE, days_to=days[-1], agents_to=slot_of(at), filled_at=at, recounted_at=at)
    for day in (days[0], days[1], days[-2], days[-1]):
        start, end = day_bounds(day, account.zone)
        for _refilled in rebuild(account=account, start=start, end=min(end, at), at=at):
            pass
    start, end = day_bounds(days[1], account.zone)
    for table in TABLES:
        for n in range(2, len(days) - 2):
            copy_counts(
                table.slots, f"slot + INTERVAL {n - 1} DAY", f"slot >= '{naive(start)}' AND slot < '{naive(end)}'", account
            )
            if table.slots in MAKES_DAYS:
                copy_counts(table.days, f"day + INTERVAL {n - 1} DAY", f"day = '{days[1]}'", account)


def naive(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def copy_counts(model: type[models.Model], when: str, which: str, account: Account) -> None:
    names = [str(field.column) for field in model._meta.concrete_fields if not field.primary_key]
    values = [when if name in ("slot", "day") else name for name in names]
    source = f"SELECT {', '.join(values)} FROM {model._meta.db_table} WHERE account_id = {account.pk} AND {which}"
    run(f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) {source}")


def check_copies(center: Center, days: list[dt.date], verdicts: Verdicts) -> None:
    if len(days) < 5:
        return
    n_differ, n_slots = 0, 0
    for day in random.Random(2).sample(days[2:-2], min(2, len(days) - 4)):
        start, end = day_bounds(day, center.account.zone)
        for refilled in rebuild(account=center.account, start=start, end=end, at=timezone.now()):
            n_differ += len(refilled.changed) + len(refilled.days)
            n_slots += refilled.n_slots
    verdicts.say(f"{center.account.slug}: of {n_slots} copied slots differ from a count", n_differ, 0)


# --- What is measured ------------------------------------------------------------------------------------------------


def compare(what: str, centers: tuple[Center, Center], ask: Callable[[Center], tuple[float, int]], verdicts: Verdicts) -> None:
    spent: dict[Center, list[float]] = {center: [] for center in centers}
    n_queries = 0
    # In turn, so that what else the machine does falls on both; the first ones load what later ones have.
    for _ in range(ROUNDS + 1):
        for center in centers:
            session = center.client.session  # kept: whoever looks has signed in before
            cache.clear()
            session.save()
            milliseconds, queries = ask(center)
            spent[center].append(milliseconds)
            n_queries = max(n_queries, queries)
    typical = {center: statistics.median(times[1:]) for center, times in spent.items()}
    small, large = centers
    for center in centers:
        verdicts.say(f"{what}, {center.n_calls:,} calls", typical[center], LIMIT_MS, "ms")
        print(f"    the fastest of {ROUNDS}: {min(spent[center]):.1f} ms")
    verdicts.say(f"{what}, queries", n_queries, LIMIT_QUERIES)
    verdicts.say(f"{what}, ratio", typical[large] / typical[small], LIMIT_RATIO)


def refill(center: Center, verdicts: Verdicts) -> None:
    """As after 1,000 late wrap-ups: of the latest calls, as they come; and of calls of a whole day, which is that day anew."""
    account = center.account
    last = Call.objects.for_account(account).order_by("-started_at")
    latest = list(last.values_list("pk", "started_at")[:1000])
    day = list(last.filter(started_at__gt=timezone.now() - dt.timedelta(days=1)).values_list("pk", "started_at"))
    spread = random.Random(3).sample(day, min(1000, len(day)))
    for name, changed in (("the latest calls", latest), ("calls of the last day", spread)):
        Call.objects.filter(pk__in=[pk for pk, _ in changed]).update(wrap_up_seconds=models.F("wrap_up_seconds") + 1)
        slots = [slot_of(started_at) for _, started_at in changed]
        StaleCallSlot.objects.bulk_create([StaleCallSlot(account=account, slot=slot) for slot in slots])
        began = time.perf_counter()
        while drain_stale_slots(at=timezone.now()):
            pass
        spent = time.perf_counter() - began
        what = f"{account.slug}: refill after {len(changed):,} of {name}, {len(set(slots))} slots"
        verdicts.say(what, spent, REFILL_SECONDS if changed is latest and center.is_large else math.inf, "s")


def full_rebuild(center: Center, days: list[dt.date], verdicts: Verdicts) -> None:
    """Of days that are over: as many calls as the small account has, in the large one, and the small account as it is. There
    the agents' time is nearly all of the work, and is held to no limit."""
    account = center.account
    start, end = day_bounds(days[0], account.zone)[0], min(day_bounds(days[-1], account.zone)[1], timezone.now())
    for table in TABLES:
        table.slots.objects.for_account(account).filter(slot__gte=start, slot__lt=end).delete()
        table.days.objects.for_account(account).filter(day__gte=days[0], day__lte=days[-1]).delete()
    n_calls = Call.objects.for_account(account).filter(started_at__gte=start, started_at__lt=end).count()
    n_shifts = len(days) * center.n_agents
    began = time.perf_counter()
    with tqdm(total=len(days) * 86400 // SLOT_SECONDS, desc="rebuilding", unit="slot", disable=None) as bar:
        for refilled in rebuild(account=account, start=start, end=end, at=timezone.now()):
            bar.update(refilled.n_slots)
    spent = time.perf_counter() - began
    what = f"{account.slug}: rebuild of {n_calls:,} calls, {n_shifts:,} shifts of agents"
    verdicts.say(what, spent, REBUILD_SECONDS if len(days) < center.n_days else math.inf, "s")


if __name__ == "__main__":
    sys.exit(main())
