"""The words' part of a model's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nlptl.encoder.lexical import Lexical


@dataclass(frozen=True)
class Words:
    """The words' logit beside the vectors': (words, outputs) weights by task."""

    lexical: Lexical
    weights: Mapping[str, npt.NDArray[np.float64]]

    @classmethod
    def load(cls, file: Path, weights: Mapping[str, Tensor]) -> Words | None:
        """The words of ``file`` with ``weights`` by task; None where a model has no such weights.

        Raises:
            ModelError: the file is absent or damaged.
        """
        return cls(Lexical.load(file), {task: each.numpy() for task, each in weights.items()}) if weights else None

    def logits(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """By task: (texts, outputs)."""
        if not len(texts):  # which scikit-learn refuses
            return {task: np.zeros((0, weights.shape[1])) for task, weights in self.weights.items()}
        found = self.lexical.transform(texts)
        return {task: np.asarray(found @ weights) for task, weights in self.weights.items()}
