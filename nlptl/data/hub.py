"""Data sets of the Hugging Face Hub, and local folders in the same layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nlptl.contracts import Quarantine, Source
from nlptl.data._files import FILE, LINE, PathText
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


class Hub(Source):
    """Whatever ``datasets.load_dataset`` loads without running code: a Hub name, or a local folder.

    Class labels become their names. Column ``split`` says which split a row came from, unless the data set has such
    a column itself.
    """

    kind: Literal["hub"] = "hub"
    name: PathText = Field(description="Name on the Hub, or a local folder.")
    config: str | None = Field(None, description="Configuration, where the data set has several.")
    revision: str | None = Field(None, description="Commit or tag.")
    splits: str | tuple[str, ...] | None = Field(None, description="Splits to load, train[:100] too; none: all.")
    split: str | None = Field("split", description="Column with official splits.")

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """All rows; a row's file is ``name[split]`` and its line its number there.

        Raises:
            DataError: the data set, its configuration or a split is absent, or the Hub cannot be reached.
        """
        import pandas as pd

        from nlptl.data._tables import from_splits

        tables = []
        for split, dataset in self._load().items():
            table = from_splits({split.split("[")[0]: dataset})
            tables.append(table.assign(**{FILE: f"{self.name}[{split}]", LINE: range(1, len(table) + 1)}))
        return pd.concat(tables, ignore_index=True)
