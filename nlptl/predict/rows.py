"""Rows of a file of texts, one after another in flat memory; a row that cannot be read is a row with a reason."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlptl.errors import DataError, nearest


@dataclass(frozen=True)
class Row:
    """One row to answer: its cells by column, or why it has none."""

    cells: Mapping[str, Any]
    problem: str | None = None

    def text(self, column: str) -> str | None:
        """The cell as text, or None where it holds none."""
        value = self.cells.get(column)
        return value if isinstance(value, str) and value.strip() else None


def rows_of(path: Path, needed: tuple[str, ...], also: str | None = None) -> Iterator[Row]:
    """All rows of a .csv, .jsonl or .parquet file, in order; each has the columns ``needed`` or a problem, and column
    ``also`` where the file has it.

    Raises:
        DataError: the file is absent, of another type, or lacks a column altogether.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise DataError(f"{path} is none of {', '.join(readers)}; convert it, or give it the right ending.")
    if not path.is_file():
        raise DataError(f"{path.resolve()} does not exist.")
    return readers[path.suffix](path, needed, also)


def lines_of(path: Path) -> int:
    """About how many rows a file has, for progress: a csv's lines may be more."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return int(pq.read_metadata(path).num_rows)
    with path.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(2**22), b""))


def texts_of(path: Path, column: str) -> list[str]:
    """The texts of a file, rows without one left out.

    Raises:
        DataError: as ``rows_of``, or it holds no text.
    """
    found = [text for row in rows_of(path, (column,)) if row.problem is None and (text := row.text(column))]
    if not found:
        raise DataError(f"{path} holds no text in column {column!r}; name another with --text.")
    return found


def _check_columns(path: Path, needed: tuple[str, ...], columns: list[str]) -> None:
    for name in needed:
        if name not in columns:
            raise DataError(
                f"{path} has no column {name!r}{nearest(name, columns)} Columns: {', '.join(columns)}. "
                "Name the columns with --text, --text-pair, --domain and --id."
            )


def _csv(path: Path, needed: tuple[str, ...], also: str | None) -> Iterator[Row]:
    csv.field_size_limit(2**27)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        _check_columns(path, needed, header)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                yield Row({}, f"{len(cells)} columns where the header has {len(header)}")
            elif any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell):
                yield Row({}, "not UTF-8")
            else:
                yield Row(dict(zip(header, cells, strict=True)))


def _jsonl(path: Path, needed: tuple[str, ...], also: str | None) -> Iterator[Row]:
    with path.open("rb") as stream:
        for line in stream:
            if not line.strip():
                continue
            try:
                cells = json.loads(line)
            except ValueError as error:  # a broken encoding is one too
                yield Row({}, f"not JSON: {error}")
                continue
            if not isinstance(cells, dict):
                yield Row({}, "not a JSON object")
            else:
                yield Row(cells, next((f"no {name!r}" for name in needed if name not in cells), None))


def _parquet(path: Path, needed: tuple[str, ...], also: str | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error
    _check_columns(path, needed, file.schema_arrow.names)
    wanted = dict.fromkeys([*needed, *({also} & set(file.schema_arrow.names))])
    for batch in file.iter_batches(batch_size=1024, columns=list(wanted)):
        for cells in batch.to_pylist():
            yield Row(cells)
