"""Keys change while the portal serves: nothing becomes unreadable, no edit is lost, and old keys go when nothing needs them."""

import datetime as dt
import io
import os
import threading
from dataclasses import replace

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from agents.models import Agent, AgentPhone, email_index, phone_index
from configuration import encryption, key_rotation
from configuration.encryption import DecryptionError, decrypt, encrypt, forget_keys, key_number
from configuration.key_rotation import Outcome, RotationRefused, rotate
from configuration.models import Account, DataKey
from tests.factories import PASSWORD, AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

NUMBER = "+8613800138000"


class Killed(Exception):
    """What a `kill` looks like from inside."""


@pytest.fixture
def people(account) -> list[Agent]:
    people = [AgentFactory(account=account, name=f"Person {n}", nickname="" if n % 2 else f"P{n}") for n in range(5)]
    AgentPhone.objects.create(account=account, agent=people[0], number=NUMBER)
    return people


@pytest.fixture
def operator() -> Agent:
    return Agent.objects.create_superuser("root@example.com", PASSWORD, name="Root")


@pytest.fixture
def newer(settings, account) -> str:
    """A newer key in the environment, as after adding one and starting every process again."""
    settings.ENCRYPTION_KEYS = {**settings.ENCRYPTION_KEYS, "newer": os.urandom(32)}
    forget_keys()
    return "newer"


def later(seconds: float) -> None:
    """Nobody waits in a test: the clock is moved."""
    clock.shift(seconds + 1)


@pytest.fixture(autouse=True)
def _clock():
    global clock
    with time_machine.travel(timezone.now(), tick=True) as clock:
        yield


def renewed(**options: object) -> Outcome:
    return rotate(data=True, wait=later, **options)


def stored_names() -> list[bytes]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM agents_agent ORDER BY id")
        return [bytes(name) for (name,) in cursor.fetchall()]


def opens(people: list[Agent]) -> bool:
    forget_keys()
    return [row.name for row in Agent.objects.filter(account=people[0].account).order_by("pk")] == [row.name for row in people]


def env_without(settings, *gone: str) -> None:
    settings.ENCRYPTION_KEYS = {name: key for name, key in settings.ENCRYPTION_KEYS.items() if name not in gone}
    forget_keys()


# --- Rewrapping ------------------------------------------------------------------------------------------------------


def test_after_rewrapping_the_oldest_key_can_be_removed_and_everything_goes_on(account, people, operator, newer, settings):
    oldest = next(iter(settings.ENCRYPTION_KEYS))
    hashes = (email_index("root@example.com"), phone_index(NUMBER, account_id=account.pk), people[0].email_hash)
    outcome = rotate()
    env_without(settings, oldest)
    assert outcome.n_rewrapped == 4  # the account's, and the installation's three
    assert opens(people) and Agent.objects.get(pk=operator.pk).name == "Root"
    assert hashes == (email_index("root@example.com"), phone_index(NUMBER, account_id=account.pk), email_index(people[0].email))
    assert Agent.objects.get_by_natural_key("ROOT@example.com") == operator
    assert Agent.objects.get_by_natural_key(people[1].email) == people[1]
    assert AgentPhone.objects.get(number_hash=phone_index(NUMBER, account_id=account.pk)).number == NUMBER


def test_new_people_and_operators_are_written_and_found_without_the_oldest_key(account, operator, newer, settings):
    oldest = next(iter(settings.ENCRYPTION_KEYS))
    rotate()
    env_without(settings, oldest)
    Agent.objects.create_superuser("second@example.com", PASSWORD, name="Second")
    forget_keys()
    assert Agent.objects.get_by_natural_key("second@example.com").name == "Second"
    assert AccountFactory().key_id == newer


def test_rewrapping_again_does_nothing(account, people, newer):
    rotate()
    before = list(DataKey.objects.order_by("pk").values()), list(Account.objects.values())
    assert rotate().did_nothing
    assert before == (list(DataKey.objects.order_by("pk").values()), list(Account.objects.values()))


def test_with_one_key_only_the_installations_keys_are_stored(account, people):
    assert rotate().n_rewrapped == 3
    assert rotate().did_nothing
    assert opens(people)


def test_a_missing_key_is_named_and_nothing_is_changed(account, people, newer, settings):
    oldest = next(iter(settings.ENCRYPTION_KEYS))
    env_without(settings, oldest)
    before = list(Account.objects.values()), stored_names()
    for data in (False, True):
        with pytest.raises(RotationRefused, match=rf"{oldest}: missing.*Nothing was changed"):
            rotate(data=data)
    assert before == (list(Account.objects.values()), stored_names()) and not DataKey.objects.exists()


def test_a_wrong_key_under_the_right_name_is_named_and_nothing_is_changed(account, people, newer, settings):
    oldest = next(iter(settings.ENCRYPTION_KEYS))
    settings.ENCRYPTION_KEYS = {**settings.ENCRYPTION_KEYS, oldest: os.urandom(32)}
    before = list(Account.objects.values()), stored_names()
    with pytest.raises(CommandError, match="not the same key"):
        call_command("rotate_keys", "--data")
    assert before == (list(Account.objects.values()), stored_names()) and not DataKey.objects.exists()


def test_keys_in_the_wrong_order_are_refused_before_login_hashes_are_made_of_them(account, people, settings):
    settings.ENCRYPTION_KEYS = {"another": os.urandom(32), **settings.ENCRYPTION_KEYS}
    forget_keys()
    with pytest.raises(RotationRefused, match="Put the oldest key first"):
        rotate()
    assert not DataKey.objects.exists()


def test_a_form_opened_before_the_rotation_does_not_bring_the_old_key_back(account, newer):
    opened = Account.objects.get(pk=account.pk)
    rotate()
    opened.name = "Renamed"
    opened.save()
    stored = Account.objects.get(pk=account.pk)
    assert (stored.name, stored.key_id) == ("Renamed", newer)


def test_a_wrapped_key_put_in_the_place_of_another_does_not_open(account, people, newer):
    other = AccountFactory()
    AgentFactory(account=other)
    renewed(again=True)
    stolen = DataKey.objects.get(account=other, purpose="data").wrapped_key
    DataKey.objects.filter(account=account, purpose="data").update(wrapped_key=stolen)
    forget_keys()
    with pytest.raises(DecryptionError):
        _ = Agent.objects.get(pk=people[0].pk).name


# --- Renewing --------------------------------------------------------------------------------------------------------


def test_renewing_writes_every_value_under_a_new_key_and_destroys_the_old_one(account, people, operator, newer, settings):
    oldest = next(iter(settings.ENCRYPTION_KEYS))
    before = stored_names()
    outcome = renewed()
    assert {key_number(value) for value in stored_names()} == {2}
    assert not set(before) & set(stored_names())
    assert (outcome.n_new_keys, outcome.n_destroyed, outcome.unreadable) == (2, 2, [])
    assert outcome.n_values == 5 + 5 + 3 + 1 + 2  # names, emails, nicknames, a phone; the operator's email and name
    assert bytes(Account.objects.get(pk=account.pk).wrapped_key) == b""
    assert set(DataKey.objects.values_list("owner", "purpose", "number")) == {
        (account.pk, "index", 1),
        (account.pk, "data", 2),
        (0, "index", 1),
        (0, "sign_in", 1),
        (0, "data", 2),
    }
    env_without(settings, oldest)
    assert opens(people) and Agent.objects.get(pk=operator.pk).name == "Root"
    assert AgentPhone.objects.get(number_hash=phone_index(NUMBER, account_id=account.pk)).number == NUMBER


def test_what_the_old_keys_opened_stays_closed_to_whoever_kept_them(account, people, newer, settings):
    stolen_environment = dict(list(settings.ENCRYPTION_KEYS.items())[:1])
    renewed()
    settings.ENCRYPTION_KEYS = stolen_environment
    forget_keys()
    with pytest.raises(DecryptionError):
        _ = Agent.objects.get(pk=people[0].pk).name


def test_renewing_again_does_nothing(account, people, newer):
    renewed()
    before = stored_names(), list(DataKey.objects.order_by("pk").values())
    assert renewed().did_nothing
    assert before == (stored_names(), list(DataKey.objects.order_by("pk").values()))


def test_data_keys_are_renewed_also_after_a_run_that_only_rewrapped(account, people, newer):
    rotate()
    assert renewed().n_new_keys == 2  # they were made under a key that may have leaked


def test_renewing_under_the_newest_key_is_done_when_asked_for(account, people):
    assert renewed().n_new_keys == 0
    assert renewed(again=True).n_new_keys == 2
    assert renewed(again=True).n_new_keys == 2
    assert {key_number(value) for value in stored_names()} == {3} and opens(people)


def test_one_account_leaves_the_others_and_the_installation_alone(account, people, operator, newer):
    other = AgentFactory()
    call = io.StringIO()
    before = stored_names()
    later_once = key_rotation.time.sleep
    key_rotation.time.sleep = later
    try:
        rotate(account=account, data=True, wait=later)
    finally:
        key_rotation.time.sleep = later_once
    call_command("rotate_keys", "--check", "--account", account.slug, stdout=call)
    numbers = [key_number(value) for value in stored_names()]
    assert numbers == [2] * 5 + [1, 1] and stored_names()[5:] == before[5:]
    assert set(DataKey.objects.values_list("owner", flat=True)) == {account.pk}
    assert other.account.slug not in call.getvalue() and account.slug in call.getvalue()


def test_killed_half_way_it_goes_on_where_it_was(account, people, newer, monkeypatch):
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    batch = key_rotation._renew_batch
    n_batches = 0

    def dies_in_the_third(*args):
        nonlocal n_batches
        n_batches += 1
        if n_batches == 3:
            raise Killed
        batch(*args)

    monkeypatch.setattr(key_rotation, "_renew_batch", dies_in_the_third)
    with pytest.raises(Killed):
        renewed()
    assert {key_number(value) for value in stored_names()} == {1, 2}
    assert opens(people)
    halfway = [value for value in stored_names() if key_number(value) == 2]
    monkeypatch.setattr(key_rotation, "_renew_batch", batch)
    outcome = renewed()
    assert outcome.n_new_keys == 0 and outcome.n_destroyed == 2
    assert set(halfway) <= set(stored_names()), "what was done is not done again"
    assert opens(people) and {key_number(value) for value in stored_names()} == {2}


@pytest.mark.parametrize("moment", ["after the new key", "before the old one goes"])
def test_killed_between_its_steps_it_goes_on(account, people, newer, monkeypatch, moment):
    name = {"after the new key": "renew_values", "before the old one goes": "destroy_keys"}[moment]
    step = getattr(key_rotation, name)

    def dies(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(key_rotation, name, dies)
    with pytest.raises(Killed):
        renewed()
    assert opens(people)
    monkeypatch.setattr(key_rotation, name, step)
    assert renewed().n_destroyed == 2
    assert opens(people) and DataKey.objects.filter(purpose="data").count() == 2


def test_an_edit_made_meanwhile_is_never_overwritten(account, people, newer, monkeypatch):
    """Between reading a value and writing it back, somebody saves the page."""
    opened = key_rotation.decrypt

    def edited_meanwhile(stored, *, account_id, context):
        text = opened(stored, account_id=account_id, context=context)
        if text == "Person 2":
            monkeypatch.setattr(key_rotation, "decrypt", opened)
            person = Agent.objects.get(pk=people[2].pk)
            person.name = "Edited"
            person.save()
        return text

    monkeypatch.setattr(key_rotation, "decrypt", edited_meanwhile)
    outcome = renewed()
    assert outcome.n_edited_meanwhile >= 1
    assert Agent.objects.get(pk=people[2].pk).name == "Edited"
    assert {key_number(value) for value in stored_names()} == {2}


def test_what_is_written_with_the_old_key_in_the_last_moment_is_found_before_the_key_goes(account, people, newer):
    """A process that has not heard of the new key yet writes while the run waits."""
    late = encrypt("Late", account_id=account.pk, context="agents_agent.name")

    def writes_while_waiting(seconds: float) -> None:
        Agent.objects.filter(pk=people[0].pk).update(name=late)
        later(seconds)

    outcome = rotate(data=True, wait=writes_while_waiting)
    assert key_number(late) == 1 and outcome.n_destroyed == 2
    forget_keys()
    assert Agent.objects.get(pk=people[0].pk).name == "Late"


def test_the_last_look_begins_when_nobody_can_write_with_the_old_key_any_more(account, people, newer):
    waited: list[float] = []
    began = timezone.now()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        later(min(seconds, 50))

    rotate(data=True, wait=wait)
    assert timezone.now() - began >= dt.timedelta(seconds=key_rotation.SETTLE_SECONDS)
    assert len(waited) >= 3 and key_rotation.SETTLE_SECONDS > encryption.STALE_SECONDS


def test_a_process_encrypts_with_the_new_key_soon_after_it_is_made(account, people, newer):
    ring = encryption._keyring(account.pk)
    key_rotation.make_data_keys()
    encryption._keyrings[account.pk] = ring  # another process, which has not asked since
    assert key_number(encrypt("x", account_id=account.pk, context="a.b")) == 1
    encryption._keyrings[account.pk] = replace(ring, asked_at=ring.asked_at - encryption.STALE_SECONDS)
    assert key_number(encrypt("x", account_id=account.pk, context="a.b")) == 2


def test_a_process_that_meets_an_unknown_number_asks_for_it(account, people, newer, django_assert_num_queries):
    ring = encryption._keyring(account.pk)
    renewed()
    encryption._keyrings[account.pk] = ring
    rows = list(Agent.objects.filter(account=account).order_by("pk"))
    with django_assert_num_queries(1):
        assert [row.name for row in rows] == [row.name for row in people]


def test_a_row_read_before_and_saved_after_the_rotation_does_not_bring_the_old_key_back(account, people, newer):
    read_before = Agent.objects.get(pk=people[0].pk)
    key_rotation.make_data_keys()
    read_before.staff_id = "changed"
    read_before.save()
    assert key_number(stored_names()[0]) == 2 and opens(people)


def test_a_key_that_opens_nothing_any_more_is_said_and_what_hangs_on_it_is_left(account, people, newer):
    broken = b"\x01" + os.urandom(40)
    Agent.objects.filter(pk=people[0].pk).update(nickname=broken)
    outcome = renewed()
    assert outcome.unreadable == [f"agents_agent.nickname#{people[0].pk}"]
    assert outcome.n_destroyed == 1, (
        "the installation's; the account's may still open it, if it was only this value that is damaged"
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT nickname FROM agents_agent WHERE id = %s", [people[0].pk])
        assert bytes(cursor.fetchone()[0]) == broken
    forget_keys()
    assert Agent.objects.get(pk=people[0].pk).name == "Person 0"


def test_a_value_under_a_number_nobody_made_does_not_open(account, django_assert_num_queries):
    stored = b"\x02\x00\x09" + encrypt("x", account_id=account.pk, context="a.b")[1:]
    with django_assert_num_queries(1), pytest.raises(DecryptionError, match="no data key number 9"):
        decrypt(stored, account_id=account.pk, context="a.b")


def test_a_value_of_another_account_does_not_open_after_the_rotation_either(account, people, newer):
    other = AgentFactory()
    renewed()
    (stored, *_rest), theirs = stored_names(), other.account_id
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=theirs, context="agents_agent.name")
    assert decrypt(stored, account_id=account.pk, context="agents_agent.name") == "Person 0"


def test_every_model_with_an_encrypted_column_is_found():
    tables = {model._meta.db_table for model in key_rotation.encrypted_columns()}
    assert {"agents_agent", "agents_agentphone", "agents_devicecheck", "configuration_importrun"} <= tables
    assert all(hasattr(model, "account_id") for model in key_rotation.encrypted_columns())


def test_a_list_opens_in_one_query_whatever_the_number_of_keys(account, people, newer, django_assert_num_queries):
    key_rotation.make_data_keys()
    AgentFactory.create_batch(10, account=account)
    forget_keys()
    with django_assert_num_queries(2):  # the rows, and all keys of the account
        assert len({row.name for row in Agent.objects.filter(account=account)}) == 15


# --- The command -----------------------------------------------------------------------------------------------------


def test_check_says_how_many_values_hang_on_which_key_and_changes_nothing(account, people, operator, newer):
    key_rotation.make_data_keys()
    before = stored_names(), list(DataKey.objects.order_by("pk").values())
    said = io.StringIO()
    call_command("rotate_keys", "--check", stdout=said)
    lines = [line.split() for line in said.getvalue().splitlines()]
    old = next(iter(set(Account.objects.values_list("key_id", flat=True))))
    assert [account.slug, "1", old, "14"] in lines and [account.slug, "2", newer, "0"] in lines
    assert ["(installation)", "1", "(first", "of", "all)", "2"] in lines or any(
        line[:2] == ["(installation)", "1"] and line[-1] == "2" for line in lines
    )
    assert before == (stored_names(), list(DataKey.objects.order_by("pk").values()))


def test_the_command_sums_up_and_says_when_there_is_nothing_to_do(account, people, newer, monkeypatch):
    monkeypatch.setattr("time.sleep", later)
    first, second = io.StringIO(), io.StringIO()
    call_command("rotate_keys", "--data", stdout=first)
    call_command("rotate_keys", "--data", stdout=second)
    assert "14 values written anew" in first.getvalue() and "2 old data keys destroyed" in first.getvalue()
    assert second.getvalue().strip() == "Nothing to do."


def test_an_unknown_account_is_said(account):
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("rotate_keys", "--account", "nobody")


def test_a_second_run_that_starts_in_the_middle_of_the_first_finishes_the_work_with_it(account, people, newer):
    def another_run(seconds: float) -> None:
        assert rotate(data=True, wait=later).n_destroyed == 2

    outcome = rotate(data=True, wait=another_run)
    assert (outcome.n_new_keys, outcome.n_destroyed) == (2, 0)
    assert opens(people) and DataKey.objects.filter(purpose="data").count() == 2


def test_a_key_made_by_another_run_in_the_last_moment_keeps_the_one_before_it_alive(account, people, newer, monkeypatch):
    """The first run may destroy only what was old, and settled, before its last look."""
    looks: list[int] = []
    look = key_rotation.renew_values

    def another_run_makes_a_key(*args, **kwargs):
        met = look(*args, **kwargs)
        looks.append(len(met))
        if not met:
            key_rotation.make_data_keys(again=True)
            DataKey.objects.create(
                account=account,
                purpose="data",
                number=3,
                key_id=newer,
                made_under=newer,
                wrapped_key=encryption.new_wrapped_key(encryption.wrapped_for(account.pk, "data", 3))[1],
            )
        return met

    monkeypatch.setattr(key_rotation, "renew_values", another_run_makes_a_key)
    assert renewed().n_destroyed == 2
    monkeypatch.setattr(key_rotation, "renew_values", look)
    assert set(DataKey.objects.filter(account=account, purpose="data").values_list("number", flat=True)) == {2, 3}
    assert looks[-1] == 0 and opens(people)


# --- Together --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(connection.vendor == "sqlite", reason="threads cannot share SQLite's database in memory")
@pytest.mark.django_db(transaction=True)
def test_two_runs_and_edits_at_once_leave_everything_readable_and_every_edit_in_place(settings):
    account = AccountFactory()
    people = [AgentFactory(account=account, name=f"Person {n}") for n in range(60)]
    settings.ENCRYPTION_KEYS = {**settings.ENCRYPTION_KEYS, "newer": os.urandom(32)}
    forget_keys()
    problems: list[BaseException] = []

    def guarded(work):
        def run() -> None:
            try:
                work()
            except BaseException as error:
                problems.append(error)
            finally:
                connection.close()

        return threading.Thread(target=run)

    def edit() -> None:
        for n, person in enumerate(people):
            row = Agent.objects.get(pk=person.pk)
            row.name = f"Edited {n}"
            row.save()

    threads = [guarded(renewed), guarded(renewed), guarded(edit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert problems == []
    renewed()
    forget_keys()
    assert [row.name for row in Agent.objects.order_by("pk")] == [f"Edited {n}" for n in range(60)]
    assert {key_number(value) for value in stored_names()} == {DataKey.objects.get(account=account, purpose="data").number}
