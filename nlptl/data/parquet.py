"""Parquet files; a row's line is its number in its file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from nlptl.contracts import Quarantine
from nlptl.data._files import LINE, FileSource
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pyarrow.parquet import ParquetFile

BATCH = 1024
"""Rows that are in memory at once when they are streamed."""


class Parquet(FileSource):
    """Rows of a Parquet file."""

    kind: Literal["parquet"] = "parquet"

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def rows(self, file: Path, quarantine: Quarantine) -> pd.DataFrame:
        """All rows.

        Raises:
            DataError: the file is damaged or not Parquet.
        """
        with _opened(file) as stored:
            # integer_object_nulls: whole numbers beside a null would become floats, and long ids lose digits
            table: pd.DataFrame = stored.read().to_pandas(integer_object_nulls=True, ignore_metadata=True)
        return table.assign(**{LINE: range(1, len(table) + 1)})

    def stream(
        self, file: Path, quarantine: Quarantine, wanted: frozenset[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of one file one after another; columns that are not ``wanted`` are not read if those that are are
        there."""
        with _opened(file) as stored:
            names = frozenset(stored.schema_arrow.names)
            columns = list(wanted) if wanted and wanted <= names else None
            batches = stored.iter_batches(batch_size=BATCH, columns=columns)
            yield from enumerate((cells for batch in batches for cells in batch.to_pylist()), start=1)


@contextmanager
def _opened(file: Path) -> Iterator[ParquetFile]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as stored:
            yield stored
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file system's word; Arrow's own for a broken footer has no number
        raise DataError(f"{file} is damaged or not a Parquet file: {str(error).strip()}.") from error
