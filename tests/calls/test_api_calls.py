"""Reading service records over the API."""

import base64
import datetime as dt
from urllib.parse import quote

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.models import Direction, LegKind, Outcome
from configuration.api_keys import create_api_key
from configuration.models import ApiKey, Role
from tests.factories import (
    AgentFactory,
    CallFactory,
    CallLegFactory,
    IvrStepFactory,
    QueueEntryFactory,
    RecordingFactory,
    SkillGroupFactory,
    VoicemailFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/api/v1/calls/"
START = dt.datetime(2026, 11, 24, 1, 0, tzinfo=dt.UTC)


@pytest.fixture
def api(api_key):
    return Client(headers={"authorization": f"Api-Key {api_key}"})


def listed(api, query: str = "") -> list[str]:
    answer = api.get(LIST + query)
    assert answer.status_code == 200, answer.content
    return [row["call_id"] for row in answer.json()["results"]]


def refusal(answer) -> list[str]:
    assert answer.status_code == 400
    return [error["field"] for error in answer.json()["errors"]]


def test_the_list_is_newest_first_and_of_the_account_only(api, account):
    for minutes, name in ((0, "a"), (2, "c"), (1, "b")):
        CallFactory(account=account, call_id=name, started_at=START + dt.timedelta(minutes=minutes))
    CallFactory(call_id="foreign")
    assert listed(api) == ["c", "b", "a"]


def test_pages_give_each_call_once_also_when_many_started_at_the_same_instant(api, account):
    for n in range(25):
        CallFactory(account=account, call_id=f"same-{n}", started_at=START)
    CallFactory(account=account, call_id="older", started_at=START - dt.timedelta(seconds=1))
    seen: list[str] = []
    address = LIST + "?limit=7&direction=inbound"
    while address:
        answer = api.get(address).json()
        seen += [row["call_id"] for row in answer["results"]]
        if len(seen) == 7:  # a new call arrives while somebody pages
            CallFactory(account=account, call_id="newest", started_at=START + dt.timedelta(minutes=1))
        address = answer["next"]
    assert len(seen) == len(set(seen)) == 26 and seen[-1] == "older" and "newest" not in seen


AT_THE_END_OF_TIME = base64.urlsafe_b64encode(b'["0001-01-01T00:00:00+23:59",1]').decode().rstrip("=")


@pytest.mark.parametrize("name", ["started_after", "started_before"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_beyond_the_calendar_is_refused(api, name, moment):
    assert refusal(api.get(f"{LIST}?{name}={quote(moment)}")) == [name]


@pytest.mark.parametrize(
    "cursor", [AT_THE_END_OF_TIME, "x", "bm90anNvbg", "W10", quote("WyIyMDI2LTExLTI0IiwgMV0"), "é", "%00", "A" * 20_000]
)
def test_a_cursor_that_is_not_ours_is_refused(api, cursor):
    assert refusal(api.get(f"{LIST}?cursor={cursor}")) == ["cursor"]


@pytest.mark.parametrize("limit", ["", "0", "501", "x", "-1", "9" * 400, "0005000", "000050" + "9" * 5000, "10%0A", "٣"])
def test_a_limit_out_of_bounds_is_refused(api, limit):
    assert refusal(api.get(f"{LIST}?limit={limit}")) == ["limit"]


def test_each_filter_narrows_to_what_it_says(api, account):
    agent, group = AgentFactory(account=account, staff_id="1001"), SkillGroupFactory(account=account, name="Sales")
    CallFactory(account=account, call_id="a", started_at=START, agent=agent, skill_group=group)
    CallFactory(account=account, call_id="b", started_at=START + dt.timedelta(hours=1), outcome=Outcome.TIMED_OUT)
    CallFactory(
        account=account,
        call_id="c",
        started_at=START + dt.timedelta(hours=2),
        direction=Direction.OUTBOUND,
        called_number="+8613900000000",
    )
    CallFactory(account=account, call_id="d", started_at=START + dt.timedelta(hours=3), open=True)
    assert listed(api, "?started_after=2026-11-24T02:00:00Z&started_before=2026-11-24T03:00:00Z") == ["b"]
    assert listed(api, "?started_after=2026-11-24T11:00:00%2B08:00") == ["d", "c"]
    assert listed(api, "?started_after=2026-11-24T11:00:00+08:00") == ["d", "c"]  # an unquoted plus arrives as a space
    assert listed(api, "?direction=outbound") == ["c"]
    assert listed(api, "?outcome=timed_out") == ["b"]
    assert listed(api, "?answered=false") == ["d", "b"] and listed(api, "?answered=true") == ["c", "a"]
    assert listed(api, "?open=true") == ["d"] and listed(api, "?open=false") == ["c", "b", "a"]
    assert listed(api, "?agent=1001") == ["a"] and listed(api, "?agent=nobody") == []
    assert listed(api, "?skill_group=Sales") == ["a"] and listed(api, "?skill_group=nothing") == []
    assert listed(api, "?number=139%200000%200000") == ["c"] and listed(api, "?number=1390000") == []
    assert listed(api, "?call_id=b") == ["b"] and listed(api, "?call_id=B") == []


def test_staff_and_groups_of_another_account_find_nothing(api, account):
    AgentFactory(staff_id="77")
    SkillGroupFactory(name="Theirs")
    CallFactory(account=account)
    assert listed(api, "?agent=77") == [] and listed(api, "?skill_group=Theirs") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?colour=red", "colour"),
        ("?calling_number__startswith=1", "calling_number__startswith"),
        ("?ordering=calling_number", "ordering"),
        ("?account=1", "account"),
        ("?outcome=bad", "outcome"),
        ("?direction=sideways", "direction"),
        ("?answered=maybe", "answered"),
        ("?open=1", "open"),
        ("?started_after=yesterday", "started_after"),
        ("?started_after=2026-11-24T02:00:00", "started_after"),  # in whose zone?
        ("?started_before=2026-11-24", "started_before"),
        ("?call_id=" + "x" * 300, "call_id"),
        ("?number=%00", "number"),
    ],
)
def test_a_parameter_that_is_unknown_or_wrong_is_named(api, account, query, field):
    assert refusal(api.get(LIST + query)) == [field]


def test_one_record_comes_with_its_parts(api, account):
    agent = AgentFactory(account=account, staff_id="1001")
    call = CallFactory(account=account, agent=agent, talk_seconds=210, hold_seconds=30)
    CallLegFactory(call=call, agent=agent, holds=[[START.isoformat(), None]])
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, number="+862155667788")
    QueueEntryFactory(call=call)
    IvrStepFactory(call=call)
    RecordingFactory(call=call)
    VoicemailFactory(call=call, heard_by=agent, heard_at=timezone.now())
    body = api.get(f"{LIST}{call.pk}/").json()
    assert body["agent"] == "1001" and body["connected_seconds"] == 240
    assert [(leg["seq"], leg["agent"], leg["number"]) for leg in body["legs"]] == [(1, "1001", ""), (2, None, "+862155667788")]
    assert body["legs"][0]["holds"][0][1] is None
    assert body["queue_entries"][0]["wait_seconds"] == 20 and body["ivr_steps"][0]["input"] == "1"
    assert body["recordings"][0]["content_type"] == "audio/wav" and "key" not in body["recordings"][0]
    assert body["voicemails"][0]["heard_by"] == "1001"


def test_reading_costs_the_same_number_of_queries_for_few_and_for_many(api, account):
    def n_queries(address: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(address).status_code == 200
        return len(queries)

    calls = [CallFactory(account=account, agent=AgentFactory(account=account), skill_group=SkillGroupFactory(account=account))]
    one_row, one_leg = n_queries(LIST), n_queries(f"{LIST}{calls[0].pk}/")
    for _ in range(20):
        calls.append(
            CallFactory(account=account, agent=AgentFactory(account=account), skill_group=SkillGroupFactory(account=account))
        )
        CallLegFactory(call=calls[0], skill_group=SkillGroupFactory(account=account))
        QueueEntryFactory(call=calls[0])
        IvrStepFactory(call=calls[0])
        VoicemailFactory(call=calls[0], skill_group=SkillGroupFactory(account=account), heard_by=AgentFactory(account=account))
    # The key (and, once a minute, when it was last used and that it was shown whole numbers), the page.
    assert n_queries(LIST) <= one_row <= 4
    # Agents, two sorts of groups: only where there are any; the entry in the audit log is made once a minute.
    assert n_queries(f"{LIST}{calls[0].pk}/") == one_leg + 3 - 1 == 10


def test_another_accounts_record_answers_like_one_that_never_was(api):
    foreign = CallFactory()
    answers = [api.get(f"{LIST}{pk}/") for pk in (foreign.pk, 99_999_999, "x", 2**70, "1" * 5000)]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1


def test_numbers_are_masked_for_who_may_not_see_them(client, account):
    call = CallFactory(account=account, calling_number="+8613800138000", called_number="+861055500001", remark="ring 13911112222")
    CallLegFactory(call=call, kind=LegKind.EXTERNAL, number="+862155667788")
    CallLegFactory(call=call, transfer_kind="blind", transfer_to="+862155667788")
    IvrStepFactory(call=call, prompt="You call from 13822223333.", input="4401886622119")
    client.force_login(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    body = client.get(f"{LIST}{call.pk}/")
    assert body.json()["calling_number"] == "+8613••••••000" and body.json()["called_number"] == "+861055500001"
    for secret in ("13800138000", "13822223333", "13911112222", "2155667788", "4401886622119"):
        assert secret not in body.content.decode()


def test_a_person_sees_over_the_api_what_their_data_scope_allows(client, account):
    person = AgentFactory(account=account, kind=Role.Kind.AGENT)
    client.force_login(person)
    hidden = CallFactory(account=account, call_id="hidden")
    CallLegFactory(call=CallFactory(account=account, call_id="own"), agent=person)
    assert listed(client) == ["own"]
    assert client.get(f"{LIST}{hidden.pk}/").status_code == 404


def test_sound_is_listed_for_who_may_know_of_it(client, account):
    call = CallFactory(account=account)
    RecordingFactory(call=call)
    VoicemailFactory(call=call)
    role = Role.objects.create(account=account, name="Reader", data_scope=Role.DataScope.ACCOUNT)
    client.force_login(AgentFactory(account=account, role=role))
    for more, n in (((), (0, 0)), (("calls.view_recording",), (1, 0)), (("calls.view_voicemail",), (0, 1))):
        role.permissions = ["calls.view_call", *more]
        role.save()
        body = client.get(f"{LIST}{call.pk}/").json()
        assert (len(body["recordings"]), len(body["voicemails"])) == n


def test_reading_needs_the_scope_and_writing_is_not_offered(account, api):
    call = CallFactory(account=account)
    other = create_api_key(account=account, name="events only", scopes=[ApiKey.Scope.EVENTS_WRITE])[1]
    assert Client(headers={"authorization": f"Api-Key {other}"}).get(LIST).status_code == 403
    assert Client().get(LIST).status_code == 401
    assert api.delete(f"{LIST}{call.pk}/").status_code in (403, 405) and api.post(LIST, {}).status_code in (403, 405)


def test_the_description_of_the_api_comes_out_without_a_warning(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    text = (tmp_path / "schema.yml").read_text()
    assert "/api/v1/calls/{id}/" in text and "20261124-000417" in text
