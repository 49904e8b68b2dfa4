"""One call's way through the portal: posted, folded, shown, counted, and gone after its six months."""

import datetime as dt
import json

import pytest
import time_machine
from django.core.files.storage import default_storage

from analytics.models import CallInterval
from analytics.tasks import fill_intervals
from calls.demo import sound
from calls.models import Call, CallEvent, CallLeg, IvrStep, QueueEntry, Recording, StaleCallSlot
from calls.recordings import store_audio
from calls.tasks import fold_events
from configuration.models import Role
from retention import outbox
from retention.models import PurgeRun
from retention.purge import purge_account
from tests.factories import AgentFactory, SkillGroupFactory
from tests.scenarios import events_of

pytestmark = pytest.mark.django_db

TABLE = """
    10:00:00 started
    10:00:00 ivr_prompted
    10:00:20 queued skill_group=Support
    10:00:25 ringing agent=1001
    10:00:30 answered agent=1001
    10:04:30 ended party=customer
    10:04:30 recorded duration=3
    10:05:00 wrap_up_ended agent=1001
"""
DAY = dt.date(2026, 5, 31)  # six months later is the 30th of November, the last day of that month
CALL_DAY, LAST_DAY, NEXT_DAY = (dt.datetime(2026, *day, 4, tzinfo=dt.UTC) for day in ((5, 31), (11, 30), (12, 1)))


def test_a_call_is_posted_shown_counted_and_gone_after_its_six_months(client, account, api_key):
    agent = AgentFactory(account=account, staff_id="1001")
    SkillGroupFactory(account=account, name="Support")
    administrator = AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR, staff_id="admin")
    headers = {"Authorization": f"Api-Key {api_key}"}
    with time_machine.travel(CALL_DAY + dt.timedelta(hours=7), tick=False):
        events = events_of(TABLE, call="call-42", day=DAY)
        answer = client.post("/api/v1/events", json.dumps(events), content_type="application/json", headers=headers)
        assert answer.json()["accepted"] == len(events)
        fold_events()
        fill_intervals()

        (listed,) = client.get("/api/v1/calls/?call_id=call-42", headers=headers).json()["results"]
        assert (listed["outcome"], listed["wait_seconds"], listed["agent"]) == ("answered", 10, "1001")
        figures = client.get(f"/api/v1/summary/?from={DAY}&to={DAY}", headers=headers).json()["figures"]
        assert (figures["calls"], figures["answered"], figures["average_wait"]) == (1, 1, 10)

        client.force_login(administrator, backend="agents.sign_in.RoleBackend")
        page = client.get(f"/admin/calls/call/{listed['id']}/change/").content.decode()
        assert "Support" in page and agent.name in page
        assert client.get(f"/admin/dashboard/?from={DAY}&to={DAY}").status_code == 200

    # Now and not then: an object store refuses what is signed at another time than its own.
    store_audio(audio=Recording.objects.get(), content=sound.wav(seconds=3, seed=1), content_type="audio/wav")
    key = Recording.objects.get().key
    assert default_storage.exists(key)

    purge_account(account=account, at=LAST_DAY)
    assert Call.objects.count() == 1, "the last day counts in full"
    counted = list(CallInterval.objects.values("slot", "n_calls", "n_answered"))

    run = purge_account(account=account, at=NEXT_DAY)
    assert outbox.work(at=NEXT_DAY).n_deleted == 1
    assert run.state == PurgeRun.State.DONE
    for model in (Call, CallLeg, QueueEntry, IvrStep, Recording, CallEvent, StaleCallSlot):
        assert not model.objects.exists(), model
    assert not default_storage.exists(key)
    # A count names nobody; it stays until its own day has had its time, which here is the same day.
    assert counted == [{"slot": CALL_DAY.replace(hour=10), "n_calls": 1, "n_answered": 1}]
    assert not CallInterval.objects.exists()
