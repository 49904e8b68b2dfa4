"""Whoever may not see whole numbers finds none: on no page, in no answer, in no corner of a record."""

import hashlib

import pytest
from django.urls import reverse
from django.utils import timezone

from callcenter_site.phone_numbers import mask, mask_text
from calls import masking
from calls.models import CallEvent, Direction, EventState, UnknownName
from configuration.access import SEE_FULL_NUMBER
from configuration.models import Role
from tests.factories import AgentFactory, CallFactory, CallLegFactory, IvrStepFactory, QueueEntryFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db

DIGITS = "13912345678"
NUMBER = f"+86{DIGITS}"
WRITTEN = ("139 1234 5678", "139-1234-5678", "139.1234.5678", "(139) 1234-5678", "139/12345678", "１３９１２３４５６７８")


def hidden_from(text: str) -> bool:
    """Whether the number cannot be read off a page, in whatever way it is grouped."""
    bare = "".join(one for one in text if one.isdigit() or one == "•")
    return DIGITS not in bare and "１３９１２３４５６７８" not in text and not any(one in text for one in WRITTEN)


@pytest.fixture
def records(account):
    """Calls that hold the number wherever a record can hold one."""
    group = SkillGroupFactory(account=account)
    calls = [
        CallFactory(
            account=account,
            direction=direction,
            calling_number=NUMBER if direction != Direction.OUTBOUND else "+861055500001",
            called_number="+861055500001" if direction == Direction.INBOUND else NUMBER,
            remark=f"call back on {WRITTEN[number]} or {DIGITS}",
            skill_group=group,
        )
        for number, direction in enumerate(Direction.values)
    ]
    for call in calls:
        QueueEntryFactory(call=call, skill_group=group)
        CallLegFactory(call=call, agent=None, agent_reference=DIGITS)
        CallLegFactory(call=call, kind="external", number=NUMBER, transfer_kind="blind", transfer_to=NUMBER)
        CallLegFactory(call=call, transfer_kind="attended", transfer_to=WRITTEN[0])
        IvrStepFactory(call=call, prompt=f"You called from {WRITTEN[1]}", input=f"{DIGITS}#")
        CallEvent.objects.create(
            account=account,
            source="pbx",
            event_id=f"event {call.pk}",
            event_key=hashlib.sha256(b"%d" % call.pk).digest(),
            body_hash=hashlib.sha256(b"body").digest(),
            type="call.started",
            subject=call.call_id,
            call_key=call.call_key,
            occurred_at=timezone.now(),
            received_at=timezone.now(),
            retry_at=timezone.now(),
            state=EventState.FOLDED,
            data={
                "calling_number": NUMBER,
                "reference": f"recordings/{DIGITS}.wav",
                "provider": {"sip": [f"sip:{DIGITS}@pbx"], "number": int(DIGITS)},
                "at": "2026-11-24T01:00:00Z",
            },
        )
    UnknownName.objects.create(account=account, kind="agent", name=DIGITS, name_hash=hashlib.sha256(DIGITS.encode()).digest())
    return calls


def person_with(account, *extra: str, without: tuple[str, ...] = (SEE_FULL_NUMBER,), scope: str = "account"):
    """A role that may do everything an administrator may, but for what is left out."""
    everything = set(Role.objects.get(account=account, kind=Role.Kind.ADMINISTRATOR).permissions)
    role = Role.objects.create(
        account=account, name="Auditor", data_scope=scope, permissions=sorted(everything - set(without) | set(extra))
    )
    return AgentFactory(account=account, role=role)


def pages_of(records) -> list[str]:
    events = CallEvent.objects.order_by("pk")
    return [
        reverse("admin:calls_call_changelist"),
        reverse("admin:calls_call_changelist") + f"?q={mask(NUMBER)}",
        *(reverse("admin:calls_call_change", args=[call.pk]) for call in records),
        reverse("admin:calls_callevent_changelist") + "?state=folded",
        *(reverse("admin:calls_callevent_change", args=[event.pk]) for event in events),
        reverse("admin:calls_unknownname_changelist"),
        *(reverse("admin:calls_unknownname_change", args=[name.pk]) for name in UnknownName.objects.all()),
        *(reverse("admin:agents_agent_change", args=[leg.agent_id]) for leg in records[0].legs.exclude(agent=None)),
        "/api/v1/calls/",
        *(f"/api/v1/calls/{call.pk}/" for call in records),
    ]


def test_no_page_and_no_answer_shows_a_whole_number_to_who_may_not_see_one(client, account, records):
    client.force_login(person_with(account), backend="agents.sign_in.RoleBackend")
    for address in pages_of(records):
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert hidden_from(answer.content.decode()), address


def test_who_may_see_whole_numbers_sees_them(client, account, records):
    """The positive control: the number is in these records."""
    client.force_login(person_with(account, without=()), backend="agents.sign_in.RoleBackend")
    for address in pages_of(records):
        if "?" not in address:  # a search for the masked form finds nothing, and the list of events shows no content
            assert not hidden_from(client.get(address).content.decode()), address


@pytest.mark.parametrize(
    ("kind", "sees"), [(Role.Kind.ADMINISTRATOR, True), (Role.Kind.SUPERVISOR, True), (Role.Kind.INSPECTOR, False)]
)
def test_built_in_roles_see_what_they_are_meant_to(client, account, records, kind, sees):
    person = AgentFactory(account=account, kind=kind)
    CallLegFactory(call=records[0], agent=person)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    for address in (reverse("admin:calls_call_change", args=[records[0].pk]), f"/api/v1/calls/{records[0].pk}/"):
        assert hidden_from(client.get(address).content.decode()) is not sees


@pytest.mark.parametrize("sees", [True, False])
def test_the_desk_shows_own_calls_by_the_same_rule(client, account, records, sees):
    person = person_with(account, without=() if sees else (SEE_FULL_NUMBER,), scope="own")
    CallLegFactory(call=records[0], agent=person)
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    answer = client.get(reverse("calls:desk-records"))
    assert answer.status_code == 200 and hidden_from(answer.content.decode()) is not sees


def test_a_masked_number_is_found_whole_and_by_no_part_of_it(client, account, records):
    client.force_login(person_with(account), backend="agents.sign_in.RoleBackend")
    address = reverse("admin:calls_call_changelist")

    def n_found(text: str) -> int:
        return len(client.get(address, {"q": text, "period": "all"}).context["cl"].result_list)

    assert n_found(NUMBER) == len(records)
    assert [n_found(part) for part in (NUMBER[:-1], DIGITS[:5], "+86139", DIGITS[-4:], "%" + DIGITS[-4:])] == [0] * 5
    assert client.get("/api/v1/calls/", {"number": NUMBER[:-1]}).json()["results"] == []
    assert len(client.get("/api/v1/calls/", {"number": NUMBER}).json()["results"]) == len(records)


@pytest.mark.parametrize(
    "query",
    ["calling_number__startswith=%2B86139", "calling_number__gte=%2B8613", "called_number=%2B86", "remark__contains=139"],
)
def test_a_masked_column_is_not_filtered_on_through_the_address(client, account, records, query):
    client.force_login(person_with(account), backend="agents.sign_in.RoleBackend")
    answer = client.get(reverse("admin:calls_call_changelist") + f"?{query}")
    assert answer.status_code in (302, 400)
    assert client.get(f"/api/v1/calls/?{query}").status_code == 400


def test_a_masked_column_does_not_sort(client, account, records):
    client.force_login(person_with(account), backend="agents.sign_in.RoleBackend")
    address = reverse("admin:calls_call_changelist")
    plain = [call.pk for call in client.get(address).context["cl"].result_list]
    for column in ("3", "-3", "4", "-4"):
        assert [call.pk for call in client.get(address, {"o": column}).context["cl"].result_list] == plain
    assert client.get("/api/v1/calls/", {"ordering": "calling_number"}).status_code == 400


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+8613800138000", "+8613•••••••000"),
        ("13800138000", "138•••••000"),
        ("+12345678", "+1••••678"),
        ("+1234567", "+••••567"),
        ("12345678", "1••••678"),
        ("1234567", "••••567"),
        ("100861", "100861"),
        ("8001", "8001"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_at_least_four_digits_back(number, shown):
    hidden = mask(number)
    assert hidden == shown or (len(number) > 9 and hidden[:3] == number[:3] and hidden.count("•") >= 4)
    assert len(hidden) == len(number)


@pytest.mark.parametrize("written", [*WRITTEN, DIGITS, NUMBER, "139 – 1234 – 5678"])
def test_numbers_in_free_text_are_hidden_however_they_are_grouped(written):
    assert hidden_from(mask_text(f"please call {written}, thanks"))


@pytest.mark.parametrize("text", ["order 123456", "room 12, floor 3", "about 5 to 10 days", "", "v1.2.3"])
def test_text_without_a_number_stays_as_it_is(text):
    assert mask_text(text) == text


def test_times_in_an_event_stay_readable():
    data = {"at": "2026-11-24T01:00:00Z", "n": 12, "ok": True, "none": None}
    assert masking.shown_event(data, whole=False) == data
