"""The words' part of a model's logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nlptl.encoder.lexical import Lexical


@dataclass(frozen=True)
class Words:
    """The words' logit beside the vectors': (words, outputs) weights by task."""

    lexical: Lexical
    weights: Mapping[str, npt.NDArray[np.float64]]

    def logits(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float64]]:
        """By task: (texts, outputs)."""
        found = self.lexical.transform(texts)
        return {task: np.asarray(found @ weights) for task, weights in self.weights.items()}
