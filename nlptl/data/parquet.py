"""Parquet files; a row's line is its number in its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from nlptl.contracts import Quarantine
from nlptl.data._files import LINE, FileSource
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


class Parquet(FileSource):
    """Rows of a Parquet file."""

    kind: Literal["parquet"] = "parquet"

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def rows(self, file: Path, quarantine: Quarantine) -> pd.DataFrame:
        """All rows.

        Raises:
            DataError: the file is damaged or not Parquet.
        """
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        try:
            with ParquetFile(file) as stored:
                # integer_object_nulls: whole numbers beside a null would become floats, and long ids lose digits
                table: pd.DataFrame = stored.read().to_pandas(integer_object_nulls=True, ignore_metadata=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the file system's word; Arrow's own for a broken footer has no number
            raise DataError(f"{file} is damaged or not a Parquet file: {str(error).strip()}.") from error
        return table.assign(**{LINE: range(1, len(table) + 1)})
