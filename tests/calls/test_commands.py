"""What the timetable does, done by hand."""

import pytest
from django.core.management import CommandError, call_command

from calls import ingest
from calls.models import Call, CallEvent, EventState, Outcome
from tests.factories import AccountFactory
from tests.scenarios import at, events_of

pytestmark = pytest.mark.django_db

TABLE = "10:00:00 started\n10:00:10 queued skill_group=S\n10:00:50 ended"


@pytest.fixture
def folded(account, capsys):
    ingest.accept_events(account=account, items=events_of(TABLE), at=at("20:00:00"))
    call_command("fold_events")
    assert capsys.readouterr().out == "Folded 3 events.\n"
    return Call.objects.get()


def test_records_are_mended_from_their_events(account, folded, capsys):
    Call.objects.update(outcome=Outcome.ANSWERED, wait_seconds=0)
    call_command("refold_calls", "--account", account.slug, "--from", "2026-11-23", "--to", "2026-11-23")
    folded.refresh_from_db()
    assert (folded.outcome, folded.wait_seconds) == (Outcome.ABANDONED_IN_QUEUE, 40)
    assert "Folded 1 calls again; 0 have no raw events" in capsys.readouterr().out


def test_only_the_days_and_the_account_asked_for_are_folded_again(account, folded):
    other = AccountFactory()
    Call.objects.update(outcome=Outcome.ANSWERED)
    call_command("refold_calls", "--account", other.slug, "--from", "2026-11-23", "--to", "2026-11-23")
    call_command("refold_calls", "--account", account.slug, "--from", "2026-11-24", "--to", "2026-11-24")
    assert Call.objects.get().outcome == Outcome.ANSWERED


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--account", "nobody", "--from", "2026-11-23", "--to", "2026-11-23"], "no account 'nobody'"),
        (["--from", "2026-11-24", "--to", "2026-11-23"], "lies before --from"),
        (["--from", "yesterday", "--to", "2026-11-23"], "must be a day like"),
    ],
)
def test_wrong_arguments_are_named(account, arguments, reason):
    named = [] if "--account" in arguments else ["--account", account.slug]
    with pytest.raises(CommandError, match=reason):
        call_command("refold_calls", *named, *arguments)


def test_silent_calls_and_unknown_names_are_seen_to(account, capsys):
    ingest.accept_events(account=account, items=events_of(TABLE)[:2], at=at("10:00:11"))
    ingest.fold_due(at=at("10:00:12"))
    call_command("close_silent_calls")
    call_command("match_references")
    assert capsys.readouterr().out == "Closed 1 silent calls.\nMatched 0 names.\n"
    assert CallEvent.objects.filter(state=EventState.PENDING, source="portal").count() == 1
