"""Which names are one, on every database, and which can be seen at all."""

import pytest

from callcenter_site.names import alike, is_visible
from callcenter_site.ownership import taken
from configuration.models import BreakReason
from tests.factories import AccountFactory


@pytest.mark.parametrize(
    "other",
    ["LUNCH", "Lunch ", "lunch\u200b", "\ufeffLunch", "Ｌｕｎｃｈ", "Lún\u0303ch", "\u202elunch", "lunch\x00"],
)
def test_names_that_nobody_tells_apart_are_one(other):
    assert alike("Lunch") == alike(other) == "lunch"


@pytest.mark.parametrize(("one", "other"), [("Straße", "STRASSE"), ("a  b", "a\u3000b"), ("ﬁn", "FIN")])
def test_spellings_of_one_word_are_one(one, other):
    assert alike(one) == alike(other)


@pytest.mark.parametrize(("one", "other"), [("退款", "退貨"), ("a b", "ab"), ("1", "2"), ("и", "i")])
def test_other_words_stay_apart(one, other):
    assert alike(one) != alike(other)


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\ufeff\u202e", "\u3164", "\u0301", "\u200b \u2060"])
def test_a_name_of_nothing_that_shows_is_not_visible(name):
    assert not is_visible(name)


@pytest.mark.parametrize("name", ["a", "退", "7", "-", "🙂", "\u200bא"])
def test_a_letter_digit_or_sign_is_visible(name):
    assert is_visible(name)


@pytest.mark.django_db
def test_a_name_is_taken_in_whatever_spelling_and_in_its_account_only():
    account = AccountFactory()
    BreakReason.objects.create(account=account, name="Lunch")
    assert taken(BreakReason(account=account, name="LÚNCH\u200b"))
    assert not taken(BreakReason(account=account, name="Tea"))
    assert not taken(BreakReason(account=AccountFactory(), name="Lunch"))


@pytest.mark.django_db
def test_a_row_may_change_its_own_spelling_and_keep_a_name_that_clashed_before():
    account = AccountFactory()
    BreakReason.objects.bulk_create([BreakReason(account=account, name="Lunch"), BreakReason(account=account, name="Tea")])
    row = BreakReason.objects.get(name="Lunch")
    assert not taken(row)
    row.name = "LUNCH"
    assert not taken(row)
    row.name = "tea"
    assert taken(row)
