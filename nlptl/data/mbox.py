"""Mailboxes in one file each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from nlptl.data._mail import MailSource
from nlptl.errors import DataError

_CLOCK = re.compile(rb"^From .*\d:\d\d.*\d{4}\s*$")
_HEADER = re.compile(rb"^[!-9;-~]+:")
_QUOTED = re.compile(rb"^>+From ")


class Mbox(MailSource):
    """Mails of mbox files. Labels and users may come from the path, as in ``mail/{user}/{label}.mbox``."""

    kind: Literal["mbox"] = "mbox"

    suffixes: ClassVar[tuple[str, ...]] = (".mbox", ".mbx")

    def mails(self, file: Path) -> Iterator[tuple[int, bytes]]:
        """(line of its ``From`` line, raw mail) of all mails, each cut to ``max_bytes``.

        A mail begins at a line ``From …`` after an empty one, if that line ends in a date (RFC 4155) or a header
        follows: bodies too have sentences that begin so. ``>From`` of the mboxo and mboxrd formats is unquoted.

        Raises:
            DataError: the file does not begin as an mbox does.
        """
        held: list[bytes] = []
        start = size = 0
        blank = True
        for number, line, following in _lines(file):
            if blank and line.startswith(b"From ") and (_CLOCK.match(line) or _HEADER.match(following)):
                if start:
                    yield start, b"".join(held)
                start, held, size = number, [], 0
            elif start:
                if size < self.max_bytes:
                    held.append(line[1:] if _QUOTED.match(line) else line)
                    size += len(line)
            elif line.strip():
                raise DataError(f"{file}:{number} is not an mbox: it does not begin with a line 'From … date'.")
            blank = not line.strip()
        if start:
            yield start, b"".join(held)


def _lines(file: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, line, following line) of a file; the last is followed by nothing."""
    with file.open("rb") as stream:
        line, number = next(stream, b""), 1
        for following in stream:
            yield number, line, following
            line, number = following, number + 1
        yield number, line, b""
