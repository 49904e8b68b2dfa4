"""Rows inserted past the ORM are the rows the ORM would have inserted."""

import datetime as dt

import pytest

from analytics.models import CallInterval
from analytics.tables import counters_of
from callcenter_site import bulk
from callcenter_site.bulk import insert_rows
from callcenter_site.slots import SLOT
from calls.models import CallLeg
from tests.factories import AccountFactory, CallFactory, CallLegFactory

pytestmark = pytest.mark.django_db


def test_every_kind_of_value_is_stored_as_the_orm_stores_it():
    at = dt.datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    call = CallFactory()
    leg = CallLegFactory(
        call=call,
        offered_at=at,
        answered_at=None,
        holds=[["2026-11-24T01:31:00Z", None]],
        is_at_once=True,
        provider="中国移动 😀",
    )
    names = [field.attname for field in CallLeg._meta.concrete_fields if not field.primary_key]
    stored = CallLeg.objects.values_list(*names).get(pk=leg.pk)
    leg.delete()
    insert_rows(CallLeg, names, [stored])
    assert CallLeg.objects.values_list(*names).get() == stored
    assert CallLeg.objects.get().offered_at == at


def test_no_rows_are_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_rows(CallLeg, ["seq"], [])


def test_more_than_a_statement_holds_is_stored_whole(monkeypatch):
    monkeypatch.setattr(bulk, "STATEMENT_SIZE", 500)
    account = AccountFactory()
    at = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)
    rows = [(account.pk, at + n * SLOT, "inbound", f"+86 100 %s % '{n}'", n, n / 7) for n in range(50)]
    names = ["account_id", "slot", "direction", "service_number", "n_calls", "talk_seconds"]
    others = [name for name in counters_of(CallInterval) if name not in names]
    insert_rows(CallInterval, [*names, *others], [(*row, *(0 for _ in others)) for row in rows])
    assert list(CallInterval.objects.order_by("slot").values_list(*names)) == rows
