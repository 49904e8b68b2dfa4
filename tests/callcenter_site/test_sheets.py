"""Files as people upload them, hostile ones included, and as they get them back."""

import csv
import datetime as dt
import io
import re
import zipfile

import openpyxl
import pytest
from django.core.exceptions import ValidationError
from hypothesis import example, given
from hypothesis import strategies as st

from callcenter_site import sheets
from callcenter_site.sheets import csv_chunks, neutralise, original, plain, read_lines, write_xlsx

DANGEROUS = "=+-@\t\r＝＋－＠"
cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
starts = st.sampled_from(["", " ", "'", "''", "\u3000", "\xa0", "\ufeff"])
formulas = st.builds("{}{}{}".format, starts, st.sampled_from(DANGEROUS), cells)
texts = st.one_of(cells, formulas, st.builds("'{}".format, formulas), st.sampled_from(["+8613800138000", "_x0041_", "1e5"]))
rows = st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=4)


def lines(data: bytes) -> list[list[str]]:
    return [line.cells for line in read_lines(io.BytesIO(data))]


def refusal(data: bytes) -> str:
    with pytest.raises(ValidationError) as caught:
        lines(data)
    return " ".join(caught.value.messages)


def as_read(written: list[list[str]]) -> list[list[str]]:
    """Rows as they come back: empty ends and empty rows are nothing."""
    kept = []
    for row in written:
        cells = [plain(cell) for cell in row]
        while cells and not neutralise(cells[-1]).strip():
            cells.pop()
        if cells:
            kept.append(cells)
    return kept


def workbook(*rows, **formats) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, number_format in formats.items():
        book.active[cell].number_format = number_format
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def as_excel_writes_it(data: bytes) -> bytes:
    """With the texts of the cells in a table of their own."""
    strings: list[bytes] = []

    def share(found) -> bytes:
        strings.append(found[1])
        return b' t="s"><v>%d</v>' % (len(strings) - 1)

    sheet = "xl/worksheets/sheet1.xml"
    data = with_part(data, sheet, lambda xml: re.sub(rb' t="inlineStr"><is><t[^>]*>([^<]*)</t></is>', share, xml))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
    data = with_part(data, "[Content_Types].xml", lambda xml: xml.replace(b"</Types>", override))
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        items = b"".join(b"<si><t>%s</t></si>" % one for one in strings)
        archive.writestr(
            "xl/sharedStrings.xml",
            b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">' + items + b"</sst>",
        )
    return out.getvalue()


def with_part(data: bytes, name: str, change) -> bytes:
    """The same archive with one of its parts changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            content = old.read(member)
            new.writestr(member.filename, change(content) if member.filename == name else content)
    return out.getvalue()


# --- Round trip ------------------------------------------------------------------------------------------------------


@example([["+8613800138000", "=1+1", "'=1", "''=1", " \t=x", "－1"]])
@example([["\r=1", "\n=1", "'\r"]])
@given(rows)
def test_what_is_written_as_csv_is_read_back_unchanged(written):
    assert lines(b"".join(csv_chunks(written))) == as_read(written)


@example([["+8613800138000", "=1+1", "'=1", "''=1", "'+8613800138000", "－1"]])
@example([["_x0041_", "_x005F_", "a\nb", " x "]])
@given(rows)
def test_what_is_written_as_xlsx_is_read_back_unchanged(written):
    assert lines(write_xlsx(written, title="list").read()) == as_read(written)


@given(formulas)
def test_no_cell_begins_like_a_formula(text):
    written = b"".join(csv_chunks([[text]])).decode("utf-8-sig")
    cell = next(iter(csv.reader(io.StringIO(written, newline=""))))[0]
    assert cell.lstrip(" \u3000\xa0\ufeff\n\u200b")[:1] not in set(DANGEROUS)
    assert original(neutralise(text)) == text


def test_a_phone_number_stays_readable_and_dialable():
    assert b"'+8613800138000" in b"".join(csv_chunks([["+8613800138000"]]))
    book = openpyxl.load_workbook(write_xlsx([["Number"], ["+8613800138000"], ["=1"]], title="list"))
    cell = book.active["A2"]
    assert (cell.value, cell.data_type, cell.number_format) == ("+8613800138000", "s", "@")
    assert (book.active["A3"].value, book.active["A3"].data_type) == ("'=1", "s")


@pytest.mark.parametrize(("n_rows", "sheets"), [(0, [1]), (2, [3]), (3, [3, 2]), (4, [3, 3]), (5, [3, 3, 2])])
def test_a_sheet_follows_only_where_rows_are_left_over(n_rows, sheets):
    rows = [["Number"], *([str(n)] for n in range(n_rows))]
    book = openpyxl.load_workbook(write_xlsx(rows, title="list", last_row=3))
    written = [[row[0] for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets]
    assert list(map(len, written)) == sheets and all(sheet[0] == "Number" for sheet in written)
    assert [text for sheet in written for text in sheet[1:]] == [str(n) for n in range(n_rows)]


def test_spreadsheets_are_told_that_the_csv_is_utf_8():
    assert b"".join(csv_chunks([["号码"]])) == b'\xef\xbb\xbf"\xe5\x8f\xb7\xe7\xa0\x81"\r\n'


def test_a_long_list_is_written_piece_by_piece():
    given_out = []

    def endless():
        for number in range(10_000):
            given_out.append(number)
            yield [number]

    chunks = csv_chunks(endless())
    next(chunks)
    assert len(given_out) < 1000


# --- Text files ------------------------------------------------------------------------------------------------------

TABLE = "号码;原因\r\n13800138000;骚扰, 两次\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "gbk"])
def test_a_csv_file_in_each_usual_encoding(encoding):
    assert lines(TABLE.encode(encoding)) == [["号码", "原因"], ["13800138000", "骚扰, 两次"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_parts_the_cells_is_found_out(delimiter):
    text = delimiter.join(["a", '"x,y;z\tw"', "b"]) + "\n" + delimiter.join("123")
    assert lines(text.encode()) == [["a", "x,y;z\tw", "b"], ["1", "2", "3"]]


def test_a_line_that_names_the_delimiter_is_none_of_the_rows():
    assert lines(b"sep=;\r\na;b\r\n1,5;2\r\n") == [["a", "b"], ["1,5", "2"]]


def test_rows_have_the_numbers_a_spreadsheet_shows():
    data = b"a,b\n\n1,2\n,\n3,4\n"
    assert [line.number for line in read_lines(io.BytesIO(data))] == [1, 3, 5]
    assert [line.number for line in read_lines(io.BytesIO(workbook(["a"], [None], ["x"])))] == [1, 3]


def test_a_cell_may_hold_line_ends_and_quotation_marks():
    assert lines(b'a,b\n"x\ny","say ""hi"""\n') == [["a", "b"], ["x\ny", 'say "hi"']]


# --- Workbooks -------------------------------------------------------------------------------------------------------


def _time(text: str) -> dt.datetime:
    """Cells know no time zones."""
    return dt.datetime.fromisoformat(text)


def test_typed_cells_say_what_stands_on_the_screen():
    data = workbook(
        [13800138000, 13800138000.0, 1.38e10, 0.5, True, 8613800138000],
        [dt.date(2026, 12, 31), _time("2026-12-31 18:30"), _time("2026-12-31"), 42, dt.time(8, 5), "+86 10"],
        D2="000000",
        C2="yyyy-mm-dd hh:mm",
    )
    assert lines(data) == [
        ["13800138000", "13800138000", "13800000000", "0.5", "TRUE", "8613800138000"],
        ["2026-12-31", "2026-12-31 18:30:00", "2026-12-31 00:00:00", "000042", "08:05:00", "+86 10"],
    ]


def test_a_phone_number_kept_with_an_exponent_is_read_in_full():
    data = workbook(["n"], [1])
    changed = with_part(data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<v>1</v>", b"<v>1.3800138E+10</v>"))
    assert lines(changed) == [["n"], ["13800138000"]]


def test_of_a_formula_only_its_last_value_is_taken():
    data = workbook(["n", "m"], ["=1+1", "x"])
    cached = with_part(
        data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<v></v>", b"<v>2</v>").replace(b"<v />", b"<v>2</v>")
    )
    assert lines(data) == [["n", "m"], ["", "x"]]
    assert lines(cached) == [["n", "m"], ["2", "x"]]


def test_the_size_a_worksheet_says_it_has_is_not_believed():
    data = workbook(["a", "b"], ["1", "2"])
    changed = with_part(data, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'ref="A1:B2"', b'ref="A1:A1"'))
    assert lines(changed) == [["a", "b"], ["1", "2"]]


# --- Hostile and broken files ----------------------------------------------------------------------------------------


def test_each_limit_has_its_message(monkeypatch):
    assert refusal(b"") == "The file is empty."
    assert "50 columns" in refusal(b",".join([b"x"] * 51))
    assert "10000 characters" in refusal(b"a\n" + b"x" * 10_001)
    monkeypatch.setattr(sheets, "MAX_TEXT", 5)
    assert "more than 5 characters" in refusal(b"abc\nabc")
    monkeypatch.setattr(sheets, "MAX_BYTES", 4)
    assert "larger than 10 MB" in refusal(b"a,b,c")


def test_the_last_row_allowed_is_read_and_one_more_is_not():
    data = b"n\n" + b"1\n" * 200_000
    assert sum(1 for _ in read_lines(io.BytesIO(data))) == 200_001
    assert "200000 rows" in refusal(data + b"1\n")


def test_workbooks_of_old_and_locked_kinds_are_told_apart():
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
    assert ".xls" in refusal(ole)
    assert "password" in refusal(ole + "EncryptedPackage".encode("utf-16-le"))


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"%PDF-1.7\n\x00\x01",
        b"a,b\n1,\x00,2,3,4,5,6,7\n",
    ],
    ids=["picture", "document", "zero"],
)
def test_what_is_no_list_is_said_to_be_none(data):
    assert "neither" in refusal(data)


def test_an_archive_that_is_no_workbook_is_said_to_be_none():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "neither" in refusal(out.getvalue())


def test_a_broken_workbook_is_refused_in_plain_words():
    whole = workbook(["a"], ["1"])
    assert "cannot be read" in refusal(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(with_part(whole, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2]))


def test_a_bomb_is_refused_before_it_is_unpacked():
    filler = b"<!--" + b" " * (sheets.MAX_STRINGS + 1) + b"-->"
    bomb = with_part(workbook(["a"]), "xl/styles.xml", lambda xml: xml + filler)
    assert len(bomb) < sheets.MAX_BYTES
    assert "unpacks to more" in refusal(bomb)


SHEET = "xl/worksheets/sheet1.xml"


def with_rows(rows: bytes) -> bytes:
    return with_part(
        workbook(["a"]), SHEET, lambda xml: re.sub(rb"<sheetData>.*</sheetData>", b"<sheetData>%s</sheetData>" % rows, xml)
    )


def inline(text: bytes) -> bytes:
    return b'<row r="1"><c r="A1" t="inlineStr"><is><t>%s</t></is></c></row>' % text


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda: b"<row/>" * (sheets.MAX_ROWS + 2), "rows, empty ones included"),
        (lambda: b'<row r="1048576"><c r="A1048576"><v>1</v></c></row>', "rows, empty ones included"),
        (lambda: inline(b"x" * (sheets.MAX_RUN + 1)), "A cell of row 1 is longer"),
        (lambda: inline(b"x") + b" " * (sheets.MAX_RUN + 1), "A cell of row 1 is longer"),
        (lambda: b'<row r="1"><c r="A1" s="%s"/></row>' % (b"1" * (sheets.MAX_TAG + 200_000)), "unpacks to more"),
        (lambda: b"<c/>" * (sheets.MAX_LOOSE + 1), "unpacks to more"),
        (lambda: b"<row>" + b"<c/>" * (sheets.MAX_IN_ROW + 1) + b"</row>", "unpacks to more"),
        (lambda: b" " * (sheets.LARGE + 1), "unpacks to more"),
    ],
)
def test_a_worksheet_of_next_to_nothing_is_refused_before_it_costs_anything(monkeypatch, rows, said):
    bomb = with_rows(rows())
    assert len(bomb) < 300_000
    n_read = []
    real = sheets._text
    monkeypatch.setattr(sheets, "_text", lambda cell: n_read.append(1) or real(cell))
    assert said in refusal(bomb)
    assert len(n_read) <= (sheets.MAX_ROWS + 2) * (sheets.MAX_COLUMNS + 1)


def test_empty_rows_are_counted_before_the_reader_builds_them(monkeypatch):
    monkeypatch.setattr(sheets.openpyxl, "load_workbook", None)
    assert "rows, empty ones included" in refusal(with_rows(b"<row/>" * (sheets.MAX_ROWS + 2)))


def test_empty_rows_of_a_text_file_count_as_well(monkeypatch):
    monkeypatch.setattr(sheets, "MAX_ROWS", 3)
    assert lines(b"a\n\n\nb\n") == [["a"], ["b"]]
    assert "more than 3 rows" in refusal(b"a\n\n\n\nb\n")


def test_a_worksheet_under_another_name_is_counted_as_well(monkeypatch):
    book = with_part(
        with_rows(b"<row/>" * 9), "xl/_rels/workbook.xml.rels", lambda xml: xml.replace(b"sheet1.xml", b"sheet1.bin")
    )
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename.replace("sheet1.xml", "sheet1.bin"), old.read(member))
    monkeypatch.setattr(sheets, "MAX_ROWS", 5)
    monkeypatch.setattr(sheets.openpyxl, "load_workbook", None)
    assert "more than 5 rows" in refusal(out.getvalue())


def test_texts_may_stand_in_a_table_of_their_own():
    assert lines(as_excel_writes_it(workbook(["号码", "b"], ["+8613800138000", "x"]))) == [["号码", "b"], ["+8613800138000", "x"]]


@pytest.mark.parametrize(
    "part",
    ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/workbook.xml", "[Content_Types].xml", "xl/_rels/workbook.xml.rels"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_in_every_part(part, encoding):
    def declare(xml: bytes) -> bytes:
        text = xml.decode().split("?>", 1)[-1]
        head = f'<?xml version="1.0" encoding="{encoding}"?><!-- {"x" * 9000} --><!DOCTYPE x [<!ENTITY a "aaaa">]>'
        return (head + text).encode(encoding)

    assert "no spreadsheet program writes" in refusal(with_part(as_excel_writes_it(workbook(["a"], ["1"])), part, declare))


@pytest.mark.parametrize("where", [b'r="A1048577"', b'r="ZZZ2"', b'r="A99999999999"'])
def test_a_cell_far_out_does_not_make_millions_of_empty_ones(where):
    data = workbook(["a"], ["1"])
    number = where.split(b'"')[1].lstrip(b"AZ")
    changed = with_part(
        data,
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b'<row r="2"', b'<row r="' + number + b'"').replace(b'r="A2"', where),
    )
    try:
        found = lines(changed)
    except ValidationError:
        return
    assert len(found) <= 2


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_message(data):
    try:
        lines(data)
    except ValidationError as error:
        assert error.messages
