"""Saved reports and their files over the API."""

import datetime as dt

import pytest
import time_machine
from django.test import Client

from analytics import report_runs
from analytics.models import ReportRun, SavedReport
from configuration.models import Role
from tests.factories import AccountFactory, AgentFactory, SkillGroupFactory, signed_in

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)
SAVED, RUNS = "/api/v1/reports/saved/", "/api/v1/reports/runs/"
QUESTION = {"metrics": ["offered"], "group_by": ["skill_group"], "period": "last_week"}


@pytest.fixture(autouse=True)
def frozen(files_in_a_folder):
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def boss(account):
    return AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR)


@pytest.fixture
def client(boss):
    return signed_in(boss)


def by_key(api_key):
    return {"HTTP_AUTHORIZATION": f"Api-Key {api_key}"}


def make(client, **more):
    return client.post(SAVED, {"name": "Weekly", "question": QUESTION} | more, content_type="application/json")


def test_a_report_is_made_changed_run_and_fetched(client, boss, account):
    reader = AgentFactory(account=account, kind=Role.Kind.INSPECTOR)
    answer = make(client, schedule="weekly", weekday=1, hour=5, readers=[reader.pk], kind="csv")
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["question"] == QUESTION and made["owner"] == boss.pk and made["readers"] == [reader.pk]
    assert made["due_at"] == "2026-03-03T05:00:00+08:00", "Tuesday"
    place = f"{SAVED}{made['id']}/"
    changed = client.patch(place, {"schedule": ""}, content_type="application/json").json()
    assert changed["due_at"] is None and changed["readers"] == [reader.pk]
    replaced = client.put(place, {"name": "Weekly", "question": QUESTION}, content_type="application/json").json()
    assert replaced["readers"] == [] and replaced["kind"] == "xlsx"

    answer = client.post(f"{place}run/", {"kind": "csv"}, content_type="application/json")
    assert answer.status_code == 201, answer.content
    run = answer.json()
    assert answer.headers["Location"].endswith(f"{RUNS}{run['id']}/")
    report_runs.work_on(run["id"])
    shown = client.get(f"{RUNS}{run['id']}/").json()
    assert shown["state"] == "done" and client.get(shown["link"]).status_code == 200
    assert client.delete(place).status_code == 204 and not SavedReport.objects.exists()


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"question": {"metrics": ["nonsense"]}}, "question.metrics"),
        ({"question": {"metrics": []}}, "question.metrics"),
        ({"question": {"metrics": ["offered"], "limit": 4}}, "question.limit"),
        ({"question": "offered"}, "question"),
        ({"question": {"metrics": ["offered"], "skill_group": [99999999]}}, "question.skill_group"),
        ({"question": {"metrics": ["offered"], "from": "2026-02-01", "to": "2026-02-02"}, "schedule": "daily"}, "schedule"),
        ({"schedule": "hourly"}, "schedule"),
        ({"hour": 24}, "hour"),
        ({"name": " \u200b"}, "name"),
        ({"readers": [99999999]}, "readers"),
        ({"owner": 3}, "owner"),
    ],
)
def test_a_fault_names_its_field_and_keeps_nothing(client, said, field):
    answer = make(client, **said)
    if field == "owner":  # read only, and so not the asker's to say
        assert answer.status_code in (201, 400)
        return
    assert answer.status_code == 400, answer.content
    assert any(one["field"].startswith(field) for one in answer.json()["errors"]), answer.json()
    assert not SavedReport.objects.exists()


def test_a_name_is_taken_once(client):
    assert make(client).status_code == 201
    answer = make(client)
    assert answer.status_code == 400 and answer.json()["errors"][0]["field"] == "name"


def test_another_accounts_report_answers_like_one_that_does_not_exist(client, boss):
    stranger = AgentFactory(account=AccountFactory(), kind=Role.Kind.ADMINISTRATOR)
    make(signed_in(stranger), is_shared=True)
    foreign = SavedReport.objects.get()
    group = SkillGroupFactory(account=stranger.account)
    for pk in (foreign.pk, 99999999):
        place = f"{SAVED}{pk}/"
        answers = {client.get(place).status_code, client.patch(place, {}, content_type="application/json").status_code}
        answers |= {
            client.delete(place).status_code,
            client.post(f"{place}run/", {}, content_type="application/json").status_code,
        }
        assert answers == {404}
    answer = make(client, question=QUESTION | {"skill_group": [group.pk]})
    assert answer.status_code == 400 and group.name not in answer.content.decode()


def test_only_its_owner_changes_a_shared_report(client, account):
    make(client, is_shared=True)
    place = f"{SAVED}{SavedReport.objects.get().pk}/"
    colleague = signed_in(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    assert colleague.get(place).status_code == 200
    assert colleague.patch(place, {"name": "x"}, content_type="application/json").status_code == 403
    assert colleague.delete(place).status_code == 403
    assert SavedReport.objects.get().name == "Weekly"


def test_a_key_reads_and_runs_what_is_shared_and_owns_nothing(client, api_key):
    make(client, is_shared=True)
    make(client, name="private")
    shared = SavedReport.objects.get(name="Weekly")
    key = Client()
    assert [one["name"] for one in key.get(SAVED, **by_key(api_key)).json()["results"]] == ["Weekly"]
    body = {"name": "by key", "question": QUESTION}
    assert key.post(SAVED, body, content_type="application/json", **by_key(api_key)).status_code == 403
    answer = key.post(f"{SAVED}{shared.pk}/run/", {"kind": "csv"}, content_type="application/json", **by_key(api_key))
    assert answer.status_code == 201, answer.content
    run = ReportRun.objects.get()
    report_runs.work_on(run.pk)
    shown = key.get(f"{RUNS}{run.pk}/", **by_key(api_key)).json()
    assert shown["state"] == "done" and Client().get(shown["link"]).status_code == 200
    assert client.get(f"{RUNS}{run.pk}/").json()["link"] is None, "it is the key's"


def test_a_run_that_is_named_twice_is_one(client):
    make(client)
    place = f"{SAVED}{SavedReport.objects.get().pk}/run/"
    for _n in range(2):
        answer = client.post(place, {}, content_type="application/json", HTTP_IDEMPOTENCY_KEY="once")
        assert answer.status_code == 201
    assert ReportRun.objects.count() == 1


def test_the_list_asks_no_more_for_more_reports(client, boss, django_assert_max_num_queries):
    for n in range(20):
        make(client, name=f"r{n}")
    with django_assert_max_num_queries(6):
        assert len(client.get(SAVED).json()["results"]) == 20
