"""What a completed request proves: what was asked, when, what went from where, and that it was searched again.

A certificate names nobody. It is signed over its canonical JSON, and says where in the ledger the request ended; whoever
has the installation's published key can verify it.
"""

import base64
import datetime as dt
import io
import json
from typing import Any

from django.utils import timezone, translation
from django.utils.translation import gettext as _

from retention import signing
from retention.models import DeletionRequest, LedgerEntry
from retention.policy import VERSION

FORMAT = 1


class Invalid(Exception):
    """The certificate is not ours, or was changed."""


def make(request: DeletionRequest, *, entry: LedgerEntry, at: dt.datetime) -> tuple[dict[str, Any], bytes]:
    steps = request.steps.order_by("position").values("store", "n_found", "n_deleted", "n_held", "n_left")
    told = {
        "format": FORMAT,
        "account": request.account_id,
        "request": request.pk,
        "about": request.kind,
        "reference": request.reference,
        "received_at": _written(request.received_at),
        "due_at": _written(request.due_at),
        "approved_at": _written(request.approved_at),
        "started_at": _written(request.started_at),
        "erased_at": _written(request.erased_at),
        "verified_at": _written(request.verified_at),
        "completed_at": _written(at),
        "stays_blocked_by_hash": bool(request.keeps_block),
        "stores": [
            {
                "store": one["store"],
                "found": one["n_found"],
                "deleted": one["n_deleted"],
                "held": one["n_held"],
                "left": one["n_left"],
            }
            for one in steps
        ],
        "policy": VERSION,
        "ledger": {"position": entry.position, "hash": bytes(entry.entry_hash).hex()},
    }
    return told, signing.sign(canonical(told))


def canonical(told: dict[str, Any]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def as_file(request: DeletionRequest) -> dict[str, Any]:
    """The JSON that is handed out and verified."""
    return {
        "certificate": request.certificate,
        "signature": base64.b64encode(bytes(request.signature)).decode(),
        "algorithm": "Ed25519 over the certificate as JSON with sorted keys, no spaces, ASCII only",
        "public_key": signing.public_key_pem(),
    }


def verify(said: Any) -> dict[str, Any]:
    """The certificate in a file, if it is genuine. Raises `Invalid`."""
    try:
        told, signature = said["certificate"], base64.b64decode(said["signature"], validate=True)
        payload = canonical(told)
        position, digest = int(told["ledger"]["position"]), bytes.fromhex(told["ledger"]["hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid("this is no certificate of a deletion") from error
    if not signing.verify(payload, signature):
        raise Invalid("no key of this installation signed it, or it was changed afterwards")
    entry = LedgerEntry.objects.filter(position=position).first()
    if entry is None or bytes(entry.entry_hash) != digest:
        raise Invalid("the ledger has no such entry at its place")
    return dict(told)


def _written(moment: dt.datetime | None) -> str | None:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


# --- On paper --------------------------------------------------------------------------------------------------------


def as_pdf(request: DeletionRequest, *, titles: dict[str, str]) -> bytes:
    """A page to file or send, in the language of whoever reads it."""
    from reportlab.lib import colors  # a second to import, and only for those who ask
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    is_chinese = (translation.get_language() or "").startswith("zh")
    font = "STSong-Light" if is_chinese else "Helvetica"
    if is_chinese and font not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    plain = ParagraphStyle("plain", fontName=font, fontSize=9, leading=13)
    small = ParagraphStyle("small", parent=plain, fontSize=7.5, leading=10, textColor=colors.HexColor("#475569"))
    title = ParagraphStyle("title", parent=plain, fontSize=18, leading=24, spaceAfter=4 * mm)
    told: dict[str, Any] = request.certificate or {}
    rows = [[label, value] for label, value in facts(request)]
    head = [_("Store"), _("Found"), _("Deleted"), _("Held"), _("Left")]
    found = [
        [titles.get(one["store"], one["store"]), str(one["found"]), str(one["deleted"]), str(one["held"]), str(one["left"])]
        for one in told.get("stores", [])
    ]
    line = colors.HexColor("#cbd5e1")
    style = [
        ("FONT", (0, 0), (-1, -1), font, 9),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, line),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    numbers = [("ALIGN", (1, 0), (-1, -1), "RIGHT"), ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#f1f5f9"))]
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=20 * mm,
        rightMargin=20 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
        title=_("Certificate of deletion"),
        author="",
    )
    document.build(
        [
            Paragraph(_("Certificate of deletion"), title),
            Table(
                [[Paragraph(str(cell), plain) for cell in row] for row in rows],
                colWidths=[60 * mm, 110 * mm],
                style=TableStyle(style),
            ),
            Spacer(1, 6 * mm),
            Table(
                [head, *found],
                colWidths=[86 * mm, 21 * mm, 21 * mm, 21 * mm, 21 * mm],
                repeatRows=1,
                style=TableStyle(style + numbers),
            ),
            Spacer(1, 6 * mm),
            Paragraph(_("Signature (Ed25519)"), plain),
            Paragraph(base64.b64encode(bytes(request.signature)).decode(), small),
            Spacer(1, 2 * mm),
            Paragraph(
                _("The JSON form of this certificate is what is signed. Its signature can be verified with the published key."),
                small,
            ),
        ]
    )
    return file.getvalue()


def facts(request: DeletionRequest) -> list[tuple[str, str]]:
    """What a certificate says beside its stores, in words."""
    told: dict[str, Any] = request.certificate or {}
    place = told.get("ledger", {})
    lines = [
        (_("Request"), f"#{request.pk}"),
        (_("About"), str(request.get_kind_display())),
        (_("Reference"), request.reference or "–"),
        (_("Received"), _local(request.received_at)),
        (_("Due"), _local(request.due_at)),
        (_("Approved"), _local(request.approved_at)),
        (_("Erased"), _local(request.erased_at)),
        (_("Searched again, nothing found"), _local(request.verified_at)),
        (_("Completed"), _local(request.finished_at)),
        (_("Place in the ledger"), f"{place.get('position', '–')} · {str(place.get('hash', ''))[:16]}…"),
        (_("Policy"), str(told.get("policy", ""))),
    ]
    if request.keeps_block:
        lines.insert(3, (_("Stays blocked by a keyed hash because of"), str(request.get_keeps_block_display())))
    return lines


def _local(moment: dt.datetime | None) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M %Z") if moment else "–"
