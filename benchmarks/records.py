"""Does the list of service records answer at once, whatever one filter is on and whoever asks?

Makes a throwaway database on whatever DATABASE_URL names, with one account of many calls over a month, and asks the
list page through Django's test client: by each filter alone, over all periods, as an administrator, as supervisors of
one group and of several, and as an agent who sees their own calls. Prints each answer's time on the server and its ratio
to the administrator's list without a filter, in the same run. Exits with 1 if an answer takes longer than the limit.

With --pairs, it asks by every two of the filters that an index alone cannot answer together, and prints the slowest, with
the rows that the database read for each (MySQL, MariaDB): that number is the same on a busy machine.

    python -m tests.services python benchmarks/records.py [--calls 1000000] [--pairs] [--explain]
"""

import argparse
import datetime as dt
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_databases, setup_test_environment, teardown_databases
from django.utils import timezone
from tqdm import tqdm

from agents.models import Agent, SkillGroup, SkillGroupMember
from benchmarks.dashboard import DAYS, NUMBERS, batches, insert
from calls.models import Call, CallLeg, CallSeenBy, KeywordHit, QueueEntry, Recording, Voicemail
from configuration.access import create_built_in_roles
from configuration.models import Account, Role, ServiceNumber

LIMIT_MS = 150
PAIRS_LIMIT_MS = 1000
SLOWEST_SHOWN = 40
ROUNDS = 5
N_GROUPS, N_AGENTS = 12, 60
SHARES = (24, 18, 14, 11, 9, 7, 5, 4, 3, 3, 1, 1)
"""How many of a hundred calls go to each group."""
PROVIDERS = ("China Mobile", "China Unicom", "China Telecom", "China Broadnet")
COMMON = (
    "direction=inbound",
    "outcome=answered",
    "outcome, two common",
    "answered=no",
    "agent",
    "group of 24 %",
    "group of 1 %",
    "service number",
    "provider, common",
    "talk over 1 min",
    "talk 10 to 12 s",
    "rating 1 to 2",
    "has recording",
    "no recording",
    "has remark",
    "disposition, common",
    "keyword, common",
    "keyword, rare",
)
"""Questions whose answers, alone, are many or found by an index that knows no other filter."""
DISPOSITIONS = ("sold", "to call back", "complaint", "wrong number")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--pairs", action="store_true", help="ask by two filters at once")
    parser.add_argument("--explain", action="store_true", help="print the plans of what is too slow")
    options = parser.parse_args()
    setup_test_environment()
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with tempfile.TemporaryDirectory() as folder:
        if connection.vendor == "sqlite":
            settings.DATABASES["default"].setdefault("TEST", {})
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "benchmark.sqlite3")
        made = setup_databases(verbosity=0, interactive=False)
        try:
            center = Center(options.calls)
            return measure_pairs(center) if options.pairs else measure(center, explain=options.explain)
        finally:
            teardown_databases(made, verbosity=0)


def measure(center: "Center", *, explain: bool) -> int:
    print(f"{connection.vendor}, {center.n_calls:,} calls over {DAYS} days; milliseconds (ratio), all periods")
    askers = center.askers()
    print(f"  {'':26}" + "".join(f"{who:>24}" for who in askers))
    unfiltered, n_slow, plans = 0.0, 0, []
    for name, query in center.questions().items():
        line = f"  {name:26}"
        for who, client in askers.items():
            seconds = [ask(client, query) for _ in range(ROUNDS + 1)][1:]
            took = statistics.median(seconds) * 1000
            unfiltered = unfiltered or took
            is_slow = took > LIMIT_MS
            n_slow += is_slow
            line += f"{took:10.1f} ({took / unfiltered:5.2f}){'  slow' if is_slow else '      '}"
            if is_slow and explain:
                plans.append((f"{name}, {who}", client, query))
        print(line, flush=True)
    for title, client, query in plans:
        print_plans(title, client, query)
    print(f"{n_slow} answers above {LIMIT_MS} ms")
    return 1 if n_slow else 0


def measure_pairs(center: "Center") -> int:
    print(f"{connection.vendor}, {center.n_calls:,} calls over {DAYS} days, two filters at once; milliseconds, all periods")
    askers, questions = center.askers(), center.questions()
    found = []
    for one, other in itertools.combinations(COMMON, 2):
        if one.split("=")[0].split(",")[0] == other.split("=")[0].split(",")[0]:
            continue
        for who, client in askers.items():
            query = f"{questions[one]}&{questions[other]}"
            ask(client, query)
            before = rows_read()
            found.append((ask(client, query) * 1000, rows_read() - before, f"{one}, {other}", who))
    found.sort(reverse=True)
    for took, n_rows, name, who in found[:SLOWEST_SHOWN]:
        print(f"  {took:8.1f} {n_rows:>9} rows  {name:50} {who}")
    slow = [took for took, *_ in found if took > PAIRS_LIMIT_MS]
    print(f"{len(found)} answers, median {found[len(found) // 2][0]:.1f} ms, {len(slow)} above {PAIRS_LIMIT_MS} ms")
    return 1 if slow else 0


def rows_read() -> int:
    """By this connection so far; 0 where the database does not say."""
    if connection.vendor != "mysql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in cursor.fetchall())


def ask(client: Client, query: str) -> float:
    started = time.perf_counter()
    answer = client.get(f"/admin/calls/call/?period=all&{query}")
    seconds = time.perf_counter() - started
    assert answer.status_code == 200, (answer.status_code, query)
    return seconds


def print_plans(title: str, client: Client, query: str) -> None:
    print(f"\n{title}")
    with CaptureQueriesContext(connection) as queries:
        ask(client, query)
    for one in queries.captured_queries:
        if float(one["time"]) > 0.02:
            print(f"  {one['time']} s  {one['sql'][:1500]}")
            with connection.cursor() as cursor:
                cursor.execute(("EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ") + one["sql"])
                for row in cursor.fetchall():
                    print("     ", row)


class Center:
    """One account with its people and calls."""

    def __init__(self, n_calls: int) -> None:
        self.n_calls = n_calls
        self.chance = random.Random(n_calls)
        self.account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone="Asia/Shanghai")
        create_built_in_roles(self.account)
        for number in NUMBERS:
            ServiceNumber.objects.create(account=self.account, number=number)
        self.groups = [SkillGroup.objects.create(account=self.account, name=f"Group {n}").pk for n in range(N_GROUPS)]
        self.boss = self._person(Role.Kind.ADMINISTRATOR, "boss")
        self.agents = [self._person(Role.Kind.AGENT, f"agent-{n}").pk for n in range(N_AGENTS)]
        self.of_group = {
            group: [agent for place, agent in enumerate(self.agents) if place % N_GROUPS in (n, (n + 5) % N_GROUPS)]
            for n, group in enumerate(self.groups)
        }
        self._make(n_calls)
        if connection.vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE TABLE calls_call, calls_callseenby, calls_callleg, calls_queueentry")
        else:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _person(self, kind: str, name: str) -> Agent:
        role = Role.objects.get(account=self.account, kind=kind)
        person = Agent(account=self.account, role=role, staff_id=name, email=f"{name}@example.com", name=name)
        person.save()
        return person

    def _make(self, n_calls: int) -> None:
        start = timezone.now().replace(second=0, microsecond=0) - dt.timedelta(days=DAYS)
        with tqdm(total=n_calls, desc=f"{n_calls:,} calls", unit="call", disable=None) as bar:
            for calls, entries, legs in batches(self.account.pk, self.boss.pk, self.groups, n_calls, start):
                tables = self._completed(calls, entries, legs)
                with transaction.atomic():
                    for model, rows in tables:
                        insert(model, rows)
                bar.update(len(calls))

    def _completed(self, calls: list[Any], entries: list[Any], legs: list[Any]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
        """With what the dashboard does not count: who took the call, rating, remark, sound, and who sees it."""
        chance, by_id = self.chance, {call["id"]: call for call in calls}
        recordings, voicemails, hits = [], [], []
        for call in calls:
            call["skill_group_id"] = chance.choices(self.groups, SHARES)[0]
            call["provider"] = chance.choices((*PROVIDERS, ""), (50, 30, 18, 0.05, 2))[0]
            call["total_seconds"] = (call["ended_at"] - call["started_at"]).total_seconds()
            is_answered = call["answered_at"] is not None
            call["direction"] = "inbound" if chance.random() < 0.9 or not is_answered else "outbound"
            if call["direction"] == "outbound":
                call["calling_number"], call["called_number"] = call["called_number"], call["calling_number"]
            if chance.random() < 0.002:
                call["outcome"] = "voicemail" if not is_answered else "answered"
            call["agent_id"] = chance.choice(self.of_group[call["skill_group_id"]]) if is_answered else None
            call["rating_asked"] = is_answered and chance.random() < 0.5
            rated = call["rating_asked"] and chance.random() < 0.4
            call["rating_score"] = float(chance.choices((1, 2, 3, 4, 5), (1, 1, 5, 20, 73))[0]) if rated else None
            call["rating_scale"] = 5 if rated else None
            call["disposition"] = chance.choices((*DISPOSITIONS, ""), (20, 10, 0.1, 1, 69))[0] if is_answered else ""
            call["remark"] = "asked for the invoice" if is_answered and chance.random() < 0.2 else ""
            call["has_remark"] = bool(call["remark"])
            call["has_recording"] = is_answered and chance.random() < 0.998
            call["has_voicemail"] = call["outcome"] == "voicemail"
            sound = {
                "account_id": self.account.pk,
                "call_id": call["id"],
                "event_key": call["call_key"],
                "key": "x",
                "state": "stored",
            }
            sound |= {"recorded_at": call["ended_at"], "duration_seconds": 10.0}
            if call["remark"]:
                rare = chance.random() < 0.003
                hit = {"phrase": "lawyer" if rare else "invoice", "severity": "critical" if rare else "info", "place": "remark"}
                hits.append({**hit, "account_id": self.account.pk, "call_id": call["id"], "start": 14, "end": 21})
                hits[-1]["started_at"] = call["started_at"]
            if call["has_recording"]:
                recordings.append(sound)
            if call["has_voicemail"]:
                voicemails.append(sound)
        viewers = self._pass_on(by_id, entries, legs)
        yield Call, calls
        yield QueueEntry, entries
        yield CallLeg, legs
        yield Recording, recordings
        yield Voicemail, voicemails
        yield CallSeenBy, viewers
        yield KeywordHit, hits

    def _pass_on(self, by_id: dict[int, Any], entries: list[Any], legs: list[Any]) -> list[dict[str, Any]]:
        """Gives the parts their group and agent, and some calls another agent before; the rows of who sees the calls."""
        more = []
        for part in (*entries, *legs):
            call = by_id[part["call_id"]]
            part["skill_group_id"] = call["skill_group_id"]
        for leg in legs:
            call = by_id[leg["call_id"]]
            leg["agent_id"] = call["agent_id"]
            if self.chance.random() < 0.1:  # passed on before
                more.append({**leg, "seq": 2, "agent_id": self.chance.choice(self.agents), "queue_seq": None})
        legs += more
        seen = {(call["id"], -call["skill_group_id"]) for call in by_id.values()}
        seen |= {(leg["call_id"], leg["agent_id"]) for leg in legs}
        return [
            {"account_id": self.account.pk, "call_id": pk, "viewer": viewer, "started_at": by_id[pk]["started_at"]}
            for pk, viewer in sorted(seen)
        ]

    def askers(self) -> dict[str, Client]:
        people = {
            "administrator": self.boss,
            "five groups": self._supervisor("five", (0, 1, 2, 3, 6)),
            "one group of 24 %": self._supervisor("large", (0,)),
            "one group of 1 %": self._supervisor("small", (11,)),
            "nobody's group": self._supervisor("empty", ()),
            "own calls": Agent.objects.get(pk=self.agents[7]),
        }
        # An agent's role does not open the admin; one that sees own records may.
        rights = Role.objects.get(account=self.account, kind=Role.Kind.SUPERVISOR).permissions
        role = Role.objects.create(account=self.account, name="Own", data_scope=Role.DataScope.OWN, permissions=rights)
        own = people["own calls"]
        own.role = role
        own.save()
        clients = {}
        for name, person in people.items():
            client = Client()
            client.force_login(person, backend="agents.sign_in.RoleBackend")
            clients[name] = client
        return clients

    def _supervisor(self, name: str, places: tuple[int, ...]) -> Agent:
        person = self._person(Role.Kind.SUPERVISOR, name)
        for place in places:
            SkillGroupMember.objects.create(account=self.account, agent=person, skill_group_id=self.groups[place])
        return person

    def questions(self) -> dict[str, str]:
        number = ServiceNumber.objects.get(account=self.account, number=NUMBERS[0]).pk
        rare = Call.objects.filter(account=self.account, direction="inbound").order_by("pk")[500].calling_number
        return {
            "no filter": "",
            "page 20": "p=20",
            "direction=inbound": "direction=inbound",
            "direction=outbound": "direction=outbound",
            "direction=internal": "direction=internal",
            "outcome=answered": "outcome=answered",
            "outcome=voicemail": "outcome=voicemail",
            "outcome=blocked (none)": "outcome=blocked",
            "outcome, two rare": "outcome=voicemail&outcome=blocked",
            "outcome, two common": "outcome=answered&outcome=abandoned_in_queue",
            "answered=no": "answered=no",
            "agent": f"agent__id__exact={self.agents[7]}",
            "group of 24 %": f"skill_group__id__exact={self.groups[0]}",
            "group of 1 %": f"skill_group__id__exact={self.groups[11]}",
            "service number": f"service_number={number}",
            "provider, common": "provider=China Mobile",
            "provider, rare": "provider=China Broadnet",
            "talk over 1 min": "talk_from=1:00",
            "talk over 1 h": "talk_from=1:00:00",
            "talk 10 to 12 s": "talk_from=0:10&talk_to=0:12",
            "whole call over 20 min": "length_from=20:00",
            "rating 1 to 2": "rating_from=1&rating_to=2",
            "rated": "rating=given",
            "asked, not rated": "rating=not_given",
            "has recording": "recording=yes",
            "no recording": "recording=no",
            "has voicemail": "voicemail=yes",
            "has remark": "remark=yes",
            "disposition, common": "disposition=sold",
            "disposition, rare": "disposition=complaint",
            "keyword, common": "keyword=invoice",
            "keyword, rare": "keyword=lawyer",
            "critical keyword": "keyword_severity=critical",
            "number, rare": f"q={rare}",
            "number, common": f"q={NUMBERS[0]}",
            "number, none": "q=+8613900000000",
        }


if __name__ == "__main__":
    sys.exit(main())
