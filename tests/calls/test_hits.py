"""Keywords in remarks and in what callers say."""

import datetime as dt

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from calls import hits, narrowing
from calls.erasure import ended_calls, erase_calls
from calls.ingest import accept_events, fold_due
from calls.models import Call, HitPlace, KeywordHit, KeywordMark
from configuration.models import Keyword, Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, IvrStepFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

NOW = at("12:00:00")


@pytest.fixture
def keywords(account):
    make = {"account": account}
    return [
        Keyword.objects.create(**make, phrase="refund", category="money", severity=Keyword.Severity.WARNING),
        Keyword.objects.create(**make, phrase="lawyer", category="legal", severity=Keyword.Severity.CRITICAL),
        Keyword.objects.create(**make, phrase="hello", is_active=False),
    ]


def fold(account, text: str) -> Call:
    accept_events(account=account, items=events_of(text), at=NOW)
    while fold_due(at=NOW):
        pass
    return Call.objects.for_account(account).order_by("-pk").first()


def found() -> list[tuple[str, str, str, str, int]]:
    columns = ("phrase", "category", "severity", "place", "seq")
    return list(KeywordHit.objects.order_by("place", "seq", "start").values_list(*columns))


TALKED = """
10:00:00 started calling_number=+8613800138000
10:00:01 ivr_prompted step=menu prompt=hello kind=tts
10:00:05 ivr_input step=menu input=refund kind=speech
10:00:09 ended party=customer
"""


def test_what_a_caller_says_is_matched_when_the_call_is_over(account, keywords):
    fold(account, TALKED.partition("10:00:09")[0])
    assert found() == []
    call = fold(account, TALKED)
    assert found() == [("refund", "money", "warning", HitPlace.IVR, 1)]
    hit = KeywordHit.objects.get()
    assert (hit.call, hit.started_at, hit.account) == (call, call.started_at, account)


def test_keys_that_a_caller_presses_are_no_words(account, keywords):
    Keyword.objects.create(account=account, phrase="1234", severity="info")
    fold(account, TALKED.replace("input=refund kind=speech", "input=1234 kind=keys"))
    assert found() == []


def test_hits_follow_the_remark_and_the_same_events_leave_the_same(account, keywords):
    fold(account, TALKED)
    fold(account, TALKED + "10:01:00 remarked agent=1 text=lawyer\n")
    both = [("refund", "money", "warning", "ivr", 1), ("lawyer", "legal", "critical", "remark", 0)]
    assert found() == both
    ids = set(KeywordHit.objects.values_list("pk", flat=True))
    fold(account, TALKED + "10:01:00 remarked agent=1 text=lawyer\n10:01:05 recorded duration=3\n")
    assert found() == both and set(KeywordHit.objects.values_list("pk", flat=True)) == ids
    last = "10:01:00 remarked agent=1 text=lawyer\n10:01:05 recorded duration=3\n10:02:00 remarked agent=1 text=done\n"
    fold(account, TALKED + last)
    assert found() == both[:1]


def test_a_remark_to_a_sealed_record_keeps_what_the_caller_said(account, keywords):
    call = fold(account, TALKED)
    Call.objects.filter(pk=call.pk).update(sealed_at=NOW)
    call.refresh_from_db()
    from calls.models import CallEvent

    CallEvent.objects.all().delete()
    fold(account, "11:00:00 remarked agent=1 text=lawyer")
    assert [row[0] for row in found()] == ["refund", "lawyer"]


def test_a_call_has_so_many_hits_at_most(account, keywords):
    call = CallFactory(account=account, remark="refund " * 200, has_remark=True)
    hits.note_hits(account, [call], [], added_to=set())
    assert KeywordHit.objects.count() == hits.MOST_HITS


def test_keywords_are_asked_for_once_in_a_batch_and_not_at_all_without_texts(account, keywords):
    calls = [CallFactory(account=account, remark="refund", has_remark=True) for _ in range(20)]
    with CaptureQueriesContext(connection) as queries:
        hits.note_hits(account, calls, [], added_to=set())
    assert len([one for one in queries if "configuration_keyword" in one["sql"]]) == 1
    assert len(queries) <= 3
    with CaptureQueriesContext(connection) as queries:
        hits.note_hits(account, [CallFactory.build(pk=5, account=account)], [], added_to=set(), new={5})
    assert not [one for one in queries if "SELECT" in one["sql"]]


# --- When keywords change --------------------------------------------------------------------------------------------


def match(seconds: float = 20) -> int:
    return hits.match_anew(clock=timezone.now, seconds=seconds)


def test_calls_of_the_last_month_are_matched_with_a_new_keyword(account):
    other = AccountFactory()
    for one in (account, other):
        CallFactory(account=one, remark="a refund", has_remark=True)
    said = CallFactory(account=account)
    IvrStepFactory(call=said, input="Refund please", input_kind="speech")
    old = timezone.now() - dt.timedelta(days=hits.MATCHED_DAYS + 1)
    CallFactory(account=account, remark="refund", has_remark=True, started_at=old)
    assert match() == 0, "nothing was asked for"
    keyword = Keyword.objects.create(account=account, phrase="refund", severity="info")
    assert match() == 2 and KeywordHit.objects.count() == 2
    assert set(KeywordHit.objects.values_list("account", flat=True)) == {account.pk}
    assert match() == 0
    keyword.is_active = False
    keyword.save()
    match()
    assert not KeywordHit.objects.exists() and KeywordMark.objects.get().matched == ""


def test_matching_anew_goes_on_where_it_stopped(account, monkeypatch):
    monkeypatch.setattr(hits, "AT_ONCE", 2)
    for n in range(5):
        CallFactory(account=account, remark="refund", has_remark=True, started_at=timezone.now() - dt.timedelta(hours=n // 2))
    Keyword.objects.create(account=account, phrase="refund", severity="info")
    assert hits._match_some(account, timezone.now()) == 2 and KeywordHit.objects.count() == 2
    assert match() == 3 and KeywordHit.objects.count() == 5
    assert match() == 0


def test_keywords_that_change_meanwhile_are_matched_from_the_start(account, monkeypatch):
    monkeypatch.setattr(hits, "AT_ONCE", 2)
    for n in range(4):
        CallFactory(account=account, remark="refund lawyer", has_remark=True, started_at=timezone.now() - dt.timedelta(hours=n))
    Keyword.objects.create(account=account, phrase="refund", severity="info")
    hits._match_some(account, timezone.now())
    Keyword.objects.create(account=account, phrase="lawyer", severity="info")
    match()
    assert KeywordHit.objects.count() == 8


# --- Where they show -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, 20_000])
def test_records_are_found_by_keyword_category_and_severity_of_one_hit(account, api_key, client, keywords, few, monkeypatch):
    monkeypatch.setattr(narrowing, "FEW", few)
    for name, text in (("both", "refund lawyer"), ("one", "refund"), ("none", "bye")):
        CallFactory(account=account, call_id=name, remark=text, has_remark=True)
    match()
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    program = Client(headers={"authorization": f"Api-Key {api_key}"})
    for query, wanted in (
        ("keyword=refund", {"both", "one"}),
        ("keyword_category=legal", {"both"}),
        ("keyword_severity=critical", {"both"}),
        ("keyword=refund&keyword_severity=critical", set()),
        ("keyword=refund&keyword_category=money&keyword_severity=warning", {"both", "one"}),
        ("keyword=unknown", set()),
    ):
        page = client.get(f"/admin/calls/call/?{query}")
        assert {call.call_id for call in page.context["cl"].result_list} == wanted, query
        rows = program.get(f"/api/v1/calls/?{query}").json()["results"]
        assert {row["call_id"] for row in rows} == wanted, query


def test_the_record_shows_where_keywords_stand_and_hides_numbers_all_the_same(account, client, keywords):
    call = CallFactory(account=account, remark="call 13800138000: refund <b>now</b>", has_remark=True)
    match()
    client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    page = client.get(reverse("admin:calls_call_change", args=[call.pk])).content.decode()
    assert '<mark class="is-warning" title="refund (money)">refund</mark>' in page
    assert "13800138000" not in page and "&lt;b&gt;now" in page


def test_hits_go_with_their_call(account, keywords):
    call = CallFactory(account=account, remark="refund", has_remark=True)
    match()
    erase_calls(account=account, calls=ended_calls(account=account, up_to=call.ended_on), ids=[call.pk])
    assert not KeywordHit.objects.exists() and not Call.objects.exists()
