"""Rows to be answered, one after another in flat memory; a row that cannot be read is a row with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from nlptl.contracts import Quarantine
from nlptl.data._cells import Refused, as_name, as_pair, as_text
from nlptl.data._files import FileSource
from nlptl.errors import DataError, nearest

LOOKED_AT = 100
"""Rows of which one must have a column, for it to be there."""


@dataclass(frozen=True)
class Row:
    """One row to answer, its cells made what training makes of them, or why it has no answer."""

    text: str = ""
    text_pair: str = ""
    domain: str | None = None
    id: str | None = None
    problem: str | None = None


def rows_of(source: FileSource, *, optional: str | None = None, whose: str = "") -> Iterator[Row]:
    """All rows that ``source`` reads, in order, read as for training.

    Args:
        optional: a column of ``source`` that may be absent.
        whose: what is said besides where the column of the domains is absent.

    Raises:
        DataError: there is no row, or none of the first has a column that ``source`` names.
    """
    named = [source.text, *(name for name in (source.text_pair, source.domain, source.id) if name is not None)]
    seen: dict[str, None] = {}
    rows = _read(source, frozenset(named), seen)
    first = list(islice(rows, LOOKED_AT))
    if not first:
        raise DataError(f"{source.path} holds no rows.")
    for name in named:
        if seen and name not in seen and name != optional:
            told = whose if name == source.domain else ""
            raise DataError(
                f"{source.path} has no column {name!r}{nearest(name, seen) or '.'} Columns: {', '.join(seen)}. "
                f"Name the columns with --text, --text-pair, --domain and --id.{' ' * bool(told)}{told}"
            )
    return chain(first, rows)


def _read(source: FileSource, wanted: frozenset[str], seen: dict[str, None]) -> Iterator[Row]:
    """The rows, those that are refused among them; the first rows' columns are noted in ``seen``."""
    quarantine = Quarantine()
    for number, cells in enumerate(source.each(quarantine, wanted)):
        if number < LOOKED_AT:
            seen.update(dict.fromkeys(cells))
        yield from _refused(quarantine)
        yield _row(source, cells)
    yield from _refused(quarantine)


def _refused(quarantine: Quarantine) -> Iterator[Row]:
    """What was refused since the last row; it is forgotten here, so that memory stays flat."""
    yield from [Row(problem=rejection.reason) for rejection in quarantine.rejections]
    quarantine.rejections.clear()


def _row(source: FileSource, cells: dict[str, Any]) -> Row:
    made: dict[str, Any] = {}
    problem = None
    for name, convert in (("id", as_name), ("domain", as_name), ("text", as_text), ("text_pair", as_pair)):
        column = getattr(source, name)
        if column is not None:
            try:
                made[name] = convert(cells.get(column))
            except Refused as why:
                problem = problem or str(why)
    return Row(**made, problem=problem)


def length_of(source: FileSource) -> int:
    """About how many rows ``source`` has, for progress: a csv's lines may be more."""
    return sum(_length(found.path, source.kind) for found in source.files())


def _length(file: Path, kind: str) -> int:
    if kind in ("eml", "maildir"):
        return 1
    if kind == "parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(file).num_rows)
    mark = b"\nFrom " if kind == "mbox" else b"\n"
    with file.open("rb") as stream:
        return sum(block.count(mark) for block in iter(lambda: stream.read(2**22), b""))


def texts_of(source: FileSource) -> list[str]:
    """The texts that ``source`` reads, rows without one left out.

    Raises:
        DataError: as ``rows_of``, or it holds no text.
    """
    found = [row.text for row in rows_of(source) if row.problem is None]
    if not found:
        raise DataError(f"{source.path} holds no text in column {source.text!r}; name another with --text.")
    return found
