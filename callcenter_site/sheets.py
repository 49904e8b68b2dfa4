"""Lists as CSV and XLSX: reading what people upload, and writing what they download.

An upload is hostile until read: its size, its rows, its columns and its cells are bounded, and so is what an archive
unpacks to; document types, and with them entities, are refused. A cell that a spreadsheet would run as a formula is
neutralised when written, with the apostrophe that spreadsheets use themselves, and read back unchanged.
"""

import codecs
import csv
import datetime as dt
import io
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any, NamedTuple
from xml.parsers import expat

import openpyxl
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from callcenter_site.workbooks import LAST_ROW, write_workbook

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 200_000
MAX_COLUMNS = 50
MAX_CELL = 10_000
MAX_TEXT = 20_000_000
"""Characters of all cells together."""
MAX_UNPACKED = 100 * 1024 * 1024
"""What a worksheet may unpack to: the portal's own list of as many rows takes 75 MB."""
MAX_STRINGS = 60 * 1024 * 1024
"""What the table of shared strings of a workbook may unpack to: it is held in memory, the rest is streamed."""
MAX_OTHER = 16 * 1024 * 1024
MAX_ALL = 200 * 1024 * 1024
MAX_RATIO = 250
"""How often smaller than unpacked a large part may be: worksheets are about 20 times, nothings in a row 1000 times."""
LARGE = 20 * 1024 * 1024
MAX_MEMBERS = 2000
MAX_ELEMENTS = 8_000_000
"""XML elements of a workbook: three for each of ten cells in every row, and some."""
MAX_CELLS = 2_500_000
"""Cells, or strings of the table of shared ones: more than ten in every row."""
MAX_LOOSE = 500_000
"""XML elements of a part outside its rows and strings; they stay in memory while the part is read."""
MAX_IN_ROW = 100_000
MAX_RUN = 4 * MAX_CELL
"""Characters between two tags; more than a spreadsheet program keeps in a cell."""
MAX_TAG = 1024 * 1024

CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_BLANK = r"(?:[^\S\t\r]|[\ufeff\u200b])*"
_FORMULA = re.compile(_BLANK + r"[=+\-@\t\r＝＋－＠]")
_NEUTRALISED = re.compile(r"'+" + _BLANK + r"[=+\-@\t\r＝＋－＠]")
_HARMLESS = re.compile(r"[0-9A-Za-z]")
_FIRST_ROW = re.compile(r'(?:"(?:[^"]|"")*"|[^"\n])*')
_NUMBER = re.compile(r"\+[0-9]{2,31}")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class Line(NamedTuple):
    """A row that is not empty, with the number a spreadsheet shows beside it."""

    number: int
    cells: list[str]


# --- Formulas --------------------------------------------------------------------------------------------------------


def neutralise(text: str) -> str:
    """The text so that no spreadsheet runs it; `original` gives it back."""
    if _HARMLESS.match(text):  # most cells: a letter or a digit of ASCII begins no formula
        return text
    return f"'{text}" if _FORMULA.match(text) or _NEUTRALISED.match(text) else text


def original(text: str) -> str:
    return text[1:] if text[:1] == "'" and _NEUTRALISED.match(text) else text


def plain(value: object) -> str:
    """A value as both kinds of file can hold it: no control characters, line ends as line feeds."""
    text = str(value)
    if text.isprintable():
        return text
    text = _NOT_TEXT.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


# --- Reading ---------------------------------------------------------------------------------------------------------


def read_lines(file: IO[bytes]) -> Iterator[Line]:
    """The rows of a CSV or XLSX file; which of the two it is, its content says.

    Raises `ValidationError` in plain words for a file that cannot be read, as soon as that is known: rows may have been
    given out before.
    """
    file.seek(0, io.SEEK_END)
    size = file.tell()
    file.seek(0)
    if size == 0:
        raise ValidationError(_("The file is empty."))
    if size > MAX_BYTES:
        raise ValidationError(_("The file is larger than 10 MB. Split it into several."))
    head = file.read(8)
    file.seek(0)
    if head == _OLE:
        raise ValidationError(_of_old_format(file.read()))
    return _bounded(_of_workbook(file) if head[:4] == b"PK\x03\x04" else _of_text(file.read()))


def _bounded(lines: Iterator[Line]) -> Iterator[Line]:
    n_characters = 0
    for number, cells in lines:
        if number > MAX_ROWS + 1:  # empty rows count: they cost time as well
            raise _too_many_rows()
        while cells and not cells[-1].strip():
            cells.pop()
        if not cells:
            continue
        n_characters += sum(map(len, cells))
        if len(cells) > MAX_COLUMNS:
            raise _refused(_("Row %(row)d has more than %(n)d columns."), row=number, n=MAX_COLUMNS)
        if n_characters > MAX_TEXT:
            raise _refused(_("The file holds more than %(n)d characters. Split it into several."), n=MAX_TEXT)
        if max(map(len, cells)) > MAX_CELL:
            raise _refused(_("A cell of row %(row)d is longer than %(n)d characters."), row=number, n=MAX_CELL)
        yield Line(number, [original(plain(cell)) for cell in cells])


def _refused(message: Any, **params: Any) -> ValidationError:
    return ValidationError(message, params=params)


def _too_many_rows() -> ValidationError:
    return _refused(
        _("The file has more than %(n)d rows, empty ones included. Delete empty rows at its end, or split it."), n=MAX_ROWS
    )


def _of_old_format(content: bytes) -> Any:
    if "EncryptedPackage".encode("utf-16-le") in content:
        return _("The workbook is protected by a password. Save it without one.")
    return _("This is a workbook of the old kind (.xls). Save it as .xlsx or CSV.")


# --- CSV -------------------------------------------------------------------------------------------------------------


def _of_text(content: bytes) -> Iterator[Line]:
    text = _decoded(content)
    if _NOT_TEXT.search(text.replace("\x00", "")[:100_000]) or "\x00" in text:
        raise ValidationError(_("This is neither a CSV file nor an .xlsx workbook."))
    delimiter, text = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    number = 0
    try:
        for cells in reader:
            number += 1
            yield Line(number, cells)
    except csv.Error as error:
        raise _refused(_("Row %(row)d cannot be read: a quotation mark may be missing."), row=number + 1) from error


def _decoded(content: bytes) -> str:
    if content.startswith(codecs.BOM_UTF8):
        encodings = ["utf-8-sig"]
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif _has_every_other_byte_zero(content, 1):
        encodings = ["utf-16-le"]
    elif _has_every_other_byte_zero(content, 0):
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8", "gb18030"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            pass
    raise ValidationError(_("The file is in an unknown encoding. Save it as CSV in UTF-8, or as .xlsx."))


def _has_every_other_byte_zero(content: bytes, first: int) -> bool:
    """Whether it looks like UTF-16 without a mark: delimiters, digits and line ends have a zero in one half."""
    sample = content[:4000]
    zeros = sample[first::2].count(0)
    return zeros > 0 and zeros * 4 >= len(sample[first::2]) and sample[1 - first :: 2].count(0) == 0


def _delimiter(text: str) -> tuple[str, str]:
    """What parts the cells: the one the first row has most of, outside quotation marks."""
    text = text.lstrip("\r\n")
    row = _FIRST_ROW.match(text)
    first = row[0].rstrip("\r") if row else ""
    if (said := re.fullmatch(r"sep=([,;\t|])", first)) is not None:  # how spreadsheets are told
        return said[1], text.partition("\n")[2]
    outside = re.sub(r'"[^"]*"', "", first)
    return max(",;\t", key=outside.count), text


# --- XLSX ------------------------------------------------------------------------------------------------------------


def _of_workbook(file: IO[bytes]) -> Iterator[Line]:
    not_readable = _("The workbook cannot be read. Open it in a spreadsheet program and save it again as .xlsx.")
    try:
        _inspect(file)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a workbook holds besides cells is of no interest
            yield from _of_sheet(file)
    except ValidationError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsing stumbles over
        raise ValidationError(not_readable) from error


def _inspect(file: IO[bytes]) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        if "[Content_Types].xml" not in names or not any(name.startswith("xl/") for name in names):
            raise ValidationError(_("This is neither a CSV file nor an .xlsx workbook."))
        if any(member.flag_bits & 0x1 for member in members):
            raise ValidationError(_("The workbook is protected by a password. Save it without one."))
        # A member never unpacks to more than it declares: zipfile stops there.
        if (
            len(members) > MAX_MEMBERS
            or sum(member.file_size for member in members) > MAX_ALL
            or any(member.file_size > _most(member) for member in members)
        ):
            raise _too_much()
        elements = 0
        for member in members:  # whatever its name: a workbook may call any of them a worksheet
            survey = _Survey(elements)
            with archive.open(member) as part:
                try:
                    survey.read(part)
                except expat.ExpatError:
                    if member.filename.lower().endswith((".xml", ".rels")):
                        raise
            elements = survey.n_elements


def _too_much() -> ValidationError:
    return ValidationError(_("The workbook unpacks to more than can be taken in. Split it, or save it as CSV."))


def _most(member: zipfile.ZipInfo) -> int:
    name = member.filename.lower()
    if name.startswith("xl/worksheets/") and name.endswith(".xml"):
        most = MAX_UNPACKED
    else:
        most = MAX_STRINGS if name.endswith("sharedstrings.xml") else MAX_OTHER
    return min(most, max(LARGE, MAX_RATIO * member.compress_size))


class _Survey:
    """Counts what a part of a workbook holds, keeping nothing, and stops at the first thing there is too much of.

    openpyxl builds trees and fills gaps while it reads, so it must see only what has been found bounded.
    """

    def __init__(self, n_elements: int) -> None:
        self.n_elements, self.n_rows, self.n_cells, self.n_loose, self.n_in_row = n_elements, 0, 0, 0, 0
        self.n_characters = self.n_run = 0
        self.is_in_row = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = self._document_type
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def read(self, part: IO[bytes]) -> None:
        n_bytes = 0
        while chunk := part.read(64 * 1024):
            n_bytes += len(chunk)
            self.parser.Parse(chunk)
            if n_bytes - self.parser.CurrentByteIndex > MAX_TAG:
                raise _too_much()
        self.parser.Parse(b"", True)

    def _document_type(self, *_args: Any) -> None:
        """Entities are declared there, and no spreadsheet program writes one into a workbook."""
        raise ValidationError(_("The workbook holds what no spreadsheet program writes. Save it again as .xlsx."))

    def _begin(self, tag: str, _attributes: Any) -> None:
        self.n_run = 0
        self.n_elements += 1
        self.n_cells += tag.endswith((" c", " si"))
        if self.is_in_row:
            self.n_in_row += 1
        elif tag.endswith((" row", " si")):
            self.is_in_row, self.n_in_row = True, 0
            self.n_rows += tag.endswith(" row")
            if self.n_rows > MAX_ROWS + 1:
                raise _too_many_rows()
        else:
            self.n_loose += 1
        if self.n_elements > MAX_ELEMENTS or self.n_cells > MAX_CELLS or self.n_loose > MAX_LOOSE or self.n_in_row > MAX_IN_ROW:
            raise _too_much()

    def _end(self, tag: str) -> None:
        self.n_run = 0
        if tag.endswith((" row", " si")):
            self.is_in_row = False

    def _text(self, text: str) -> None:
        self.n_run += len(text)
        self.n_characters += len(text)
        if self.n_run > MAX_RUN:
            raise _refused(_("A cell of row %(row)d is longer than %(n)d characters."), row=max(self.n_rows, 1), n=MAX_CELL)
        if self.n_characters > 2 * MAX_TEXT:  # what stands between the tags as well
            raise _refused(_("The file holds more than %(n)d characters. Split it into several."), n=MAX_TEXT)


def _of_sheet(file: IO[bytes]) -> Iterator[Line]:
    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    try:
        sheet = next((one for one in book.worksheets if one.sheet_state == "visible"), None)
        if sheet is None:
            raise ValidationError(_("The workbook has no worksheet."))
        sheet.reset_dimensions()  # what a file says of its own size need not be true
        for number, cells in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS + 1), start=1):
            yield Line(number, [_text(cell) for cell in cells])
    finally:
        book.close()


def _text(cell: Any) -> str:
    """What a typed cell says, as somebody would have typed it."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return _number(value, str(cell.number_format))
    if isinstance(value, dt.datetime):
        is_day = value.time() == dt.time() and "h" not in str(cell.number_format).lower()
        return value.date().isoformat() if is_day else value.isoformat(sep=" ", timespec="seconds")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _number(value: float, number_format: str) -> str:
    """Digits as they stand on the screen: a phone number kept as a number has neither exponent nor ".0", and a format of
    zeros keeps those in front of it."""
    if isinstance(value, float) and not value.is_integer():
        return format(Decimal(repr(value)), "f") if abs(value) < 1e300 else str(value)
    text = str(int(value))
    return text.zfill(len(number_format)) if number_format and not number_format.strip("0") else text


# --- Writing ---------------------------------------------------------------------------------------------------------


class _Echo:
    def write(self, text: str) -> str:
        return text


def csv_chunks(rows: Iterable[Sequence[object]], *, per_chunk: int = 500) -> Iterator[bytes]:
    """A CSV file, piece by piece; its mark makes spreadsheets read it as UTF-8."""
    # In the first row everything stands in quotation marks: what parts its cells is then beyond doubt.
    writer, rest = csv.writer(_Echo(), quoting=csv.QUOTE_ALL), csv.writer(_Echo())
    lines: list[str] = [codecs.BOM_UTF8.decode()]
    for row in rows:
        lines.append(writer.writerow([neutralise(plain(cell)) for cell in row]))
        writer = rest
        if len(lines) >= per_chunk:
            yield "".join(lines).encode()
            lines = []
    yield "".join(lines).encode()


def write_csv(rows: Iterable[Sequence[object]]) -> IO[bytes]:
    """A CSV file in a temporary file, to be read from its start."""
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    try:
        for chunk in csv_chunks(rows):
            file.write(chunk)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def write_xlsx(
    rows: Iterable[Sequence[object]], *, title: str, widths: Sequence[int] = (), last_row: int = LAST_ROW
) -> IO[bytes]:
    """An XLSX file, its first row as headings, in a temporary file to be read from its start. All cells are text. Rows that
    no worksheet holds any more go on in the next one, under the same headings.

    A phone number stays as it is read and dialled: as text it is no formula, and a spreadsheet that saves it as CSV makes
    nothing worse of it than a number.
    """
    texts = ([_in_cell(plain(value)) for value in row] for row in rows)
    return write_workbook(texts, title=title, widths=widths, last_row=last_row)


def _in_cell(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else neutralise(text)
