"""Bytes and HTML of mails as plain text, whatever they claim to be."""

from __future__ import annotations

import codecs
import re
import warnings

LONGEST_HTML = 200_000
"""Characters of HTML that are read; no encoder reads so far."""

_WIDER = {"ascii": "utf-8", "iso8859-1": "cp1252", "gb2312": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}
"""What is meant by charsets that mails name too narrowly."""

_NO_TEXT = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}
"""Python codecs that no mail reader has (some take quadratic time), and UTF-7, which none trusts."""

_UNSEEN = ("script", "style", "title", "template", "noscript")  # no head: where it is not closed, the body is in it
_BLOCKS = (
    "address", "article", "blockquote", "br", "center", "dd", "div", "dl", "dt", "footer", "h1", "h2", "h3", "h4", "h5",
    "h6", "header", "hr", "li", "ol", "p", "pre", "section", "table", "td", "th", "tr", "ul",
)  # fmt: skip

_META_CHARSET = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_META_WITHIN = 1024
"""Bytes of HTML in which its charset is looked for, as browsers do."""


def decoded(raw: bytes, charset: str | None) -> str:
    """``raw`` by its charset where that is known and fits, else as UTF-8, else as Windows-1252; without NULs."""
    named = _codec(charset)
    for codec in (named, "utf-8"):
        try:
            if codec:
                return _clean(raw.decode(codec))
        except (UnicodeError, LookupError):
            continue
    return _clean(raw.decode(named if named and named != "utf-8" else "cp1252", "replace"))


def html_charset(raw: bytes) -> str | None:
    """The charset that a ``<meta>`` of the HTML names; none where the tag itself could not be read by it (UTF-16)."""
    found = _META_CHARSET.search(raw[:_META_WITHIN])
    name = _codec(found[1].decode()) if found else None
    return name if name and b"<meta".decode(name, "replace") == "<meta" else None


def _codec(charset: str | None) -> str | None:
    try:
        name = codecs.lookup((charset or "").strip("'\" ")).name
        b"a".decode(name, "replace")  # refuses codecs such as hex, which give bytes
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if name in _NO_TEXT else _WIDER.get(name, name)


def _clean(text: str) -> str:
    """Without NULs and byte order marks; halves of surrogate pairs, which cannot be stored, become question marks."""
    text = text.replace("\0", "").removeprefix("\ufeff")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def html_to_text(html: str) -> str:
    """The text that a reader of ``html`` sees: blocks on lines of their own, words whole, scripts and styles gone."""
    from bs4 import BeautifulSoup

    html = html[:LONGEST_HTML]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # bs4 warns of text that looks like a file name, an address or XML
            soup = BeautifulSoup(html, "html.parser")
        for tag in soup(_UNSEEN):
            tag.decompose()
        for tag in soup(_BLOCKS):
            tag.insert_before("\n")
            tag.insert_after("\n")
        text = soup.get_text()
    except Exception:  # markup that the parser rejects: the words between the tags are still there
        text = re.sub(r"<[^>]*>?", " ", html)
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)
