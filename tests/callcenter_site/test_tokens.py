"""Credentials of one text."""

import datetime as dt
import hashlib

import pytest

from callcenter_site.tokens import SEEN_EVERY, is_to_be_noted, new_token, read_token

NOW = dt.datetime(2026, 3, 4, 3, 0, tzinfo=dt.UTC)


def test_a_new_token_is_read_back_and_fits_its_hash_and_no_other():
    token, other = new_token(), new_token()
    assert read_token(token.text) == token and token != other
    assert token.hash == hashlib.sha256(token.secret.encode()).hexdigest()
    assert token.fits(token.hash) and not token.fits(other.hash) and not token.fits("")


@pytest.mark.parametrize("text", ["", ".", ".secret", "short.secret", "0123456789abc.secret", "0123456789a.b.c"])
def test_what_has_no_whole_prefix_is_no_token(text):
    assert read_token(text) is None


@pytest.mark.parametrize("text", ["0123456789ab", "0123456789ab.", "0123456789ab.\udcff", "0123456789ab.é"])
def test_whatever_stands_behind_the_dot_is_compared_and_fits_nothing(text):
    token = read_token(text)
    assert token is not None and not token.fits(new_token().hash) and not token.fits("")


def test_a_use_is_noted_once_a_minute():
    assert is_to_be_noted(None, at=NOW)
    assert not is_to_be_noted(NOW, at=NOW + SEEN_EVERY)
    assert is_to_be_noted(NOW, at=NOW + SEEN_EVERY + dt.timedelta(microseconds=1))
