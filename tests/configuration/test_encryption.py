"""Personal columns: what opens them, and that nothing else does."""

import os

import pytest
from django.db import connection

from agents.models import Agent
from configuration import encryption
from configuration.encryption import DecryptionError, blind_index, decrypt, encrypt, forget_keys, installation_index
from configuration.models import Account
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

CONTEXT = "agents_agent.name"


def sealed(account, value: str = "Wang Fang", context: str = CONTEXT) -> bytes:
    return encrypt(value, account_id=account.pk, context=context)


def test_what_was_encrypted_opens_and_never_looks_the_same_twice(account):
    first, second = sealed(account), sealed(account)
    assert first != second
    assert (
        decrypt(first, account_id=account.pk, context=CONTEXT)
        == decrypt(second, account_id=account.pk, context=CONTEXT)
        == "Wang Fang"
    )


@pytest.mark.parametrize("value", ["", "a", "王芳", "😀" * 50, "x\0y"])
def test_any_text_comes_back_as_it_was(account, value):
    assert decrypt(sealed(account, value), account_id=account.pk, context=CONTEXT) == value


def test_every_single_changed_bit_is_noticed(account):
    stored = sealed(account, "ab")
    for position in range(len(stored)):
        changed = bytearray(stored)
        changed[position] ^= 1
        with pytest.raises(DecryptionError):
            decrypt(bytes(changed), account_id=account.pk, context=CONTEXT)


@pytest.mark.parametrize("stored", [b"", b"\x01", b"\x01short", b"\x02" + bytes(range(40))])
def test_what_is_no_ciphertext_raises(account, stored):
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=account.pk, context=CONTEXT)


def test_a_value_moved_to_another_column_or_account_does_not_open(account):
    stored = sealed(account)
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=account.pk, context="agents_agent.nickname")
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=AccountFactory().pk, context=CONTEXT)
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=None, context=CONTEXT)


def test_a_value_moved_to_another_column_of_its_row_does_not_open(account):
    agent = AgentFactory(account=account, name="Wang Fang", nickname="Fang")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE agents_agent SET nickname = name WHERE id = %s", [agent.pk])
    with pytest.raises(DecryptionError):
        _ = Agent.objects.get(pk=agent.pk).nickname


def test_an_account_key_wrapped_by_a_key_that_is_gone_raises(account, settings):
    stored = sealed(account)
    settings.ENCRYPTION_KEYS = {"another": os.urandom(32)}
    forget_keys()
    with pytest.raises(DecryptionError, match="holds no key"):
        decrypt(stored, account_id=account.pk, context=CONTEXT)


def test_a_wrong_key_under_the_same_name_raises(account, settings):
    stored = sealed(account)
    settings.ENCRYPTION_KEYS = {account.key_id: os.urandom(32)}
    forget_keys()
    with pytest.raises(DecryptionError):
        decrypt(stored, account_id=account.pk, context=CONTEXT)


def test_a_newer_key_wraps_new_accounts_while_the_older_still_opens_its_own(account, settings):
    stored = sealed(account)
    settings.ENCRYPTION_KEYS = {**settings.ENCRYPTION_KEYS, "newer": os.urandom(32)}
    forget_keys()
    assert decrypt(stored, account_id=account.pk, context=CONTEXT) == "Wang Fang"
    assert AccountFactory().key_id == "newer"


def test_login_emails_are_still_found_after_a_newer_key_is_added(account, settings):
    before = installation_index("li@example.com", context="agents_agent.email")
    settings.ENCRYPTION_KEYS = {**settings.ENCRYPTION_KEYS, "newer": os.urandom(32)}
    assert installation_index("li@example.com", context="agents_agent.email") == before


def test_an_account_whose_data_key_is_destroyed_can_be_read_by_nobody(account):
    stored = sealed(account)
    Account.objects.filter(pk=account.pk).update(wrapped_key=b"")
    forget_keys()
    with pytest.raises(DecryptionError, match="no data key"):
        decrypt(stored, account_id=account.pk, context=CONTEXT)


def test_equal_values_are_found_in_their_account_and_column_only(account):
    other = AccountFactory()
    index = blind_index("+8613800138000", account_id=account.pk, context="a.b")
    assert index == blind_index("+8613800138000", account_id=account.pk, context="a.b")
    assert index != blind_index("+8613800138000", account_id=other.pk, context="a.b")
    assert index != blind_index("+8613800138000", account_id=account.pk, context="a.c")


def test_an_encrypted_column_is_not_filtered_on(account):
    with pytest.raises(TypeError, match="keyed hash"):
        Agent.objects.filter(name="Wang Fang").exists()


def test_a_list_that_does_not_show_a_column_does_not_open_it(account, monkeypatch):
    AgentFactory(account=account)
    monkeypatch.setattr(encryption, "decrypt", lambda *args, **kwargs: pytest.fail("opened"))
    assert [row.staff_id for row in Agent.objects.filter(account=account)]


def test_saving_a_row_keeps_the_columns_nobody_looked_at(account):
    agent = AgentFactory(account=account, name="Wang Fang")
    loaded = Agent.objects.get(pk=agent.pk)
    loaded.staff_id = "changed"
    loaded.save()
    assert Agent.objects.get(pk=agent.pk).name == "Wang Fang"
