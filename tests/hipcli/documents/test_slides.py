"""Presentations: shapes, tables, charts, SmartArt, notes and comments, slide by slide."""

import pytest
from office_files import element, pptx, relationships, shape

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.office import slides
from hipcli.errors import HipError


def _read(data: bytes, hidden: bool = False) -> Content:
    return slides.read(data, "a.pptx", ReadOptions(hidden=hidden))


def _frame(inner: str) -> str:
    return f"<p:graphicFrame><a:graphic><a:graphicData>{inner}</a:graphicData></a:graphic></p:graphicFrame>"


def test_a_slide_has_its_title_as_label_and_its_shapes_as_text() -> None:
    grouped = f"<p:grpSp>{shape('inner')}<p:grpSp>{shape('innermost')}</p:grpSp></p:grpSp>"
    content = _read(
        pptx([shape("body") + shape("The\nTitle", "ctrTitle") + grouped, shape("7", "sldNum") + shape("x")])
    )
    assert content.unit == "slide"
    assert [(page.number, page.label, page.text) for page in content.pages] == [
        (1, "The Title", "body\ninner\ninnermost"),
        (2, None, "x"),
    ]


def test_titles_alone_are_the_text() -> None:
    content = _read(pptx([shape("One", "title"), shape("Two", "title")]))
    assert [(page.label, page.text) for page in content.pages] == [(None, "One"), (None, "Two")]


def test_slides_come_in_the_order_of_the_presentation_not_of_their_names() -> None:
    order = element("p:presentation", '<p:sldIdLst><p:sldId r:id="s2"/><p:sldId r:id="s1"/></p:sldIdLst>')
    content = _read(pptx([shape("first part"), shape("second part")], {"ppt/presentation.xml": order}))
    assert [page.text for page in content.pages] == ["second part", "first part"]


def test_lists_are_indented_and_numbered() -> None:
    def line(text: str, properties: str) -> str:
        return f"<a:p>{properties}<a:r><a:t>{text}</a:t></a:r></a:p>"

    numbered = '<a:pPr lvl="0"><a:buAutoNum type="arabicPeriod"/></a:pPr>'
    lettered = '<a:pPr lvl="1"><a:buAutoNum type="alphaLcParenR"/></a:pPr>'
    bullet = '<a:pPr lvl="0"><a:buChar char="•"/></a:pPr>'
    lines = line("a", numbered) + line("b", lettered) + line("c", lettered) + line("d", numbered) + line("e", bullet)
    content = _read(pptx([f"<p:sp><p:txBody>{lines}</p:txBody></p:sp>"]))
    assert content.pages[0].text == "1. a\n  a) b\n  b) c\n2. d\n- e"


def test_tables_charts_and_smart_art_are_read() -> None:
    cells = "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>" for text in "ab")
    points = '<c:pt idx="0"><c:v>{}</c:v></c:pt><c:pt idx="1"><c:v>{}</c:v></c:pt>'
    series = (
        "<c:ser><c:tx><c:strRef><c:strCache><c:pt><c:v>Sales</c:v></c:pt></c:strCache></c:strRef></c:tx>"
        f"<c:cat>{points.format('2024', '2025')}</c:cat><c:val>{points.format('3.5', '4')}</c:val></c:ser>"
    )
    title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>Growth</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    node = '<dgm:pt type="{}"><dgm:t><a:p><a:r><a:t>{}</a:t></a:r></a:p></dgm:t></dgm:pt>'
    parts: dict[str, str | bytes] = {
        "ppt/slides/_rels/slide1.xml.rels": relationships(
            {"c": ("chart", "../charts/chart1.xml"), "d": ("diagramData", "../diagrams/data1.xml")}
        ),
        "ppt/charts/chart1.xml": element("c:chartSpace", title + series),
        "ppt/diagrams/data1.xml": element(
            "dgm:dataModel", node.format("node", "Plan") + node.format("pres", "no text")
        ),
    }
    shapes = (
        _frame(f"<a:tbl><a:tr>{cells}</a:tr></a:tbl>")
        + _frame('<c:chart r:id="c"/>')
        + _frame('<dgm:relIds r:dm="d"/>')
    )
    content = _read(pptx([shapes], parts))
    assert content.pages[0].text == "a | b\n[chart]\nGrowth\n| Sales\n2024 | 3.5\n2025 | 4\nPlan"


def test_notes_and_comments_are_read_with_their_slide() -> None:
    parts: dict[str, str | bytes] = {
        "ppt/slides/_rels/slide1.xml.rels": relationships(
            {"n": ("notesSlide", "../notesSlides/n.xml"), "c": ("comments", "../comments/c.xml")}
        ),
        "ppt/notesSlides/n.xml": element(
            "p:notes", f"<p:cSld><p:spTree>{shape('1', 'sldNum')}{shape('Say this.', 'body')}</p:spTree></p:cSld>"
        ),
        "ppt/comments/c.xml": element("p:cmLst", '<p:cm authorId="0"><p:text>Really?</p:text></p:cm>'),
    }
    assert _read(pptx([shape("body")], parts)).pages[0].text == "body\n[comment: Really?]\n[notes]\nSay this."


def test_what_the_master_shows_is_read_once_without_its_placeholders() -> None:
    layout = relationships({"l": ("slideLayout", "../slideLayouts/l.xml")})
    tree = f"<p:cSld><p:spTree>{shape('Click to edit', 'title')}{shape('ACME internal')}</p:spTree></p:cSld>"
    parts: dict[str, str | bytes] = {
        "ppt/slides/_rels/slide1.xml.rels": layout,
        "ppt/slides/_rels/slide2.xml.rels": layout,
        "ppt/slideLayouts/l.xml": element("p:sldLayout", tree),
    }
    texts = [page.text for page in _read(pptx([shape("a"), shape("b")], parts)).pages]
    assert texts == ["a\n[on every slide of this layout: ACME internal]", "b"]


def test_hidden_slides_are_read_and_hidden_shapes_left_out_and_both_said() -> None:
    hidden_shape = shape("ghost").replace('name=""', 'name="" hidden="1"')
    data = pptx([shape("a"), shape("b") + hidden_shape], attributes={2: 'show="0"'})
    content = _read(data)
    assert [page.text for page in content.pages] == ["a", "b"]
    assert content.warnings == ("slides that are hidden when the presentation is shown were read: 2.",)
    assert content.dropped == ("1 hidden shape was left out.",)
    assert _read(data, hidden=True).pages[1].text == "b\nghost"


def _placed(text: str, run: str = "", x: int = 0, shape_properties: str = "") -> str:
    place = f'<a:xfrm><a:off x="{x}" y="0"/><a:ext cx="1000" cy="1000"/></a:xfrm>'
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name=""/></p:nvSpPr><p:spPr>{place}{shape_properties}</p:spPr>'
        f"<p:txBody><a:p><a:r>{run}<a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def _in(colour: str) -> str:
    return f"<a:rPr><a:solidFill>{colour}</a:solidFill></a:rPr>"


WHITE = _in('<a:srgbClr val="ffffff"/>')
BLACK_FILL = '<a:solidFill><a:srgbClr val="000000"/></a:solidFill>'


def _theme(light: str) -> dict[str, str | bytes]:
    """A master with a theme, whose first background is `light`."""
    scheme = f'<a:clrScheme><a:lt1><a:sysClr lastClr="{light}"/></a:lt1></a:clrScheme>'
    background = '<p:cSld><p:bg><p:bgRef idx="1001"><a:schemeClr val="bg1"/></p:bgRef></p:bg></p:cSld>'
    return {
        "ppt/slides/_rels/slide1.xml.rels": relationships({"l": ("slideLayout", "../slideLayouts/l.xml")}),
        "ppt/slideLayouts/l.xml": element("p:sldLayout", ""),
        "ppt/slideLayouts/_rels/l.xml.rels": relationships({"m": ("slideMaster", "../slideMasters/m.xml")}),
        "ppt/slideMasters/m.xml": element("p:sldMaster", f'{background}<p:clrMap bg1="lt1"/>'),
        "ppt/slideMasters/_rels/m.xml.rels": relationships({"t": ("theme", "../theme/t.xml")}),
        "ppt/theme/t.xml": element("a:theme", f"<a:themeElements>{scheme}</a:themeElements>"),
    }


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        (_placed("un seen", WHITE), {}),
        (_placed("un seen", _in('<a:schemeClr val="bg1"/>')), _theme("FFFFFF")),
        (_placed("un seen", _in('<a:schemeClr val="bg1"/>')), _theme("102030")),
        (_placed("un seen", _in('<a:srgbClr val="102030"/>')), _theme("102030")),
        (_placed("un seen", '<a:rPr sz="100"/>'), {}),
        (_placed("", shape_properties=BLACK_FILL) + _placed("un seen", WHITE, x=5000), {}),
    ],
)
def test_text_that_may_not_be_seen_is_read_and_said(shapes: str, parts: dict[str, str | bytes]) -> None:
    content = _read(pptx([_placed("seen") + shapes], parts))
    assert content.pages[0].text.replace("\n\n", "\n") == "seen\nun seen"
    where = "tiny or in the colour of the background, on slides: 1"
    assert content.warnings == (f"6 characters were read that may not be seen: {where}.",)


@pytest.mark.parametrize(
    ("shapes", "parts"),
    [
        (_placed("", shape_properties=BLACK_FILL) + _placed("white on black", WHITE), {}),
        (_placed("white on black", WHITE, shape_properties=BLACK_FILL), {}),
        (_placed("white on dark", WHITE), _theme("102030")),
        (_placed("light", _in('<a:schemeClr val="bg1"><a:lumMod val="50000"/></a:schemeClr>')), _theme("FFFFFF")),
        ("<p:pic/>" + _placed("white on a picture", WHITE), {}),
    ],
)
def test_light_text_on_something_dark_is_seen(shapes: str, parts: dict[str, str | bytes]) -> None:
    warnings = _read(pptx([shapes], parts)).warnings
    assert not [warning for warning in warnings if "may not be seen" in warning]


def test_text_beside_the_slide_is_read_and_said() -> None:
    size = '<p:sldIdLst><p:sldId r:id="s1"/></p:sldIdLst><p:sldSz cx="9000000" cy="6000000"/>'
    slide = _placed("shown") + _placed("on the left", x=-2000) + _placed("right", x=9000000)
    content = _read(pptx([slide], {"ppt/presentation.xml": element("p:presentation", size)}))
    assert content.pages[0].text == "shown\non the left\nright"
    assert content.warnings == ("14 characters were read that may not be seen: beside the slide, on slides: 1.",)


def test_pictures_are_counted_and_a_missing_slide_is_said() -> None:
    picture = '<p:pic><p:nvPicPr><p:cNvPr id="1" name="" descr="A bridge"/></p:nvPicPr></p:pic>'
    order = element("p:presentation", '<p:sldIdLst><p:sldId r:id="s1"/><p:sldId r:id="gone"/></p:sldIdLst>')
    content = _read(pptx([picture + picture], {"ppt/presentation.xml": order}))
    assert content.pages[0].text == "[picture: A bridge]\n[picture: A bridge]"
    assert content.warnings == ("the file is damaged: 1 slide is missing.", "2 pictures were not read.")


def test_a_slide_that_is_no_xml_is_refused() -> None:
    with pytest.raises(HipError, match=r"^a\.pptx: is damaged \(ppt/slides/slide1\.xml: "):
        _read(pptx([shape("a")], {"ppt/slides/slide1.xml": "<p:sld>"}))
