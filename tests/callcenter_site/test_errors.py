"""What is answered when something fails."""

import pytest
from django.db import OperationalError


@pytest.fixture
def broken(client, monkeypatch):
    client.raise_request_exception = False

    def break_with(error):
        def fails(*args, **kwargs):
            raise error

        monkeypatch.setattr("django.contrib.auth.middleware.get_user", fails)
        return client

    return break_with


@pytest.mark.parametrize("url", ["/admin/", "/desk/"])
def test_without_its_database_the_portal_says_that_it_is_away(broken, url):
    answer = broken(OperationalError(2006, "server has gone away")).get(url)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "try again in a few seconds" in answer.content.decode()


def test_any_other_failure_is_a_failure(broken):
    answer = broken(RuntimeError("secret")).get("/admin/")
    assert answer.status_code == 500 and "secret" not in answer.content.decode()
