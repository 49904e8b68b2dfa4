"""What all lists have in common: sorting, use, deletion, starter sets, empty pages."""

import json

import pytest
from django.contrib.admin.models import LogEntry

from agents.models import SkillGroup
from configuration.models import (
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
from configuration.sorting import put_in_order
from tests.configuration.admin.conftest import client_of, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db

LISTS = [
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    ScreenPop,
    ServiceNumber,
]
SORTED = [BreakReason, Disposition, QuickReplyGroup, ScreenPop]


def names(account, model=BreakReason) -> list[str]:
    return list(model.objects.for_account(account).order_by("order", "name").values_list("name", flat=True))


def make(account, *titles: str, model=BreakReason) -> dict[str, int]:
    return {title: model.objects.create(account=account, name=title, order=n).pk for n, title in enumerate(titles)}


@pytest.mark.parametrize("model", LISTS)
def test_an_empty_list_says_what_it_is_for_and_how_to_begin(client, model):
    text = client.get(page(model, "changelist")).content.decode()
    assert "portal-empty" in text
    assert page(model, "add") in text


@pytest.mark.parametrize("model", [BreakReason, Disposition, QuickReplyGroup])
def test_the_usual_rows_are_added_in_one_click_and_only_once(client, account, model):
    client.post(page(model, "starter_set"))
    first = names(account, model)
    assert len(first) >= 3
    client.post(page(model, "starter_set"))
    assert names(account, model) == first
    assert LogEntry.objects.count() == len(first)


def test_the_usual_rows_come_in_the_language_of_the_account():
    account = AccountFactory(language="zh-hans")
    client = client_of(AgentFactory(account=account, kind=Role.Kind.ADMINISTRATOR))
    client.post(page(BreakReason, "starter_set"))
    from django.utils import translation

    with translation.override("zh-hans"):
        from configuration.admin.break_reasons import BreakReasonAdmin

        assert names(account) == [str(one) for one in BreakReasonAdmin.starter_set]


def test_the_usual_rows_are_for_who_may_add_and_never_by_a_link(account, client):
    supervisor = client_of(AgentFactory(account=account, kind=Role.Kind.SUPERVISOR))
    assert supervisor.post(page(BreakReason, "starter_set")).status_code == 403
    assert client.get(page(BreakReason, "starter_set")).status_code == 403
    assert names(account) == []


@pytest.mark.parametrize("model", SORTED)
def test_rows_stand_in_the_order_they_were_dragged_into(client, account, model):
    ids = make(account, "a", "b", "c", model=model)
    answer = client.post(page(model, "sort"), {"ids": json.dumps([ids["c"], ids["a"], ids["b"]])})
    assert answer.json() == {"moved": 3}
    assert names(account, model) == ["c", "a", "b"]
    assert client.post(page(model, "sort"), {"ids": json.dumps([ids["c"], ids["a"], ids["b"]])}).json() == {"moved": 0}


def test_rows_that_a_search_hides_stay_where_they_are(account):
    ids = make(account, "a", "x", "b", "y", "c")
    rows = BreakReason.objects.for_account(account)
    put_in_order(rows=rows, ids=[ids["c"], ids["b"], ids["a"]])
    assert names(account) == ["c", "x", "b", "y", "a"]


def test_rows_that_all_have_the_same_number_get_their_own(account):
    ids = {title: BreakReason.objects.create(account=account, name=title).pk for title in "bca"}
    put_in_order(rows=BreakReason.objects.for_account(account), ids=[ids["b"], ids["a"]])
    assert names(account) == ["b", "a", "c"]
    assert sorted(BreakReason.objects.for_account(account).values_list("order", flat=True)) == [0, 1, 2]


def test_sorting_touches_no_row_of_another_account(client, account):
    other = AccountFactory()
    theirs, ours = make(other, "x", "y"), make(account, "a", "b")
    answer = client.post(page(BreakReason, "sort"), {"ids": json.dumps([theirs["y"], ours["b"], theirs["x"], 987654, ours["a"]])})
    assert answer.json() == {"moved": 2}
    assert names(other) == ["x", "y"]
    assert names(account) == ["b", "a"]


@pytest.mark.parametrize("ids", ["", "x", "{}x", "null", '["a"]', "[[1]]", json.dumps(list(range(5000)))])
def test_what_is_no_list_of_ids_is_refused(client, ids):
    assert client.post(page(BreakReason, "sort"), {"ids": ids}).status_code == 400


def test_who_may_only_look_cannot_sort_and_sees_no_handle(account, client):
    ids = make(account, "a", "b")
    inspector = client_of(AgentFactory(account=account, kind=Role.Kind.INSPECTOR))
    assert "data-sort-handle" in client.get(page(BreakReason, "changelist")).content.decode()
    assert "data-sort-handle" not in inspector.get(page(BreakReason, "changelist")).content.decode()
    assert inspector.post(page(BreakReason, "sort"), {"ids": json.dumps([ids["b"], ids["a"]])}).status_code == 403
    assert client.get(page(BreakReason, "sort")).status_code == 403
    assert names(account) == ["a", "b"]


def test_a_new_row_goes_to_the_end(client, account):
    make(account, "b", "c")
    client.post(page(BreakReason, "add"), {"name": "a", "is_active": "on"})
    assert names(account) == ["b", "c", "a"]


def test_rows_are_taken_out_of_use_and_back_with_a_count_and_a_trace(client, account):
    ids = make(account, "a", "b")
    BreakReason.objects.filter(pk=ids["b"]).update(is_active=False)
    data = {"action": "stop_using", "_selected_action": list(ids.values())}
    text = client.post(page(BreakReason, "changelist"), data, follow=True).content.decode()
    assert "1 is no longer in use." in text
    assert LogEntry.objects.get().object_id == str(ids["a"])
    client.post(page(BreakReason, "changelist"), data | {"action": "use"})
    assert BreakReason.objects.filter(is_active=True).count() == 2


def test_what_skill_groups_point_to_says_so_before_it_goes_and_names_nobody(client, account):
    pop = ScreenPop.objects.create(account=account, name="CRM")
    SkillGroup.objects.create(account=account, name="Secret group", screen_pop=pop)
    text = client.get(page(ScreenPop, "delete", pop.pk)).content.decode()
    assert "skill groups that will have none: 1" in text
    assert "Secret group" not in text
    client.post(page(ScreenPop, "delete", pop.pk), {"post": "yes"})
    assert SkillGroup.objects.get().screen_pop is None


@pytest.mark.parametrize(("filled", "found"), [("yes", ["Greetings"]), ("no", ["Closing"])])
def test_groups_of_replies_are_filtered_by_whether_they_hold_any(client, account, filled, found):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    QuickReplyGroup.objects.create(account=account, name="Closing")
    for title in ("Hello", "Good day"):
        QuickReply.objects.create(account=account, group=group, title=title, text="Hello")
    shown = client.get(page(QuickReplyGroup, "changelist"), {"filled": filled}).context["cl"].result_list
    assert [row.name for row in shown] == found


def test_a_group_with_replies_is_not_deleted(client, account):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    QuickReply.objects.create(account=account, group=group, title="Hello", text="Hello")
    text = client.post(page(QuickReplyGroup, "delete", group.pk), {"post": "yes"}).content.decode()
    assert "Greetings is still used: quick replies, 1" in text
    assert QuickReplyGroup.objects.filter(pk=group.pk).exists()


def test_many_rows_are_asked_about_at_once_and_each_is_told_what_depends_on_it(client, account, django_assert_max_num_queries):
    pops = [ScreenPop.objects.create(account=account, name=f"Pop {n}") for n in range(30)]
    for n, pop in enumerate(pops[:2]):
        SkillGroup.objects.create(account=account, name=f"Group {n}", screen_pop=pop)
    data = {"action": "delete_selected", "_selected_action": [pop.pk for pop in pops]}
    with django_assert_max_num_queries(15):
        text = client.post(page(ScreenPop, "changelist"), data).content.decode()
    assert text.count("skill groups that will have none: 1") == 2
    client.post(page(ScreenPop, "changelist"), data | {"post": "yes"})
    assert not ScreenPop.objects.exists()


@pytest.mark.parametrize("model", LISTS)
def test_a_list_asks_as_much_for_many_rows_as_for_few(client, account, model, django_assert_max_num_queries):
    group = QuickReplyGroup.objects.create(account=account, name="Group")
    fields = {
        BlockedNumber: lambda n: {"number": f"+861380013{n:04d}"},
        IvrPrompt: lambda n: {"code": f"p{n}", "text": "x"},
        Keyword: lambda n: {"phrase": f"word{n}", "category": "c"},
        QuickReply: lambda n: {"title": f"t{n}", "text": "x", "group": group},
        ServiceNumber: lambda n: {"number": f"+861380013{n:04d}"},
    }.get(model, lambda n: {"name": f"n{n}"})
    for n in range(30):
        model.objects.create(account=account, **fields(n))
    with django_assert_max_num_queries(10):
        assert client.get(page(model, "changelist")).status_code == 200


def test_the_page_of_a_group_with_very_many_replies_leads_to_their_list(client, account, django_assert_max_num_queries):
    group = QuickReplyGroup.objects.create(account=account, name="All")
    replies = [QuickReply(account=account, group=group, title=f"Reply {n:04}", text="x", order=n) for n in range(51)]
    QuickReply.objects.bulk_create(replies[:50])
    assert "Reply 0049" in client.get(page(QuickReplyGroup, "change", group.pk)).content.decode()
    QuickReply.objects.bulk_create(replies[50:])
    with django_assert_max_num_queries(12):
        text = client.get(page(QuickReplyGroup, "change", group.pk)).content.decode()
    assert "Reply 0000" not in text and "Open the 51 replies of this group" in text
    listed = client.get(page(QuickReply, "changelist"), {"group__id__exact": group.pk}).content.decode()
    assert "Reply 0000" in listed and "data-sort-handle" in listed
    client.post(page(QuickReplyGroup, "change", group.pk), {"name": "All of them"})
    group.refresh_from_db()
    assert group.name == "All of them" and group.replies.count() == 51
