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
from nlptl.saved.targets import SHARED

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
    shared: Model | None = None
    """Of one model a target, the one beside them that serves every other domain, where there is one."""

    def __repr__(self) -> str:
        return f"Run({self.recipe.name!r} in {self.folder}; {self.results!r})"

    @property
    def _several(self) -> bool:
        """Whether each target has a model of its own; a target may be called ``all``."""
        return self.shared is not None or set(self.models) != {"all"}

    def predict(self, texts: Sequence[str], *, domain: str | None = None) -> pd.DataFrame:
        """Labels and probabilities for ``texts`` of ``domain``, as ``Model.predict`` gives them: by the domain's own
        head where it has one.

        Raises:
            RunError: each target has a model of its own, ``domain`` names none of them, and there is none for others.
        """
        return self.model(domain).predict(texts, domain=domain)

    def model(self, domain: str | None = None) -> Model:
        """The model that serves ``domain``; where there is only one model, that one."""
        if not self._several:
            return self.models["all"]
        if domain is None or domain not in self.models:
            if self.shared is not None:
                return self.shared
            raise RunError(
                f"this run made one model a target and none for domain {domain!r}{nearest(str(domain), self.models)} "
                f"Choices: {', '.join(self.models)}."
            )
        return self.models[domain]

    def save(self, folder: Path | str, *, domain: str | None = None) -> Path:
        """Copy the model to ``folder``, with its card; of one model a target all of them, or that of ``domain``."""
        import shutil

        source = self.folder / "model"
        if domain is not None and self._several:
            source /= SHARED if self.model(domain) is self.shared else file_name(domain)
        return Path(shutil.copytree(source, folder, dirs_exist_ok=True))
