"""A table that a notebook already holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializationInfo, field_serializer, field_validator

from nlptl.contracts import Quarantine, Source
from nlptl.data._files import FILE, LINE
from nlptl.errors import RecipeError

if TYPE_CHECKING:
    import pandas as pd

_UNSAVED = (
    "data of kind 'frame' lives in this Python session only and cannot be written to a recipe file; "
    "write the table with to_parquet and use kind 'parquet'."
)


class Frame(Source):
    """A pandas table, or a ``datasets`` Dataset or DatasetDict (whose splits become column ``split``).

    The table is copied when it is given: later changes to it change nothing here. Two frames are equal when their
    settings and their tables' contents are. ``model_dump()`` holds the table itself; JSON, and so a recipe file,
    cannot.

    Raises:
        RecipeError: it is to be saved.
    """

    kind: Literal["frame"] = "frame"
    table: Any = Field(description="A pandas or datasets object; only in Python, never in a recipe file.")

    @field_validator("table", mode="plain")
    @classmethod
    def _copy(cls, table: Any) -> Any:
        import pandas as pd

        if isinstance(table, pd.DataFrame):
            return table.copy()
        from datasets import Dataset

        from nlptl.data import _tables

        if isinstance(table, Dataset):
            return _tables.from_dataset(table)
        # a DatasetDict arrives here as the plain dict that settings make of every mapping
        if isinstance(table, dict) and table and all(isinstance(split, Dataset) for split in table.values()):
            return _tables.from_splits(table)
        raise ValueError(
            f"kind 'frame' holds a pandas or datasets object given in Python, not {type(table).__name__}; "
            "in a recipe file use kind 'csv', 'jsonl', 'parquet' or 'hub'"
        )

    @field_serializer("table")
    def _serialise(self, table: Any, info: SerializationInfo) -> Any:
        if (info.context or {}).get("described"):  # for the record of a run
            return self._shown()
        if info.mode_is_json():
            raise RecipeError(_UNSAVED)
        return table

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frame):
            return NotImplemented
        return self._settings() == other._settings() and bool(self.table.equals(other.table))

    def __hash__(self) -> int:
        return hash((self._settings(), self.table.shape, tuple(self.table.columns)))

    def _settings(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in type(self).model_fields if name != "table")

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, self._shown() if name == "table" else value) for name, value in super().__repr_args__()]

    def _shown(self) -> str:
        return f"<{len(self.table)} rows: {', '.join(map(str, self.table.columns))}>"

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """The table; a row's line is its position, from 1."""
        lines = range(1, len(self.table) + 1)
        return self.table.reset_index(drop=True).assign(**{FILE: "frame", LINE: lines})  # type: ignore[no-any-return]
