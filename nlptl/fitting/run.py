"""What a finished run is in Python."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nlptl.contracts import Floats
from nlptl.errors import DataError, ModelError, nearest
from nlptl.fitting.folder import file_name
from nlptl.recipe import Recipe
from nlptl.report.results import Results
from nlptl.saved import Model
from nlptl.saved.answers import asked, in_order, rows_of_each
from nlptl.saved.place import copy_model
from nlptl.saved.targets import SHARED
from nlptl.saved.whose import Whose, without_model
from nlptl.tune._shelf import Shelf

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
    token: str | None = None
    """Of the run as it ended (``token_of``), for another may take its folder."""

    def __repr__(self) -> str:
        return f"Run({self.recipe.name!r} in {self.folder}; {self.results!r})"

    @property
    def _several(self) -> bool:
        """Whether each target has a model of its own; a target may be called ``all``."""
        return self.shared is not None or set(self.models) != {"all"}

    def predict(
        self, texts: Sequence[str], text_pair: Sequence[str] | None = None, *, domain: Whose = None
    ) -> pd.DataFrame:
        """Labels and probabilities for ``texts`` in their order, as ``Model.predict`` gives them: each by its domain's
        own model or head where it has one.

        Args:
            domain: whom the texts belong to, one name for all or one a text (a list, an array, a pandas column).

        Raises:
            DataError: as ``Model.predict`` raises it, or each target has a model of its own, a text is of none of them,
                and there is none for others.
            ModelError: domains have adapters of their own, and another run has taken this one's folder.
        """
        if any(isinstance(model.shelf, Shelf) for model in self.models.values()):
            self._still_there()  # adapters are read from its folder when they are first needed
        first = next(iter(self.models.values()))
        texts, pairs, domains = asked(texts, text_pair, domain, first.columns)
        if not self._several or not texts:
            return first.predict(texts, pairs, domain=domains)
        lacking = Counter[str | None](name for name in domains if name not in self.models)
        if lacking and self.shared is None:
            raise DataError(without_model(lacking, len(texts), sorted(self.models)))
        by_model = rows_of_each(name if name in self.models else None for name in domains)
        return in_order(
            (
                rows,
                self.model(name).predict(
                    [texts[row] for row in rows],
                    pairs and [pairs[row] for row in rows],
                    domain=[domains[row] for row in rows],
                ),
            )
            for name, rows in by_model.items()
        )

    def predict_proba(
        self, texts: Sequence[str], text_pair: Sequence[str] | None = None, *, domain: Whose = None
    ) -> dict[str, Floats]:
        """By task: (texts, labels) probabilities, as ``Model.predict_proba`` gives them; otherwise as ``predict``."""
        table, tasks = self.predict(texts, text_pair, domain=domain), next(iter(self.models.values())).tasks
        return {
            name: table[[f"{name}.{label}" for label in task.labels]].to_numpy(dtype=np.float64)
            for name, task in tasks.items()
        }

    def model(self, domain: str | None = None) -> Model:
        """The model that serves ``domain``; where there is only one model, that one.

        Raises:
            DataError: each target has a model of its own, ``domain`` is none of them, and there is none for others.
        """
        if not self._several:
            return self.models["all"]
        served = self.shared if domain is None else self.models.get(domain, self.shared)
        if served is None:
            hint = nearest(str(domain), self.models) or "."
            raise DataError(
                f"this run made one model a target and none for domain {domain!r}{hint} "
                f"Choices: {', '.join(self.models)}."
            )
        return served

    def save(self, folder: Path | str, *, domain: str | None = None) -> Path:
        """Copy the model to ``folder``, with its card; of one model a target all of them, or that of ``domain``.
        A model that is there makes room for it; a ``README.md`` that is no card of ours stays.

        Raises:
            ModelError: another run has taken this one's folder, or ``folder`` and the run's model lie in one another.
            DataError: ``folder`` cannot be written, or there is no model for ``domain``.
        """
        self._still_there()
        source = self.folder / "model"
        if domain is not None and self._several:
            source /= SHARED if self.model(domain) is self.shared else file_name(domain)
        return copy_model(source, Path(folder))

    def _still_there(self) -> None:
        """Raise ModelError where the folder is another run's by now."""
        if token_of(self.folder) != self.token:
            raise ModelError(
                f"{self.folder} holds another run by now, or one that has not ended: the model of this run is gone "
                "from there. Fit it again, and give each run a folder of its own (out=)."
            )


def token_of(folder: Path) -> str | None:
    """What tells the run in ``folder`` from any other: the hash of its results, which hold the seconds that it took;
    None where no run has ended there."""
    results = folder / "results.json"
    return hashlib.sha256(results.read_bytes()).hexdigest() if results.is_file() else None
