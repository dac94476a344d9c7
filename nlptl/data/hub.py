"""Data sets of the Hugging Face Hub, and local folders in the same layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from nlptl.contracts import Quarantine, Source
from nlptl.data._files import FILE, LINE, PathText
from nlptl.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset


class Hub(Source):
    """Whatever ``datasets.load_dataset`` loads without running code: a Hub name, or a local folder.

    Class labels become their names. Column ``split`` says which split a row came from, unless the data set has such
    a column itself.
    """

    kind: Literal["hub"] = "hub"
    name: PathText = Field(description="Name on the Hub, or a local folder.")
    config: str | None = Field(None, description="Configuration, where the data set has several.")
    revision: str | None = Field(None, description="Commit or tag.")
    splits: str | tuple[str, ...] | None = Field(
        None, description="Splits to load, such as train[:100], or a list of them; none: all."
    )
    split: str | None = Field("split", description="Column with official splits.")

    @field_validator("splits")
    @classmethod
    def _each_apart(cls, splits: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        from nlptl.recipe.yaml import inline

        for split in (splits,) if isinstance(splits, str) else splits or ():
            if "+" in split:
                apart = inline([part.strip() for part in split.split("+")])
                raise ValueError(f"{split!r} joins splits, and its rows would all be the first one's; write {apart}.")
        return splits

    def frame(self, quarantine: Quarantine) -> pd.DataFrame:
        """All rows; a row's file is ``name[split]`` and its line its number there.

        Raises:
            DataError: the data set, its configuration or a split is absent, or the Hub cannot be reached.
        """
        from nlptl.data._tables import from_splits, stacked

        tables = []
        for split, dataset in self._load().items():
            table = from_splits({split.partition("[")[0]: dataset})
            table[FILE], table[LINE] = f"{self.name}[{split}]", range(1, len(table) + 1)
            tables.append(table)
        return stacked(tables)

    def _load(self) -> dict[str, Dataset]:
        from datasets import load_dataset
        from datasets.exceptions import DatasetBuildError, DatasetsError
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES as LOADERS

        local = Path(self.name).expanduser()
        # A loader's name (csv, text, …; pandas, which unpickles before datasets 5) reads what is in the working folder.
        if not local.is_dir() and self.name in LOADERS:
            raise DataError(f"data.name {self.name!r} is a loader, not a data set: name a folder, or use another kind.")
        name = str(local.absolute()) if local.is_dir() else self.name
        splits = [self.splits] if isinstance(self.splits, str) else self.splits and list(self.splits)
        try:
            loaded = load_dataset(name, self.config, split=splits, revision=self.revision)
        except (DatasetsError, DatasetBuildError, OSError, ValueError, RuntimeError) as error:
            what = f"data set {self.name!r}" + (f", config {self.config!r}" if self.config else "")
            said = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            raise DataError(f"cannot load {what}: {said}. Is it a folder here, or does it need the network?") from error
        return dict(zip(splits, loaded, strict=True)) if splits else dict(loaded)
