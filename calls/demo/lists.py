"""What the demo's company set up: the lists its calls are handled by."""

from typing import Any

from calls.demo import center as demo
from calls.demo.simulator import MENU_TEXT
from configuration.models import (
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    ScreenPop,
)

BREAK_REASONS = ("Meal", "Short break", "Meeting", "Training", "No answer")
"""Those the simulated agents give; the last one is given for them."""

PROMPTS = (
    ("menu", IvrPrompt.Kind.TTS, "en", MENU_TEXT),
    ("wish", IvrPrompt.Kind.ENGINE, "en", "Please say in a few words how we can help."),
    ("order", IvrPrompt.Kind.TTS, "en", "Please enter your order number and press hash."),
    ("menu-zh", IvrPrompt.Kind.TTS, "zh-CN", "购买产品请按1，技术支持请按2，账单请按3，投诉请按4，人工服务请按0。"),
)

KEYWORDS = (
    ("投诉", "Complaint", Keyword.Severity.CRITICAL, Keyword.MatchMode.ANYWHERE),
    ("退款", "Refund", Keyword.Severity.WARNING, Keyword.MatchMode.ANYWHERE),
    ("重复扣款", "Refund", Keyword.Severity.CRITICAL, Keyword.MatchMode.ANYWHERE),
    ("charged twice", "Refund", Keyword.Severity.CRITICAL, Keyword.MatchMode.WORD),
    ("refund", "Refund", Keyword.Severity.WARNING, Keyword.MatchMode.WORD),
    ("voucher", "Goodwill", Keyword.Severity.INFO, Keyword.MatchMode.WORD),
    ("third repair", "Complaint", Keyword.Severity.CRITICAL, Keyword.MatchMode.WORD),
    ("不制冷", "Fault", Keyword.Severity.INFO, Keyword.MatchMode.ANYWHERE),
)

QUICK_REPLIES: dict[str, tuple[tuple[str, str], ...]] = {
    "Greetings": (
        ("Welcome", "Heronway Home Appliances, good day. My name is {agent_name}. How can I help you?"),
        ("您好", "您好，海隆家电，我是{agent_name}，请问有什么可以帮您？"),
    ),
    "Technical support": (
        (
            "Cleaning the filter",
            "Please switch the machine off, open the flap at the lower right and turn the filter to the left.",
        ),
        ("Technician", "I book a technician for you. He will call {caller_number} half an hour before he comes."),
        ("上门维修", "已为您预约上门维修，师傅上门前会拨打{caller_number}与您联系。"),
    ),
    "Billing": (
        ("Refund", "The refund has started. The money is back on the card you paid with in three to five working days."),
        ("发票", "电子发票已发送至您的邮箱，请注意查收。"),
    ),
}
GROUP_REPLIES = {demo.SUPPORT: "Technical support", demo.BILLING: "Billing"}

SCREEN_POPS = (
    (
        "Customer file",
        "https://crm.heronway.example/customers?phone={caller_number}&call={call_id}",
        ["caller_number", "location", "ivr_path", "last_calls"],
    ),
    ("Order search", "https://shop.heronway.example/orders?phone={caller_number}", ["caller_number", "provider"]),
)
GROUP_POPS = {demo.SUPPORT: "Customer file", demo.SALES: "Order search"}


def create_lists(account: Any) -> tuple[dict[str, QuickReplyGroup], dict[str, ScreenPop]]:
    """Makes them in an account; returns the quick-reply groups and the pop-ups by name, for the skill groups to point at."""
    topics = dict.fromkeys(topic.disposition for group in demo.GROUPS for topic in group.topics)
    for order, name in enumerate(BREAK_REASONS):
        BreakReason.objects.create(account=account, name=name, order=order, is_active=name != "No answer")
    for order, name in enumerate(topics):
        Disposition.objects.create(account=account, name=name, order=order)
    for code, kind, language, text in PROMPTS:
        IvrPrompt.objects.create(account=account, code=code, kind=kind, language=language, text=text)
    for phrase, category, severity, match_mode in KEYWORDS:
        Keyword.objects.create(account=account, phrase=phrase, category=category, severity=severity, match_mode=match_mode)
    for number in demo.CENTER.blocked_numbers:
        BlockedNumber.objects.create(account=account, number=number, reason="Nuisance calls")
    BlockedNumber.objects.create(
        account=account,
        number="+861900",
        is_prefix=True,
        direction=BlockedNumber.Direction.OUTBOUND,
        reason="Premium-rate numbers are not called",
    )
    replies = {}
    for order, (name, texts) in enumerate(QUICK_REPLIES.items()):
        group = replies[name] = QuickReplyGroup.objects.create(account=account, name=name, order=order)
        for position, (title, text) in enumerate(texts):
            QuickReply.objects.create(account=account, group=group, title=title, text=text, order=position)
    pops = {
        name: ScreenPop.objects.create(account=account, name=name, url_template=address, fields_shown=shown, order=order)
        for order, (name, address, shown) in enumerate(SCREEN_POPS)
    }
    return replies, pops
