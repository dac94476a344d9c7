"""Mail as it is found: broken headers, charsets, encodings and structures."""

import mailbox
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nlptl.contracts import Quarantine
from nlptl.data import Eml, Maildir, Mbox
from nlptl.data._files import FILE, LINE
from nlptl.data._mail import parse
from nlptl.data._mail_text import decoded, html_to_text
from nlptl.errors import DataError


def mail(*lines: bytes | str) -> bytes:
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)


PLAIN = mail("From: a@b.c", "Subject: hi", "Date: Fri, 31 Jan 2020 12:00:00 +0000", "", "body", "")
HTML = "Content-Type: text/html; charset=utf-8"


def parts(kind: str, *inner: bytes) -> bytes:
    lines = [f'Content-Type: multipart/{kind}; boundary="{kind}"', ""]
    for one in inner:
        lines += [f"--{kind}", one]  # type: ignore[list-item]
    return mail(*lines, f"--{kind}--")


def part(text: str, kind: str = "text/plain", *headers: str) -> bytes:
    return mail(f"Content-Type: {kind}", *headers, "", text)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (PLAIN, "hi\n\nbody"),
        (mail("Subject: =?utf-8?q?caf=C3=A9?= =?iso-8859-1?b?6Q==?= au =?bad?q?x=E9?=", "", "b"), "caféé au xé\n\nb"),
        (mail("Subject: two", "\tlines", "", "b"), "two lines\n\nb"),
        (mail(b"Subject: caf\xc3\xa9", "", "b"), "café\n\nb"),
        (mail(b"Subject: caf\xe9", "", "b"), "café\n\nb"),
        (mail("Subject: =?utf-8?b?abc?=", "", "b"), None),
        (mail("Subject: =?utf-8?q?J=C3=B6rg?= <CORP\\ujoerg> \\中 \\u0041", "", "b"),
         "Jörg <CORP\\ujoerg> \\中 \\u0041\n\nb"),
        (mail("Subject: CORP\\ujoerg =?utf-8?q?a\\b?= \\\\x", "", "b"), "CORP\\ujoerg a\\b \\\\x\n\nb"),
        (mail("Subject: \\one \\\\two", "", "b"), "\\one \\\\two\n\nb"),
        (mail("", "no headers at all"), "no headers at all"),
        (mail("just words, no mail"), "just words, no mail"),
        (mail("Content-Type: text/plain; charset=made-up", "", b"caf\xc3\xa9"), "café"),
        (mail("Content-Type: text/plain; charset=us-ascii", "", b"caf\xe9"), "café"),
        (mail("Content-Type: text/plain; charset=hex", "", "beef"), "beef"),
        (mail("Content-Type: text/plain; charset=punycode", "", "a-b"), "a-b"),
        (mail("Content-Type: text/plain; charset=iso-8859-1", "", b"\x93so\x94"), "“so”"),
        (mail("Content-Type: text/plain; charset=gb2312", "", "你好".encode("gb18030")), "你好"),
        (mail("Content-Type", "Content-Type: ;;=\"", "Subject: s", "", "b"), None),
        (mail("Content-Transfer-Encoding: base64", "", "aGVsbG8gd29ybGQ"), "hello world"),
        (mail("Content-Transfer-Encoding: base64", "", "aGVsbG8gd29ybGQ*&x"), None),
        (mail("Content-Transfer-Encoding: quoted-printable", "Content-Type: text/plain; charset=utf-8", "",
              "caf=C3=A9 =", "goes =on=ZZ"), "café goes =on=ZZ"),
        (mail("Content-Transfer-Encoding: made-up", "", "b"), "b"),
        (mail("Subject: s", "", b"a\0b"), "s\n\nab"),
        (mail(HTML, "", "<html><head><title>t</title><style>x{}</style></head><p>F<b>r</b>ee<br>now</p></html>"),
         "Free\nnow"),
        (parts("alternative", part("<p>rich</p>", "text/html"), part("plain")), "plain"),
        (parts("alternative", part("  "), part("<p>rich</p>", "text/html")), "rich"),
        (parts("mixed", parts("alternative", part("one"), part("<p>two</p>", "text/html")), part("foot"),
               part("att", "text/plain", "Content-Disposition: attachment"), part("pix", "image/png")), "one\n\nfoot"),
        (parts("mixed", part("<p>rich</p>", "text/html"), part("foot")), "rich\n\nfoot"),
        (parts("mixed", mail("Content-Type: message/rfc822", "", "Subject: inner", "", "forwarded")),
         "inner\n\nforwarded"),
        (mail("Content-Type: multipart/mixed; boundary=x", "", "--x", "", "never closed"), "never closed"),
        (mail("Content-Type: multipart/mixed; boundary=x", "", "the boundary is absent"), "the boundary is absent"),
        (mail("Content-Type: application/pdf", "", "%PDF"), ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_the_text_of_a_mail(raw: bytes, text: str | None) -> None:
    """``None``: some text, whatever it be."""
    found = parse(raw)["text"]
    found.encode()
    assert found == text if text is not None else found


@pytest.mark.parametrize(
    ("kind", "meta", "written"),
    [
        ("text/html", "<meta charset='windows-1251'>", "cp1251"),
        ("text/html", '<META http-equiv=Content-Type content="text/html; charset=koi8-r">', "koi8-r"),
        ("text/html", "<meta charset=utf-16>", "utf-8"),
        ("text/html", "<meta charset=made-up>", "utf-8"),
        ("text/html; charset=utf-8", "<meta charset=koi8-r>", "utf-8"),
    ],
)
def test_html_without_a_charset_is_read_by_the_one_in_its_meta(kind: str, meta: str, written: str) -> None:
    raw = mail(f"Content-Type: {kind}", "", f"<html><head>{meta}</head><p>Привет".encode(written))
    assert parse(raw)["text"] == "Привет"


@pytest.mark.parametrize(
    ("headers", "date"),
    [
        (["Date: Fri, 31 Jan 2020 12:00:00 +0000"], 1580472000.0),
        (["Date: Fri, 31 Jan 2020 04:00:00 -0800 (PST)"], 1580472000.0),
        (["Date: soon", "Received: from x by y; Fri, 31 Jan 2020 12:00:00 GMT", "Received: z; 1 Jan 2001 1:00 GMT"],
         1580472000.0),
        (["Date: soon"], None), (["Date:"], None), (["Received: nonsense"], None), ([], None),
        (["Date: Fri, 99 Jan 99999 99:99:99 +9999"], None),
    ],
)  # fmt: skip
def test_a_broken_date_is_no_reason_to_refuse_a_mail(headers: list[str], date: float | None) -> None:
    assert parse(mail(*headers, "", "b"))["date"] == date


def test_headers_asked_for_are_columns() -> None:
    row = parse(
        mail("X-GMAIL-Labels: =?utf-8?q?Spam=2COp=C3=A9n?=", "From: Ann <a@b.c>", "", "b"), ("X-Gmail-Labels", "X")
    )
    assert (row["X-Gmail-Labels"], row["X"], row["from"], row["subject"]) == ("Spam,Opén", None, "Ann <a@b.c>", None)


@pytest.mark.parametrize(
    "charset", ["undefined", "idna", "unicode_escape", "base64", "rot13", "utf-7", "", "\0", "ü" * 99]
)
def test_odd_charsets_never_raise(charset: str) -> None:
    assert decoded(b"caf\xe9 \\x41", charset) == "café \\x41"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""), ("http://x.y/z", "http://x.y/z"), ("<?xml version='1.0'?><p>a</p>", "a"),
        ("a &amp; b&nbsp;c", "a & b c"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a\nb"), ("<script>x</script><p>a<p>b", "a\nb"),
        ("<html><head><title>x</title><body>Buy now</body></html>", "Buy now"),
        ("<![if !mso]>a<![endif]>b", None), ("<" * 50, None), ("<p>" * 3000 + "deep", "deep"),
    ],
)  # fmt: skip
def test_html_as_text(html: str, text: str | None) -> None:
    found = html_to_text(html)
    assert text is None or found == text


def test_deep_nesting_is_refused_and_the_next_mail_is_read(tmp_path: Path) -> None:
    lines: list[str] = []
    for depth in range(3000):
        lines += [f"Content-Type: multipart/mixed; boundary={depth}", "", f"--{depth}"]
    (tmp_path / "a.eml").write_bytes(mail(*lines))
    (tmp_path / "b.eml").write_bytes(PLAIN)
    quarantine = Quarantine()
    assert Eml(path=tmp_path).frame(quarantine)["subject"].tolist() == ["hi"]
    assert [(one.file, one.line) for one in quarantine.rejections] == [(str(tmp_path / "a.eml"), 1)]
    assert quarantine.rejections[0].reason.startswith("unreadable mail: ")


def test_no_single_byte_cut_makes_the_parser_raise() -> None:
    message = EmailMessage()
    message["Subject"] = "größe 你好"
    message.set_content("plain é")
    message.add_alternative("<p>rich é</p>", subtype="html")
    message.add_attachment(b"\0\1", maintype="image", subtype="png", filename="ü.png")
    raw = bytes(message)
    assert parse(raw)["text"] == "größe 你好\n\nplain é"
    for cut in range(0, len(raw), 7):
        parse(raw[:cut] + b"\xff" + raw[cut + 1 :])["text"].encode()
        parse(raw[:cut])["text"].encode()


def test_eml_from_a_template_with_a_cap(tmp_path: Path) -> None:
    for user, label in (("ann", "ham"), ("bob", "spam")):
        (tmp_path / user / label).mkdir(parents=True)
        (tmp_path / user / label / "1.eml").write_bytes(PLAIN + b"x" * 1000)
    table = Eml(path=tmp_path / "{user}" / "{label}", max_bytes=len(PLAIN)).frame(Quarantine())
    assert table[["user", "label", "text", LINE]].values.tolist() == [
        ["ann", "ham", "hi\n\nbody", 1], ["bob", "spam", "hi\n\nbody", 1],
    ]  # fmt: skip


def test_mbox_lines_quoting_and_bodies_that_begin_with_from(tmp_path: Path) -> None:
    stamp = b"From a@b.c Fri Jan 31 12:00:00 2020\n"
    body = b"Subject: one\n\n>From here\n>>From there\n\nFrom now on we meet at noon\nas before\n\n"
    file = tmp_path / "a.mbox"
    file.write_bytes(stamp + body + stamp + b"Subject: two\n\nend\n\nFrom odd\nSubject: three\n\n" + stamp + b"\nbare")
    table = Mbox(path=file).frame(Quarantine())
    assert table[LINE].tolist() == [1, 10, 15, 18]
    assert table["subject"].tolist()[:3] == ["one", "two", "three"]
    assert pd.isna(table["subject"][3])
    assert table["text"][0] == "one\n\nFrom here\n>From there\n\nFrom now on we meet at noon\nas before"
    assert table["text"][3] == "bare"


def test_the_mbox_of_the_standard_library_is_read_back(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "a.mbox")
    for number in range(3):
        box.add(PLAIN.replace(b"body", b"From body %d" % number))
    box.close()
    assert Mbox(path=tmp_path / "a.mbox").frame(Quarantine())["text"].tolist() == [
        f"hi\n\nFrom body {number}" for number in range(3)
    ]


@pytest.mark.parametrize(("content", "rows"), [(b"", 0), (b"\n\n", 0)])
def test_an_empty_mbox_has_no_mails(tmp_path: Path, content: bytes, rows: int) -> None:
    (tmp_path / "a.mbox").write_bytes(content)
    assert len(Mbox(path=tmp_path / "a.mbox").frame(Quarantine())) == rows


def test_what_is_no_mbox_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_bytes(b"\ntext,label\n")
    with pytest.raises(DataError, match=r"a\.mbox:2 is not an mbox"):
        Mbox(path=tmp_path / "a.mbox").frame(Quarantine())


def test_maildir_reads_delivered_mail_and_its_folders(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "ann")
    box.add(PLAIN)
    box.add_folder("Spam").add(PLAIN.replace(b"hi", b"win"))
    (tmp_path / "ann" / "tmp" / "half").write_bytes(PLAIN)
    table = Maildir(path=tmp_path / "{user}").frame(Quarantine())
    assert sorted(table["subject"]) == ["hi", "win"]
    assert set(table["user"]) == {"ann"}
    spam = Maildir(path=f"{tmp_path}/{{user}}/.{{label}}").frame(Quarantine())
    assert spam[["subject", "label"]].values.tolist() == [["win", "Spam"]]
    assert Path(spam[FILE][0]).is_file()


def test_a_folder_without_mail_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    sources: list[Any] = [Maildir(path=tmp_path), Eml(path=tmp_path)]
    for source in sources:
        with pytest.raises(DataError, match=r"has: x\.txt"):
            source.frame(Quarantine())
