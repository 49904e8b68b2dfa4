"""A report as a PDF: one table over as many pages as it needs, its headings on each."""

import tempfile
from collections.abc import Iterable, Sequence
from typing import IO, Any
from xml.sax.saxutils import escape

from django.utils import formats, timezone
from django.utils.translation import gettext as _

_CHINESE_FONT = "STSong-Light"


def write(lines: Iterable[Sequence[object]], *, title: str, about: str, language: str) -> IO[bytes]:
    """The file, to be read from its start. The first line is headings; what stands before the figures may be long."""
    from reportlab.lib import colors  # a second to import, and only for those who ask
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.lib.units import mm
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.platypus import LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

    rows = [[str(cell) for cell in line] for line in lines]
    # Names may be Chinese whatever the language of the report is; the built-in fonts would draw boxes.
    is_latin = not language.startswith("zh") and all(map(_is_latin, [title, about, *(cell for row in rows for cell in row)]))
    font, bold = ("Helvetica", "Helvetica-Bold") if is_latin else (_CHINESE_FONT, _CHINESE_FONT)
    if font == _CHINESE_FONT and font not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(UnicodeCIDFont(font))

    def paragraph(text: str, size: float, name: str = font) -> Any:
        style = ParagraphStyle(name, fontName=name, fontSize=size, leading=size * 1.3, wordWrap="" if is_latin else "CJK")
        return Paragraph(escape(text), style)

    n_columns = max(map(len, rows), default=1)
    size = 9 if n_columns <= 8 else 7
    head = [paragraph(cell, size, bold) for cell in rows[0]] if rows else []
    table = LongTable([head, *([cell[:200] for cell in row] for row in rows[1:])], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 1), (-1, -1), font, size),
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
                ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                ("ALIGN", (1, 1), (-1, -1), "RIGHT"),
            ]
        )
    )
    made = _("Made %(when)s") % {"when": formats.date_format(timezone.localtime(), "Y-m-d H:i")}

    def foot(canvas: Any, document: Any) -> None:
        canvas.setFont(font, 8)
        canvas.drawString(15 * mm, 8 * mm, made)
        canvas.drawRightString(landscape(A4)[0] - 15 * mm, 8 * mm, str(document.page))

    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 15 * mm)
    document = SimpleDocTemplate(file, pagesize=landscape(A4), title=title, author="", **margins)
    story = [paragraph(title, 16, bold), Spacer(1, 2 * mm), paragraph(about, 9), Spacer(1, 5 * mm), table]
    document.build(story, onFirstPage=foot, onLaterPages=foot)
    file.seek(0)
    return file


def _is_latin(text: str) -> bool:
    return all(ord(letter) < 0x2E80 for letter in text)
