"""What forms show before they are saved: quick replies, pop-ups, prompts, and keywords tried on a text."""

import socket

import pytest

from configuration.models import IvrPrompt, Keyword, QuickReply, QuickReplyGroup, Role, ScreenPop
from tests.configuration.admin.conftest import client_of, errors_on, page
from tests.factories import AccountFactory, AgentFactory

pytestmark = pytest.mark.django_db


def test_a_reply_is_shown_with_a_made_up_call(client):
    text = client.post(page(QuickReply, "preview"), {"text": "Hello {caller_number}\n<b>!"}).content.decode()
    assert "Hello +8613800138000<br>&lt;b&gt;!" in text


def test_a_reply_with_an_unknown_placeholder_says_so_in_preview_and_on_saving(client, account):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    assert "{customer}" in client.post(page(QuickReply, "preview"), {"text": "Hello {customer}"}).content.decode()
    data = {"group": group.pk, "title": "Hello", "text": "Hello {customer}", "is_active": "on"}
    assert "{customer}" in errors_on(client.post(page(QuickReply, "add"), data))["text"][0]


def test_a_group_is_saved_with_its_replies_in_their_order(client, account):
    group = QuickReplyGroup.objects.create(account=account, name="Greetings")
    one, two = (QuickReply.objects.create(account=account, group=group, title=t, text="x", order=n) for n, t in enumerate("ab"))
    data = {"name": "Greetings", "replies-TOTAL_FORMS": 3, "replies-INITIAL_FORMS": 2}
    for n, (pk, title, order) in enumerate([(one.pk, "a", 1), (two.pk, "b", 0), ("", "c", 2)]):
        data |= {
            f"replies-{n}-{name}": value
            for name, value in [
                ("id", pk),
                ("group", group.pk),
                ("title", title),
                ("text", "x"),
                ("is_active", "on"),
                ("order", order),
            ]
        }
    assert client.post(page(QuickReplyGroup, "change", group.pk), data).status_code == 302
    assert list(group.replies.order_by("order").values_list("title", flat=True)) == ["b", "a", "c"]
    data["replies-1-text"] = "{nonsense}"
    answer = client.post(page(QuickReplyGroup, "change", group.pk), {**data, "replies-TOTAL_FORMS": 2})
    assert "{nonsense}" in str(answer.context["inline_admin_formsets"][0].formset.errors)


def test_a_pop_up_is_shown_filled_in_and_never_opened(client, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the portal opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data = {
        "url_template": "https://crm.example.com/?n={caller_number}",
        "fields_shown": ["location", "caller_number", "location", "password"],
    }
    text = client.post(page(ScreenPop, "preview"), data).content.decode()
    assert "https://crm.example.com/?n=%2B8613800138000" in text
    assert text.index("Beijing") < text.index("+8613800138000<")
    assert "<iframe" not in text
    assert "href" not in text


@pytest.mark.parametrize("address", ["http://crm.example.com", "https://{provider}.example.com", "https://a@b/"])
def test_a_pop_up_that_could_lead_elsewhere_says_why(client, address):
    text = client.post(page(ScreenPop, "preview"), {"url_template": address}).content.decode()
    assert "setup-bad" in text
    data = {"name": "CRM", "url_template": address, "is_active": "on"}
    assert list(errors_on(client.post(page(ScreenPop, "add"), data))) == ["url_template"]


def test_the_fields_of_a_pop_up_are_kept_in_the_order_sent(client):
    data = {"name": "CRM", "url_template": "", "fields_shown": ["last_calls", "caller_number"], "is_active": "on"}
    assert client.post(page(ScreenPop, "add"), data).status_code == 302
    pop = ScreenPop.objects.get()
    assert pop.fields_shown == ["last_calls", "caller_number"]
    text = client.get(page(ScreenPop, "change", pop.pk)).content.decode()
    places = [text.index(f'name="fields_shown" value="{one}"') for one in ("last_calls", "caller_number", "provider")]
    assert places == sorted(places)


def test_keywords_are_tried_on_a_text_of_ones_own(client, account):
    Keyword.objects.create(account=account, phrase="refund", severity="critical")
    Keyword.objects.create(account=AccountFactory(), phrase="please")
    text = client.post(page(Keyword, "try"), {"text": "A <i>refund</i>, please"}).content.decode()
    assert "1 hit" in text
    assert '<mark class="is-critical" title="refund">refund</mark>' in text
    assert "&lt;i&gt;" in text
    assert "No keyword stands" in client.post(page(Keyword, "try"), {"text": "hello"}).content.decode()


def test_categories_are_suggested_from_ones_own_account_only(client, account):
    Keyword.objects.create(account=account, phrase="a", category="Complaint")
    Keyword.objects.create(account=account, phrase="b", category="Complaint")
    Keyword.objects.create(account=AccountFactory(), phrase="c", category="Theirs")
    text = client.get(page(Keyword, "add")).content.decode()
    assert text.count('<option value="Complaint">') == 1
    assert "Theirs" not in text
    assert "Theirs" not in client.get(page(Keyword, "changelist")).content.decode()


@pytest.mark.parametrize(
    ("text", "said"),
    [("Welcome", "ltr"), ("مرحبا بكم", "rtl"), ("欢迎致电" * 50, "read in about 48 s"), ("", "0 characters")],
)
def test_a_prompt_says_its_direction_and_how_long_it_takes(client, text, said):
    assert said in client.post(page(IvrPrompt, "preview"), {"text": text, "kind": "tts"}).content.decode()


@pytest.mark.parametrize(
    ("model", "name"), [(QuickReply, "preview"), (ScreenPop, "preview"), (Keyword, "try"), (IvrPrompt, "preview")]
)
def test_previews_are_for_who_may_look_and_come_by_post(account, client, model, name):
    agent = client_of(AgentFactory(account=account, kind=Role.Kind.AGENT))
    assert agent.post(page(model, name), {}).status_code in (302, 403)
    assert client.get(page(model, name)).status_code == 404
    assert client.post(page(model, name), {}).headers["Cache-Control"].startswith("no-store")
