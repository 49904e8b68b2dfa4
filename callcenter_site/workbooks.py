"""Workbooks of nothing but text, written as a stream: a row goes into the packed file as it comes, and none is kept.

openpyxl looks at every cell and its style, which made an export of a million calls take a quarter of an hour; it still reads
what is written here, in tests and in imports. The parts are those that ECMA-376 asks of the smallest workbook.
"""

import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO
from xml.sax.saxutils import escape, quoteattr

LAST_ROW = 1_048_576
"""The last row of a worksheet that spreadsheet programs know."""
MOST_CHARACTERS = 32_767
ROWS_AT_ONCE = 200
_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TEXT, _BOLD = 1, 2
"""Styles by their place in the list below; 49 is the built-in format of cells that are text whatever they look like."""
_STYLES = (
    f'{_HEAD}<styleSheet xmlns="{_NAMESPACE}">'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


def write_workbook(
    rows: Iterable[Sequence[str]], *, title: str, widths: Sequence[int] = (), last_row: int = LAST_ROW
) -> IO[bytes]:
    """A workbook, its first row as headings, in a temporary file to be read from its start. Texts hold no control characters.
    Rows that no worksheet holds any more go on in the next one, under the same headings."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (whoever sends it closes it)
    try:
        # Cells repeat each other, so that packing them harder costs much and brings little.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            _write_parts(archive, rows, title, widths, last_row)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _write_parts(
    archive: zipfile.ZipFile, rows: Iterable[Sequence[str]], title: str, widths: Sequence[int], last_row: int
) -> None:
    stem = re.sub(r"[\[\]:*?/\\']", " ", title)[:28].strip() or "1"
    given = iter(rows)
    headings: Sequence[str] | None = next(given, None)
    row: Sequence[str] | None = next(given, None)
    names: list[str] = []
    while not names or row is not None:
        names.append(stem if not names else f"{stem} {len(names) + 1}")
        with archive.open(f"xl/worksheets/sheet{len(names)}.xml", "w", force_zip64=True) as part:
            row = _write_sheet(part, headings, row, given, widths, last_row)
    for path, content in _other_parts(names):
        archive.writestr(path, content)


def _write_sheet(
    part: IO[bytes],
    headings: Sequence[str] | None,
    row: Sequence[str] | None,
    rows: Iterator[Sequence[str]],
    widths: Sequence[int],
    last_row: int,
) -> Sequence[str] | None:
    """Writes `row` and those behind it, as many as the sheet holds; the one that is left over."""
    columns = "".join(f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>' for n, width in enumerate(widths, start=1))
    part.write(
        f'{_HEAD}<worksheet xmlns="{_NAMESPACE}"><sheetViews><sheetView workbookViewId="0">'
        '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
        f"{f'<cols>{columns}</cols>' if columns else ''}<sheetData>".encode()
    )
    if headings is not None:
        part.write(_row(1, headings, _BOLD).encode())
        number = 1
        lines: list[str] = []
        while number < last_row and row is not None:
            number += 1
            lines.append(_row(number, row, _TEXT))
            row = next(rows, None)
            if len(lines) >= ROWS_AT_ONCE:
                part.write("".join(lines).encode())
                lines = []
        part.write("".join(lines).encode())
    part.write(b"</sheetData></worksheet>")
    return row


def _row(number: int, texts: Sequence[str], style: int) -> str:
    begin = f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">'
    cells = "".join(
        f"{begin}{escape(text[:MOST_CHARACTERS])}</t></is></c>" if text else f'<c s="{style}" t="inlineStr"><is><t/></is></c>'
        for text in texts
    )
    return f'<row r="{number}">{cells}</row>'


def _other_parts(names: Sequence[str]) -> list[tuple[str, str]]:
    numbers = range(1, len(names) + 1)
    sheets = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>' for n, name in zip(numbers, names, strict=True)
    )
    relations = "".join(
        f'<Relationship Id="rId{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    types = "".join(f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for n in numbers)
    return [
        (
            "xl/workbook.xml",
            f'{_HEAD}<workbook xmlns="{_NAMESPACE}" xmlns:r="{_RELATIONS}"><sheets>{sheets}</sheets></workbook>',
        ),
        (
            "xl/_rels/workbook.xml.rels",
            f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{relations}'
            f'<Relationship Id="rId{len(names) + 1}" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        ),
        ("xl/styles.xml", _STYLES),
        (
            "_rels/.rels",
            f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
            f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        ),
        (
            "[Content_Types].xml",
            f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{types}</Types>',
        ),
    ]
