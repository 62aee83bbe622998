import base64
from email.message import EmailMessage

import pytest

from hipcli.documents.document import Content
from hipcli.documents.options import ReadOptions
from hipcli.documents.readers.mail import mail
from hipcli.errors import HipError


def read(message: EmailMessage | bytes, **options: object) -> Content:
    data = message if isinstance(message, bytes) else message.as_bytes()
    return mail.read(data, "a.eml", ReadOptions(**options))  # type: ignore[arg-type]


def message(text: str = "Hello", **headers: str) -> EmailMessage:
    made = EmailMessage()
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


def members(content: Content) -> list[tuple[str, bytes]]:
    return [(member.name, member.read()) for member in content.members]


class TestHeaders:
    def test_above_the_text(self) -> None:
        made = message("Text\n", Subject="Vertrag für Łódź", To="b@x.org", From="Jörg <a@x.org>", X_Mailer="m")
        content = read(made)
        assert (content.kind, content.unit) == ("mail", None)
        assert content.pages[0].text == "From: Jörg <a@x.org>\nTo: b@x.org\nSubject: Vertrag für Łódź\n\nText"

    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (b"=?utf-8?B?VmVydHJhZw==?=", "Vertrag"),
            (b"=?iso-8859-2?Q?=A3=F3d=BC?= =?utf-8?Q?_x?=", "Łódź x"),
            (b"a =?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "a é"),
            (b"folded\r\n  line", "folded line"),
            ("für".encode(), "für"),
            ("für".encode("latin-1"), "für"),
            (b"=?x-unknown?Q?abc?=", "abc"),
            (b"=?utf-8?B?!?=", "=?utf-8?B?!?="),
        ],
    )
    def test_decoded(self, raw: bytes, expected: str) -> None:
        assert read(b"Subject: " + raw + b"\r\n\r\nx").pages[0].text == f"Subject: {expected}\n\nx"

    def test_none_at_all_is_said(self) -> None:
        content = read(b"\njust text")
        assert content.pages[0].text == "just text"
        assert content.warnings == ("has no headers as a message does; it is read as text.",)


class TestBody:
    def test_plain_form_is_preferred(self) -> None:
        made = message("The text", Subject="s")
        made.add_alternative("<p>The <b>text</b></p>", subtype="html")
        assert read(made).pages[0].text == "Subject: s\n\nThe text"

    def test_plain_form_that_is_a_stub_is_not(self) -> None:
        made = message("Your program cannot show this.", Subject="s")
        made.add_alternative(f"<p>{'All of it. ' * 50}</p>", subtype="html")
        assert read(made).pages[0].text == "Subject: s\n\n" + ("All of it. " * 50).strip()

    def test_html_only(self) -> None:
        made = EmailMessage()
        made["Subject"] = "s"
        made.set_content('<h1>T</h1><p>See <a href="https://x.org/a">this</a><p hidden>no</p>', subtype="html")
        content = read(made)
        assert content.pages[0].text == "Subject: s\n\nT\n\nSee this (https://x.org/a)"
        assert content.dropped == ("2 characters that a browser would hide left out; --hidden keeps them.",)

    @pytest.mark.parametrize(
        ("charset", "data", "expected"),
        [
            ("iso-8859-1", b"\x93a\x94", "“a”"),
            ("koi8-r", "мир".encode("koi8-r"), "мир"),
            ("utf-8", "für".encode(), "für"),
            ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ],
    )
    def test_charset(self, charset: str, data: bytes, expected: str) -> None:
        raw = f"Subject: s\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n"
        content = read(raw.encode() + base64.b64encode(data))
        assert content.pages[0].text == f"Subject: s\n\n{expected}"
        assert content.warnings == ()

    def test_unknown_charset_is_said(self) -> None:
        content = read(b"Subject: s\nContent-Type: text/plain; charset=x-none\n\nabc")
        assert content.pages[0].text == "Subject: s\n\nabc"
        assert content.warnings == ('declares the encoding "x-none", which is unknown, and is read as utf-8.',)

    def test_broken_base64_is_said(self) -> None:
        content = read(b"Subject: s\nContent-Transfer-Encoding: base64\n\nSGVsbG8gd29ybGQ")
        assert content.pages[0].text == "Subject: s\n\nHello world"
        assert content.warnings == (
            "has a part in damaged base64 (InvalidBase64PaddingDefect): some of it may be missing.",
        )


class TestAttachments:
    def test_are_members(self) -> None:
        made = message(Subject="s")
        made.add_attachment(b"a,b", maintype="text", subtype="csv", filename="../für.csv")
        made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="b.pdf")
        made.add_attachment(b"x", maintype="application", subtype="pdf", filename="b.pdf")
        content = read(made)
        assert content.pages[0].text == "Subject: s\n\nHello"
        assert members(content) == [("für.csv", b"a,b"), ("b.pdf", b"%PDF"), ("b (2).pdf", b"x")]

    def test_pictures_shown_within_the_text_are_members_too(self) -> None:
        made = EmailMessage()
        made["Subject"] = "s"
        made.set_content("<p>a<img src='cid:1' alt=''>", subtype="html")
        made.add_related(b"PNG", maintype="image", subtype="png", cid="1")
        assert members(read(made)) == [("part.png", b"PNG")]

    def test_pictures_beside_a_form_that_is_not_read(self) -> None:
        made = message("Hello", Subject="s")
        made.add_alternative("<p>Hello<img src='cid:1' alt=''>", subtype="html")
        html_form = made.get_payload()[1]
        html_form.add_related(b"PNG", maintype="image", subtype="png", cid="1")
        content = read(made)
        assert content.pages[0].text == "Subject: s\n\nHello"
        assert members(content) == [("part.png", b"PNG")]

    def test_message_in_a_message(self) -> None:
        made = message(Subject="outer")
        made.add_attachment(message("Inner text", Subject="inner/1"))
        (member,) = read(made).members
        assert member.name == "inner-1.eml"
        assert mail.read(member.read(), "x", ReadOptions()).pages[0].text == "Subject: inner/1\n\nInner text"

    def test_message_in_base64(self) -> None:
        inner = base64.b64encode(message("Inner text", Subject="inner").as_bytes())
        raw = b"Subject: s\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + inner
        (member,) = read(raw).members
        assert mail.read(member.read(), "x", ReadOptions()).pages[0].text == "Subject: inner\n\nInner text"

    def test_outlook_format_is_named(self) -> None:
        made = message(Subject="s")
        made.add_attachment(b"x", maintype="application", subtype="ms-tnef", filename="winmail.dat")
        (member,) = read(made).members
        assert (member.name, member.skipped, member.quiet) == (
            "winmail.dat",
            "is in Outlook's own format (TNEF), which is not read",
            False,
        )


class TestProtected:
    def test_smime(self) -> None:
        made = EmailMessage()
        made["Subject"] = "s"
        made.set_content(b"x", maintype="application", subtype="pkcs7-mime", filename="smime.p7m")
        (member,) = read(made).members
        assert member.skipped == "is encrypted or signed (S/MIME), which is not read"

    def test_pgp(self) -> None:
        raw = b"Subject: s\nContent-Type: multipart/encrypted; boundary=b\n\n--b\n\nVersion: 1\n--b\n\nx\n--b--\n"
        content = read(raw)
        assert content.pages[0].text == "Subject: s"
        assert content.warnings == ("is encrypted (PGP), and its text is not read.",)

    def test_pgp_in_the_text(self) -> None:
        content = read(message("-----BEGIN PGP MESSAGE-----\nx", Subject="s"))
        assert content.warnings == ("is encrypted in part (PGP), and that is not read.",)

    def test_signed(self) -> None:
        raw = (
            b"Subject: s\nContent-Type: multipart/signed; boundary=b\n\n--b\n\nText\n"
            b"--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n"
        )
        content = read(raw)
        assert content.pages[0].text == "Subject: s\n\nText"
        assert content.dropped == ("The signature is left out, and is not checked.",)


class TestMailbox:
    BOX = (
        b"From a@x.org Mon Jan  5 10:00:00 2026\nSubject: one\n\nText\n>From here\n\nFrom now on 2026 is not one\n\n"
        b"From b@x.org Tue Jan  6 10:00:00 2026 +0100\nSubject: two\nContent-Type: text/plain; charset=x-none\n\nMore\n"
    )

    def test_a_page_a_message(self) -> None:
        content = read(self.BOX)
        assert (content.kind, content.unit) == ("mbox", "message")
        assert [(page.number, page.label, page.text) for page in content.pages] == [
            (1, "one", "Subject: one\n\nText\nFrom here\n\nFrom now on 2026 is not one"),
            (2, "two", "Subject: two\n\nMore"),
        ]
        assert content.warnings == (
            'message 2: declares the encoding "x-none", which is unknown, and is read as utf-8.',
        )

    def test_no_mailbox(self) -> None:
        with pytest.raises(HipError, match=r"^a\.eml: is no mailbox$"):
            read(b"From the beginning\n")


def test_zero_byte_in_a_header() -> None:
    raw = b"Subject: s\nContent-Type: multipart/mixed; boundary*=ut\0f-8''b\n\n--b\n\nText\n--b--\n"
    assert read(raw).pages[0].text == "Subject: s\n\nText"


def test_parts_without_end() -> None:
    raw = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (number, number) for number in range(2000)
    )
    with pytest.raises(HipError, match=r"^a\.eml: has parts in parts without end$"):
        read(raw)
