import datetime as dt
import io
import json
import stat
from collections import Counter

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.getting_started import steps_for
from agents.models import Agent, AgentPhone, SkillGroup, StatusChange
from calls.demo import center as demo
from calls.demo import files
from calls.management.commands import load_demo
from calls.models import AudioState, Call, CallEvent, EventState, Recording, Voicemail
from configuration.api_keys import find_api_key
from configuration.models import (
    Account,
    ApiKey,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.VAR_DIR = tmp_path


def load(**options):
    out = io.StringIO()
    call_command("load_demo", **{"days": 2, "calls": 200, "stdout": out, **options})
    return out.getvalue()


def test_a_second_run_finds_the_demo_and_changes_nothing():
    said = load()
    assert str(files.path_of(files.SIGN_INS)) in said and "@" not in said
    before = (Call.objects.count(), CallEvent.objects.count(), Agent.objects.count(), ApiKey.objects.count())
    again = load(calls=500)
    assert "nothing to do" in again and "@" not in again
    assert before == (Call.objects.count(), CallEvent.objects.count(), Agent.objects.count(), ApiKey.objects.count())


def test_everything_is_folded_into_closed_records_up_to_now():
    load()
    assert 120 < Call.objects.count() < 280
    assert not Call.objects.open().exists()
    assert set(CallEvent.objects.values_list("state", flat=True)) == {EventState.FOLDED}
    assert set(Call.objects.values_list("account__slug", flat=True)) == {demo.SLUG}
    assert timezone.now() - Call.objects.latest("started_at").started_at < dt.timedelta(hours=12)
    assert Call.objects.earliest("started_at").started_at > timezone.now() - dt.timedelta(days=2, minutes=5)
    assert not Call.objects.filter(answered_at__isnull=False, agent=None).exists()
    assert (
        StatusChange.objects.filter(ended_at=None).count()
        == Agent.objects.filter(status_changes__isnull=False).distinct().count()
    )
    assert set(StatusChange.objects.filter(ended_at=None).values_list("status", flat=True)) == {"offline"}


def test_the_account_has_its_people_groups_and_numbers():
    load()
    account = Account.objects.get(slug=demo.SLUG)
    assert (account.time_zone, account.region) == ("Asia/Shanghai", "CN")
    kinds = Counter(Agent.objects.for_account(account).values_list("role__kind", flat=True))
    assert kinds == {Role.Kind.AGENT: 24, Role.Kind.ADMINISTRATOR: 1, Role.Kind.SUPERVISOR: 1, Role.Kind.INSPECTOR: 1}
    assert set(SkillGroup.objects.for_account(account).values_list("name", flat=True)) == {group.name for group in demo.GROUPS}
    assert all(group.members.count() >= 4 for group in SkillGroup.objects.for_account(account))
    supervisor = next(agent for agent in Agent.objects.for_account(account) if agent.email == demo.SUPERVISOR.email)
    assert supervisor.skill_groups.count() == len(demo.SUPERVISED)
    assert ServiceNumber.objects.for_account(account).count() == 3
    assert all(agent.phones.count() >= 1 for agent in Agent.objects.for_account(account).filter(role__kind=Role.Kind.AGENT))


def test_no_step_of_a_new_account_is_left_open():
    load()
    administrator = Agent.objects.get(account__slug=demo.SLUG, role__kind=Role.Kind.ADMINISTRATOR)
    assert steps_for(administrator) == []


def test_what_the_account_set_up_would_pass_its_own_forms():
    load()
    lists = (BlockedNumber, BreakReason, Disposition, IvrPrompt, Keyword, QuickReply, QuickReplyGroup, ScreenPop, ServiceNumber)
    for model in (*lists, AgentPhone):
        rows = list(model.objects.for_account(Account.objects.get(slug=demo.SLUG)))
        assert rows
        for row in rows:
            before = {column.attname: getattr(row, column.attname) for column in model._meta.concrete_fields}
            row.full_clean(exclude=["account"])
            assert before == {column.attname: getattr(row, column.attname) for column in model._meta.concrete_fields}, row


def test_the_sign_ins_work_and_are_kept_for_the_owner_only():
    load()
    said = files.path_of(files.SIGN_INS).read_text(encoding="utf-8")
    signed_in = 0
    for line in said.splitlines():
        for agent in Agent.objects.all():
            if agent.email in line.split():
                assert agent.check_password(line.split()[-1])
                signed_in += 1
    assert signed_in == 4
    key = find_api_key(files.path_of(files.API_KEY).read_text().strip(), at=timezone.now())
    assert key is not None and set(key.scopes) == set(load_demo.KEY_SCOPES)
    for path in files.path_of("x").parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(files.path_of("x").parent.stat().st_mode) == 0o700
    assert sum(agent.has_usable_password() for agent in Agent.objects.all()) == 4


def test_recordings_have_their_sound():
    load()
    rows = [*Recording.objects.all(), *Voicemail.objects.all()]
    assert Recording.objects.filter(state=AudioState.STORED).exists()
    for row in rows:
        assert row.state == AudioState.STORED
        # 16 bit, 8 kHz: as long as the record says
        assert row.n_bytes == pytest.approx(row.duration_seconds * 16_000, abs=100)


def test_a_run_that_was_cut_off_is_taken_up_again(monkeypatch):
    monkeypatch.setattr(load_demo, "BATCH", 100)
    monkeypatch.setattr(load_demo, "BATCHES_PER_FOLD", 2)
    fold, folds = load_demo._fold, []

    def die_at_the_third():
        folds.append(1)
        if len(folds) == 3:
            raise KeyboardInterrupt
        fold()

    monkeypatch.setattr(load_demo, "_fold", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        load()
    n_events = CallEvent.objects.count()
    assert CallEvent.objects.filter(state=EventState.PENDING).exists()
    said = load(seed=99)  # what was begun is finished, whatever is asked for now
    assert "sign-ins.txt" in said
    assert CallEvent.objects.count() > n_events
    assert not CallEvent.objects.exclude(state=EventState.FOLDED).exists()
    assert not Call.objects.open().exists()
    assert Agent.objects.count() == 27
    assert "nothing to do" in load()


def test_a_folder_of_another_database_is_not_mistaken_for_this_one():
    files.write_json(files.HISTORY, {"account": 999_999, "is_loaded": True})
    load()
    assert Call.objects.exists()
    assert json.loads(files.path_of(files.HISTORY).read_text())["account"] == Account.objects.get(slug=demo.SLUG).pk


def test_another_account_is_left_alone(account):
    load()
    assert not Call.objects.for_account(account).exists()
    assert not Agent.objects.for_account(account).exists()


@pytest.mark.parametrize("option", ["--calls=0", "--days=-1", "--calls=many"])
def test_a_wrong_option_is_named(option):
    with pytest.raises(CommandError, match=option.partition("=")[0]):
        call_command("load_demo", option)
