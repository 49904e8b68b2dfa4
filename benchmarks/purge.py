"""How fast does the purge delete, beside Percona's pt-archiver on copies of the same tables?

Fills an account with calls over twelve months, half of which have expired, among the calls of another account that all
stay. Deletes the expired half with the portal's purge, in a process of its own, and with

    pt-archiver --purge --bulk-delete --limit 5000 --commit-each

from copies of the same tables in the same server, and compares rows per second, the server's CPU, and what is left, row
by row. Three times: calls alone, calls whose recordings name a file each (which go through the outbox), and calls with
everything below them (the portal only; another client takes in a call every 10 ms meanwhile). Exits with 1 when one of
the limits below is missed.

    python -m tests.services python benchmarks/purge.py [--calls 1000000] [--only plain|files|children]

pt-archiver comes with the Debian package percona-toolkit (apt-get install percona-toolkit).
"""

import argparse
import datetime as dt
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import django

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from agents.models import Agent, SkillGroup
from calls.models import Call, CallEvent, CallLeg, CallSeenBy, IvrStep, KeywordHit, QueueEntry, Recording, Voicemail
from configuration.access import create_built_in_roles
from configuration.models import Account, Role
from retention import policy, purge
from retention.models import FileDeletion, PurgeRun

SPEED_ALONE, SPEED_WITH_FILES = 1.0, 0.8
"""Rows per second, in parts of pt-archiver's."""
MOST_CPU = 1.4
MOST_P99 = 3.0
MOST_MEMORY_MB = 200
AT = dt.datetime(2026, 7, 16, 2, 0, tzinfo=dt.UTC)
ZONE = "Asia/Shanghai"
QUIET_SECONDS = 20
EVERY = 0.01
BELOW = (CallLeg, CallSeenBy, QueueEntry, IvrStep, Recording)
ALL = (Call, *BELOW, Voicemail, KeywordHit, CallEvent)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--neighbor", type=int, default=20_000, help="calls of the other account")
    parser.add_argument("--only", choices=["plain", "files", "children"])
    parser.add_argument("--quiet", type=float, default=QUIET_SECONDS, help="seconds for which a quiet server is measured")
    parser.add_argument("--buffer-pool", type=int, default=1024, help="of the server, in MB")
    parser.add_argument("--keep-database", action="store_true", help="for the next run, which then begins sooner")
    parser.add_argument("--purge", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--insert", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if connection.vendor != "mysql":
        sys.exit("Set DATABASE_URL (MySQL or MariaDB), or run it beside `python -m tests.services`.")
    if options.purge:
        return purge_in_this_process(options.purge)
    if options.insert:
        return insert_until_told(options.insert)
    if options.only != "children" and shutil.which("pt-archiver") is None:
        sys.exit("pt-archiver is missing: apt-get install percona-toolkit")
    connection.settings_dict["OPTIONS"]["read_timeout"] = 3600  # of filling; the purge keeps what it is given
    databases = setup_databases(verbosity=0, interactive=False, keepdb=options.keep_database, serialized_aliases=[])
    address = urlsplit(os.environ["DATABASE_URL"])
    os.environ["DATABASE_URL"] = urlunsplit(address._replace(path="/" + str(connection.settings_dict["NAME"])))
    sql(f"SET GLOBAL innodb_buffer_pool_size = {options.buffer_pool * 1024 * 1024}")
    try:
        account = set_up()
        missed: list[str] = []
        for name, what in (("plain", plain), ("files", with_files), ("children", with_children)):
            if options.only in (None, name):
                empty()
                missed += what(account, options)
    finally:
        teardown_databases(databases, verbosity=0, keepdb=options.keep_database)
    print("\n".join(f"MISSED: {one}" for one in missed) or "all limits kept")
    return 1 if missed else 0


# --- The three ways --------------------------------------------------------------------------------------------------


def plain(account: Account, options: Any) -> list[str]:
    fill(account, options)
    return beside_pt_archiver("calls alone", account, (Call,), SPEED_ALONE)


def with_files(account: Account, options: Any) -> list[str]:
    fill(account, options)
    fill_below(account, (Recording,))
    missed = beside_pt_archiver("calls with a file each", account, (Call, Recording), SPEED_WITH_FILES)
    n_named, n_gone = FileDeletion.objects.count(), options.calls - count(Call, account)
    print(f"  outbox: {n_named} files named for {n_gone} recordings that went")
    return missed + ([] if n_named == n_gone else ["a file is named by nothing"])


def with_children(account: Account, options: Any) -> list[str]:
    fill(account, options)
    fill_below(account, BELOW)
    settle()
    before, kept = {model: count(model, account) for model in ALL}, n_kept(account)
    with inserting(account) as caller:
        quiet = caller(options.quiet)
        with server_cpu() as cpu:
            found = run_purge(account)
        busy = caller(0.5)
    rows = found["rows"]
    print(f"calls with everything below them: {rows} rows of {len(BELOW) + 1} tables")
    print(f"  purge        {found['seconds']:8.1f} s {rows / found['seconds']:9.0f} rows/s   CPU of the server {cpu[0]:6.1f} s")
    print(f"  memory {found['memory_mb']} MB")
    print(f"  a caller every 10 ms: p99 {quiet:.1f} ms quiet, {busy:.1f} ms beside the purge ({busy / quiet:.2f} times)")
    missed = []
    if busy > MOST_P99 * quiet:
        missed.append(f"callers' p99 {busy / quiet:.2f} times the quiet one, above {MOST_P99}")
    if found["memory_mb"] > MOST_MEMORY_MB:
        missed.append(f"{found['memory_mb']} MB of memory")
    for model in BELOW:
        wanted = kept * (before[model] // before[Call])
        orphans = sql(f"SELECT COUNT(*) FROM {table(model)} b LEFT JOIN {table(Call)} c ON c.id = b.call_id WHERE c.id IS NULL")
        if count(model, account) != wanted or orphans[0][0]:
            missed.append(f"{model.__name__}: {count(model, account)} rows are left, {wanted} should be")
    return missed + expired_left(account)


def beside_pt_archiver(title: str, account: Account, models: tuple[Any, ...], limit: float) -> list[str]:
    for model in models:
        sql(f"DROP TABLE IF EXISTS copy_{table(model)}")
        sql(f"CREATE TABLE copy_{table(model)} LIKE {table(model)}")
        sql("SET unique_checks = 0")
        sql(f"INSERT INTO copy_{table(model)} SELECT * FROM {table(model)}")
        sql("SET unique_checks = 1")
        sql(f"ANALYZE TABLE {table(model)}, copy_{table(model)}")
    settle()
    with server_cpu() as our_cpu:
        found = run_purge(account)
    n_rows = found["rows"]
    seconds = 0.0
    with server_cpu() as its_cpu:
        for model in reversed(models):
            seconds += run_pt_archiver(account, model)
    ratio, cpu = seconds / found["seconds"], our_cpu[0] / its_cpu[0]
    print(f"{title}: {n_rows} rows")
    for who, took, used in (("purge", found["seconds"], our_cpu[0]), ("pt-archiver", seconds, its_cpu[0])):
        print(f"  {who:12} {took:8.1f} s {n_rows / took:9.0f} rows/s   CPU of the server {used:6.1f} s")
    print(f"  speed {ratio:.2f} (at least {limit}), CPU {cpu:.2f} (at most {MOST_CPU}), memory {found['memory_mb']} MB")
    missed = []
    if ratio < limit:
        missed.append(f"{title}: {ratio:.2f} of the rows per second")
    if cpu > MOST_CPU:
        missed.append(f"{title}: {cpu:.2f} times the CPU")
    if found["memory_mb"] > MOST_MEMORY_MB:
        missed.append(f"{title}: {found['memory_mb']} MB of memory")
    for model in models:
        if digest(table(model)) != digest(f"copy_{table(model)}"):
            missed.append(f"{title}: {table(model)} does not hold the same rows as the copy")
        sql(f"DROP TABLE copy_{table(model)}")
    return missed + expired_left(account)


def run_pt_archiver(account: Account, model: Any) -> float:
    at = connection.settings_dict
    source = f"h={at['HOST']},P={at['PORT']},u={at['USER']},p={at['PASSWORD']},D={at['NAME']},t=copy_{table(model)}"
    expired = f"account_id = {account.pk} AND ended_on <= '{cutoff(account)}'"
    if model is not Call:  # a recording goes with its call
        expired = f"account_id = {account.pk} AND call_id IN (SELECT id FROM copy_{table(Call)} WHERE {expired})"
    command = ["pt-archiver", "--source", source, "--where", expired, "--no-check-charset"]
    command += ["--purge", "--bulk-delete", "--limit", "5000", "--commit-each"]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


# --- The purge, in a process of its own ------------------------------------------------------------------------------


def run_purge(account: Account) -> dict[str, Any]:
    PurgeRun.objects.all().delete()
    command = [sys.executable, __file__, "--purge", str(account.pk)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def purge_in_this_process(account_id: int) -> int:
    account = Account.objects.get(pk=account_id)
    began = time.perf_counter()
    run = purge.purge_account(account=account, at=AT)
    if run.state == PurgeRun.State.WAITING:  # half of an account is far more than usual
        purge.confirm(run=run, by=None, at=AT)
        run = purge.purge_account(account=account, at=AT)
    took = time.perf_counter() - began
    if run.state != PurgeRun.State.DONE:
        sys.exit(f"The run is {run.state}: {run.error}")
    counts = {kind: n for kind, n in run.counts.items() if kind not in ("files", "sealed")}
    # Who sees a call is deleted with it, and in no count.
    rows = sum(counts.values()) + (counts["calls"] if "legs" in counts else 0)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"seconds": took, "rows": rows, "memory_mb": memory_mb, "counts": run.counts}))
    return 0


# --- A caller meanwhile ----------------------------------------------------------------------------------------------


@contextmanager
def inserting(account: Account) -> Iterator[Callable[[float], float]]:
    """Yields a function that waits, and answers with the p99 in milliseconds since it was last asked."""
    command = [sys.executable, __file__, "--insert", str(account.pk)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipes")
    ask, answer = process.stdin, process.stdout
    answer.readline()

    def measured(seconds: float) -> float:
        time.sleep(seconds)
        ask.write("\n")
        ask.flush()
        took = json.loads(answer.readline())
        return statistics.quantiles(took, n=100)[98] * 1000

    try:
        yield measured
    finally:
        ask.close()
        process.wait(30)


def insert_until_told(account_id: int) -> int:
    """A call and its first event every 10 ms, each in a transaction of its own; told on each line how long they took."""
    os.set_blocking(sys.stdin.fileno(), False)
    account = Account.objects.get(pk=account_id)
    print("ready", flush=True)
    took: list[float] = []
    due = time.perf_counter()
    for n in range(10_000_000):
        asked = os_read()
        if asked == b"":
            return 0
        if asked:
            print(json.dumps(took), flush=True)
            took = []
        key = n.to_bytes(32, "big")
        began = time.perf_counter()
        event = CallEvent(
            account=account, event_key=key, body_hash=key, call_key=key, source="b", event_id=str(n), type="call.started"
        )
        event.subject, event.occurred_at, event.received_at, event.retry_at = f"new-{n}", AT, AT, AT
        event.save(force_insert=True)
        Call(account=account, call_id=f"new-{n}", call_key=key, started_at=AT, calling_number=f"+86139{n:08}").save(
            force_insert=True
        )
        took.append(time.perf_counter() - began)
        due = max(due + EVERY, time.perf_counter() - 1)
        time.sleep(max(0, due - time.perf_counter()))
    return 1


def os_read() -> bytes | None:
    try:
        return os.read(sys.stdin.fileno(), 100)
    except BlockingIOError:
        return None


# --- Rows ------------------------------------------------------------------------------------------------------------


def set_up() -> Account:
    if there := Account.objects.filter(slug="benchmark").first():
        return there
    account = Account.objects.create(name="Benchmark", slug="benchmark", time_zone=ZONE, region="CN")
    neighbor = Account.objects.create(name="Neighbor", slug="neighbor", time_zone=ZONE, region="CN")
    for one in (account, neighbor):
        roles = create_built_in_roles(one)
        for n in range(8):
            agent = Agent(account=one, role=roles[Role.Kind.AGENT], staff_id=f"{one.pk}-{n}", name="A")
            agent.email = f"{one.pk}-{n}@example.com"
            agent.set_unusable_password()
            agent.save()
            SkillGroup.objects.create(account=one, name=f"group {n}")
    return account


def empty() -> None:
    sql("SET foreign_key_checks = 0")
    for model in (*ALL, FileDeletion, PurgeRun):
        sql(f"TRUNCATE TABLE {table(model)}")
    sql("SET foreign_key_checks = 1")


def fill(account: Account, options: Any) -> None:
    """Calls in the order of their time, as they came; the neighbor's between them."""
    if options.neighbor:
        every = max(2, options.calls // options.neighbor)
        add_calls(account, options.calls, f"s.seq + (s.seq - 1) DIV {every - 1}")
        add_calls(Account.objects.get(slug="neighbor"), options.neighbor, f"s.seq * {every}")
    else:
        add_calls(account, options.calls, "s.seq")
    sql(f"ANALYZE TABLE {table(Call)}")
    print(f"filled {count(Call, account)} calls, {n_expired(account)} of them expired", flush=True)


def add_calls(account: Account, n_calls: int, place: str, *, first_day: dt.date | None = None, n_days: int = 360) -> None:
    first_day = first_day or cutoff(account) - dt.timedelta(days=179)
    first = dt.datetime.combine(first_day, dt.time(), ZoneInfo(ZONE))
    seconds = n_days * 86400 / n_calls
    started = f"TIMESTAMP('{first.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}') + INTERVAL FLOOR(s.seq * {seconds}) SECOND"
    ended = f"({started} + INTERVAL (s.seq * 31 MOD 600) SECOND)"
    agents = list(Agent.objects.filter(account=account).order_by("pk").values_list("pk", flat=True))
    groups = list(SkillGroup.objects.filter(account=account).order_by("pk").values_list("pk", flat=True))
    values = {
        "id": place,
        "call_id": "CONCAT('call-', s.seq)",
        "call_key": f"UNHEX(SHA2(CONCAT('{account.pk}/', s.seq), 256))",
        "direction": "ELT(1 + s.seq MOD 5, 'inbound', 'inbound', 'inbound', 'inbound', 'outbound')",
        "state": "'ended'",
        "outcome": "ELT(1 + s.seq MOD 4, 'answered', 'answered', 'answered', 'abandoned_in_queue')",
        "calling_number": "CONCAT('+86138', LPAD(s.seq * 7919 MOD 100000000, 8, '0'))",
        "called_number": "'+864001234567'",
        "provider": "ELT(1 + s.seq MOD 3, 'China Mobile', 'China Unicom', 'China Telecom')",
        "started_at": started,
        "answered_at": started,
        "ended_at": ended,
        "ended_on": f"DATE({ended} + INTERVAL 8 HOUR)",
        "wait_seconds": "s.seq * 17 MOD 120",
        "talk_seconds": "s.seq * 31 MOD 600",
        "total_seconds": "s.seq * 31 MOD 600 + s.seq * 17 MOD 120",
        "agent_id": f"{agents[0]} + s.seq MOD {len(agents)}",
        "skill_group_id": f"{groups[0]} + s.seq MOD {len(groups)}",
        "has_recording": "1",
        "last_event_at": ended,
        "folded_at": ended,
        "sealed_at": f"{ended} + INTERVAL 7 DAY",
    }
    one = Call(account=account, call_id="template", call_key=b"\0" * 32, started_at=AT)
    insert_select(Call, one, values, f"seq_1_to_{n_calls} s")


def fill_below(account: Account, models: tuple[Any, ...]) -> None:
    agent, group = Agent.objects.filter(account=account).first(), SkillGroup.objects.filter(account=account).first()
    rows: dict[Any, tuple[Any, dict[str, str]]] = {
        CallLeg: (
            CallLeg(account=account, kind="agent", agent=agent, skill_group=group, seq=1, offered_at=AT, result="answered"),
            {"call_id": "c.id", "offered_at": "c.started_at", "answered_at": "c.answered_at", "ended_at": "c.ended_at"},
        ),
        CallSeenBy: (
            CallSeenBy(account=account, viewer=1, started_at=AT),
            {"call_id": "c.id", "viewer": "c.agent_id", "started_at": "c.started_at"},
        ),
        QueueEntry: (
            QueueEntry(account=account, skill_group=group, seq=1, entered_at=AT, outcome="answered"),
            {"call_id": "c.id", "entered_at": "c.started_at", "left_at": "c.answered_at"},
        ),
        IvrStep: (IvrStep(account=account, seq=1, step="menu", input="1", input_kind="key"), {"call_id": "c.id"}),
        Recording: (
            Recording(account=account, event_key=b"\0" * 32, recorded_at=AT, state="stored", content_type="audio/wav"),
            {
                "call_id": "c.id",
                "event_key": "c.call_key",
                "recorded_at": "c.ended_at",
                "`key`": "CONCAT('audio/', LOWER(HEX(c.call_key)))",
            },
        ),
    }
    for model in models:
        one, values = rows[model]
        insert_select(model, one, values, f"{table(Call)} c WHERE c.account_id = {account.pk} ORDER BY c.id")
        sql(f"ANALYZE TABLE {table(model)}")
    print(f"filled {', '.join(model.__name__ for model in models)}", flush=True)


def insert_select(model: Any, one: Any, values: dict[str, str], source: str) -> None:
    """Rows like one, but for these values."""
    columns, said, parameters = [], [], []
    for field in model._meta.concrete_fields:
        column = f"`{field.column}`"
        value = values.get(field.column, values.get(column))
        if value is None and field.primary_key:
            continue
        columns.append(column)
        said.append(value if value is not None else "%s")
        if value is None:
            parameters.append(field.get_db_prep_save(getattr(one, field.attname), connection))
    sql("SET foreign_key_checks = 0")
    sql("SET unique_checks = 0")
    sql(f"INSERT INTO {table(model)} ({', '.join(columns)}) SELECT {', '.join(said)} FROM {source}", parameters)
    sql("SET unique_checks = 1")
    sql("SET foreign_key_checks = 1")


# --- The server ------------------------------------------------------------------------------------------------------


def sql(statement: str, parameters: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


def table(model: Any) -> str:
    return str(model._meta.db_table)


def cutoff(account: Account) -> dt.date:
    return policy.cutoff(account, at=AT)


def count(model: Any, account: Account) -> int:
    return int(model._base_manager.filter(account=account).count())


def n_expired(account: Account) -> int:
    return int(Call.objects.filter(account=account, ended_on__lte=cutoff(account)).count())


def n_kept(account: Account) -> int:
    return int(Call.objects.filter(account=account, ended_on__gt=cutoff(account)).count())


def expired_left(account: Account) -> list[str]:
    left = n_expired(account)
    neighbor = Account.objects.get(slug="neighbor")
    print(f"  {left} expired calls are left; {n_kept(account)} of the account and {count(Call, neighbor)} of the neighbor stay")
    return [f"{left} expired calls are left"] if left else []


def digest(name: str) -> Any:
    return sql(
        f"SELECT COUNT(*), SUM(id), BIT_XOR(CRC32(CONCAT_WS('/', id, account_id, recorded_or_started))) FROM "
        f"(SELECT id, account_id, {'recorded_at' if name.endswith('recording') else 'started_at'} AS recorded_or_started "
        f"FROM {name}) t"
    )


def settle() -> None:
    """Waits until the server has cleaned up behind what went before."""
    for _ in range(600):
        left = sql("SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'")
        if not left or int(left[0][1]) < 100:
            return
        time.sleep(0.5)


@contextmanager
def server_cpu() -> Iterator[list[float]]:
    """Seconds of CPU the server used within, its cleaning up behind included."""
    pid = int(Path(sql("SELECT @@pid_file")[0][0]).read_text())
    used: list[float] = []
    before = cpu_of(pid)
    yield used
    settle()
    used.append(cpu_of(pid) - before)


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
