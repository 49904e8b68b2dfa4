"""What agents write about a call: an event like any other, never lost, never over somebody else's words unseen."""

import datetime as dt

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent
from calls.ingest import accept_events, fold_due
from calls.models import Call, CallEvent
from calls.remarks import ChangedMeanwhile, current_remark, may_remark, new_token, write_remark
from configuration.models import AuditEntry, Disposition, Role
from tests.factories import AccountFactory, AgentFactory, CallFactory, CallLegFactory

NUMBER = "13900001111"


@pytest.fixture
def agent(account) -> Agent:
    Disposition.objects.create(account=account, name="Booked")
    Disposition.objects.create(account=account, name="Given up", is_active=False)
    return AgentFactory(account=account)


@pytest.fixture
def call(agent) -> Call:
    call = CallFactory(account=agent.account)
    CallLegFactory(call=call, agent=agent)
    told(
        call, "call.started", {"direction": "inbound", "calling_number": call.calling_number, "called_number": "+861055500001"}, 0
    )
    told(call, "call.answered", {"agent": agent.staff_id}, 5)
    told(call, "call.ended", {"party": "customer"}, 60)
    return folded(call)


def told(call, kind, data, seconds, at=None):
    item = {
        "specversion": "1.0",
        "source": "pbx",
        "id": f"{kind}-{seconds}",
        "type": kind,
        "subject": call.call_id,
        "time": (at or call.started_at + dt.timedelta(seconds=seconds)).isoformat(),
        "data": data,
    }
    [answer] = accept_events(account=call.account, items=[item], at=timezone.now())
    assert answer["status"] == "accepted", answer


def folded(call) -> Call:
    fold_due(at=timezone.now())
    return Call.objects.get(pk=call.pk)


def form(call, text="", disposition="", **more):
    return {
        "text": text,
        "disposition": disposition,
        "began_with": current_remark(call).fingerprint,
        "token": new_token(),
        **more,
    }


def write(call, by, *args, **kwargs):
    return write_remark(call=call, by=by, form=form(call, *args, **kwargs), at=timezone.now())


def test_what_is_written_comes_into_the_record_and_outlives_a_folding_anew(call, agent):
    write(call, agent, "Wants a refund.", "Booked")
    assert current_remark(call).text == "Wants a refund.", "before it is folded"
    call = folded(call)
    assert (call.remark, call.disposition) == ("Wants a refund.", "Booked")
    told(call, "call.rated", {"asked": True, "score": 5, "scale": 5}, 90)
    call = folded(call)
    assert (call.remark, call.rating_score) == ("Wants a refund.", 5)


def test_the_portal_says_it_itself_and_names_its_agent(call, agent):
    write(call, agent, "Fine.")
    event = CallEvent.objects.get(type="call.remarked")
    assert (event.source, event.data) == ("portal", {"text": "Fine.", "agent": agent.staff_id})


def test_the_last_word_is_the_last_written_even_where_the_platforms_clock_is_ahead(call, agent):
    told(call, "call.remarked", {"text": "From the platform."}, 0, at=timezone.now() + dt.timedelta(minutes=5))
    call = folded(call)
    write(call, agent, "From the desk.")
    assert folded(call).remark == "From the desk."


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten_unseen(call, agent):
    before = form(call, "Mine.")
    told(call, "call.remarked", {"text": "Theirs.", "disposition": "By the platform"}, 70)
    with pytest.raises(ChangedMeanwhile) as caught:
        write_remark(call=call, by=agent, form=before, at=timezone.now())
    assert (caught.value.now.text, caught.value.now.disposition) == ("Theirs.", "By the platform")
    assert not CallEvent.objects.filter(source="portal").exists()
    write(call, agent, "Theirs. Mine.")
    call = folded(call)
    assert (call.remark, call.disposition) == ("Theirs. Mine.", "By the platform"), "a platform's free words stay"


def test_the_same_sending_twice_is_one(call, agent):
    sent = form(call, "Once.")
    for _ in range(2):
        write_remark(call=call, by=agent, form=sent, at=timezone.now())
    assert CallEvent.objects.filter(source="portal").count() == 1


def test_what_is_written_on_after_a_lost_answer_is_kept(call, agent):
    sent = form(call, "First half.")
    write_remark(call=call, by=agent, form=sent, at=timezone.now())
    write_remark(call=call, by=agent, form=sent | {"text": "First half. Second half."}, at=timezone.now())
    assert folded(call).remark == "First half. Second half."


def test_saving_what_stands_there_says_nothing(call, agent):
    write(call, agent, "Same.")
    write(call, agent, "Same.")
    assert CallEvent.objects.filter(source="portal").count() == 1


def test_a_sealed_record_takes_a_remark(call, agent):
    CallEvent.objects.all().delete()
    Call.objects.filter(pk=call.pk).update(sealed_at=timezone.now(), remark="Old.", disposition="Booked")
    call.refresh_from_db()
    write(call, agent, "New.")
    call = folded(call)
    assert (call.remark, call.disposition, call.talk_seconds) == ("New.", "Booked", 55)


@pytest.mark.parametrize("disposition", ["Given up", "Invented"])
def test_only_dispositions_in_use_are_chosen(call, agent, disposition):
    with pytest.raises(ValidationError) as caught:
        write(call, agent, "x", disposition)
    assert "disposition" in caught.value.message_dict


def test_a_remark_has_a_greatest_length_to_the_letter(call, agent):
    write(call, agent, "字" * 5000)
    assert len(folded(call).remark) == 5000
    with pytest.raises(ValidationError) as caught:
        write(call, agent, "字" * 5001)
    assert "5001" in caught.value.message_dict["text"][0]


def test_control_characters_are_left_out_and_lines_kept(call, agent):
    write(call, agent, "one\r\ntwo\x00\x1b[31m three ")
    assert folded(call).remark == "one\ntwo[31m three"


def test_who_does_not_see_a_number_in_the_remark_does_not_lose_it_by_saving(call, agent):
    told(call, "call.remarked", {"text": f"Ring {NUMBER}."}, 70)
    call = folded(call)
    blind = AgentFactory(account=call.account, role=Role.objects.create(account=call.account, name="Blind"))
    CallLegFactory(call=call, agent=blind)
    assert may_remark(blind, call)
    write(call, blind, "Rang, nobody there.")
    assert folded(call).remark == f"Ring {NUMBER}.\nRang, nobody there."


def test_the_audit_log_knows_that_a_remark_changed_and_not_what_it_says(call, agent):
    write(call, agent, "Secret words.", "Booked")
    entry = AuditEntry.objects.latest("pk")
    assert (entry.object_id, set(entry.changes)) == (call.pk, {"remark", "disposition"})
    assert "Secret" not in str(entry.changes)


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_only_who_took_the_call_or_holds_the_right_writes(call, agent):
    account = call.account
    rang_only = AgentFactory(account=account)
    CallLegFactory(call=call, agent=rang_only, answered_at=None, result="no_answer")
    assert may_remark(agent, call)
    assert not may_remark(rang_only, call)
    assert may_remark(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR), call)
    assert not may_remark(AgentFactory(account=account, kind=Role.Kind.INSPECTOR), call)


def client_of(person) -> Client:
    client = Client()
    client.force_login(person, backend="agents.sign_in.RoleBackend")
    return client


def send(person, call_id, data):
    return client_of(person).post(reverse("calls:remark", args=[call_id]), data)


def test_the_desk_sends_it_and_gets_what_now_stands(call, agent):
    answer = send(agent, call.pk, form(call, "Hello.", "Booked"))
    assert (answer.status_code, answer.json()["text"], answer.json()["disposition"]) == (200, "Hello.", "Booked")
    assert answer.json()["began_with"] == current_remark(call).fingerprint
    assert send(agent, call.pk, form(call, "x", "Invented")).status_code == 400
    overtaken = send(agent, call.pk, form(call, "Mine.", began_with="0" * 16))
    assert (overtaken.status_code, overtaken.json()["text"]) == (409, "Hello.")


def test_a_call_one_may_not_see_answers_like_one_that_does_not_exist(call, agent):
    colleague, stranger = AgentFactory(account=call.account), AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)
    missing = send(agent, 10**9, form(call, "x"))
    assert missing.status_code == 404
    for person in (colleague, stranger):
        answer = send(person, call.pk, form(call, "x"))
        assert (answer.status_code, answer.content) == (404, send(person, 10**9, form(call, "x")).content)
    assert not CallEvent.objects.filter(source="portal").exists()


def test_the_records_page_offers_it_to_those_who_may(call, agent):
    page = reverse("admin:calls_call_change", args=[call.pk])
    boss = client_of(AgentFactory(account=call.account, kind=Role.Kind.ADMINISTRATOR))
    assert 'name="began_with"' in boss.get(page).content.decode()
    answer = boss.post(page, form(call, "By the boss.", "Booked"), follow=True)
    assert "The remark is saved." in answer.content.decode()
    assert "By the boss." in answer.content.decode(), "also before it is folded"
    overtaken = boss.post(page, form(call, "Typed in vain?", began_with="0" * 16))
    shown = overtaken.content.decode()
    assert "Somebody else has written" in shown
    assert "Typed in vain?" in shown, "what was typed is not lost"
    assert folded(call).remark == "By the boss."
    inspector = client_of(AgentFactory(account=call.account, kind=Role.Kind.INSPECTOR))
    assert 'name="began_with"' not in inspector.get(page).content.decode()
    assert inspector.post(page, form(call, "x")).status_code == 403
