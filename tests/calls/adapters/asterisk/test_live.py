"""The connection itself: over a socket, cut, refused, with the database away, and its records in the database."""

import asyncio
import contextlib
import datetime as dt
import json
import queue
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from agents.models import Agent, Status, StatusChange
from calls.adapters import asterisk_ami, asterisk_live
from calls.adapters.asterisk_ami import LoginRefused, Manager, ManagerError, read_message, write_message
from calls.adapters.asterisk_live import Listener, feed_key, feed_of, notes_path
from calls.adapters.asterisk_live import Server as Address
from calls.ingest import accept_events, fold_due
from calls.lifecycle import Event, fold
from calls.models import OPEN_STATES, Call, CallEvent, EventState
from tests.calls.adapters.asterisk.capture import SITE, at, truth
from tests.calls.adapters.asterisk.server import SECRET, USER, Server, events
from tests.calls.adapters.asterisk.truth import of_agents, of_live
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(monkeypatch, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    (tmp_path / "asterisk").mkdir()
    monkeypatch.setattr(asterisk_live.tasks, "nudge", lambda: None)
    monkeypatch.setattr(asterisk_live, "TICK_SECONDS", 0.05)


@pytest.fixture
def account():
    account = AccountFactory(region="US", time_zone="America/New_York")
    for extension in range(1001, 1012):
        AgentFactory(account=account, staff_id=str(extension))
    for name in ("support", "sales", "billing", "vip", "overflow", "night"):
        SkillGroupFactory(account=account, name=name)
    return account


_work: queue.Queue[tuple] = queue.Queue()


async def inline(work):
    """The test's transaction belongs to its own thread, so that does what is asked of the database."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    _work.put((work, loop, future))
    return await future


def run_loop(main):
    """Runs a loop in a thread of its own, and here what it asks for."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, main)
        while not running.done() or not _work.empty():
            try:
                work, loop, future = _work.get(timeout=0.02)
            except queue.Empty:
                continue
            try:
                result, error = work(), None
            except Exception as problem:
                result, error = None, problem
            with contextlib.suppress(RuntimeError):  # the loop may be over
                loop.call_soon_threadsafe(_settle, future, result, error)
        return running.result()


def _settle(future, result, error):
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


async def listen(made, server):
    stopping = asyncio.Event()
    running = asyncio.create_task(made.run(stopping))
    over = asyncio.create_task(server.is_over.wait())
    await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED, timeout=60)
    if not running.done():
        await asyncio.sleep(0.7)
    stopping.set()
    await asyncio.wait_for(running, 10)


def run(account, **options):
    async def main():
        async with Server(**options) as server:
            said = []
            made = Listener(
                account=account,
                site=SITE,
                server=Address("127.0.0.1", server.port, USER, SECRET),
                notes=notes_path(account, SITE.source),
                say=said.append,
                run_in_thread=inline,
                longest_pause=0.05,
            )
            await listen(made, server)
            return server, made, said

    server, made, said = run_loop(main())
    while fold_due(at=timezone.now()):
        pass
    return server, made, said


def stored(account):
    rows = CallEvent.objects.for_account(account).order_by("pk")
    return [{"type": e.type, "time": e.occurred_at.isoformat(), "data": e.data, "subject": e.subject} for e in rows]


def facts_of(call_id):
    rows = CallEvent.objects.filter(subject=call_id, type__startswith="call.")
    return fold(Event(e.type, e.occurred_at, e.data, bytes(e.event_key), e.source, e.sequence) for e in rows)


def test_the_session_over_a_socket_makes_the_true_records(account):
    _, made, said = run(account)
    assert said[0].startswith("Connected to")
    assert not CallEvent.objects.exclude(state=EventState.FOLDED).exists()
    assert made.feed.n_refused == 0
    calls = {call["pbx"]["linkedid"]: call for call in truth()["calls"]}
    assert set(Call.objects.values_list("call_id", flat=True)) == set(calls)
    differences = of_agents(stored(account), within=1.05)
    for call_id, call in calls.items():
        facts = facts_of(call_id)
        differences += of_live(call, facts)
        record = Call.objects.get(call_id=call_id)
        assert (record.outcome, record.talk_seconds, record.hold_seconds, record.ended_at) == (
            facts.outcome,
            facts.talk_seconds,
            facts.hold_seconds,
            facts.ended_at,
        )
        assert not record.legs.exclude(agent_reference="").exists()
    assert differences == []
    per_agent = truth()["per_agent"]
    for extension, figures in per_agent.items():
        answered = Agent.objects.get(staff_id=extension).legs.exclude(answered_at=None).exclude(skill_group=None)
        assert answered.count() == figures["queue_calls_answered"]
    assert set(Agent.objects.filter(staff_id__in=range(1001, 1009)).values_list("status", flat=True)) == {Status.OFFLINE}


def test_at_its_pace_only_sped_up_it_is_the_same(account):
    run(account, speed=100.0)
    calls = {call["pbx"]["linkedid"]: call for call in truth()["calls"]}
    assert [line for call_id, call in calls.items() for line in of_live(call, facts_of(call_id))] == []


def test_a_connection_that_breaks_comes_back_and_shows_the_gap(account):
    server, made, said = run(account, cuts={1500: 0, 2000: 500, 4000: 0, 4500: 30})
    assert server.n_logins == 5
    assert len(made.feed.gaps) == 4
    n_lost = sum(gap["n_lost"] for gap in made.feed.gaps)
    assert n_lost == Call.objects.filter(end_cause="lost_contact").count() > 0
    assert any("calls were lost" in line for line in said)
    assert not Call.objects.filter(state__in=OPEN_STATES).exists()
    began, ended = events()[1999][1], events()[2500][1]
    for call in truth()["calls"]:
        is_outside = call["end_t"] < began - 1 or call["start_t"] > events()[4531][1] + 1
        if is_outside and not any(call["start_t"] - 1 < events()[cut][1] < call["end_t"] + 1 for cut in (1500, 4000)):
            assert list(of_live(call, facts_of(call["pbx"]["linkedid"]))) == []
        elif call["start_t"] > began + 1 and call["end_t"] < ended - 1:
            assert not Call.objects.filter(call_id=call["pbx"]["linkedid"]).exists()
    assert set(Agent.objects.filter(staff_id__in=range(1001, 1009)).values_list("status", flat=True)) == {Status.OFFLINE}


def test_a_break_without_a_miss_loses_nothing(account):
    _, made, _ = run(account, cuts=dict.fromkeys((700, 1500, 2222, 3000, 4100, 5005), 0))
    assert sum(gap["n_lost"] for gap in made.feed.gaps) == 0
    outcomes = dict(Call.objects.values_list("call_id", "outcome"))
    run_once = AccountFactory(region="US")
    run(run_once)
    assert outcomes == dict(Call.objects.for_account(run_once).values_list("call_id", "outcome"))


def test_a_start_closes_what_ended_while_nobody_listened_and_takes_up_what_goes_on(account):
    """As after a kill: nothing is known but what is in the database."""

    async def part(server, made, until):
        stopping = asyncio.Event()
        running = asyncio.create_task(made.run(stopping))
        while server.n_played < until and not server.is_over.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        running.cancel()
        await asyncio.wait([running])

    async def main():
        async with Server(cuts={2000: 400}) as server:

            def now():
                return at(server.world.at or events()[0][1])

            address = Address("127.0.0.1", server.port, USER, SECRET)
            options = {"account": account, "site": SITE, "server": address, "notes": notes_path(account, SITE.source), "now": now}
            await part(server, Listener(**options, run_in_thread=inline, longest_pause=30.0), 2400)
            cache.clear()
            again = Listener(**options, run_in_thread=inline, longest_pause=0.05)
            await listen(again, server)
            return again

    again = run_loop(main())
    while fold_due(at=timezone.now()):
        pass
    lost = set(Call.objects.filter(end_cause="lost_contact").values_list("call_id", flat=True))
    began, ended = events()[1999][1], events()[2400][1]
    expected = {
        call["pbx"]["linkedid"]
        for call in truth()["calls"]
        if call["start_t"] < began - 0.3 and began + 0.3 < call["end_t"] < ended - 0.3
    }
    assert expected and expected <= lost
    assert again.feed.gaps[-1]["n_lost"] == len(lost)
    assert not Call.objects.filter(state__in=OPEN_STATES).exists()
    for call in truth()["calls"]:
        if call["start_t"] < began - 1 and call["end_t"] > ended + 1 and call["direction"] == "inbound":
            record = Call.objects.get(call_id=call["pbx"]["linkedid"])
            assert abs(record.ended_at.timestamp() - call["end_t"]) < 0.15


def test_a_call_given_up_for_lost_is_taken_back_when_the_log_tells_its_end(account):
    run(account, cuts={2000: 500})
    lost = Call.objects.filter(end_cause="lost_contact").first()
    end = lost.ended_at + dt.timedelta(seconds=20)
    event = SITE.event("from-the-log", "call.ended", lost.call_id, end, {"party": "customer", "cause": "completed"})
    accept_events(account=account, items=[event], at=timezone.now())
    fold_due(at=timezone.now())
    lost.refresh_from_db()
    assert (lost.end_cause, lost.ended_at, lost.end_is_inferred) == ("completed", end, False)


def test_agents_who_left_while_nobody_listened_are_told(account):
    notes_path(account, SITE.source).write_text(json.dumps({"agents": ["1004", "1011"]}))
    agent = Agent.objects.get(staff_id="1011")
    said = SITE.event(
        "before", "agent.status_changed", "1011", timezone.now() - dt.timedelta(hours=1), {"agent": "1011", "status": "available"}
    )
    accept_events(account=account, items=[said], at=timezone.now())
    fold_due(at=timezone.now())
    run(account)
    agent.refresh_from_db()
    assert agent.status == Status.OFFLINE
    assert StatusChange.objects.filter(agent=agent).count() == 2


def test_while_the_database_is_away_events_wait_and_none_is_lost(account, monkeypatch):
    n_tries = 0

    def flaky(**options):
        nonlocal n_tries
        n_tries += 1
        if n_tries % 5 == 2:
            raise OperationalError("gone away")
        return accept_events(**options)

    monkeypatch.setattr(asterisk_live, "accept_events", flaky)
    monkeypatch.setattr(asterisk_live, "RETRY_SECONDS", 0.01)
    run(account)
    calls = {call["pbx"]["linkedid"]: call for call in truth()["calls"]}
    assert [line for call_id, call in calls.items() for line in of_live(call, facts_of(call_id))] == []


def test_how_the_connection_does_can_be_asked(account, capsys):
    run(account, cuts={2000: 500})
    now = timezone.now()
    feed = feed_of(account=account, source="asterisk", at=now)
    assert (feed["state"], feed["n_events"] > 800, len(feed["gaps"])) == ("stopped", True, 1)
    assert feed_of(account=account, source="asterisk", at=now + dt.timedelta(minutes=5))["state"] == "stopped"
    cache.set(feed_key(account.pk, "asterisk"), feed | {"state": "connected"})
    assert feed_of(account=account, source="asterisk", at=now)["state"] == "connected"
    assert feed_of(account=account, source="asterisk", at=now + dt.timedelta(minutes=5))["state"] == "silent"
    assert feed_of(account=account, source="another", at=now)["state"] == "silent"
    cache.clear()  # a cache of one process is not seen by another
    assert feed_of(account=account, source="asterisk", at=now)["n_events"] == feed["n_events"]
    call_command("asterisk", "--account", account.slug, "--status")
    assert "gap" in capsys.readouterr().out


# --- The client --------------------------------------------------------------------------------------------------------


def with_server(test, **options):
    async def main():
        async with Server(**options) as server:
            return await test(server)

    return run_loop(main())


def test_a_wrong_secret_is_refused_at_once(account, tmp_path):
    async def test(server):
        with pytest.raises(LoginRefused):
            await Manager.connect("127.0.0.1", server.port, USER, "wrong")
        made = Listener(account, SITE, Address("127.0.0.1", server.port, USER, "wrong"), tmp_path / "a", run_in_thread=inline)
        with pytest.raises(LoginRefused):
            await made.run(asyncio.Event())

    with_server(test)


def test_the_secret_is_not_sent():
    async def test(server):
        manager = await Manager.connect("127.0.0.1", server.port, USER, SECRET)
        await manager.close()
        assert server.asked == ["Challenge", "Login"]

    with_server(test)


def test_a_list_is_answered_whole_while_events_come():
    async def test(server):
        manager = await Manager.connect("127.0.0.1", server.port, USER, SECRET)
        await manager.ask_for_list("CoreShowChannels")  # begins the session
        while not await manager.heard(1):
            pass
        status = await manager.ask_for_list("QueueStatus")
        assert {frame["Event"] for frame in status} >= {"QueueParams"}
        assert all(frame["ActionID"] == status[0]["ActionID"] for frame in status)
        await manager.close()

    with_server(test)


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-x\r\n", b"\x00" * 100])
def test_what_is_no_asterisk_is_said_so(greeting):
    async def main():
        async def serve(reader, writer):
            writer.write(greeting)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with pytest.raises((ManagerError, TimeoutError)):
                await Manager.connect("127.0.0.1", server.sockets[0].getsockname()[1], USER, SECRET, timeout=2)

    run_loop(main())


def test_a_message_without_end_ends_the_connection_not_the_memory(monkeypatch):
    monkeypatch.setattr(asterisk_ami, "LONGEST_MESSAGE", 4096)

    async def main():
        async def serve(reader, writer):
            writer.write(b"Asterisk Call Manager/11.0.0\r\n" + b"x" * 100_000)
            await writer.drain()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with pytest.raises(ManagerError):
                await Manager.connect("127.0.0.1", server.sockets[0].getsockname()[1], USER, SECRET, timeout=5)

    run_loop(main())


def test_a_server_that_answers_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(asterisk_ami, "ANSWER_SECONDS", 0.2)

    async def main():
        async def serve(reader, writer):
            writer.write(b"Asterisk Call Manager/11.0.0\r\n")
            await reader.read()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with pytest.raises((ManagerError, TimeoutError)):
                await Manager.connect("127.0.0.1", server.sockets[0].getsockname()[1], USER, SECRET, timeout=2)

    run_loop(main())


def test_messages_are_read_as_they_are_sent():
    frame = read_message('Event: X\r\nName: O\\\'Brien: "é"\r\nEmpty: \r\nVariable: a=1\r\nVariable: b=2\r\nBare:1'.encode())
    assert frame == {"Event": "X", "Name": 'O\\\'Brien: "é"', "Empty": "", "Variable": "a=1", "Bare": "1"}
    assert read_message(write_message({"Action": "Ping", "ActionID": "1"})) == {"Action": "Ping", "ActionID": "1"}


def test_no_value_can_begin_a_field_of_its_own():
    with pytest.raises(ValueError, match="Username"):
        write_message({"Username": "portal\r\nAction: Originate"})


def test_the_command_needs_the_secret_from_the_environment(account, monkeypatch, tmp_path, settings):
    settings.VAR_DIR = tmp_path
    monkeypatch.delenv("ASTERISK_SECRET", raising=False)
    with pytest.raises(CommandError, match="ASTERISK_SECRET"):
        call_command("asterisk", "--account", account.slug)
