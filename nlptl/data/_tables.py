"""Objects of the ``datasets`` library as pandas tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from datasets import Dataset

SPLIT = "split"
"""The column that says which split of a dataset a row came from."""


def from_splits(splits: Mapping[str, Dataset]) -> pd.DataFrame:
    """The rows of all splits; column ``split`` names each row's, unless the dataset has such a column itself."""
    return stacked([_with_split(from_dataset(dataset), name) for name, dataset in splits.items()])


def stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables, of which there is one or more, one below the other. Whole numbers stay whole: beside a
    table that lacks their column, or has fractions there, they would become floats, and long ids lose digits."""
    filled = [table for table in tables if len(table)]
    if len(filled) < 2:
        return (filled or tables)[0]
    return pd.concat([_with_whole_numbers(table) for table in filled], ignore_index=True)


def _with_whole_numbers(table: pd.DataFrame) -> pd.DataFrame:
    whole = {name: object for name, dtype in table.dtypes.items() if pd.api.types.is_integer_dtype(dtype)}
    return table.astype(whole)


def _with_split(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table if SPLIT in table.columns else table.assign(**{SPLIT: name})


def from_dataset(dataset: Dataset) -> pd.DataFrame:
    """The rows of one dataset; class labels become their names, and −1, which stands for no label, null."""
    from datasets import ClassLabel

    table: pd.DataFrame = dataset.with_format(None).to_pandas()
    for column, feature in dataset.features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(feature, ClassLabel):
            table[column] = pd.Series([_name(feature, value) for value in table[column]], dtype=object)
        elif isinstance(inner, ClassLabel):
            table[column] = pd.Series([_names(inner, values) for values in table[column]], dtype=object)
        elif "int" in str(getattr(feature, "dtype", "")) and pd.api.types.is_float_dtype(table[column].dtype):
            # Whole numbers beside a null became floats, of which long ids lose digits.
            stored: Any = dataset.select_columns(column).with_format("arrow")[:]
            table[column] = stored[column].to_pandas(integer_object_nulls=True)
    return table


def _name(feature: Any, value: Any) -> str | None:
    return None if pd.isna(value) or value < 0 else feature.names[int(value)]


def _names(feature: Any, values: Any) -> list[str] | None:
    """The names of a list of class labels; null where the list holds nothing but −1 for no label."""
    if values is None:
        return None
    names = [name for name in (_name(feature, value) for value in values) if name is not None]
    return names if names or not len(values) else None
