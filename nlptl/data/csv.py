"""Comma- or otherwise separated values, read record by record so that every refused row has its line number."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from nlptl.contracts import Quarantine
from nlptl.data._files import LINE, FileSource
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_FIELD = 1 << 24
"""Characters. Ends the search for a closing quote that never comes; the csv module's own 2¹⁷ is below a long mail."""


class Csv(FileSource):
    """Rows of a CSV or TSV file. The first record names the columns, unless ``columns`` does."""

    kind: Literal["csv"] = "csv"
    delimiter: str = Field(",", min_length=1, max_length=1, description="Between the cells; a tab for TSV.")
    encoding: str = Field("utf-8", description="Of the file; a byte order mark is dropped.")
    quote: str | None = Field('"', min_length=1, max_length=1, description="Round cells; none: quotes are text.")
    columns: tuple[str, ...] | None = Field(None, description="Names, for a file without a header.")

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def rows(self, file: Path, quarantine: Quarantine) -> pd.DataFrame:
        """All records as text. Ragged, badly quoted and undecodable ones go to ``quarantine``.

        Raises:
            DataError: the encoding is unknown or cannot be that of the file, or the header is absent or ambiguous.
        """
        import pandas as pd

        records = self._usable(file, quarantine)
        _, header = next(records, (0, None))
        if header is None:
            return pd.DataFrame({LINE: []})
        numbers, kept = [], []
        for line, record in records:
            numbers.append(line)
            kept.append(record)
        columns = zip(*kept, strict=True) if kept else ([] for _ in header)
        table = dict(zip(header, map(list, columns), strict=True))
        return pd.DataFrame({**table, LINE: numbers}, dtype=object)

    def stream(
        self, file: Path, quarantine: Quarantine, wanted: frozenset[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of one file one after another; otherwise as ``rows``."""
        records = self._usable(file, quarantine)
        _, header = next(records, (0, []))
        for line, record in records:
            yield line, dict(zip(header, record, strict=True))

    def _usable(self, file: Path, quarantine: Quarantine) -> Iterator[tuple[int, list[str]]]:
        """The names of the columns, then each record that can be used with its line; the others are refused."""
        header = None if self.columns is None else list(self.columns)
        if header is not None:
            yield 0, _distinct(header, file)
        for line, record in self._records(file, quarantine):
            if header is None:
                header = _distinct([name.strip() for name in record], file)
                yield line, header
            elif problem := _problem(record, len(header)):
                quarantine.reject(str(file), line, problem, self.delimiter.join(record))
            else:
                yield line, record

    def _records(self, file: Path, quarantine: Quarantine) -> Iterator[tuple[int, list[str]]]:
        """Each record with the line it starts at. A record whose quotes do not close is refused up to the end of its
        first line and reading goes on there, so that one stray quote costs one row."""
        encoding = "utf-8-sig" if self.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else self.encoding
        try:
            # surrogateescape keeps the records whole around undecodable bytes; _problem sees them afterwards
            with file.open(encoding=encoding, errors="surrogateescape", newline="") as lines, _large_fields():
                again: list[str] = []
                start = 1
                while True:
                    taken: list[str] = []
                    reader = csv.reader(
                        _taking(again, lines, taken),
                        delimiter=self.delimiter,
                        quotechar=self.quote,
                        quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
                        strict=True,
                    )
                    try:
                        for record in reader:
                            if record:
                                yield start, record
                            start += len(taken)
                            taken.clear()
                        return
                    except csv.Error as error:
                        quarantine.reject(str(file), start, f"malformed quotes or cells: {error}", taken[0])
                        again, start = taken[1:] + again, start + 1
        except LookupError:
            raise DataError(f"data.encoding {self.encoding!r} is not an encoding; utf-8 and cp1252 are.") from None
        except UnicodeError as error:
            raise DataError(f"{file} is not {self.encoding}: {error}. Set data.encoding.") from error


def _distinct(header: list[str], file: Path) -> list[str]:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{file} has two columns {twice[0]!r}; rename one, or name all in data.columns.")
    return header


def _taking(again: list[str], lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Lines pushed back, then those of the file; each is noted in ``taken``."""
    while again:
        taken.append(again.pop(0))
        yield taken[-1].replace("\0", _NUL)
    for line in lines:
        taken.append(line)
        yield line.replace("\0", _NUL)


_NUL = "\udc00"
"""Stands for a NUL character, which the csv module of Python 3.10 refuses to read."""


def _problem(record: list[str], width: int) -> str:
    """Why the record cannot be used, or an empty string."""
    whole = "".join(record)
    if not whole.isascii():
        if _NUL in whole:
            return "NUL character: the file is binary, or in another data.encoding such as utf-16"
        try:
            whole.encode()
        except UnicodeEncodeError as error:
            return f"broken encoding: byte 0x{ord(whole[error.start]) - 0xDC00:02x} is not of data.encoding"
    if len(record) != width:
        return f"wrong column count: {len(record)} where the header has {width}"
    return ""


@contextmanager
def _large_fields() -> Iterator[None]:
    before = csv.field_size_limit(_LARGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
