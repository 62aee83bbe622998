"""Spreadsheets: cells as a person sees them, and what is hidden, said."""

import io
import zipfile

import pytest
from office_files import element, open_document, package, relationships, xlsx

from hipcli.documents.document import Content
from hipcli.documents.formats import reader_name
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office import sheets
from hipcli.documents.readers.office.number_format import format_number
from hipcli.errors import HipError


def _read(data: bytes, options: ReadOptions | None = None) -> Content:
    return sheets.read(data, "a.xlsx", options or ReadOptions())


def _rows(*rows: str) -> str:
    return f"<x:sheetData>{''.join(f'<x:row>{row}</x:row>' for row in rows)}</x:sheetData>"


def _cell(value: object, attributes: str = "") -> str:
    return f"<x:c {attributes}><x:v>{value}</x:v></x:c>"


def _text(value: str) -> str:
    return f'<x:c t="inlineStr"><x:is><x:t>{value}</x:t></x:is></x:c>'


def test_headers_and_footers_are_read_once() -> None:
    around = (
        "<x:headerFooter>"
        '<x:oddHeader>&amp;L&amp;"Arial,Bold"&amp;14A &amp;&amp; B&amp;C&amp;KFF0000Draft&amp;R&amp;D</x:oddHeader>'
        "<x:evenHeader>&amp;CDraft of even pages</x:evenHeader><x:oddFooter>Page &amp;P of &amp;N</x:oddFooter>"
        "<x:evenFooter>&amp;P</x:evenFooter></x:headerFooter>"
    )
    content = _read(xlsx({"A": _rows(_cell(1)) + around}))
    assert content.pages[0].text == (
        "[header: A & B | Draft | (date)]\n[header: Draft of even pages]\n1\n[footer: Page # of #]"
    )


def test_names_are_counted() -> None:
    names = (
        '<x:definedName name="Rate">0.19</x:definedName><x:definedName name="_xlnm.Print_Area">A!A1</x:definedName>'
        '<x:definedName name="Old" hidden="1">A!A1</x:definedName>'
    )
    workbook = f'<x:sheets><x:sheet name="A" sheetId="1" r:id="s1"/></x:sheets><x:definedNames>{names}</x:definedNames>'
    data = xlsx({"A": _rows(_cell(1))}, {"xl/workbook.xml": element("x:workbook", workbook)})
    assert _read(data).dropped == ("1 name for cells or values was left out.",)
    assert _read(xlsx({"A": _rows(_cell(1))})).dropped == ()


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (0.1 + 0.2, "General", "0.3"),
        (12.0, "General", "12"),
        (0.125, "0.0%", "12.5%"),
        (1234.565, "#,##0.00", "1,234.57"),
        (-5, "0.00;(0.00)", "(5.00)"),
        (-1234.5, "$#,##0.00", "-$1,234.50"),
        (12, "#,##0.00 [$€-407]", "12.00 €"),
        (45000, "dd/mm/yyyy", "2023-03-15"),
        (45000.5, "d mmm yy h:mm", "2023-03-15 12:00"),
        (0.75, "h:mm AM/PM", "18:00"),
        (1.5, "[h]:mm", "36:00:00"),
        (1, "yyyy-mm-dd", "1900-01-01"),
        (1234, "00000", "01234"),
        (123456789, "000-00-0000", "123-45-6789"),
        (1500000, '0.0,,"M"', "1.5M"),
        (0, '0;-0;"none"', "none"),
        (1.5, "0.##", "1.5"),
        (12345678, "0.00E+00", "1.23E+07"),
        (0.5, "# ?/?", "0.5"),
        (3.5, ";;;", "3.5"),
        (7, "[>5]0.0;0", "7"),
        (-0.001, "0.00", "0.00"),
        (1e20, "0." + "0" * 30, "1" + "0" * 20 + "." + "0" * 30),
        (float("inf"), "0.00", "INF"),
    ],
)
def test_numbers_are_shown_in_their_formats(value: float, code: str, shown: str) -> None:
    assert format_number(value, code) == shown


def test_dates_count_from_1904_where_the_workbook_says_so() -> None:
    assert format_number(1, "yyyy-mm-dd", since_1904=True) == "1904-01-02"


def test_every_kind_of_cell_is_read() -> None:
    strings = (
        "<x:t>shared</x:t>",
        "<x:r><x:t>rich</x:t></x:r><x:r><x:t>er</x:t></x:r><x:rPh><x:t>reading</x:t></x:rPh>",
    )
    row = _cell(0, 't="s"') + _cell(1, 't="s"') + _text("two\nlines") + _cell(1, 't="b"') + _cell("#REF!", 't="e"')
    row += _cell("=", 't="str"') + _cell("2024-05-01T00:00:00", 't="d"') + _cell(0.5, 's="1"')
    content = _read(xlsx({"Data": _rows(row)}, strings=strings, formats=("0%",)))
    assert content.unit == "sheet" and content.pages[0].label == "Data"
    assert content.pages[0].text == "shared | richer | two / lines | TRUE | #REF! | = | 2024-05-01 | 50%"


def test_empty_edges_go_and_far_cells_stay_small() -> None:
    far = '<x:c r="XFD1048576" t="inlineStr"><x:is><x:t>far</x:t></x:is></x:c>'
    data = f'<x:sheetData><x:row r="3"><x:c r="C3"/>{_cell(1, "r=" + chr(34) + "D3" + chr(34))}'
    data += f'<x:c r="F3" s="0"/></x:row><x:row r="1048576">{far}</x:row></x:sheetData>'
    assert _read(xlsx({"S": data})).pages[0].text == "1\n\nfar"


def test_a_long_stretch_of_empty_cells_is_said_not_drawn() -> None:
    full = "".join(_cell(number) for number in range(30))
    ends = _text("first") + '<x:c r="AD2" t="str"><x:v>last</x:v></x:c>'
    lines = _read(xlsx({"S": _rows(full, ends)})).pages[0].text.split("\n")
    assert lines[1] == "first | (28 empty cells) | last"


def test_formulas_show_their_stored_value_or_themselves_with_a_warning() -> None:
    row = "<x:c><x:f>1+1</x:f><x:v>2</x:v></x:c><x:c><x:f>SUM(A1:A9)</x:f></x:c>"
    content = _read(xlsx({"S": _rows(row)}))
    assert content.pages[0].text == "2 | =SUM(A1:A9)"
    assert content.warnings == (
        "1 formula has no stored value and read as written: open and save the file in a spreadsheet program.",
    )


def test_hidden_sheets_rows_and_columns_are_read_and_said() -> None:
    columns = '<x:cols><x:col min="1" max="1" hidden="1"/></x:cols>' + _rows(_text("a") + _text("b"))
    row = f'<x:sheetData><x:row r="1" hidden="1">{_text("c")}</x:row></x:sheetData>'
    content = _read(xlsx({"A": columns, "B": row, "C": _rows(_text("d"))}, attributes={"C": 'state="veryHidden"'}))
    assert [page.text for page in content.pages] == ["a | b", "c", "d"]
    assert content.warnings == ("hidden sheets were read: 3.", "hidden rows or columns were read, of sheets: 1-2.")


def test_links_comments_and_text_boxes_follow() -> None:
    box = "<xdr:sp><xdr:txBody><a:p><a:r><a:t>boxed</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
    box = f"<xdr:twoCellAnchor>{box}</xdr:twoCellAnchor>"
    comment = '<x:comment ref="A1" authorId="0"><x:text><x:t>Check this</x:t></x:text></x:comment>'
    sheet = _rows(_text("site")) + '<x:hyperlinks><x:hyperlink ref="A1" r:id="l"/></x:hyperlinks>'
    parts: dict[str, str | bytes] = {
        "xl/worksheets/_rels/sheet1.xml.rels": relationships(
            {
                "l": ("hyperlink", "https://a.example"),
                "c": ("comments", "../comments1.xml"),
                "d": ("drawing", "../drawings/d.xml"),
            }
        ),
        "xl/comments1.xml": element("x:comments", f"<x:authors><x:author>Ann</x:author></x:authors>{comment}"),
        "xl/drawings/d.xml": element("xdr:wsDr", box),
    }
    text = _read(xlsx({"S": sheet}, parts)).pages[0].text
    assert text == "site (https://a.example)\nboxed\n[comment on A1 by Ann: Check this]"


def test_cells_that_share_a_long_text_do_not_fill_memory() -> None:
    data = xlsx({"S": _rows(*[_cell(0, 't="s"') * 100] * 100)}, strings=(f"<x:t>{'x' * 10_000}</x:t>",))
    with pytest.raises(HipError, match="more text than memory allows"):
        _read(data, ReadOptions(memory=256))


def test_strict_files_have_the_same_cells() -> None:
    namespace = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    sheet = f'<worksheet xmlns="{namespace}"><sheetData><row><c><v>7</v></c></row></sheetData></worksheet>'
    assert _read(xlsx({"S": ""}, {"xl/worksheets/sheet1.xml": sheet})).pages[0].text == "7"


def test_parts_may_be_named_as_in_windows() -> None:
    with zipfile.ZipFile(io.BytesIO(xlsx({"S": _rows(_text("x"))}))) as archive:
        parts: dict[str, str | bytes] = {
            name.replace("/", "\\").lower(): archive.read(name) for name in archive.namelist()
        }
    data = package(parts)
    assert reader_name("a", data) == "sheets" and _read(data).pages[0].text == "x"


def test_a_damaged_workbook_is_refused() -> None:
    with pytest.raises(HipError, match=r"^a\.xlsx: is damaged"):
        _read(xlsx({"S": "<x:sheetData>"}))
    with pytest.raises(HipError, match=r"^a\.xlsx: is damaged"):
        _read(package({"xl/workbook.bin": b"\0"}))


def _ods(cells: str, attributes: str = "", styles: str = "") -> Content:
    table = f'<table:table table:name="S" {attributes}>{cells}</table:table>'
    return _read(open_document("spreadsheet", table, styles))


def test_open_document_sheets_show_their_text_and_repeat_it() -> None:
    row = (
        '<table:table-row table:number-rows-repeated="2">'
        '<table:table-cell office:value="0.5"><text:p>50%</text:p></table:table-cell>'
        '<table:table-cell table:number-columns-repeated="2" office:value="3"/>'
        '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        '<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>'
        '<table:table-row><table:table-cell table:formula="of:=A1" office:value-type="float"/></table:table-row>'
    )
    content = _ods(row)
    assert content.pages[0].text == "50% | 3 | 3\n50% | 3 | 3\n\n=A1" and content.pages[0].label == "S"
    assert len(content.warnings) == 1 and content.warnings[0].startswith("1 formula has no stored value")


def test_hidden_open_document_sheets_and_rows_are_said() -> None:
    hidden = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'
    row = "<table:table-cell><text:p>x</text:p></table:table-cell>"
    row = f'<table:table-row table:visibility="collapse">{row}</table:table-row>'
    content = _ods(row, 'table:style-name="ta1"', hidden)
    assert content.pages[0].text == "x"
    assert content.warnings == ("hidden sheets were read: 1.", "hidden rows or columns were read, of sheets: 1.")
