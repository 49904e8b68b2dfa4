"""Finding keywords: words, scripts, widths, places, and speed."""

import time

import pytest

from configuration.keywords import find_hits, in_pieces, keyword_hits
from configuration.models import Keyword
from tests.factories import AccountFactory

WORD, ANYWHERE = Keyword.MatchMode.WORD, Keyword.MatchMode.ANYWHERE


def keyword(phrase: str, match_mode: str = WORD, **fields) -> Keyword:
    return Keyword(phrase=phrase, match_mode=match_mode, **fields)


def spots(text: str, *keywords: Keyword) -> list[str]:
    """What is highlighted, as it stands in the text."""
    return [text[hit.start : hit.end] for hit in find_hits(text, keywords)]


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("I want a refund.", ["refund"]),
        ("REFUND! refund?", ["REFUND", "refund"]),
        ("refunds and refunded", []),
        ("nonrefundable", []),
        ("pre-refund", ["refund"]),
        ("refund_id refund2", []),
        ("refund", ["refund"]),
        ("请refund我", ["refund"]),
        ("ｒｅｆｕｎｄ please", ["ｒｅｆｕｎｄ"]),
        ("réfund refundé", []),
        ("the customer's refund's", ["refund"]),
        ("", []),
    ],
)
def test_a_whole_word_stands_between_the_edges_of_words(text, hits):
    assert spots(text, keyword("refund")) == hits


def test_anywhere_is_found_inside_words_too():
    assert spots("Refunds, nonrefundable", keyword("refund", ANYWHERE)) == ["Refund", "refund"]


@pytest.mark.parametrize("mode", [WORD, ANYWHERE])
@pytest.mark.parametrize(
    ("phrase", "text", "hits"),
    [
        ("退款", "我要退款，马上退款！", ["退款", "退款"]),
        ("返金", "返金してください", ["返金"]),
        ("リファンド", "ﾘﾌｧﾝﾄﾞをお願いします", ["ﾘﾌｧﾝﾄﾞ"]),
        ("환불", "환불을 원해요", ["환불"]),
        ("คืนเงิน", "ขอคืนเงินด้วย", ["คืนเงิน"]),
        ("VIP客户", "我是ＶＩＰ客户。", ["ＶＩＰ客户"]),
        ("VIP", "我要VIP服务", ["VIP"]),
        ("12315", "我要打12315投诉", ["12315"]),
    ],
)
def test_scripts_without_word_edges_are_found_anywhere(mode, phrase, text, hits):
    assert spots(text, keyword(phrase, mode)) == hits


def test_a_latin_word_in_chinese_text_is_still_whole():
    assert spots("我有VIPS卡", keyword("VIP")) == []


@pytest.mark.parametrize(
    ("phrase", "text", "hits"),
    [
        ("STRASSE", "die Straße", ["Straße"]),
        ("straße", "DIE STRASSE", ["STRASSE"]),
        ("café", "Cafe\u0301 au lait", ["Cafe\u0301"]),
        ("cafe\u0301", "CAFÉ", ["CAFÉ"]),
        ("office", "the oﬃce", ["oﬃce"]),
        ("call back", "please call \n  back", ["call \n  back"]),
        ("call  back", "Call\u3000back", ["Call\u3000back"]),
        ("kg", "5㎏", []),
    ],
)
def test_places_are_those_of_the_text_as_it_was_given(phrase, text, hits):
    assert spots(text, keyword(phrase)) == hits


def test_hits_of_different_keywords_may_overlap_and_come_from_the_front():
    text = "money back guarantee"
    keywords = [keyword("guarantee"), keyword("back guarantee"), keyword("money back"), keyword("money")]
    assert spots(text, *keywords) == ["money back", "money", "back guarantee", "guarantee"]


def test_a_keyword_does_not_overlap_itself():
    assert spots("aaaaa", keyword("aa", ANYWHERE)) == ["aa", "aa"]


def test_signs_in_a_phrase_are_just_signs():
    assert spots("C++ (a+)+$ .*", keyword("C++"), keyword("(a+)+$"), keyword(".*x")) == ["C++", "(a+)+$"]


def test_pieces_put_together_are_the_text_and_know_the_gravest_keyword():
    text = "give me my money back now"
    grave = keyword("money back", severity=Keyword.Severity.CRITICAL)
    light = keyword("back now", severity=Keyword.Severity.INFO)
    pieces = in_pieces(text, find_hits(text, [grave, light]))
    assert "".join(piece.text for piece in pieces) == text
    assert [(piece.text, piece.severity) for piece in pieces] == [
        ("give me my ", ""),
        ("money ", "critical"),
        ("back", "critical"),
        (" now", "info"),
    ]


@pytest.mark.parametrize("text", ["", "nothing here"])
def test_a_text_without_hits_is_one_piece(text):
    assert [piece.text for piece in in_pieces(text, [])] == ([text] if text else [])


@pytest.mark.django_db
def test_only_the_accounts_keywords_in_use_are_looked_for_with_one_query(account, django_assert_num_queries):
    Keyword.objects.create(account=account, phrase="refund")
    off = Keyword.objects.create(account=account, phrase="lawyer", is_active=False)
    Keyword.objects.create(account=AccountFactory(), phrase="police")
    text = "refund, lawyer, police"
    with django_assert_num_queries(1):
        assert [hit.keyword.phrase for hit in keyword_hits(account=account, text=text)] == ["refund"]
    Keyword.objects.filter(pk=off.pk).update(is_active=True)  # by another process, say
    assert [hit.keyword.phrase for hit in keyword_hits(account=account, text=text)] == ["refund", "lawyer"]


def seconds(text: str, keywords: list[Keyword]) -> float:
    start = time.process_time()
    find_hits(text, keywords)
    return time.process_time() - start


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a" * 100_000, "a{n}" + "a" * 90),
        ("ab" * 50_000, "ab" * 45 + "{n}"),
        ("我要退款" * 25_000, "退款{n}"),
        ("The customer wants money back. " * 3_300, "money {n}"),
        ("ﬃ é ｅ " * 14_000, "ffi {n}"),
    ],
)
def test_a_thousand_keywords_in_a_long_text_are_quick(text, phrase):
    for mode in (WORD, ANYWHERE):
        assert seconds(text, [keyword(phrase.format(n=n), mode) for n in range(1_000)]) < 3


def test_time_grows_with_the_text_not_with_its_square():
    keywords = [keyword("a" * length) for length in range(1, 60)]
    short, long = (min(seconds("a" * size, keywords) for _ in range(3)) for size in (2_000, 20_000))
    assert long < max(short, 0.01) * 40
