"""The database: what it is, how it is set, whether it fits the program."""

import datetime as dt
import sqlite3
import time
from typing import Any

from django.core.checks import run_checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from callcenter_site.doctor.findings import Examined, examines

ANSWER_MS = 50
APART_SECONDS = 2.0
"""Between machines with a time service. From five minutes on nothing is deleted any more."""
FAR_APART_SECONDS = 300.0
BINLOG_DAYS = 7
"""What is erased stands in the binary log until it goes; docs/operations.md says how old copies may become."""
DAY = 86_400
OUT_OF_REACH = (
    "See that the database runs, and that address, user and password in DATABASE_URL are right. What it said stands in the log "
    "with LOG_LEVEL=DEBUG."
)
VARIABLES = (
    "version",
    "read_only",
    "log_bin",
    "binlog_format",
    "binlog_expire_logs_seconds",
    "expire_logs_days",
    "innodb_flush_log_at_trx_commit",
    "max_connections",
)


@examines("database", otherwise=OUT_OF_REACH)
def check_answer(examined: Examined) -> None:
    began = time.monotonic()
    with connection.cursor() as cursor:
        connected = time.monotonic()
        cursor.execute("SELECT 1")
        cursor.fetchone()
    asked = (time.monotonic() - connected) * 1000
    examined.within(
        "answers",
        f"It answers within {asked:.0f} ms, after {(connected - began) * 1000:.0f} ms to connect.",
        is_ok=asked < ANSWER_MS,
        mend="Pages ask it a dozen times: have it on the same network, and look for what keeps it busy.",
        is_grave=False,
    )


@examines("database", otherwise=OUT_OF_REACH)
def check_server(examined: Examined) -> None:
    if connection.vendor == "mysql":
        _check_mysql(examined)
    else:
        _check_sqlite(examined)


@examines("database", otherwise="Run `manage.py migrate`.")
def check_migrations(examined: Examined) -> None:
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    plan = executor.migration_plan(graph.leaf_nodes())
    if plan:
        named = ", ".join(f"{one.app_label}.{one.name}" for one, _backwards in plan[:5]) + (" …" if len(plan) > 5 else "")
        examined.fail(
            "migrations",
            f"{len(plan)} are not applied: {named}.",
            "Run `manage.py migrate` of the release in use: `systemctl start portal-migrate`.",
        )
        return
    ours = {key[0] for key in graph.leaf_nodes()}
    later = sorted(key for key in executor.loader.applied_migrations if key[0] in ours and key not in graph.nodes)
    if later:
        examined.warn(
            "migrations",
            f"The database is of a later release: {len(later)} migrations are applied that this program does not have.",
            "After a way back this is as it should be; else see which release `current` points to.",
        )
        return
    examined.ok("migrations", f"All {len(executor.loader.applied_migrations)} are applied.")


def _check_sqlite(examined: Examined) -> None:
    examined.ok("version", f"SQLite {sqlite3.sqlite_version}.")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()[0]
    is_file = mode != "memory"
    examined.within(
        "journal",
        f"It works in the mode {mode}.",
        is_ok=mode == "wal" or not is_file,
        mend="Readers would wait for writers. Keep VAR_DIR on a disk of this machine: network drives know no WAL.",
    )
    examined.not_in_use("server", "One process of `manage.py serve` on one machine; DATABASE_URL names a server for more.")


def _check_mysql(examined: Examined) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW VARIABLES WHERE Variable_name IN ({', '.join(['%s'] * len(VARIABLES))})", VARIABLES)
        variables: dict[str, str] = dict(cursor.fetchall())
    _check_version(examined, variables["version"])
    _check_checks(examined)
    _check_tables(examined)
    _check_zones(examined)
    _check_durability(examined, variables)
    _check_binlog(examined, variables)
    _check_room_for_connections(examined, int(variables["max_connections"]))
    _check_clock(examined)


def _check_version(examined: Examined, version: str) -> None:
    features: Any = connection.features
    least: tuple[int, ...] = features.minimum_database_version
    kind = "MariaDB" if getattr(connection, "mysql_is_mariadb", False) else "MySQL"
    number: tuple[int, ...] = connection.mysql_version  # type: ignore[attr-defined]
    examined.within(
        "version",
        f"{kind} {version}.",
        is_ok=number >= least,
        mend=f"At least {kind} {'.'.join(map(str, least))} is needed; the tests run on MariaDB 10.11.",
    )


def _check_checks(examined: Examined) -> None:
    found = run_checks(tags=["database"], databases=["default"])
    for message in found:
        examined.fail(message.id or "check", message.msg, message.hint or "")
    if not found:
        examined.ok("session", "utf8mb4, strict, READ COMMITTED, InnoDB.")


def _check_tables(examined: Examined) -> None:
    """A table made before the character set was right keeps the old one, and so does one restored from elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, table_collation, engine FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
        tables = cursor.fetchall()
    narrow = sorted(name for name, collation, _engine in tables if not str(collation).startswith("utf8mb4"))
    examined.within(
        "character set of the tables",
        f"{len(narrow)} of {len(tables)} tables are not utf8mb4: {', '.join(narrow[:3])}."
        if narrow
        else f"All {len(tables)} tables are utf8mb4.",
        is_ok=not narrow,
        mend="ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci, for each: names would be cut.",
    )
    collations = {collation for _name, collation, _engine in tables if str(collation).startswith("utf8mb4")}
    if len(collations) > 1:
        examined.warn(
            "collation of the tables",
            f"Tables compare text in different ways: {', '.join(sorted(collations))}.",
            "ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE …, so that all have the one of the database: joins get slow.",
        )
    unsafe = sorted(name for name, _collation, engine in tables if engine != "InnoDB")
    if unsafe:
        examined.fail(
            "engine of the tables",
            f"{len(unsafe)} tables know no transactions: {', '.join(unsafe[:3])}.",
            "ALTER TABLE … ENGINE=InnoDB, for each.",
        )


def _check_zones(examined: Examined) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONVERT_TZ('2000-01-01 00:00:00', 'UTC', 'Asia/Shanghai')")
        knows = cursor.fetchone() != (None,)
    examined.within(
        "time zones",
        "It knows the names of time zones." if knows else "It does not know the names of time zones.",
        is_ok=knows,
        mend="mariadb-tzinfo-to-sql /usr/share/zoneinfo | mariadb mysql (MySQL: mysql_tzinfo_to_sql). Lists by day fail without.",
        is_grave=False,
    )


def _check_durability(examined: Examined, variables: dict[str, str]) -> None:
    examined.within(
        "writing",
        "It can be written." if variables["read_only"].upper() in ("OFF", "0") else "It takes no writes.",
        is_ok=variables["read_only"].upper() in ("OFF", "0"),
        mend="SET GLOBAL read_only = 0, or point DATABASE_URL at the primary.",
    )
    flush = variables["innodb_flush_log_at_trx_commit"]
    examined.within(
        "durability",
        "A commit is on the disk before it is answered." if flush == "1" else "A commit is answered before it is on the disk.",
        is_ok=flush == "1",
        mend="Set innodb_flush_log_at_trx_commit = 1: an event that was accepted would be lost with the power.",
    )


def _check_binlog(examined: Examined, variables: dict[str, str]) -> None:
    if variables["log_bin"].upper() in ("OFF", "0"):
        examined.not_in_use("binary log", "It is off: a snapshot is the only way back after a loss, and no replica can follow.")
        return
    style = variables["binlog_format"].upper() if "binlog_format" in variables else "ROW"  # newer MySQL knows no other
    examined.within(
        "binary log",
        f"It is written as {style}.",
        is_ok=style in ("ROW", "MIXED"),
        mend="Set binlog_format = ROW: under READ COMMITTED statements cannot be logged.",
    )
    seconds = int(variables.get("binlog_expire_logs_seconds") or 0) or int(float(variables.get("expire_logs_days") or 0) * DAY)
    examined.within(
        "age of the binary log",
        f"It is kept for {seconds / DAY:.3g} days." if seconds else "It is kept for ever.",
        is_ok=0 < seconds <= BINLOG_DAYS * DAY,
        mend=f"Set binlog_expire_logs_seconds = {BINLOG_DAYS * DAY}: what is erased stands in it until it goes.",
        is_grave=False,
    )


def _check_room_for_connections(examined: Examined, most: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name = 'Max_used_connections'")
        used = int(cursor.fetchone()[1])
    examined.within(
        "connections",
        f"At most {used} of {most} were in use at once.",
        is_ok=used < most * 0.9,
        mend="Raise max_connections: each web process may hold 40, each worker one for each of its processes.",
        is_grave=False,
    )


def _check_clock(examined: Examined) -> None:
    with connection.cursor() as cursor:
        before = timezone.now()
        cursor.execute("SELECT UTC_TIMESTAMP(6)")
        theirs: dt.datetime = cursor.fetchone()[0]
        after = timezone.now()
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=dt.UTC)
    apart = abs((theirs - (before + (after - before) / 2)).total_seconds())
    said = f"Its clock and this machine's are {apart:.1f} s apart."
    mend = "Have a time service on both machines (chrony). From five minutes on nothing is deleted any more."
    if apart < APART_SECONDS:
        examined.ok("clock", said)
    else:
        examined.within("clock", said, is_ok=False, mend=mend, is_grave=apart >= FAR_APART_SECONDS)
