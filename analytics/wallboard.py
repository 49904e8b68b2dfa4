"""Wallboards: what a screen on a wall shows, and the links by which one is opened without signing in.

Of a link's token only the hash is kept (`callcenter_site.tokens`). It stands behind the `#` of the address, which
no browser sends, so it is in no log and no referrer. What it opens are figures of skill groups: never a name of a person,
a number, or anything of one call.
"""

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from analytics import live
from analytics.live import Scope
from analytics.models import Display, Tile
from callcenter_site.streams import account_topic, publish, view_topic
from callcenter_site.tokens import is_to_be_noted, new_token, read_token

# --- Links -----------------------------------------------------------------------------------------------------------


def make_link(*, display: Display, at: dt.datetime) -> str:
    """A new link, shown once; the one before ends with it."""
    token = new_token()
    _set_token(display, prefix=token.prefix, token_hash=token.hash, made_at=at)
    return f"{settings.PUBLIC_URL}{reverse('wallboard:by-link')}#{token.text}"


def revoke_link(*, display: Display) -> bool:
    """Whether there was one. Screens that show it go dark within seconds."""
    if not display.has_link:
        return False
    _set_token(display, prefix="", token_hash="", made_at=None)
    return True


def _set_token(display: Display, *, prefix: str, token_hash: str, made_at: dt.datetime | None) -> None:
    display.token_prefix, display.token_hash, display.token_made_at, display.token_seen_at = prefix, token_hash, made_at, None
    display.save(update_fields=["token_prefix", "token_hash", "token_made_at", "token_seen_at"])
    transaction.on_commit(lambda: publish([account_topic(display.account_id)]))


def find_by_token(text: str, *, at: dt.datetime) -> Display | None:
    token = read_token(text)
    if token is None:
        return None
    display: Display | None = Display.objects.select_related("account").filter(token_prefix=token.prefix).first()
    if display is None or not token.fits(display.token_hash) or not display.account.is_open:
        return None
    if is_to_be_noted(display.token_seen_at, at=at):
        Display.objects.filter(pk=display.pk, token_hash=display.token_hash).update(token_seen_at=at)
    return display


# --- What is shown ---------------------------------------------------------------------------------------------------


def board_of(display: Display | None, *, name: str = "", language: str = "") -> dict[str, Any]:
    """How a screen is laid out, with its words in its own language. Without a display: everything the asker sees."""
    board = display or Display(name=name, language=language, version=0)
    with translation.override(board.language or None):
        return {
            "name": board.name,
            "language": translation.get_language(),
            "version": board.version,
            "tiles": board.tiles,
            "has_sound": board.has_sound,
            "limits": {
                "queue": (board.queue_warning, board.queue_alarm),
                "wait": (board.wait_warning, board.wait_alarm),
                "level": (board.level_warning, board.level_alarm),
            },
            "words": {
                **{tile.value: str(tile.label) for tile in Tile},
                "activities": {activity: str(label) for activity, label in live.ACTIVITIES.items()},
                "skill_group": _("Skill group"),
                "stale": _("Stale since"),
                "cut": _("The connection to the telephone system is lost; last heard:"),
                "gone": _("This link shows nothing any more. Ask for a new one."),
                "sound": _("Click once to allow the sound."),
                "full_screen": _("Full screen"),
                "no_groups": _("No skill group is shown here."),
            },
        }


def scope_of_display(display: Display) -> Scope:
    return Scope(display.account_id, frozenset(display.group_ids) if display.group_ids else None, None)


def figures(scope: Scope, *, version: int = 0) -> dict[str, Any]:
    """Figures only."""
    now = live.seen(scope)
    total = live.queue_figures(now.queues)
    return {
        "at": now.at,
        "counted_to": now.counted_to,
        "version": version,
        "total": {**total, "in_ivr": now.in_ivr if scope.sees_account else None, "on_break": now.agents["break"]},
        "agents": now.agents,
        "skill_groups": [{"id": group.group_id, "name": group.name, **live.queue_figures(group.queues)} for group in now.groups],
        "connections": live.connections(now),
    }


# --- Views that stay open --------------------------------------------------------------------------------------------


def topic_of_display(display: Display, *, by_link: bool) -> str:
    """By a link the view lasts as long as the link; else as long as the display."""
    return view_topic(display.account_id, f"wall:{display.pk}:{display.token_prefix if by_link else ''}")


def topic_of_scope(scope: Scope) -> str:
    return view_topic(scope.account_id, f"board:{scope.text}")


def render_view(account_id: int, view: str) -> str | None:
    """The JSON of any live view; None: it is gone."""
    kind, _colon, rest = view.partition(":")
    if kind == "now":
        return live.render_view(account_id, view)
    if kind == "board":
        return live.as_json(figures(Scope.read(account_id, rest)))
    pk, prefix = rest.split(":")
    display = Display.objects.for_account(account_id).select_related("account").filter(pk=int(pk)).first()
    if display is None or not display.account.is_open or (prefix and display.token_prefix != prefix):
        return None
    return live.as_json(figures(scope_of_display(display), version=display.version))
