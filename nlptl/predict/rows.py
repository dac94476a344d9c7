"""Rows to be answered, one after another in flat memory; a row that cannot be read is a row with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from nlptl.contracts import Quarantine
from nlptl.data._cells import Refused, as_name, as_pair, as_text
from nlptl.data._files import FileSource
from nlptl.data._guess import source_of
from nlptl.errors import DataError, nearest
from nlptl.saved import Model

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
            told = " " + whose if whose and name == source.domain else ""
            if getattr(source, "columns", ()) is None:  # the first row of a csv was taken for its header
                told += f" If it has no header, say what stands in each column: data.columns='[{source.text}, …]'."
            raise DataError(
                f"{source.path} has no column {name!r}{nearest(name, seen) or '.'} Columns: {', '.join(seen)}. "
                f"Name the columns with --text, --text-pair, --domain and --id.{told}"
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
    marks = [b"\nFrom "] if kind == "mbox" else [b"\n", b"\r"]  # old Macs end lines with \r alone
    with file.open("rb") as stream:
        return sum(max(map(block.count, marks)) for block in iter(lambda: stream.read(2**22), b""))


def source_like(
    model: Model,
    path: Path,
    overrides: Sequence[str] = (),
    *,
    text: str | None = None,
    text_pair: str | None = None,
    domain: str | None = None,
    id: str | None = None,
) -> FileSource:
    """What reads ``path`` for ``model``: as ``overrides`` say, else by its ending and like the model's training data.

    Args:
        text, text_pair: columns; by default those of the training data.
        domain, id: columns; by default none.

    Raises:
        RecipeError: an override is mistaken.
        DataError: nothing is there, it is of no known format, or it is to have second texts where no pairs taught.
    """
    known = model.columns
    columns = {
        "text": text or known.get("text") or "text", "text_pair": text_pair or known.get("text_pair"),
        "domain": domain, "id": id,
    }  # fmt: skip
    source = source_of(path, columns, overrides, like=known)
    if source.text_pair is not None and known and known.get("text_pair") is None:
        raise DataError(
            f"{source.text_pair!r} is named as the column of second texts (--text-pair), and the model was not taught "
            "by pairs; leave it out."
        )
    return source


def texts_of(source: FileSource) -> tuple[list[str], list[str] | None]:
    """The texts that ``source`` reads, and the second ones where it has such; rows without a text are left out.

    Raises:
        DataError: as ``rows_of``, or it holds no text.
    """
    found = [row for row in rows_of(source) if row.problem is None]
    if not found:
        raise DataError(f"{source.path} holds no text in column {source.text!r}; name another with --text.")
    return [row.text for row in found], None if source.text_pair is None else [row.text_pair for row in found]
