"""Who is blocked, why, and how little it costs to know."""

import datetime as dt

import pytest
from django.db import connection

from configuration.blacklist import beginnings_of, find_block, is_broad, rows_covering, stand_in
from configuration.models import BlockedNumber
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db

NOW = dt.datetime(2026, 3, 4, 3, tzinfo=dt.UTC)
IN, OUT, BOTH = BlockedNumber.Direction.INBOUND, BlockedNumber.Direction.OUTBOUND, BlockedNumber.Direction.BOTH


def block(account, number: str, **fields) -> BlockedNumber:
    row = BlockedNumber(account=account, number=number, **fields)
    row.confirm_broad = True
    row.clean()
    row.save()
    return row


def found(account, number: str, direction: str = IN, at: dt.datetime = NOW) -> str | None:
    row = find_block(account=account, number=number, direction=direction, at=at)
    return row.written if row else None


def test_the_number_goes_before_a_prefix_and_a_longer_prefix_before_a_shorter(account):
    for number in ("*", "+86*", "138*", "13800*", "13800138000"):
        block(account, number)
    assert found(account, "138 0013 8000") == "+8613800138000"
    assert found(account, "13800138001") == "+8613800*"
    assert found(account, "13900138000") == "+86*"
    assert found(account, "+1 212 555 0100") == "*"
    assert found(account, "anonymous") == "*"
    assert found(account, "") == "*"


@pytest.mark.parametrize("written", ["13800138000", "+86 138 0013 8000", "0086-13800138000", "１３８００１３８０００"])
def test_a_number_is_found_in_any_written_form(account, written):
    block(account, "13800138000")
    assert found(account, written) == "+8613800138000"


def test_a_number_that_only_begins_alike_is_not_blocked(account):
    block(account, "1380013800")
    assert found(account, "13800138000") is None


def test_the_prefix_of_a_whole_number_takes_in_longer_ones(account):
    block(account, "13800138000*")
    assert found(account, "13800138000") == "+8613800138000*"


def test_short_numbers_are_found_exactly_and_by_prefix(account):
    block(account, "10086")
    block(account, "955*")
    assert found(account, "10086") == "10086"
    assert found(account, "95588") == "+86955*"
    assert found(account, "8001") is None


def test_direction_is_respected(account):
    block(account, "13800138000", direction=IN)
    block(account, "13900138000", direction=OUT)
    block(account, "13700138000", direction=BOTH)
    assert [found(account, number, IN) is not None for number in ("13800138000", "13900138000", "13700138000")] == [
        True,
        False,
        True,
    ]
    assert [found(account, number, OUT) is not None for number in ("13800138000", "13900138000", "13700138000")] == [
        False,
        True,
        True,
    ]


def test_a_block_ends_at_its_time_and_a_wider_one_takes_over(account):
    block(account, "138*")
    row = block(account, "13800138000")
    BlockedNumber.objects.filter(pk=row.pk).update(blocked_until=NOW)
    assert found(account, "13800138000", at=NOW - dt.timedelta(seconds=1)) == "+8613800138000"
    assert found(account, "13800138000", at=NOW) == "+86138*"


def test_another_accounts_list_counts_for_nothing(account):
    block(AccountFactory(), "*")
    assert found(account, "13800138000") is None


def test_a_change_takes_effect_at_once(account):
    row = block(account, "13800138000")
    assert found(account, "13800138000")
    row.delete()
    assert found(account, "13800138000") is None


@pytest.mark.parametrize(
    ("prefix", "broad"),
    [
        ("", True),
        ("+", True),
        ("+8", True),
        ("+86", True),
        ("+861", True),
        ("+8613", False),
        ("+852", True),
        ("+1", True),
        ("+1242", True),
        ("+1212", False),
        ("+390", True),
        ("+3906", False),
    ],
)
def test_a_prefix_is_broad_when_it_takes_in_a_country(prefix, broad):
    assert is_broad(prefix) is broad


def test_the_beginnings_of_a_number_are_few_and_end_with_itself():
    assert beginnings_of("+8613800138000", "CN") == ["+8613800138000"[:length] for length in range(15)]
    assert beginnings_of("anonymous", "CN") == [""]


def fill_list(account, n: int) -> None:
    BlockedNumber.objects.bulk_create(
        (BlockedNumber(account=account, number=f"+8613{number:09d}", is_prefix=number % 50 == 0) for number in range(n)),
        batch_size=5_000,
    )


def test_a_look_is_one_query_along_the_index_in_a_list_of_a_hundred_thousand(account, django_assert_num_queries):
    fill_list(account, 100_000)
    fill_list(AccountFactory(), 1_000)
    if connection.vendor == "sqlite":  # elsewhere it would commit what the test wrote, and is not needed
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    stand_in(account, "+8613900000001")  # a process asks for the account's keys once
    with django_assert_num_queries(1):
        assert found(account, "13000099999") == "+8613000099999"
    rows = rows_covering(account=account, number="13000099999")
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            sql, params = rows.query.sql_with_params()
            cursor.execute(f"EXPLAIN {sql}", params)
            plan = [dict(zip([column[0] for column in cursor.description], line, strict=True)) for line in cursor.fetchall()]
        assert [(line["type"], line["key"]) for line in plan] == [("range", "blocked_number_once")]
        assert int(plan[0]["rows"]) < 40
    else:
        plan = rows.explain()
        assert "blocked_number_once" in plan or "sqlite_autoindex" in plan
        assert "SCAN" not in plan
        assert plan.count("account_id=? AND number=?") >= 1


def test_a_long_list_is_searched_along_the_numbers_and_not_gone_through(account):
    """SQLite knows nothing yet of how the rows are spread, and would take an index on the account alone."""
    rows = [BlockedNumber(account=account, number=f"+86138{number:08}") for number in range(2000)]
    BlockedNumber.objects.bulk_create(rows)
    plan = rows_covering(account=account, number="+8613900000001").explain().lower()
    assert "number=?" in plan if connection.vendor == "sqlite" else "blocked_number_once" in plan
