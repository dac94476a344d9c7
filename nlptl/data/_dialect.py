"""How a CSV file that no recipe describes is written, from its bytes: its encoding, and what parts its cells."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from pathlib import Path

DELIMITERS = ",;\t|"
START = 1 << 16
"""Bytes of a file that are looked at."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before utf-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
WINDOWS = "cp1252"
"""What a file is taken to be that is not UTF-8, where nothing is known of it."""


def dialect_of(file: Path, *, delimiter: str = ",", encoding: str = "utf-8", said: str | None = None) -> dict[str, str]:
    """The ``encoding`` and ``delimiter`` of ``file``: the usual ones that are given, unless its bytes say otherwise.

    The encoding is judged by the first ``START`` bytes that hold anything beyond ASCII, the delimiter by the header.

    Args:
        said: the encoding where it is known; then it is not judged.
    """
    with file.open("rb") as stream:
        start = telling = stream.read(START)
        while said is None and len(telling) == START and telling.isascii():
            telling = stream.read(START)
    found = said or encoding_of(telling, encoding)
    try:
        text = start.decode(found, "replace")
    except LookupError:  # no encoding: refused where the file is read
        return {"encoding": found, "delimiter": delimiter}
    return {"encoding": found, "delimiter": delimiter_of(text, delimiter)}


def encoding_of(some: bytes, usual: str = "utf-8") -> str:
    """The encoding of ``some`` bytes of a file: what their mark says; else UTF-8 where more of what is beyond ASCII is
    UTF-8 than not, which other encodings' texts hardly ever are; else ``usual``, and ``WINDOWS`` where that is UTF-8.

    Bytes without a mark that hold a NUL, or nothing beyond ASCII, are taken to be in ``usual``.
    """
    for mark, name in MARKS:
        if some.startswith(mark):
            return name
    if b"\0" in some:  # UTF-16 without a mark, or no text
        return usual
    name = codecs.lookup(usual).name
    unicode, wide = name.startswith("utf"), name.startswith(("utf-16", "utf-32"))
    if some.isascii():
        return "utf-8" if wide else usual
    # A character that the last byte cuts in two is no sign of another encoding.
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    beyond = [character for character in decoder.decode(some, len(some) < START) if character > "\x7f"]
    broken = sum("\udc80" <= character <= "\udcff" for character in beyond)
    if 2 * broken <= len(beyond):
        return usual if unicode and not wide else "utf-8"
    return WINDOWS if unicode else usual


def delimiter_of(start: str, usual: str = ",") -> str:
    """What stands between the cells of a CSV file's ``start``: ``usual``, unless the header has only one column so."""
    header = re.split("[\r\n]", start.removeprefix("\ufeff"), maxsplit=1)[0]
    if len(next(csv.reader([header], delimiter=usual), [])) > 1:
        return usual
    found = Counter(character for character in header if character in DELIMITERS)
    return found.most_common(1)[0][0] if found else usual
