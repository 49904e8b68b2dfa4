"""What the configuration refuses, and in which form it keeps what it takes."""

import datetime as dt

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from configuration.models import (
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    ScreenPop,
    ServiceNumber,
    language_tag,
)
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db


def saved(row):
    row.full_clean()
    row.save()
    return type(row).objects.get(pk=row.pk)


def errors_of(row) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        row.full_clean()
    return error.value.message_dict


# --- What every list has in common


@pytest.mark.parametrize("model", [BreakReason, Disposition, QuickReplyGroup, ScreenPop])
def test_a_name_is_trimmed_and_unique_in_its_account_only(account, model):
    assert saved(model(account=account, name="  Lunch \n break ")).name == "Lunch break"
    assert errors_of(model(account=account, name="Lunch  break")) == {"name": ["This is in use already."]}
    assert saved(model(account=AccountFactory(), name="Lunch break")).pk


@pytest.mark.parametrize("model", [BreakReason, Disposition, QuickReplyGroup, ScreenPop])
@pytest.mark.parametrize("name", ["", "   "])
def test_a_name_of_nothing_is_refused_once(account, model, name):
    assert len(errors_of(model(account=account, name=name))["name"]) == 1


def test_a_row_may_be_saved_again_as_it_is(account):
    for row in (
        BreakReason(account=account, name="Lunch"),
        BlockedNumber(account=account, number="138*"),
        ServiceNumber(account=account, number="010-55500001"),
        Keyword(account=account, phrase="refund"),
    ):
        row.full_clean()
        row.save()
        before = {name: getattr(row, name) for name in ("number", "is_prefix", "phrase", "name") if hasattr(row, name)}
        row.full_clean()
        again = saved(type(row).objects.get(pk=row.pk))
        assert {name: getattr(again, name) for name in before} == before


# --- The blacklist


@pytest.mark.parametrize(
    "written",
    [
        "13800138000",
        "138-0013-8000",
        "+86 138 0013 8000",
        "0086 13800138000",
        "8613800138000",
        "（+86）138.0013.8000".replace(".", "-"),
        "＋８６１３８００１３８０００",
        "013800138000",
        " 138 0013 8000 ",
    ],
)
def test_a_number_is_kept_in_one_form_however_it_is_written(account, written):
    row = saved(BlockedNumber(account=account, number=written))
    assert (row.number, row.is_prefix, row.written) == ("+8613800138000", False, "+8613800138000")


@pytest.mark.parametrize(
    ("region", "written", "prefix"),
    [
        ("CN", "138*", "+86138"),
        ("CN", "138…", "+86138"),
        ("CN", "138...", "+86138"),
        ("CN", "+86 138 *", "+86138"),
        ("CN", "0086-138*", "+86138"),
        ("CN", "１３８＊", "+86138"),
        ("CN", "010*", "+8610"),
        ("CN", "+86(0)10*", "+8610"),
        ("CN", "00852 91*", "+85291"),
        ("US", "1212*", "+1212"),
        ("US", "(212)*", "+1212"),
        ("IT", "06 12*", "+390612"),
        ("GB", "020 7*", "+44207"),
        ("CN", "400 8**", "+864008"),
    ],
)
def test_a_prefix_is_kept_in_the_form_of_the_numbers_it_takes_in(region, written, prefix):
    row = BlockedNumber(account=AccountFactory(region=region), number=written)
    row = saved(row)
    assert (row.number, row.is_prefix, row.written) == (prefix, True, f"{prefix}*")


@pytest.mark.parametrize("written", ["hello", "1", "+", "138*00", "12ab", "*86", "x" * 32, "sip:li@example.com", "138x*"])
def test_what_is_no_number_is_refused(account, written):
    assert list(errors_of(BlockedNumber(account=account, number=written))) == ["number"]


def test_a_number_of_ten_thousand_digits_is_refused_with_its_length(account):
    assert "32" in errors_of(BlockedNumber(account=account, number="1" * 10_000))["number"][0]


@pytest.mark.parametrize(
    "written", ["*", "+*", "00*", "0*", "+86*", "0086*", "+8*", "+861*", "1*", "+1*", "+1242*", "+44*", "+3*", "…"]
)
def test_a_prefix_that_takes_in_a_country_or_everybody_must_be_confirmed(account, written):
    row = BlockedNumber(account=account, number=written)
    with pytest.raises(ValidationError) as error:
        row.full_clean()
    assert [one.code for one in error.value.error_dict["number"]] == ["broad"]
    row = BlockedNumber(account=account, number=written)
    row.confirm_broad = True
    row.full_clean()
    row.save()
    again = BlockedNumber.objects.get(pk=row.pk)
    again.reason = "confirmed once, not every time something else changes"
    again.full_clean()


def test_a_number_is_blocked_once_in_whatever_form(account):
    saved(BlockedNumber(account=account, number="13800138000"))
    assert errors_of(BlockedNumber(account=account, number="+86 138 0013 8000")) == {"number": ["This is in use already."]}
    assert saved(BlockedNumber(account=account, number="13800138000*")).is_prefix  # the prefix is another row


def test_an_end_must_lie_ahead_unless_it_was_there(account):
    row = BlockedNumber(account=account, number="13800138000", blocked_until=timezone.now() - dt.timedelta(seconds=1))
    assert list(errors_of(row)) == ["blocked_until"]
    row.save()
    row = BlockedNumber.objects.get(pk=row.pk)
    row.reason = "  rude\n twice "
    assert saved(row).reason == "rude twice"


def test_changing_a_prefix_to_a_number_makes_it_one(account):
    row = saved(BlockedNumber(account=account, number="1380013*"))
    row.number = "13800138000"
    row = saved(row)
    assert (row.number, row.is_prefix) == ("+8613800138000", False)


def test_checking_a_row_of_the_blacklist_asks_the_database_nothing(account, django_assert_num_queries):
    row = BlockedNumber(account=account, number="138*")
    with django_assert_num_queries(0):
        row.clean_fields(exclude=["account"])
        row.clean()


# --- Keywords


def test_a_phrase_is_trimmed(account):
    row = saved(Keyword(account=account, phrase="  money \t back ", category=" Complaint "))
    assert (row.phrase, row.category) == ("money back", "Complaint")


@pytest.mark.parametrize("phrase", ["!!!", "。", "- -"])
def test_a_phrase_has_a_letter_or_a_digit(account, phrase):
    assert "letter or digit" in errors_of(Keyword(account=account, phrase=phrase))["phrase"][0]


@pytest.mark.parametrize("phrase", ["退款", "é", "5", "ﾘﾌｧﾝﾄﾞ"])
def test_letters_of_any_script_make_a_phrase(account, phrase):
    assert saved(Keyword(account=account, phrase=phrase)).phrase == phrase


def test_a_phrase_of_ten_thousand_characters_is_refused_with_both_lengths(account):
    said = errors_of(Keyword(account=account, phrase="x" * 10_000))["phrase"]
    assert len(said) == 1
    assert "100" in said[0]
    assert "10000" in said[0]


# --- Quick replies


def test_a_reply_names_the_placeholder_it_does_not_know(account):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    row = QuickReply(account=account, group=group, title="Hello", text="Hello {customer}")
    assert "{customer}" in errors_of(row)["text"][0]
    row.text = " Hello {caller_number} "
    assert saved(row).text == "Hello {caller_number}"


def test_a_title_stands_once_in_a_group(account):
    one, other = (QuickReplyGroup.objects.create(account=account, name=name) for name in ("One", "Other"))
    saved(QuickReply(account=account, group=one, title="Hello", text="Hello"))
    assert errors_of(QuickReply(account=account, group=one, title="Hello", text="Hi")) == {"title": ["This is in use already."]}
    assert saved(QuickReply(account=account, group=other, title="Hello", text="Hi")).pk


# --- Inbound pop-ups


@pytest.mark.parametrize(
    "address",
    [
        "https://crm.example.com/?n={caller_number}",
        "HTTPS://crm.example.com:8443/c/{caller_number}#{call_id}",
        "https://crm.example.com",
        "https://10.0.0.5/pop",
        "https://[fd00::1]:444/pop?x={ivr_path}",
        "https://crm/pop",
        "https://例子.example/{location}",
        "",
    ],
)
def test_an_address_over_https_with_its_host_written_out_is_taken(account, address):
    assert saved(ScreenPop(account=account, name="CRM", url_template=address)).url_template == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://crm.example.com/", "https://"),
        ("javascript:alert(1)//https://x", "https://"),
        ("//crm.example.com/", "https://"),
        ("{provider}://crm.example.com/", "https://"),
        ("https://{caller_number}.example.com/", "host"),
        ("https://crm.example.com:{call_id}/", "host"),
        ("https://crm.{location}/", "host"),
        ("https://li:secret@crm.example.com/", "password"),
        ("https://crm.example.com@evil.example/", "password"),
        ("https://", "valid host"),
        ("https:///path", "valid host"),
        ("https://crm..example.com/", "valid host"),
        ("https://-crm.example.com/", "valid host"),
        ("https://crm.example.com:0/", "valid host"),
        ("https://crm.example.com:99999/", "valid host"),
        ("https://crm.example.com:80:90/", "valid host"),
        ("https://crm_x.example.com/", "valid host"),
        ("https://1.2.3/", "valid host"),
        ("https://0x7f.1/", "valid host"),
        ("https://[::zz]/", "valid host"),
        ("https://crm／evil.example/", "valid host"),
        ("https://crm.example.com\\@evil.example/", "backslash"),
        ("https://crm.example.com/a b", "spaces"),
        ("https://crm.example.com/\t{caller_number}", "spaces"),
        ("https://crm.example.com/{who}", "{who}"),
        ("https://crm.example.com/{caller_number", "partner"),
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(account, address, said):
    errors = errors_of(ScreenPop(account=account, name="CRM", url_template=address))
    assert list(errors) == ["url_template"]
    assert said in errors["url_template"][0]


def test_fields_shown_are_known_ones_once_each_in_the_order_chosen(account):
    row = ScreenPop(account=account, name="CRM", fields_shown=["location", "caller_number", "location"])
    assert saved(row).fields_shown == ["location", "caller_number"]
    for wrong in (["location", "password"], [["x"]], {"a": 1}, "location!"):
        assert list(errors_of(ScreenPop(account=account, name="Other", fields_shown=wrong))) == ["fields_shown"]


# --- Service numbers


def test_the_provider_is_looked_up_in_the_language_of_the_account():
    english, chinese = AccountFactory(language="en"), AccountFactory(language="zh-hans")
    assert saved(ServiceNumber(account=english, number="138 0013 8000")).provider == "China Mobile"
    assert saved(ServiceNumber(account=chinese, number="13800138000")).provider == "中国移动"


def test_a_provider_somebody_typed_stays_when_the_number_changes(account):
    row = saved(ServiceNumber(account=account, number="13800138000", provider="Our reseller"))
    row.number = "13000138000"
    assert saved(row).provider == "Our reseller"


def test_a_provider_that_was_looked_up_is_looked_up_again_for_another_number(account):
    row = saved(ServiceNumber(account=account, number="13800138000"))
    row.number = "13000138000"
    assert saved(row).provider == "China Unicom"
    row.number, row.provider = "13800138000", "China Unicom (carried along)"
    assert saved(row).provider == "China Unicom (carried along)"


def test_a_service_number_is_unique_in_whatever_form(account):
    saved(ServiceNumber(account=account, number="+861055500001"))
    assert errors_of(ServiceNumber(account=account, number="010 5550 0001")) == {"number": ["This is in use already."]}


# --- IVR prompts


def test_each_kind_of_prompt_asks_for_what_it_needs(account):
    assert list(errors_of(IvrPrompt(account=account, code="a", kind="tts", text="  "))) == ["text"]
    assert list(errors_of(IvrPrompt(account=account, code="a", kind="engine"))) == ["text"]
    assert list(errors_of(IvrPrompt(account=account, code="a", kind="audio", text="Welcome"))) == ["kind"]
    assert saved(IvrPrompt(account=account, code="a", kind="audio", audio_key="prompts/x")).pk


@pytest.mark.parametrize(
    ("written", "kept"),
    [("en", "en"), ("zh_cn", "zh-CN"), ("ZH-hant-tw", "zh-Hant-TW"), ("yue", "yue"), (" ", ""), ("es-419", "es-419")],
)
def test_a_language_tag_is_written_as_is_usual(written, kept):
    assert language_tag(written) == kept


@pytest.mark.parametrize("written", ["English", "e", "zh--CN", "en-", "中文", "en-US-toolongpart", "en us"])
def test_what_is_no_language_tag_is_refused(account, written):
    row = IvrPrompt(account=account, code="a", kind="tts", text="Welcome", language=written)
    assert list(errors_of(row)) == ["language"]
