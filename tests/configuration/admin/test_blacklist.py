"""The pages of the blacklist."""

import datetime as dt

import pytest
from django.utils import timezone

from callcenter_site.audit import Look
from configuration.admin import blacklist
from configuration.models import AuditEntry, BlockedNumber, Role
from tests.configuration.admin.conftest import client_of, errors_on, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def form(number: str, **fields) -> dict[str, str]:
    return {"number": number, "direction": "inbound", "reason": "", "blocked_until_0": "", "blocked_until_1": "", **fields}


def shown(response) -> set[str]:
    return {row.written for row in response.context["cl"].result_list}


@pytest.fixture
def rows(account) -> None:
    for number, is_prefix, reason in [
        ("+8613800138000", False, "Threatened an agent"),
        ("+86138", True, "Region"),
        ("+86139", True, ""),
        ("+8613800138001", False, ""),
        ("10086", False, ""),
    ]:
        BlockedNumber.objects.create(account=account, number=number, is_prefix=is_prefix, reason=reason)
    BlockedNumber.objects.create(account=AccountFactory(), number="+8613800138000", reason="Threatened")


def test_a_prefix_that_takes_in_a_country_asks_first_and_is_then_taken(client, account):
    answer = client.post(page(BlockedNumber, "add"), form("+86*"))
    assert "Confirm it if you mean it" in errors_on(answer)["number"][0]
    assert 'type="checkbox" name="confirm"' in answer.content.decode()
    assert client.post(page(BlockedNumber, "add"), form("+86*", confirm="on")).status_code == 302
    assert BlockedNumber.objects.get().written == "+86*"


def test_nothing_is_asked_where_nothing_is_broad(client):
    assert 'type="checkbox" name="confirm"' not in client.get(page(BlockedNumber, "add")).content.decode()
    assert client.post(page(BlockedNumber, "add"), form("138*")).status_code == 302


def test_a_prefix_is_shown_with_its_star_and_stays_one(client, account):
    row = BlockedNumber.objects.create(account=account, number="+86138", is_prefix=True)
    address = page(BlockedNumber, "change", row.pk)
    assert 'value="+86138*"' in client.get(address).content.decode()
    client.post(address, form("+86138*", reason="Region"))
    row.refresh_from_db()
    assert (row.number, row.is_prefix, row.reason) == ("+86138", True, "Region")


def test_taking_the_star_away_makes_a_number(client, account):
    row = BlockedNumber.objects.create(account=account, number="+8613800138000", is_prefix=True)
    client.post(page(BlockedNumber, "change", row.pk), form("+8613800138000"))
    row.refresh_from_db()
    assert (row.number, row.is_prefix) == ("+8613800138000", False)


def test_what_is_said_after_saving_is_not_kept_in_the_browser(client):
    answer = client.post(page(BlockedNumber, "add"), form("138 0013 8000"))
    assert answer.status_code == 302
    assert "messages" not in answer.cookies
    assert "was added successfully" in client.get(page(BlockedNumber, "changelist")).content.decode()


def test_a_number_that_is_there_in_another_form_is_said_on_its_field(client, rows):
    answer = client.post(page(BlockedNumber, "add"), form("138 0013 8000"))
    assert errors_on(answer) == {"number": ["This is in use already."]}


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("138 0013 8000", {"+8613800138000", "+86138*"}),
        ("0086-13800138000", {"+8613800138000", "+86138*"}),
        ("＋８６１３８００１３８０００", {"+8613800138000", "+86138*"}),
        ("138", {"+8613800138000", "+8613800138001", "+86138*"}),
        ("138*", {"+8613800138000", "+8613800138001", "+86138*"}),
        ("13800138", {"+8613800138000", "+8613800138001", "+86138*"}),
        ("10086", {"10086"}),
        ("threat", {"+8613800138000"}),
        ("nobody", set()),
    ],
)
def test_a_search_finds_the_number_what_takes_it_in_and_what_begins_so(client, rows, term, found):
    assert shown(client.get(page(BlockedNumber, "changelist"), {"q": term})) >= found
    if term not in ("10086",):
        assert shown(client.get(page(BlockedNumber, "changelist"), {"q": term})) == found


def check(client, number: str, direction: str = "inbound"):
    return client.post(page(BlockedNumber, "check"), {"number": number, "direction": direction})


def test_the_box_says_who_blocks_a_number_and_why(client, rows):
    text = check(client, "138-0013-8000").content.decode()
    assert "is blocked" in text
    assert "Threatened an agent" in text
    assert text.index("+8613800138000</a>") < text.index("+86138*")
    assert "is not blocked" in check(client, "13700137000").content.decode()
    assert "not a phone number" in check(client, "<b>x").content.decode()
    assert "is not blocked" in check(client, "138-0013-8000", "outbound").content.decode()


def test_the_box_keeps_nothing_in_the_address_or_the_cache(client, rows):
    assert check(client, "13800138000").headers["Cache-Control"].startswith("no-store")
    assert client.get(page(BlockedNumber, "check") + "?number=13800138000").status_code == 404


def test_an_expired_row_is_shown_as_expired_and_blocks_nobody(client, account):
    row = BlockedNumber.objects.create(account=account, number="+8613800138000")
    BlockedNumber.objects.filter(pk=row.pk).update(blocked_until=timezone.now() - dt.timedelta(days=1))
    assert "Expired" in client.get(page(BlockedNumber, "changelist")).content.decode()
    text = check(client, "13800138000").content.decode()
    assert "is not blocked" in text
    assert "expired" in text
    assert shown(client.get(page(BlockedNumber, "changelist"), {"state": "expired"})) == {"+8613800138000"}
    assert shown(client.get(page(BlockedNumber, "changelist"), {"state": "blocking"})) == set()


def test_a_long_list_is_not_counted_whole(client, account, django_assert_max_num_queries):
    BlockedNumber.objects.bulk_create(BlockedNumber(account=account, number=f"+8613{number:09d}") for number in range(3_000))
    with django_assert_max_num_queries(8):
        text = client.get(page(BlockedNumber, "changelist")).content.decode()
    assert "1,000+" in text


class TestDeletingAll:
    N = 2_300

    @pytest.fixture
    def many(self, account) -> None:
        BlockedNumber.objects.bulk_create(BlockedNumber(account=account, number=f"+86138{n:08d}") for n in range(self.N))
        BlockedNumber.objects.create(account=AccountFactory(), number="+8613900000000")

    def ask(self, client, **more):
        data = {"action": "delete_selected", "select_across": "1", "_selected_action": [BlockedNumber.objects.first().pk], **more}
        return client.post(page(BlockedNumber, "changelist"), data)

    def test_the_list_says_no_number_where_it_was_not_counted(self, client, many):
        text = client.get(page(BlockedNumber, "changelist")).content.decode()
        assert "Select all blocked numbers, on every page" in text
        assert "Select all 1" not in text

    def test_the_question_says_how_many_there_are_and_names_a_few(self, client, many):
        text = self.ask(client).content.decode()
        assert "These 2300 will be deleted" in text.replace(",", "")
        assert text.count("+86138") == 50
        assert "and 2250 more" in text
        assert "_selected_action" not in text
        assert BlockedNumber.objects.count() == self.N + 1

    def test_what_was_said_is_deleted_in_batches_and_told_in_the_audit_log(
        self, client, account, many, django_assert_max_num_queries
    ):
        ids = set(BlockedNumber.objects.for_account(account).values_list("pk", flat=True))
        with django_assert_max_num_queries(62):  # each batch looks for legal holds, behind the account's gate
            assert self.ask(client, post="yes", n=self.N).status_code == 302
        assert not BlockedNumber.objects.for_account(account).exists()
        assert BlockedNumber.objects.count() == 1
        told = AuditEntry.objects.filter(action=AuditEntry.Action.DELETE)
        assert set(told.values_list("object_id", flat=True)) == ids
        assert "138" not in str(list(told.values_list("changes", flat=True)[:5]))
        assert "2300 were deleted." in client.get(page(BlockedNumber, "changelist")).content.decode()

    def test_it_is_asked_again_where_rows_came_meanwhile(self, client, account, many):
        BlockedNumber.objects.create(account=account, number="+8613900000000")
        text = self.ask(client, post="yes", n=self.N).content.decode()
        assert "These 2301 will be deleted" in text.replace(",", "")
        assert BlockedNumber.objects.for_account(account).count() == self.N + 1

    def test_a_batch_that_fails_leaves_those_before_it_deleted_and_told(self, client, account, many, monkeypatch):
        delete, done = blacklist.delete_rows, []

        def fail_later(rows):
            if done:
                raise RuntimeError("power cut")
            done.append(delete(rows))
            return done[0]

        monkeypatch.setattr(blacklist, "delete_rows", fail_later)
        with pytest.raises(RuntimeError):
            self.ask(client, post="yes", n=self.N)
        left = BlockedNumber.objects.for_account(account).count()
        assert left == self.N - done[0] > 0
        assert AuditEntry.objects.filter(action=AuditEntry.Action.DELETE).count() == self.N - left


class TestWhoMayNotSeeWholeNumbers:
    @pytest.fixture
    def client(self, account):
        permissions = [
            "agents.enter_admin",
            *(f"configuration.{one}_blockednumber" for one in ("view", "add", "change", "delete")),
        ]
        role = Role.objects.create(account=account, name="Masked", permissions=permissions, data_scope=Role.DataScope.ACCOUNT)
        return client_of(AgentFactory(account=account, role=role))

    @pytest.fixture
    def row(self, rows, account) -> BlockedNumber:
        return BlockedNumber.objects.get(account=account, number="+8613800138001")

    def test_no_page_shows_one(self, client, row):
        for address in (
            page(BlockedNumber, "changelist"),
            page(BlockedNumber, "change", row.pk),
            page(BlockedNumber, "delete", row.pk),
            page(BlockedNumber, "history", row.pk),
        ):
            text = client.get(address).content.decode()
            assert "13800138001" not in text, address
            assert "+8613••••••001" in text, address
        going = {"action": "delete_selected", "_selected_action": [row.pk]}
        assert "13800138001" not in client.post(page(BlockedNumber, "changelist"), going).content.decode()
        said = client.post(page(BlockedNumber, "add"), form("13800138099"), follow=True).content.decode()
        assert "+8613••••••099" in said and "13800138099" not in said

    @pytest.mark.parametrize(
        ("term", "found"),
        [
            ("138 0013 8000", {"+8613800138000", "+86138*"}),
            ("138001380", {"+86138*"}),
            ("138001380*", {"+86138*"}),
            ("10086", {"10086"}),
            ("threat", {"+8613800138000"}),
        ],
    )
    def test_a_search_finds_whole_numbers_only(self, client, rows, term, found):
        assert shown(client.get(page(BlockedNumber, "changelist"), {"q": term})) <= found

    def test_a_row_is_given_another_end_without_its_number(self, client, row):
        address = page(BlockedNumber, "change", row.pk)
        assert client.post(address, form("+8613900000000", reason="Abuse")).status_code == 302
        row.refresh_from_db()
        assert (row.number, row.reason) == ("+8613800138001", "Abuse")

    def test_the_box_shows_no_more(self, client, rows):
        assert "13800138001" not in check(client, "0086 138 0013 8000").content.decode()

    def test_they_leave_no_entry_of_having_seen_one(self, client, row):
        client.get(page(BlockedNumber, "changelist"))
        client.get(page(BlockedNumber, "change", row.pk))
        assert not AuditEntry.objects.exclude(look="").exists()


def test_who_sees_whole_numbers_leaves_an_entry(client, account, rows):
    row = BlockedNumber.objects.get(account=account, number="10086")
    client.get(page(BlockedNumber, "changelist"))
    client.get(page(BlockedNumber, "change", row.pk))
    many, one = AuditEntry.objects.filter(look=Look.NUMBERS).order_by("pk")
    assert set(many.additional_data["ids"]) == set(BlockedNumber.objects.for_account(account).values_list("pk", flat=True))
    assert one.object_id == row.pk


def test_a_number_that_is_partly_hidden_is_not_taken_for_another(client):
    assert "hidden" in errors_on(client.post(page(BlockedNumber, "add"), form("+8613••••••000")))["number"][0]
    assert not BlockedNumber.objects.exists()
