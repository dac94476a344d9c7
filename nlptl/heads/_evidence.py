"""What a head that is solved in closed form may learn from, and what it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats, Ints, Task

if TYPE_CHECKING:
    from torch import nn

    from nlptl.contracts.texts import TextScores

Folds = Sequence[tuple[Ints, Ints]]
Names = Mapping[str, Sequence[Floats]]
"""By reading: for each label (phrasings, width) vectors of what it is called."""


@dataclass(frozen=True)
class Evidence:
    """All that a head may look at; what it does not need may be empty.

    Attributes:
        task: the label set.
        readings: by name, (teaching rows, width) vectors.
        encoded: labels of the teaching rows as ``Task.encode`` gives them; every row is labelled.
        folds: pairs of (teaching, held-out) places among the teaching rows; none for a head that needs no labels.
        unlabelled: by name, (unlabelled rows, width) vectors.
        names: the labels' names and descriptions, for heads that ask for them.
    """

    task: Task
    readings: Mapping[str, Floats]
    encoded: npt.NDArray[Any]
    folds: Folds
    unlabelled: Mapping[str, Floats] = field(default_factory=dict)
    names: Names = field(default_factory=dict)


@dataclass(frozen=True)
class ClosedForm:
    """A head that was solved: what it reads, its network, and what was chosen on the way, for the record of the run."""

    reading: str
    net: nn.Module
    chosen: Mapping[str, Any]
    scores: TextScores | None = None
    """What reads the texts, where the head does so itself."""
    out_of_fold: Floats | None = None
    """(teaching rows, outputs) logits of each row by the fold that did not see it, 0 where none holds a row out; None
    where the head does not tell."""


def log_loss(probabilities: Floats, classes: Ints) -> float:
    """Mean negative log-likelihood in nats: (rows, labels) probabilities of (rows,) classes."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(classes)), classes], 1e-12)).mean())


def as_logits(scores: Floats) -> npt.NDArray[np.float64]:
    """(…, labels) scores of exclusive labels, equal up to a number a row, as the logits that a task wants: of two
    labels the second's less the first's, else as they are."""
    scores = np.asarray(scores, dtype=np.float64)
    return np.asarray(scores[..., 1:] - scores[..., :1] if scores.shape[-1] == 2 else scores)


def softmax(scores: Floats) -> npt.NDArray[np.float64]:
    """(…, labels) scores → (…, labels) probabilities."""
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def out_of_fold(
    folds: Folds, vectors: Floats, classes: Ints, scores_of: Callable[[Floats, Ints, Floats], Floats]
) -> tuple[npt.NDArray[np.float64], Ints]:
    """The scores of every held-out row, from the rows that taught its fold, and the classes of those rows.

    Args:
        scores_of: (teaching vectors, their classes, held-out vectors) → (held-out rows, labels).
    """
    scores = [scores_of(vectors[teach], classes[teach], vectors[held]) for teach, held in folds]
    return np.concatenate(scores), np.concatenate([classes[held] for _, held in folds])
