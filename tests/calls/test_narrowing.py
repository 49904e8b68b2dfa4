"""The filters of service records: what they mean, the same in the admin and over the API, whichever way rows are found."""

import datetime as dt
import random

import pytest
from django.db import connection
from django.db.models import Q
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import SkillGroupMember
from agents.querysets import own_groups
from calls import narrowing
from calls.models import Call, CallLeg, CallSeenBy, Direction, LegKind, Outcome, QueueEntry, Recording, Voicemail
from configuration.models import Role
from tests.factories import (
    AccountFactory,
    AgentFactory,
    CallFactory,
    CallLegFactory,
    MemberFactory,
    QueueEntryFactory,
    RecordingFactory,
    ServiceNumberFactory,
    SkillGroupFactory,
    VoicemailFactory,
)

pytestmark = pytest.mark.django_db

LIST = "/admin/calls/call/"


@pytest.fixture(params=[0, 20_000], ids=["walked", "sought"])
def either_way(request, monkeypatch):
    monkeypatch.setattr(narrowing, "FEW", request.param)


@pytest.fixture
def administrator(account, client):
    person = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)
    client.force_login(person)
    return person


@pytest.fixture
def api_client(api_key):
    return Client(headers={"authorization": f"Api-Key {api_key}"})


def in_admin(client, query: str) -> set[str]:
    answer = client.get(f"{LIST}?period=all&{query}")
    assert answer.status_code == 200, answer.get("Location")
    return {call.call_id for call in answer.context["cl"].result_list}


def in_api(client, query: str) -> set[str]:
    answer = client.get(f"/api/v1/calls/?{query}")
    assert answer.status_code == 200, answer.content
    return {row["call_id"] for row in answer.json()["results"]}


SAME = [
    ("outcome=answered", "outcome=answered", {"short", "long", "rated", "low", "unrated", "noted"}),
    ("outcome=blocked&outcome=voicemail", "outcome=blocked&outcome=voicemail", {"blocked", "mail"}),
    ("provider=Mobile", "provider=Mobile", {"short"}),
    ("provider=Nobody", "provider=Nobody", set()),
    ("talk_to=10", "talk_max=10", {"short"}),
    ("talk_from=9&talk_to=10", "talk_min=9&talk_max=10", {"short"}),
    ("talk_from=1:00:00", "talk_min=3600", {"long"}),
    ("talk_from=59:59.", None, None),
    ("length_from=1:30:00", "length_min=5400", {"long"}),
    ("length_to=20", "length_max=20", {"blocked"}),
    ("rating=given", "rating=given", {"rated", "low"}),
    ("rating=not_given", "rating=not_given", {"unrated"}),
    ("rating_from=4.5&rating_to=5", "rating_min=4.5&rating_max=5", {"rated"}),
    ("rating_to=2", "rating_max=2", {"low"}),
    ("rating=not_given&rating_from=1", "rating=not_given&rating_min=1", set()),
    ("remark=yes", "has_remark=true", {"noted"}),
    ("recording=yes", "has_recording=true", {"long"}),
    ("voicemail=yes", "has_voicemail=true", {"mail"}),
    ("disposition=sold", "disposition=sold", {"noted"}),
    ("service_number={number}", "service_number=010-55500009", {"blocked", "out"}),
    ("service_number={number}&direction=outbound", "service_number=%2B861055500009&direction=outbound", {"out"}),
    ("q=13911112222", "number=139-1111-2222", {"out", "blocked"}),
]


@pytest.mark.parametrize(("typed", "asked", "wanted"), SAME, ids=[one[0] for one in SAME])
def test_a_filter_means_the_same_in_the_admin_and_over_the_api(
    administrator, client, account, api_client, either_way, typed, asked, wanted
):
    number = ServiceNumberFactory(account=account, number="+861055500009")
    make = {"account": account}
    CallFactory(**make, call_id="short", talk_seconds=10, total_seconds=30, provider="Mobile")
    CallFactory(**make, call_id="long", talk_seconds=3600.0, total_seconds=5400.0, has_recording=True)
    CallFactory(**make, call_id="rated", talk_seconds=60, total_seconds=300, rating_asked=True, rating_score=5, rating_scale=5)
    CallFactory(**make, call_id="low", talk_seconds=60, total_seconds=300, rating_asked=True, rating_score=0, rating_scale=10)
    CallFactory(**make, call_id="unrated", talk_seconds=60, total_seconds=300, rating_asked=True)
    CallFactory(**make, call_id="noted", talk_seconds=60, total_seconds=300, remark="x", has_remark=True, disposition="sold")
    CallFactory(
        **make,
        call_id="blocked",
        outcome=Outcome.BLOCKED,
        total_seconds=2,
        called_number=number.number,
        calling_number="+8613911112222",
    )
    CallFactory(**make, call_id="mail", outcome=Outcome.VOICEMAIL, total_seconds=60, has_voicemail=True)
    CallFactory(
        **make,
        call_id="out",
        direction=Direction.OUTBOUND,
        outcome=Outcome.NOT_ANSWERED,
        total_seconds=60,
        calling_number=number.number,
        called_number="+8613911112222",
    )
    CallFactory(**make, call_id="open", open=True, answered_at=None)
    CallFactory(call_id="other account", calling_number="+8613911112222", provider="Mobile", has_remark=True)
    if wanted is None:
        assert client.get(f"{LIST}?period=all&{typed}").status_code == 302
        return
    assert in_admin(client, typed.format(number=number.pk)) == wanted
    assert in_api(api_client, asked) == wanted


def test_what_is_left_out_by_a_yes_is_found_by_a_no(administrator, client, account, api_client):
    CallFactory(account=account, call_id="with", has_recording=True)
    CallFactory(account=account, call_id="without")
    assert in_admin(client, "recording=no") == in_api(api_client, "has_recording=false") == {"without"}


@pytest.mark.parametrize(
    "query", ["talk_min=-1", "talk_min=x", "talk_max=1e400", "rating=maybe", "outcome=lost", "has_remark=yes"]
)
def test_a_value_that_cannot_be_read_is_refused_over_the_api(api_client, query):
    answer = api_client.get(f"/api/v1/calls/?{query}")
    assert answer.status_code == 400 and query.split("=")[0] in str(answer.content)


@pytest.mark.parametrize(
    "query", ["talk_from=x", "talk_to=1:2:3:4", "rating=maybe", "rating_from=-1", "length_from=%00", "remark=x"]
)
def test_a_value_that_cannot_be_read_is_no_error_in_the_admin(administrator, client, query):
    answer = client.get(f"{LIST}?{query}")
    assert answer.status_code == 302 and answer["Location"] == LIST


def test_whether_there_is_sound_is_asked_only_by_those_who_may_know(account, client):
    role = Role.objects.get(account=account, kind=Role.Kind.INSPECTOR)
    role.permissions = [one for one in role.permissions if one not in ("calls.view_recording", "calls.listen_recording")]
    role.kind = Role.Kind.CUSTOM
    role.name = "no sound"
    role.save()
    client.force_login(AgentFactory(account=account, role=role))
    CallFactory(account=account, has_recording=True)
    assert "with a recording" not in client.get(LIST).content.decode().lower()
    answer = client.get(f"{LIST}?recording=yes", follow=True)
    assert answer.redirect_chain == [(LIST, 302)] and "shown without it: recording." in answer.content.decode()
    assert client.get("/api/v1/calls/?has_recording=true").status_code == 403
    assert client.get("/api/v1/calls/?has_voicemail=true").status_code == 200


def test_each_filter_that_is_on_is_taken_off_by_itself(administrator, client, account):
    group = SkillGroupFactory(account=account, name="Sales")
    query = f"period=all&direction=inbound&talk_from=1:30&skill_group__id__exact={group.pk}&outcome=answered&outcome=voicemail"
    chips = client.get(f"{LIST}?{query}").context["cl"].chips
    assert [(chip["title"], chip["text"]) for chip in chips] == [
        ("Direction", "Inbound"),
        ("Outcome", "Answered, Voicemail"),
        ("Skill group", "Sales"),
        ("Talk time", "1:30 – …"),
    ]
    for chip in chips:
        left = client.get(LIST + chip["rest"]).context["cl"].chips
        assert [one["title"] for one in left] == [one["title"] for one in chips if one != chip]


def test_a_chip_names_no_row_of_another_account(administrator, client):
    theirs = SkillGroupFactory(account=AccountFactory(), name="secret group")
    page = client.get(f"{LIST}?skill_group__id__exact={theirs.pk}").content.decode()
    assert "secret group" not in page
    missing = client.get(f"{LIST}?skill_group__id__exact=70999999").content.decode()
    assert "<b>?</b>" in page and "<b>?</b>" in missing


# --- Who sees what ---------------------------------------------------------------------------------------------------


def seen_before(person) -> set[int]:
    """What the rule says, asked of the parts themselves."""
    own = Q(pk__in=CallLeg.objects.filter(account_id=person.account_id, agent_id=person.pk).values("call_id"))
    if person.data_scope == Role.DataScope.GROUPS:
        groups = list(own_groups(person).values_list("skill_group_id", flat=True))
        entries = QueueEntry.objects.filter(account_id=person.account_id, skill_group_id__in=groups).values("call_id")
        own |= Q(skill_group_id__in=groups) | Q(pk__in=entries)
    return set(Call.objects.filter(own, account_id=person.account_id).values_list("pk", flat=True))


def random_center(seed: int, account):
    """Calls with any parts, their rows written as the fold does, and people of both narrower scopes."""
    chance = random.Random(seed)
    groups = [SkillGroupFactory(account=account) for _ in range(4)]
    people = [AgentFactory(account=account) for _ in range(4)]
    bosses = [AgentFactory(account=account, kind=Role.Kind.SUPERVISOR) for _ in range(3)]
    for person in (*people, *bosses):
        for group in chance.sample(groups, chance.choice((0, 1, 1, 2))):
            MemberFactory(account=account, agent=person, skill_group=group)
    start = timezone.now() - dt.timedelta(days=30)
    for _ in range(30):
        call = CallFactory(
            account=account,
            started_at=start + dt.timedelta(hours=chance.randrange(24 * 29)),
            skill_group=chance.choice((None, *groups)),
        )
        for _ in range(chance.randrange(3)):
            if chance.random() < 0.2:
                CallLegFactory(call=call, kind=LegKind.EXTERNAL, agent=None)
            else:
                CallLegFactory(call=call, agent=chance.choice((*people, *bosses)), skill_group=chance.choice((None, *groups)))
        for _ in range(chance.randrange(3)):
            QueueEntryFactory(call=call, skill_group=chance.choice((None, *groups)))
    return [*people, *bosses]


@pytest.mark.parametrize("seed", range(6))
def test_everybody_sees_the_calls_of_their_legs_and_groups_and_no_others(account, seed, monkeypatch):
    people = random_center(seed, account)
    random_center(seed + 100, AccountFactory())
    middle = timezone.now() - dt.timedelta(days=15)
    for person in people:
        wanted = seen_before(person)
        rows = Call.objects.visible_to(person)
        assert set(rows.values_list("pk", flat=True)) == wanted
        for few in (0, 1, 20_000):
            monkeypatch.setattr(narrowing, "FEW", few)
            listed = narrowing.listed_for(person)
            assert list(listed.values_list("pk", flat=True)) == list(rows.values_list("pk", flat=True))
            late = narrowing.listed_for(person, start=middle).filter(started_at__gte=middle)
            assert list(late) == list(rows.filter(started_at__gte=middle))


def test_leaving_a_group_hides_its_calls_at_once(account):
    member = MemberFactory(agent=AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), account=account)
    call = CallFactory(account=account, skill_group=member.skill_group)
    assert list(Call.objects.visible_to(member.agent)) == [call]
    SkillGroupMember.objects.all().delete()
    assert not Call.objects.visible_to(member.agent).exists()


def test_sound_is_seen_with_its_call(account):
    person = AgentFactory(account=account)
    own, other = CallFactory(account=account), CallFactory(account=account)
    CallLegFactory(call=own, agent=person)
    recordings = [RecordingFactory(call=call) for call in (own, other)]
    messages = [VoicemailFactory(call=call) for call in (own, other)]
    assert list(Recording.objects.visible_to(person)) == recordings[:1]
    assert list(Voicemail.objects.visible_to(person)) == messages[:1]


def test_no_narrowing_reads_rows_of_another_account(account, monkeypatch):
    theirs = CallFactory()
    CallSeenBy.objects.create(account=account, call=theirs, viewer=1, started_at=theirs.started_at)
    person = AgentFactory(account=account, pk=1)
    assert not Call.objects.visible_to(person).exists()
    for few in (0, 20_000):
        monkeypatch.setattr(narrowing, "FEW", few)
        assert not narrowing.listed_for(person).exists()


# --- How much is asked of the database -------------------------------------------------------------------------------


@pytest.mark.parametrize("few", [0, narrowing.FEW])
def test_a_page_of_records_is_looked_for_once(account, client, monkeypatch, few):
    monkeypatch.setattr(narrowing, "FEW", few)
    person = AgentFactory(account=account, kind=Role.Kind.SUPERVISOR)
    client.force_login(person)
    for _ in range(60):
        CallLegFactory(call=CallFactory(account=account), agent=person)
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(f"{LIST}?period=all&p=2")
    assert len(answer.context["cl"].result_list) == 10
    of_calls = [one["sql"] for one in queries if "FROM `calls_call`" in one["sql"].replace('"', "`")]
    # The ids of the page are looked for by all conditions, and its rows by their ids. Few are not limited but sorted.
    by_conditions = [sql for sql in of_calls if "calls_callseenby" in sql and "ORDER BY" in sql]
    assert ["LIMIT 1001" in sql for sql in by_conditions] == [few == 0]
    assert all("LIMIT" in sql or "IN (" in sql for sql in of_calls), of_calls


def test_an_hour_of_the_week_means_the_same_in_the_list_an_export_and_over_the_api(client, account):
    zone = account.zone
    monday = dt.datetime(2026, 3, 2, 10, 0, tzinfo=zone)
    hits = [
        CallFactory(account=account, started_at=monday + shift) for shift in (dt.timedelta(0), dt.timedelta(days=7, minutes=59))
    ]
    CallFactory(account=account, started_at=monday - dt.timedelta(microseconds=1))
    CallFactory(account=account, started_at=monday + dt.timedelta(hours=1))
    CallFactory(account=account, started_at=monday + dt.timedelta(days=1))
    CallFactory(account=account, started_at=monday + dt.timedelta(days=14))  # outside the period
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    found = client.get(LIST, {"from": "2026-03-02", "to": "2026-03-15", "week_hour": "1-10"})
    assert {call.pk for call in found.context["cl"].result_list} == {call.pk for call in hits}
    assert "Monday 10:00–11:00" in found.text
    moments = {"started_after": "2026-03-01T16:00:00Z", "started_before": "2026-03-15T16:00:00Z"}
    answer = client.get("/api/v1/calls/", {**moments, "week_hour": "1-10"}).json()
    assert {row["call_id"] for row in answer["results"]} == {call.call_id for call in hits}
    for wrong in ("8-10", "1-24", "1-010", "x", "１-10"):
        assert client.get(LIST, {"week_hour": wrong}).status_code == 302, wrong
        assert client.get("/api/v1/calls/", {**moments, "week_hour": wrong}).status_code == 400, wrong


def test_a_period_may_begin_and_end_at_a_time_of_day(client, account):
    ten = dt.datetime(2026, 3, 2, 10, 0, tzinfo=account.zone)
    inside = CallFactory(account=account, started_at=ten)
    CallFactory(account=account, started_at=ten - dt.timedelta(microseconds=1))
    CallFactory(account=account, started_at=ten + dt.timedelta(minutes=30))
    client.force_login(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR), backend="agents.sign_in.RoleBackend")
    found = client.get(LIST, {"from": "2026-03-02T10:00", "to": "2026-03-02T10:30"})
    assert [call.pk for call in found.context["cl"].result_list] == [inside.pk]
    assert "2026-03-02 10:00 – 10:30" in found.text and 'type="datetime-local" name="from"' in found.text
    for wrong in ("2026-03-02T25:00", "10:00", "2026-03-02T10:00+99:00", "9999-01-01T00:00"):
        assert client.get(LIST, {"from": wrong}).status_code == 302, wrong
