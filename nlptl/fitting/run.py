"""What a finished run is in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nlptl.errors import RunError, nearest
from nlptl.fitting.folder import file_name
from nlptl.recipe import Recipe
from nlptl.report.results import Results
from nlptl.saved import Model

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """What a recipe left behind."""

    recipe: Recipe
    folder: Path
    results: Results
    models: Mapping[str, Model]
    """One model, named ``all``, or one a target where each target had its turn; of the first seed."""

    def __repr__(self) -> str:
        return f"Run({self.recipe.name!r} in {self.folder}; {self.results!r})"

    def predict(self, texts: Sequence[str], *, domain: str | None = None) -> pd.DataFrame:
        """Labels and probabilities for ``texts`` of ``domain``, as ``Model.predict`` gives them: by the domain's own
        head where it has one.

        Raises:
            RunError: each target has a model of its own, and ``domain`` names none of them.
        """
        return self.model(domain).predict(texts, domain=domain)

    def model(self, domain: str | None = None) -> Model:
        """The model that serves ``domain``; where there is only one model, that one."""
        if set(self.models) == {"all"}:
            return self.models["all"]
        if domain is None or domain not in self.models:
            raise RunError(
                f"this run made one model a target and none for domain {domain!r}{nearest(str(domain), self.models)} "
                f"Choices: {', '.join(self.models)}."
            )
        return self.models[domain]

    def save(self, folder: Path | str, *, domain: str | None = None) -> Path:
        """Copy the model that serves ``domain``, with its card, to ``folder``."""
        import shutil

        model = self.folder / "model"
        source = model if set(self.models) == {"all"} else model / file_name(str(domain))
        self.model(domain)  # says what is wrong with the domain, if anything is
        return Path(shutil.copytree(source, folder, dirs_exist_ok=True))
