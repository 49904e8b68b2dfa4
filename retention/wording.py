"""What a purge deleted, in words."""

from collections.abc import Mapping

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

KINDS = {
    "purge": gettext_lazy("Purge"),
    "files": gettext_lazy("Files deleted"),
    "hold_placed": gettext_lazy("Hold placed"),
    "hold_released": gettext_lazy("Hold released"),
    "plan": gettext_lazy("Storage plan"),
    "request_received": gettext_lazy("Deletion requested"),
    "request_approved": gettext_lazy("Request approved"),
    "request_rejected": gettext_lazy("Request rejected"),
    "request_cancelled": gettext_lazy("Request cancelled"),
    "request_completed": gettext_lazy("Request completed"),
    "erasure_step": gettext_lazy("Erased from a store"),
    "verification": gettext_lazy("Searched again"),
    "termination": gettext_lazy("Account terminated"),
    "reactivation": gettext_lazy("Account reactivated"),
    "key_destroyed": gettext_lazy("Key destroyed"),
    "access_export": gettext_lazy("Copy of a person's data"),
    "export": gettext_lazy("Export"),
    "backup": gettext_lazy("Backup"),
    "backup_rewritten": gettext_lazy("Backup rewritten"),
    "restore": gettext_lazy("Restore"),
    "sweep": gettext_lazy("Sweep of files"),
}
"""What entries of the ledger are called."""


def counted(counts: Mapping[str, int]) -> str:
    """Counts of an entry of the ledger: ids keep their name, kinds of rows are said in words."""
    ids = [f"{name} #{counts[name]}" for name in ("run", "hold", "plan") if name in counts]
    rows = in_words({name: n for name, n in counts.items() if name not in ("run", "hold", "plan")})
    return pgettext("between the items of a list", ", ").join([*ids, *([rows] if rows else [])])


def in_words(counts: Mapping[str, int]) -> str:
    """Like "1,204 calls, 3,310 legs, 12 files"; empty when nothing went."""
    return pgettext("between the items of a list", ", ").join(_one_kind(kind, n) for kind, n in _in_order(counts) if n)


def _in_order(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    known = ["calls", "legs", "queue_entries", "ivr_steps", "recordings", "voicemail", "files", "events", "sealed"]
    return sorted(counts.items(), key=lambda item: (known.index(item[0]) if item[0] in known else len(known), item[0]))


def _one_kind(kind: str, n: int) -> str:  # noqa: PLR0911, PLR0912  (one line a kind: each is a sentence of its own to translators)
    shown = {"n": number_format(n, force_grouping=True)}
    match kind:
        case "calls":
            return ngettext("%(n)s call", "%(n)s calls", n) % shown
        case "legs":
            return ngettext("%(n)s leg", "%(n)s legs", n) % shown
        case "queue_entries":
            return ngettext("%(n)s queue entry", "%(n)s queue entries", n) % shown
        case "ivr_steps":
            return ngettext("%(n)s IVR step", "%(n)s IVR steps", n) % shown
        case "recordings":
            return ngettext("%(n)s recording", "%(n)s recordings", n) % shown
        case "voicemail":
            return ngettext("%(n)s voicemail", "%(n)s voicemails", n) % shown
        case "files":
            return ngettext("%(n)s file", "%(n)s files", n) % shown
        case "events":
            return ngettext("%(n)s raw event", "%(n)s raw events", n) % shown
        case "sealed":
            return ngettext("%(n)s call sealed", "%(n)s calls sealed", n) % shown
        case "intervals":
            return ngettext("%(n)s interval count", "%(n)s interval counts", n) % shown
        case "crossings":
            return ngettext("%(n)s past alert", "%(n)s past alerts", n) % shown
        case "status_changes":
            return ngettext("%(n)s status change", "%(n)s status changes", n) % shown
        case "unknown_names":
            return ngettext("%(n)s unknown name", "%(n)s unknown names", n) % shown
        case "tombstones":
            return ngettext("%(n)s mark of an erasure", "%(n)s marks of erasures", n) % shown
        case "marks":
            return ngettext("%(n)s stale mark", "%(n)s stale marks", n) % shown
        case _:
            return _("%(n)s of %(kind)s") % {**shown, "kind": kind}


def days_in_words(left: int) -> str:
    if left < 0:
        return ngettext("overdue by %(n)s day", "overdue by %(n)s days", -left) % {"n": -left}
    return ngettext("%(n)s day", "%(n)s days", left) % {"n": left}
