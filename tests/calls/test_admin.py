"""Service records and events in the admin."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from callcenter_site.paging import COUNTED_AHEAD
from calls.ingest import accept_events, fold_due
from calls.models import CallEvent, CallState, Direction, EventState, LegKind, Outcome
from configuration.models import Role
from tests.factories import (
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    IvrStepFactory,
    QueueEntryFactory,
    RecordingFactory,
    ServiceNumberFactory,
    SkillGroupFactory,
    VoicemailFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"
EVENTS = "/admin/calls/callevent/"


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


@pytest.fixture
def inspector(account, client):
    """Sees every record, but no whole number."""
    person = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    client.force_login(person)
    return person


def listed(client, query: str = "") -> list[str]:
    answer = client.get(LIST + query)
    assert answer.status_code == 200, answer.get("Location")
    return [call.call_id for call in answer.context["cl"].result_list]


def days_ago(days: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(days=days)


def record(client, call):
    return client.get(reverse("admin:calls_call_change", args=[call.pk]))


# --- The list --------------------------------------------------------------------------------------------------------


def test_the_list_shows_the_last_seven_days_newest_first(administrator, client, account):
    for name, days in (("old", 8), ("new", 1), ("newest", 0)):
        CallFactory(account=account, call_id=name, started_at=days_ago(days))
    CallFactory(call_id="foreign")
    assert listed(client) == ["newest", "new"]
    assert listed(client, "?period=all") == ["newest", "new", "old"]


def test_days_are_the_accounts_and_both_ends_are_included(administrator, client, account):
    """Shanghai is eight hours ahead: its 10 November starts at 16:00 UTC on the 9th."""
    for name, moment in (
        ("before", dt.datetime(2026, 11, 9, 15, 59, 59, tzinfo=dt.UTC)),
        ("first", dt.datetime(2026, 11, 9, 16, 0, tzinfo=dt.UTC)),
        ("last", dt.datetime(2026, 11, 10, 15, 59, 59, tzinfo=dt.UTC)),
        ("after", dt.datetime(2026, 11, 10, 16, 0, tzinfo=dt.UTC)),
    ):
        CallFactory(account=account, call_id=name, started_at=moment)
    assert listed(client, "?from=2026-11-10&to=2026-11-10") == ["last", "first"]
    assert listed(client, "?from=2026-11-10&to=2026-11-10&period=today") == ["last", "first"]  # typed days win
    assert listed(client, "?to=2026-11-09") == ["before"]


@pytest.mark.parametrize(
    "query",
    [
        "?from=tomorrow",
        "?from=0001-01-01",
        "?to=9999-12-31",
        "?period=ever",
        "?outcome=x",
        "?outcome=answered&outcome=x",
        "?service_number=9",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_and_no_error(administrator, client, query):
    """The list without it is shown, and the reader told which."""
    answer = client.get(LIST + query, follow=True)
    assert answer.redirect_chain == [(LIST, 302)]
    assert f"shown without it: {query[1:].partition('=')[0]}." in answer.content.decode()


def test_each_filter_narrows_to_what_it_says(administrator, client, account):
    agent, group = AgentFactory(account=account), SkillGroupFactory(account=account)
    SkillGroupFactory(account=account)
    number = ServiceNumberFactory(account=account, number="+861055500009")
    CallFactory(
        account=account, call_id="out", direction=Direction.OUTBOUND, calling_number=number.number, called_number="+8613900000000"
    )
    CallFactory(account=account, call_id="in", called_number=number.number)
    CallFactory(account=account, call_id="other-way", calling_number=number.number)
    CallFactory(account=account, call_id="lost", outcome=Outcome.ABANDONED_IN_QUEUE, skill_group=group)
    CallFactory(account=account, call_id="open", open=True, answered_at=None, agent=agent)
    assert set(listed(client, "?direction=outbound")) == {"out"}
    assert set(listed(client, "?outcome=abandoned_in_queue")) == {"lost"}
    assert set(listed(client, "?outcome=open")) == {"open"}
    assert set(listed(client, "?outcome=open&outcome=abandoned_in_queue")) == {"open", "lost"}
    assert set(listed(client, "?answered=no")) == {"lost", "open"}
    assert set(listed(client, "?answered=yes")) == {"out", "in", "other-way"}
    assert set(listed(client, f"?agent__id__exact={agent.pk}")) == {"open"}
    assert set(listed(client, f"?skill_group__id__exact={group.pk}")) == {"lost"}
    assert set(listed(client, f"?service_number={number.pk}")) == {"out", "in"}


@pytest.mark.parametrize(
    "written", ["13800138000", "+86 138 0013 8000", "0086-138-0013-8000", "１３８００１３８０００", "(138) 0013 8000"]
)
def test_a_number_is_found_in_any_written_form_at_any_time(administrator, client, account, written):
    CallFactory(account=account, call_id="wanted", calling_number="+8613800138000", started_at=days_ago(100))
    CallFactory(
        account=account,
        call_id="called",
        direction=Direction.OUTBOUND,
        called_number="+8613800138000",
        calling_number="+86105550",
    )
    CallFactory(account=account, call_id="other", calling_number="+8613800138001")
    assert set(listed(client, f"?q={written.replace('+', '%2B')}")) == {"wanted", "called"}


def test_a_part_of_a_number_or_of_an_id_finds_nothing(inspector, client, account):
    CallFactory(account=account, call_id="20261124-0001", calling_number="+8613800138000")
    for part in ("1380013", "138", "+86138", "20261124", "%", "2026112400011"):
        assert listed(client, f"?q={part}") == []
    assert listed(client, "?q=20261124-0001") == ["20261124-0001"]
    assert listed(client, "?q=13800138000") == ["20261124-0001"]  # who may not see a number may ask for one they know


def test_a_number_with_many_calls_is_found_like_a_rare_one(administrator, client, account, monkeypatch):
    monkeypatch.setattr("calls.narrowing.FEW", 3)
    for n in range(5):
        CallFactory(account=account, call_id=f"c{n}", started_at=days_ago(n))
    assert listed(client, "?q=13800138000") == ["c0", "c1", "c2", "c3", "c4"]


def test_a_period_chosen_with_a_search_counts(administrator, client, account):
    CallFactory(account=account, call_id="old", started_at=days_ago(100))
    assert listed(client, "?q=13800138000&period=7d") == []


def test_numbers_are_masked_without_the_permission(inspector, client, account):
    CallFactory(account=account, calling_number="+8613800138000", called_number="+861055500001")
    CallFactory(account=account, direction=Direction.OUTBOUND, calling_number="+861055500001", called_number="+8613911112222")
    page = client.get(LIST).content.decode()
    assert "13800138000" not in page and "13911112222" not in page
    assert "+8613••••••000" in page and "+8613••••••222" in page and "+861055500001" in page


@pytest.mark.parametrize(
    "lookup",
    [
        "calling_number__startswith=%2B86138",
        "calling_number=%2B8613800138000",
        "called_number__regex=1.*",
        "remark__icontains=a",
        "account__slug=x",
        "agent__staff_id__startswith=1",
        "agent__name__contains=x",
        "legs__number__startswith=1",
    ],
)
def test_a_hidden_column_cannot_be_guessed_through_the_address(inspector, client, account, lookup):
    CallFactory(account=account)
    answer = client.get(f"{LIST}?{lookup}")
    assert (answer.status_code, answer["Location"]) == (302, LIST)


def test_only_the_start_sorts(inspector, client, account):
    for name, number in (("a", "+8613800000009"), ("b", "+8613800000001")):
        CallFactory(account=account, call_id=name, calling_number=number, started_at=days_ago(1 if name == "a" else 2))
    assert listed(client, "?o=0") == ["b", "a"] and listed(client, "?o=-0") == ["a", "b"]
    assert listed(client, "?o=2") == ["a", "b"] and listed(client, "?o=-2") == ["a", "b"]


def test_a_chosen_filter_names_no_row_of_another_account(administrator, client, account):
    CallFactory(account=account)
    foreign_agent, foreign_group = AgentFactory(name="Secret Name"), SkillGroupFactory(name="Secret Group")
    foreign_number = ServiceNumberFactory(label="Secret Label")
    page = client.get(f"{LIST}?agent__id__exact={foreign_agent.pk}")
    assert "Secret" not in page.content.decode() and len(page.context["cl"].result_list) == 0
    page = client.get(f"{LIST}?skill_group__id__exact={foreign_group.pk}")
    assert "Secret" not in page.content.decode()
    assert client.get(f"{LIST}?service_number={foreign_number.pk}").status_code == 302


def test_the_list_asks_the_same_number_of_questions_for_one_row_and_for_fifty(administrator, client, account):
    def n_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        return len(queries)

    group = SkillGroupFactory(account=account)
    CallFactory(account=account, agent=AgentFactory(account=account), skill_group=group)
    client.get(LIST)
    one = n_queries()
    for _ in range(49):
        CallFactory(account=account, agent=AgentFactory(account=account), skill_group=group)
    assert n_queries() == one <= 11


def test_a_long_list_is_counted_to_a_bound_that_moves_along(administrator, client, account, monkeypatch):
    monkeypatch.setattr("callcenter_site.paging.COUNTED_AHEAD", 100)
    for n in range(320):
        CallFactory(account=account, call_id=f"c{n}")
    first = client.get(LIST)
    assert "200+ service records" in first.content.decode() and first.context["cl"].paginator.num_pages == 4
    fourth = client.get(LIST + "?p=4")
    assert fourth.context["cl"].paginator.num_pages == 6 and len(fourth.context["cl"].result_list) == 50
    last = client.get(LIST + "?p=7")
    assert "320 service records" in last.content.decode() and len(last.context["cl"].result_list) == 20
    assert COUNTED_AHEAD == 1000


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999999999999999999", "٣"])
def test_a_page_that_does_not_exist_is_no_error(administrator, client, account, page):
    CallFactory(account=account)
    assert client.get(f"{LIST}?p={page}").status_code in (200, 302)


def test_no_question_goes_over_the_whole_table(administrator, client, account):
    CallFactory(account=account)
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST + "?period=all&_facets=True")
    asked = [query["sql"] for query in queries if "calls_call" in query["sql"] and "SELECT" in query["sql"]]
    assert not [sql for sql in asked if "COUNT(" in sql]
    assert len([sql for sql in asked if f"LIMIT {COUNTED_AHEAD + 1}" in sql]) == 1


def test_an_empty_list_says_what_to_do(administrator, client, account):
    assert "No service records yet" in client.get(LIST).content.decode()
    CallFactory(account=account, started_at=days_ago(30))
    assert "Show all periods" in client.get(LIST).content.decode()
    assert "whole phone number" in client.get(LIST + "?q=nothing").content.decode()


def test_a_search_text_is_shown_as_text(administrator, client):
    page = client.get(LIST + "?q=<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page


def test_who_has_own_groups_only_sees_their_calls(client, account):
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    client.force_login(person)
    CallFactory(account=account, call_id="hidden")
    CallLegFactory(call=CallFactory(account=account, call_id="own"), agent=person)
    assert listed(client, "?period=all") == ["own"]


# --- The record page -------------------------------------------------------------------------------------------------


@pytest.fixture
def full_call(account):
    call = CallFactory(
        account=account, call_id="full", remark="Call back at 13911112222.", rating_asked=True, rating_score=4, rating_scale=5
    )
    QueueEntryFactory(call=call)
    IvrStepFactory(call=call, input="4401886622119")
    CallLegFactory(call=call, transfer_kind="blind", transfer_to="+862155667788")
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, number="+862155667788", provider="China Telecom")
    RecordingFactory(call=call)
    VoicemailFactory(call=call)
    return call


def test_the_record_page_shows_everything_of_a_call(administrator, client, full_call):
    page = record(client, full_call).content.decode()
    for text in (
        "What happened",
        "+8613800138000",
        "+862155667788",
        "4401886622119",
        "13911112222",
        "China Telecom",
        "4 / 5",
        "<audio",
    ):
        assert text in page, text
    assert f"/admin/calls/listen/recording/{full_call.recordings.get().pk}/" in page


def test_the_record_page_hides_numbers_wherever_they_stand(inspector, client, account, full_call):
    CallEvent.objects.create(
        account=account,
        call_key=full_call.call_key,
        event_key=b"1" * 32,
        body_hash=b"2" * 32,
        source="s",
        event_id="e",
        type="call.started",
        subject="full",
        occurred_at=full_call.started_at,
        data={"calling_number": "+8613800138000", "called_number": "+861055500001", "prompt": "You call from 13822223333."},
        state=EventState.FOLDED,
    )
    inspector.role.permissions = [*inspector.role.permissions, "calls.view_callevent"]
    inspector.role.save()
    for page in (record(client, full_call), client.get(f"{EVENTS}{CallEvent.objects.get().pk}/change/")):
        assert page.status_code == 200
        for secret in ("13800138000", "13822223333", "2155667788", "4401886622119", "13911112222"):
            assert secret not in page.content.decode(), secret


def test_the_record_page_asks_no_more_for_forty_legs_than_for_one(administrator, client, account):
    def n_queries(call) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert record(client, call).status_code == 200
        return len(queries)

    small, large = CallFactory(account=account), CallFactory(account=account)
    for call, n_legs in ((small, 1), (large, 40)):
        for _ in range(n_legs):
            CallLegFactory(call=call, skill_group=SkillGroupFactory(account=account))
            QueueEntryFactory(call=call)
            IvrStepFactory(call=call)
        RecordingFactory(call=call)
        VoicemailFactory(call=call, skill_group=SkillGroupFactory(account=account), heard_by=AgentFactory(account=account))
    n_queries(small)
    assert n_queries(small) == n_queries(large) <= 20


def test_another_accounts_record_answers_like_one_that_never_was(administrator, client):
    answers = [record(client, CallFactory()), client.get(LIST + "99999999/change/")]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert answers[0]["Location"] == answers[1]["Location"]


def test_nobody_writes_a_record_through_the_admin(administrator, client, account):
    call = CallFactory(account=account)
    address = reverse("admin:calls_call_change", args=[call.pk])
    assert client.post(address, {"remark": "x"}).status_code == 403
    assert client.get(LIST + "add/").status_code == 403
    assert client.post(f"{LIST}{call.pk}/delete/", {"post": "yes"}).status_code == 403
    call.refresh_from_db()
    assert call.remark == ""


def test_who_may_not_see_events_gets_none(inspector, client, full_call):
    assert "Raw events" not in record(client, full_call).content.decode()


def test_who_may_not_listen_gets_no_player(client, account, full_call):
    role = Role.objects.create(
        account=account, name="Reader", data_scope=Role.DataScope.ACCOUNT, permissions=["agents.enter_admin", "calls.view_call"]
    )
    client.force_login(AgentFactory(account=account, role=role))
    assert "<audio" not in record(client, full_call).content.decode()


def test_who_may_not_know_of_sound_finds_no_trace_of_it(client, account, full_call):
    permissions = ["agents.enter_admin", "calls.view_call", "calls.listen_recording"]
    role = Role.objects.create(account=account, name="Reader", data_scope=Role.DataScope.ACCOUNT, permissions=permissions)
    client.force_login(AgentFactory(account=account, role=role))

    def told() -> tuple[bool, bool]:
        page = record(client, full_call).content.decode()
        return (
            "Recording made" in page and "/listen/recording/" in page,
            "Voicemail left" in page and "/listen/voicemail/" in page,
        )

    assert told() == (False, False)
    recording, voicemail = full_call.recordings.get(), full_call.voicemails.get()
    assert client.get(f"/admin/calls/listen/recording/{recording.pk}/").status_code == 404
    role.permissions = [*permissions, "calls.view_recording"]
    role.save()
    assert told() == (True, False)
    assert client.get(f"/admin/calls/listen/recording/{recording.pk}/").status_code == 302
    assert client.get(f"/admin/calls/listen/voicemail/{voicemail.pk}/").status_code == 404
    role.permissions = [*permissions, "calls.view_voicemail"]
    role.save()
    assert told() == (False, True)


def test_hostile_text_of_callers_stays_text(administrator, client, account):
    hostile = '"><img src=x onerror=alert(1)>'
    call = CallFactory(account=account, call_id=hostile, calling_number=hostile[:32], location=hostile, remark=hostile)
    IvrStepFactory(call=call, prompt=hostile, input=hostile, step=hostile)
    CallLegFactory(
        call=call, agent=None, agent_reference=hostile, skill_group_reference=hostile, transfer_kind="blind", transfer_to=hostile
    )
    assert "<img src=x" not in record(client, call).content.decode()
    assert "<img src=x" not in client.get(LIST).content.decode()


def test_a_real_call_walks_from_its_events_to_its_page(administrator, client, account):
    AgentFactory(account=account, staff_id="1001", name="Li Na")
    SkillGroupFactory(account=account, name="Sales")
    start = timezone.now() - dt.timedelta(minutes=2)
    told = [
        ("call.started", 0, {"direction": "inbound", "calling_number": "13800138000", "called_number": "+861055500001"}),
        ("call.queued", 1, {"skill_group": "Sales"}),
        ("call.ringing", 5, {"agent": "1001", "skill_group": "Sales"}),
        ("call.answered", 9, {"agent": "1001"}),
        ("call.ended", 60, {"party": "customer", "cause": "completed"}),
    ]
    events = [
        {
            "specversion": "1.0",
            "source": "test",
            "id": f"e{n}",
            "type": kind,
            "subject": "c1",
            "time": (start + dt.timedelta(seconds=seconds)).isoformat(),
            "data": data,
        }
        for n, (kind, seconds, data) in enumerate(told)
    ]
    accept_events(account=account, items=events, at=timezone.now())
    while fold_due(at=timezone.now()):
        pass
    assert listed(client, "?q=138-0013-8000") == ["c1"]
    [call] = client.get(LIST + "?q=c1").context["cl"].result_list
    answer = record(client, call)
    assert [lane.title for lane in answer.context["timeline"].lanes] == ["Queue: Sales", "Li Na"]
    assert len(answer.context["events"]) == 5
    assert call.state == CallState.ENDED and "Li Na answered" in answer.content.decode()


# --- Events ----------------------------------------------------------------------------------------------------------


def event(account, name: str, state: str, **fields) -> CallEvent:
    key = name.encode().ljust(32, b"0")
    return CallEvent.objects.create(
        account=account,
        event_key=key,
        body_hash=key,
        call_key=fields.pop("call_key", key),
        source="s",
        event_id=name,
        type=fields.pop("type", "call.started"),
        subject=name,
        occurred_at=timezone.now(),
        state=state,
        **fields,
    )


def test_events_are_shown_only_to_who_sees_the_whole_account(client, account):
    """An event may be of a call, a person or a group that somebody of narrower scope never sees."""
    groups = Role.objects.create(
        account=account,
        name="Groups",
        data_scope=Role.DataScope.GROUPS,
        permissions=["agents.enter_admin", "calls.view_call", "calls.view_callevent", "calls.redrive_callevent"],
    )
    person = AgentFactory(account=account, role=groups)
    client.force_login(person)
    call = CallFactory(account=account, agent=person)
    CallLegFactory(call=call, agent=person)
    kept = event(account, "hidden-event", EventState.DEAD, call_key=call.call_key)
    assert "hidden-event" not in client.get(EVENTS).content.decode()
    assert client.get(f"{EVENTS}{kept.pk}/change/").status_code == 302
    page = record(client, call)
    assert page.status_code == 200 and page.context["may_see_events"] is False
    client.post(EVENTS, {"action": "fold_again", "_selected_action": [kept.pk]})
    kept.refresh_from_db()
    assert kept.state == EventState.DEAD
    Role.objects.filter(pk=groups.pk).update(data_scope=Role.DataScope.ACCOUNT)
    assert "hidden-event" in client.get(EVENTS).content.decode()
    assert record(client, call).context["may_see_events"] is True


def test_a_supervisor_has_no_page_of_events(client, account):
    client.force_login(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    assert client.get(EVENTS).status_code == 403
    assert EVENTS not in client.get("/admin/").content.decode()


def test_failed_events_are_folded_again_and_others_left_alone(administrator, client, account):
    dead = event(account, "dead", EventState.DEAD, error="no such thing", attempts=8)
    folded = event(account, "folded", EventState.FOLDED)
    foreign = event(AccountFactory(), "foreign", EventState.DEAD)
    answer = client.post(EVENTS, {"action": "fold_again", "_selected_action": [dead.pk, folded.pk, foreign.pk]}, follow=True)
    assert "1 event is in line again." in answer.content.decode()
    states = dict(CallEvent.objects.values_list("event_id", "state"))
    assert states == {"dead": EventState.PENDING, "folded": EventState.FOLDED, "foreign": EventState.DEAD}


def test_folding_again_needs_its_permission(client, account):
    dead = event(account, "dead", EventState.DEAD)
    client.force_login(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    client.post(EVENTS, {"action": "fold_again", "_selected_action": [dead.pk]})
    dead.refresh_from_db()
    assert dead.state == EventState.DEAD


def test_events_are_found_by_call_or_by_id_and_narrowed_by_state_and_type(administrator, client, account):
    from calls.envelope import call_key_of

    event(account, "e1", EventState.FOLDED, call_key=call_key_of(account.pk, "c1"))
    event(account, "e2", EventState.DEAD, type="call.ended", error="why it failed")
    event(AccountFactory(), "e3", EventState.DEAD)

    def names(query: str) -> list[str]:
        answer = client.get(EVENTS + query)
        assert answer.status_code == 200
        return [row.event_id for row in answer.context["cl"].result_list]

    assert names("") == ["e2"]  # what is not settled
    assert names("?state=folded") == ["e1"]
    assert names("?q=c1") == ["e1"] and names("?q=e2") == ["e2"] and names("?q=e") == [] and names("?q=e3") == []
    assert names("?state=dead") == ["e2"] and names("?type=call.started&state=folded") == ["e1"]
    assert "why it failed" in client.get(EVENTS).content.decode()
    assert client.get(EVENTS + "?state=x").status_code == 302 and client.get(EVENTS + "?state=all").status_code == 302
    assert client.get(EVENTS + "?data__calling_number__startswith=1")["Location"] == EVENTS


def test_an_event_is_shown_and_never_changed(administrator, client, account):
    row = event(account, "e1", EventState.DEAD, data={"calling_number": "+8613800138000"}, error="why")
    answer = client.get(f"{EVENTS}{row.pk}/change/")
    assert answer.status_code == 200 and "+8613800138000" in answer.content.decode() and "why" in answer.content.decode()
    assert client.post(f"{EVENTS}{row.pk}/change/", {"type": "x"}).status_code == 403
    foreign = event(AccountFactory(), "e2", EventState.DEAD)
    assert client.get(f"{EVENTS}{foreign.pk}/change/").status_code == 302
