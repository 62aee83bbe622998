"""Fields of forms in a PDF, and XFA."""

from typing import ClassVar

import pytest
from pdf_files import line, pdf

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.pdf.pdf import read

XFA_DATA = "http://www.xfa.org/schema/xfa-data/1.0/"


HIDDEN = "form fields whose value a viewer does not show, left out (--hidden reads them): 1 on page 1."


def read_pdf(data: bytes, hidden: bool = False) -> Content:
    return read(data, "x.pdf", ReadOptions(ocr="off", hidden=hidden))


def form(*fields: str, drawn: str = line("Name:") + line("Rent a month", y=600)) -> list[str]:
    """The lines that a page has for its `fields`, below what it draws."""
    references = " ".join(f"{50 + index} 0 R" for index in range(len(fields)))
    catalog = f"/AcroForm << /Fields [{references}] /DR << /Font << /F1 3 0 R >> >> /DA (/F1 12 Tf 0 g) >>"
    widgets = [f"/Subtype /Widget /DA (/F1 12 Tf 0 g) {field}" for field in fields]
    content = read_pdf(pdf(drawn, annotations=widgets, catalog=catalog))
    assert content.warnings == content.dropped == ()
    return [line for line in content.pages[0].text.split("\n") if line.startswith("[")]


class TestValues:
    def test_a_text_has_the_label_beside_it(self) -> None:
        assert form("/FT /Tx /T (f1_01) /V (Ada Lovelace) /Rect [120 695 300 712]") == ["[form: Name = Ada Lovelace]"]

    def test_or_above_it(self) -> None:
        assert form("/FT /Tx /T (f1) /V (900 EUR) /Rect [70 575 300 595]") == ["[form: Rent a month = 900 EUR]"]

    def test_a_hint_goes_before_what_is_printed(self) -> None:
        field = "/FT /Tx /T (f1) /TU (Full name of the tenant) /V (Ada) /Rect [120 695 300 712]"
        assert form(field) == ["[form: Full name of the tenant = Ada]"]

    def test_a_field_alone_has_its_name(self) -> None:
        assert form("/FT /Tx /T (city) /V (Paris) /Rect [300 300 400 320]") == ["[form: city = Paris]"]

    def test_any_characters(self) -> None:
        assert form("/FT /Tx /T (x) /V <FEFF6F2290E8201C> /Rect [300 300 400 320]") == ["[form: x = 漢部“]"]

    def test_from_the_top_to_the_foot_and_from_left_to_right(self) -> None:
        fields = [
            f"/FT /Tx /T ({name}) /V ({name}{name}) /Rect [{x} {y} {x + 50} {y + 10}]"
            for name, x, y in (("d", 400, 100), ("a", 100, 500), ("c", 100, 101), ("b", 400, 499))
        ]
        assert form(*fields) == [f"[form: {name} = {name}{name}]" for name in "abcd"]

    def test_boxes_to_tick(self) -> None:
        drawn = line("I agree", x=120) + line("Send me letters", x=120, y=680)
        on = "<< /N << /Yes 100 0 R /Off 101 0 R >> >>"
        fields = [
            f"/FT /Btn /T (one) /V /Yes /AS /Yes /AP {on} /Rect [100 698 112 710]",
            f"/FT /Btn /T (two) /V /Off /AS /Off /AP {on} /Rect [100 678 112 690]",
        ]
        assert form(*fields, drawn=drawn) == ["[x] I agree", "[ ] Send me letters"]

    def test_buttons_of_a_group_are_told_apart(self) -> None:
        fields = [
            f"/FT /Btn /Ff 32768 /T (pay) /V /card /AS /{state} /AP << /N << /{value} 100 0 R /Off 101 0 R >> >>"
            f" /Rect [300 {y} 312 {y + 12}]"
            for value, state, y in (("card", "card", 300), ("cash", "Off", 200))
        ]
        assert form(*fields) == ["[x] pay: card", "[ ] pay: cash"]

    def test_choices(self) -> None:
        fields = [
            "/FT /Ch /Ff 131072 /T (Country) /V (fr) /Opt [[(de) (Germany)] [(fr) (France)]] /Rect [300 300 400 320]",
            "/FT /Ch /Ff 2097152 /T (Days) /V [(Mon) (Tue)] /Opt [(Mon) (Tue) (Wed)] /Rect [300 200 400 220]",
        ]
        assert form(*fields) == ["[form: Country = France]", "[form: Days = Mon, Tue]"]

    @pytest.mark.parametrize(
        "field",
        [
            "/FT /Tx /T (empty) /Rect [120 695 300 712]",
            "/FT /Tx /T (empty) /F 2 /Rect [120 695 300 712]",
            "/FT /Btn /Ff 65536 /T (push) /Rect [120 695 300 712]",
        ],
    )
    def test_what_a_viewer_does_not_show(self, field: str) -> None:
        assert form(field) == []

    def test_a_value_that_the_page_draws_is_not_read_twice(self) -> None:
        drawn = line("Name:") + line("Ada Lovelace", x=122)
        assert form("/FT /Tx /T (f1) /V (Ada Lovelace) /Rect [120 695 300 712]", drawn=drawn) == []

    @pytest.mark.parametrize(("value", "drawn"), [("No", "Notes"), ("1", "10"), ("12", "12.50")])
    def test_a_value_that_is_only_part_of_what_the_page_draws(self, value: str, drawn: str) -> None:
        field = f"/FT /Tx /T (x) /V ({value}) /Rect [120 695 300 712]"
        assert form(field, drawn=line(drawn, x=122)) == [f"[form: x = {value}]"]

    def test_a_tick_has_the_label_on_its_nearer_side(self) -> None:
        on = "<< /N << /On 100 0 R /Off 101 0 R >> >>"
        fields = [
            f"/FT /Btn /T ({name}) /V /{state} /AS /{state} /AP {on} /Rect [{x} 698 {x + 10} 708]"
            for name, state, x in (("a", "On", 96), ("b", "Off", 156))
        ]
        drawn = line("Yes", x=72) + line("No", x=136)
        assert form(*fields, drawn=drawn) == ["[x] Yes", "[ ] No"]

    def test_a_tick_between_two_labels_has_its_name_besides(self) -> None:
        field = "/FT /Btn /T (smoker) /V /On /AS /On /AP << /N << /On 100 0 R /Off 101 0 R >> >> /Rect [97 698 107 708]"
        assert form(field, drawn=line("Yes", x=72) + line("No", x=111)) == ["[x] No - smoker"]

    def test_an_empty_field_ends_the_label_of_the_next(self) -> None:
        fields = [
            "/FT /Tx /T (a) /Rect [120 695 200 712]",
            "/FT /Tx /T (b) /V (Paris) /Rect [260 695 340 712]",
        ]
        assert form(*fields, drawn=line("Name:") + line("City:", x=220)) == ["[form: City = Paris]"]


class TestHidden:
    """Fields that a viewer does not show."""

    FIELDS = "/AcroForm << /Fields [50 0 R] >>"

    @pytest.mark.parametrize(
        ("field", "shown"),
        [
            ("/FT /Tx /T (secret) /Ff 8192 /V (1234)", "[form: secret = 1234]"),
            ("/FT /Tx /T (hidden) /F 2 /V (1234)", "[form: hidden = 1234]"),
            ("/FT /Btn /T (agreed) /F 32 /V /Yes /AS /Yes /AP << /N << /Yes 100 0 R >> >>", "[x] agreed"),
            ("/FT /Tx /T (layer) /OC 100 0 R /V (1234)", "[form: layer = 1234]"),
        ],
    )
    def test_they_are_counted_and_read_where_that_is_asked_for(self, field: str, shown: str) -> None:
        layers = "/OCProperties << /OCGs [100 0 R] /D << /OFF [100 0 R] >> >>"
        widget = f"/Subtype /Widget /Rect [72 600 272 620] {field}"
        data = pdf(line("cover"), annotations=[widget], catalog=f"{self.FIELDS} {layers}", objects={100: "<< >>"})
        content = read_pdf(data)
        assert (content.pages[0].text, content.dropped) == ("cover", (HIDDEN,))
        content = read_pdf(data, hidden=True)
        assert (content.pages[0].text, content.dropped) == (f"cover\n{shown}", ())


class TestAppearances:
    """What only the appearance of a field has."""

    SHOWN: ClassVar = {
        100: (
            "/Type /XObject /Subtype /Form /BBox [0 0 200 20] /Resources << /Font << /F1 3 0 R >> >>",
            b"BT /F1 12 Tf 2 5 Td (1,234.00 EUR) Tj ET",
        )
    }

    def lines(self, field: str, catalog: str = "/AcroForm << /Fields [50 0 R] >>") -> list[str]:
        widget = f"/Subtype /Widget /Rect [72 600 272 620] {field}"
        content = read_pdf(pdf(line("cover"), annotations=[widget], catalog=catalog, objects=self.SHOWN))
        assert content.warnings == content.dropped == ()
        return content.pages[0].text.split("\n")[1:]

    @pytest.mark.parametrize("catalog", ["/AcroForm << /Fields [50 0 R] >>", "/AcroForm << /Fields [] >>", ""])
    def test_a_value_that_only_the_appearance_has(self, catalog: str) -> None:
        assert self.lines("/FT /Tx /T (sum) /AP << /N 100 0 R >>", catalog) == ["[form: sum = 1,234.00 EUR]"]

    def test_the_caption_of_a_button(self) -> None:
        field = "/FT /Btn /Ff 65536 /T (go) /AP << /N 100 0 R >>"
        assert self.lines(field) == ["[button: 1,234.00 EUR]"]
        assert self.lines(field, catalog="") == ["[button: 1,234.00 EUR]"]

    def test_a_list_with_nothing_chosen(self) -> None:
        assert self.lines("/FT /Ch /T (pick) /Opt [(one) (two)] /AP << /N 100 0 R >>") == []

    def test_a_signature(self) -> None:
        assert self.lines("/FT /Sig /T (s) /AP << /N 100 0 R >>") == ["[signature: 1,234.00 EUR]"]


class TestOfNoForm:
    """Fields on a page of a document without a form, as after pages were taken from another document."""

    def lines(self, field: str) -> list[str]:
        widget = f"/Subtype /Widget /Rect [72 600 272 620] {field}"
        content = read_pdf(pdf(line("cover"), annotations=[widget]))
        return content.pages[0].text.split("\n")[1:]

    def test_a_text(self) -> None:
        assert self.lines("/FT /Tx /T (city) /V (Paris)") == ["[form: city = Paris]"]

    def test_boxes_to_tick(self) -> None:
        assert self.lines("/FT /Btn /T (agreed) /AS /Yes") == ["[x] agreed"]
        assert self.lines("/FT /Btn /T (agreed) /AS /Off") == ["[ ] agreed"]

    @pytest.mark.parametrize("more", ["/Ff 8192", "/F 2", "/F 32"])
    def test_passwords_and_hidden_fields_are_counted(self, more: str) -> None:
        assert self.lines(f"/FT /Tx /T (pin) /V (1234) {more}") == []
        field = f"/Subtype /Widget /Rect [72 600 272 620] /FT /Tx /T (pin) /V (1234) {more}"
        assert read_pdf(pdf(line("cover"), annotations=[field])).dropped == (HIDDEN,)


class TestXfa:
    def read(self, datasets: str, encoding: str = "utf-8", form: str = "[(datasets) 100 0 R]") -> Content:
        return read_pdf(
            pdf(
                line("Please wait..."),
                catalog=f"/AcroForm << /Fields [] /XFA {form} >> /NeedsRendering true",
                objects={100: ("", datasets.encode(encoding))},
            )
        )

    def test_values_are_read_and_the_placeholder_is_said(self) -> None:
        content = self.read(
            f'<xfa:datasets xmlns:xfa="{XFA_DATA}"><xfa:data><form><tenant><name>Ada</name><rent>900</rent></tenant>'
            "</form></xfa:data></xfa:datasets>"
        )
        assert content.pages[0].text == (
            "Please wait...\n[form: form / tenant / name = Ada]\n[form: form / tenant / rent = 900]"
        )
        assert content.warnings == (
            "an XFA form: its pages are laid out by few viewers, and only the values of its fields are read.",
        )

    @pytest.mark.parametrize("value", ["<a><!-- c -->one &amp; two</a>", "<a><![CDATA[one & two]]></a>"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_any_xml_is_read(self, value: str, encoding: str) -> None:
        data = f'<xfa:datasets xmlns:xfa="{XFA_DATA}"><xfa:data>{value}</xfa:data></xfa:datasets>'
        assert self.read(data, encoding).pages[0].text == "Please wait...\n[form: a = one & two]"

    def test_formatted_text_is_one_value(self) -> None:
        body = '<a><body xmlns="http://www.w3.org/1999/xhtml"><p>one <b>two</b> three</p></body></a>'
        data = f'<data xmlns="{XFA_DATA}">{body}</data>'
        assert self.read(data).pages[0].text == "Please wait...\n[form: a = one two three]"

    def test_fields_inside_many_others(self) -> None:
        data = f'<data xmlns="{XFA_DATA}">{"<n>" * 500}deep{"</n>" * 500}</data>'
        assert self.read(data).pages[0].text == "Please wait...\n[form: n / n / n = deep]"

    def test_a_form_in_one_stream(self) -> None:
        packet = f'<xdp><template/><datasets><data xmlns="{XFA_DATA}"><a>one</a></data></datasets></xdp>'
        content = self.read(packet, form="100 0 R")
        assert content.pages[0].text == "Please wait...\n[form: a = one]"

    def test_a_form_without_values_says_so(self) -> None:
        (warning,) = self.read(f'<data xmlns="{XFA_DATA}"/>').warnings
        assert warning == (
            "an XFA form: its pages are laid out by few viewers, and no values of fields were found in it."
        )

    def test_values_beyond_the_limit_are_said(self) -> None:
        content = self.read(f'<data xmlns="{XFA_DATA}">{"<a>one</a>" * 10_001}</data>')
        assert content.pages[0].text.count("[form") == 10_000
        assert content.warnings[0].endswith("and only the values of its first 10000 fields are read.")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
    def test_entities_are_not_unfolded(self, encoding: str) -> None:
        entities = f'<!DOCTYPE x [<!ENTITY a "boom">]><data xmlns="{XFA_DATA}"><form>&a;</form></data>'
        content = self.read(entities, encoding)
        assert content.pages[0].text == "Please wait..."
        assert len(content.warnings) == 1

    def test_damaged_data_is_said(self) -> None:
        (warning,) = self.read("<xfa:datasets").warnings
        assert warning.startswith("an XFA form: ") and "its data is damaged" in warning
