"""The report builder: what it answers, the files it writes, and what it refuses."""

import csv
import datetime as dt
import io

import openpyxl
import pytest
import time_machine

from analytics import reporting
from configuration.models import Role
from tests.analytics.events import Story, take_in
from tests.analytics.test_views import signed_in
from tests.factories import AccountFactory, AgentFactory, MemberFactory, SkillGroupFactory

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 2, 4, 20, tzinfo=dt.UTC)  # 12:20 in Shanghai
URL, FILE = "/admin/reports/", "/admin/reports/file/"
BY_GROUP = {"group_by": ["skill_group"], "metrics": ["offered", "service_level", "asa"], "period": "today"}


@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def groups(account):
    agent = AgentFactory(account=account, staff_id="A")
    found = [SkillGroupFactory(account=account, name=name) for name in ("=HYPERLINK(1)", "Sales")]
    for group in found:
        MemberFactory(skill_group=group, agent=agent)
    morning = NOW - dt.timedelta(hours=2)
    take_in(
        Story(account, morning, "a").queued(0, "Sales").answered(10, "A").ended(60),
        Story(account, morning, "b").queued(0, "Sales").ended(50),
        Story(account, morning, "c").queued(0, "=HYPERLINK(1)").answered(5, "A").ended(60),
        at=NOW,
    )
    return found


def content(answer) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def test_a_report_stands_on_the_screen_with_its_total(client, account, groups):
    signed_in(client, account)
    answer = client.get(URL, BY_GROUP)
    assert answer.context["headings"] == ["Skill group", "Offered", "Service level", "Average speed of answer"]
    assert answer.context["rows"] == [["=HYPERLINK(1)", "1", "100.0 %", "5.0 s"], ["Sales", "2", "50.0 %", "10.0 s"]]
    assert answer.context["totals"] == ["Together", "3", "66.7 %", "7.5 s"]


def test_files_hold_the_same_with_no_formula_among_them(client, account, groups):
    signed_in(client, account)
    text = content(client.get(FILE, BY_GROUP | {"kind": "csv"})).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["Skill group", "Offered", "Service level (%)", "Average speed of answer (s)"]
    assert rows[1:] == [["'=HYPERLINK(1)", "1", "100", "5"], ["Sales", "2", "50", "10"]]
    book = openpyxl.load_workbook(io.BytesIO(content(client.get(FILE, BY_GROUP | {"kind": "xlsx"}))))
    assert [[str(cell) for cell in row] for row in book.active.values] == rows
    assert content(client.get(FILE, BY_GROUP | {"kind": "pdf"})).startswith(b"%PDF-")


def test_a_chinese_name_is_written_into_a_pdf(client, account, groups):
    groups[1].name = "销售 <b>&"
    groups[1].save()
    signed_in(client, account)
    assert b"STSong" in content(client.get(FILE, BY_GROUP | {"kind": "pdf"}))


def test_steps_of_a_day_have_rows_though_nothing_happened(client, account, groups):
    signed_in(client, account)
    answer = client.get(URL, {"group_by": ["hour"], "metrics": ["calls"], "period": "yesterday"})
    assert len(answer.context["rows"]) == 24
    assert answer.context["rows"][0] == ["2026-03-01 00:00+08:00", "0"]


def test_supervisors_of_own_groups_get_these_and_are_refused_the_rest(client, account, groups):
    person = signed_in(client, account, Role.Kind.SUPERVISOR)
    MemberFactory(skill_group=groups[1], agent=person)
    assert [row[0] for row in client.get(URL, BY_GROUP).context["rows"]] == ["Sales"]
    assert b"HYPERLINK" not in content(client.get(FILE, BY_GROUP | {"kind": "csv"}))
    refused = client.get(FILE, {"metrics": ["calls"], "kind": "csv"})
    assert refused.status_code == 400 and "calls counts more than your role sees." in refused.text
    other = client.get(URL, BY_GROUP | {"skill_group": groups[0].pk})
    assert "There is no such skill group." in other.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"metrics": ["cals"]}, "There is no metric cals. Did you mean calls?"),
        ({"group_by": ["hour"]}, "Choose at least one figure."),
        ({"metrics": ["calls"], "from": "2026-03-02", "to": "2026-03-01"}, "The period ends before it begins."),
        ({"metrics": ["calls"], "from": "2006-03-02", "to": "2026-03-01"}, "A period may be at most 400 days long."),
        ({"metrics": ["calls"], "group_by": ["moon"]}, "moon is nothing to group by"),
        ({"metrics": ["calls"], "group_by": ["skill_group"]}, "calls is not counted by skill_group"),
    ],
)
def test_what_cannot_be_answered_is_said(client, account, groups, query, said):
    signed_in(client, account)
    assert said in client.get(URL, query).text
    refused = client.get(FILE, query | {"kind": "csv"})
    assert refused.status_code == 400 and said in refused.text


def test_too_large_a_file_is_refused_before_it_is_written(client, account, groups, monkeypatch):
    monkeypatch.setitem(reporting.MOST_ROWS, "pdf", 1)
    signed_in(client, account)
    refused = client.get(FILE, BY_GROUP | {"kind": "pdf"})
    assert refused.status_code == 400 and "at most 1 rows" in refused.text
    assert client.get(FILE, BY_GROUP | {"kind": "exe"}).status_code == 404


def test_a_group_of_another_account_is_one_that_does_not_exist(client, account, groups):
    stranger = SkillGroupFactory(account=AccountFactory())
    signed_in(client, account)
    for pk in (stranger.pk, 999999):
        assert "There is no such skill group." in client.get(URL, BY_GROUP | {"skill_group": pk}).text
