"""Real mail → rows. What all kinds of mailbox share.

Mail breaks every rule. The standard library's parser is used with ``compat32``: its ``policy.default`` parses headers
when they are looked at, and raises half a dozen kinds of error on broken ones. Headers are decoded here instead.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.policy import compat32
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from nlptl.contracts import Quarantine
from nlptl.data._dates import seconds
from nlptl.data._files import FILE, LINE, FileSource, readable
from nlptl.data._mail_text import decoded, html_charset, html_to_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("text", "subject", "from", "to", "date", "message_id")

_ENCODED_OR_BACKSLASH = re.compile(r"=\?[^?]*\?[bq]\?.*?\?=|(?P<backslash>\\)", re.IGNORECASE)


class MailSource(FileSource):
    """A mail is a row: ``text`` (subject, empty line, body), ``subject``, ``from``, ``to``, ``date``, ``message_id``.

    The body is the plain text, else the HTML as text; attachments are passed over. ``date`` is in Unix seconds, from
    the Date header, else from when the mail was received; null where neither can be read, as in much spam.
    """

    time: str | None = Field("date", description="Column of the time, for hold-out in time order.")
    headers: tuple[str, ...] = Field((), description="More headers to make columns of, such as X-Gmail-Labels.")
    max_bytes: int = Field(1 << 20, gt=0, description="Of a mail that are read; what follows is mostly attachments.")

    def mails(self, file: Path) -> Iterator[tuple[int, bytes]]:
        """(line, raw mail) of all mails in one file, each cut to ``max_bytes``."""
        with file.open("rb") as stream:
            yield 1, stream.read(self.max_bytes)

    def stream(
        self, file: Path, quarantine: Quarantine, wanted: frozenset[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The mails of one file one after another. Those that cannot be parsed go to ``quarantine``."""
        for line, raw in self.mails(file):
            try:
                cells = parse(raw, self.headers)
            except Exception as error:  # the parser raises many kinds, and no mail may end a run
                reason = f"unreadable mail: {type(error).__name__}: {error}"
                quarantine.reject(str(file), line, reason, raw[:80].decode(errors="replace"))
                continue
            yield line, cells

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """All mails, with the path's named fields as columns. Mails that cannot be parsed go to ``quarantine``."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        names = (*COLUMNS, *self.headers)
        found = self.files()
        self.refuse_clash(found[0], names)
        for one in found:
            with readable(one.path):
                for line, cells in self.stream(one.path, quarantine):
                    rows.append({**cells, **one.fields, FILE: str(one.path), LINE: line})
        return pd.DataFrame(rows, columns=[*names, *found[0].fields, FILE, LINE])


def parse(raw: bytes, headers: tuple[str, ...] = ()) -> dict[str, Any]:
    """One mail as the cells of ``COLUMNS`` and of the ``headers`` asked for; absent headers are None."""
    mail = email.message_from_bytes(raw, policy=compat32)
    subject = header(mail, "subject")
    return {
        "text": "\n\n".join(part for part in (subject, body(mail).strip()) if part),
        "subject": subject,
        "from": header(mail, "from"),
        "to": header(mail, "to"),
        "date": sent(mail),
        "message_id": header(mail, "message-id"),
        **{name: header(mail, name) for name in headers},
    }


def header(mail: Message, name: str) -> str | None:
    """A header as text: encoded words decoded, 8-bit bytes read as UTF-8 or Windows-1252, folded lines joined."""
    raw = next((value for key, value in mail.raw_items() if key.lower() == name.lower()), None)
    if raw is None:
        return None
    text = decoded(str(raw).encode("utf-8", "surrogateescape"), None)
    text = re.sub(r"(\?=)\s+(=\?)", r"\1 \2", " ".join(text.split()))
    # Doubled, because decode_header writes what is beyond Latin-1 as \uXXXX, and CORP\user is no such thing.
    doubled = _ENCODED_OR_BACKSLASH.sub(lambda found: found[0] * (2 if found["backslash"] else 1), text)
    try:
        parts = decode_header(doubled)
    except (HeaderParseError, ValueError):  # an encoded word that is no base64
        return text or None
    return " ".join("".join(_word(part, charset) for part, charset in parts).split()) or None


def _word(part: str | bytes, charset: str | None) -> str:
    if isinstance(part, bytes) and charset is not None:
        return decoded(part, charset)
    if isinstance(part, bytes):  # what stands between encoded words; decode_header gives it back in this encoding
        part = decoded(part.decode("raw-unicode-escape").encode("utf-8", "replace"), None)
    return part.replace("\\\\", "\\")


def sent(mail: Message) -> float | None:
    """When the mail was sent in Unix seconds: its Date header, else the latest Received header."""
    date = seconds(header(mail, "date") or "")
    if date is None:
        _, stamped, received = (header(mail, "received") or "").rpartition(";")
        date = seconds(received) if stamped else None
    return date


def body(part: Message) -> str:
    """The text of a part. Of alternatives the plain one, else the first that says something; of other parts all."""
    if part.get_content_disposition() == "attachment":
        return ""
    kind = part.get_content_type()
    inner: Any = part.get_payload()
    if isinstance(inner, list):
        if kind == "multipart/alternative":
            ordered = sorted(inner, key=lambda one: one.get_content_type() != "text/plain")
            return next((text for text in map(body, ordered) if text.strip()), "")
        texts = [body(one) for one in inner]
        if kind == "message/rfc822":  # forwarded: its subject is part of what is read
            texts.insert(0, header(inner[0], "subject") or "")
        return "\n\n".join(text for text in texts if text.strip())
    if kind not in ("text/plain", "text/html") and not kind.startswith("multipart/"):  # the latter: a lost boundary
        return ""
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    charset = part.get_content_charset()
    if kind == "text/html":
        return html_to_text(decoded(raw, charset or html_charset(raw)))
    return decoded(raw, charset).replace("\r\n", "\n")
