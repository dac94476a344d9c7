"""Metrics made ready for one task: what is asked by name in a recipe becomes a function of probabilities and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.errors import RecipeError
from nlptl.evaluate import _reliability, _scores
from nlptl.evaluate.intervals import on_rarer_side
from nlptl.registry import METRICS

if TYPE_CHECKING:
    from evaluate import EvaluationModule

    from nlptl.contracts import Floats, Task

    Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Scorer:
    """One metric of one task.

    ``score`` takes probabilities (n, labels), labels as ``Task.encode`` gives them, and weights (resamples, n), and
    returns (resamples,). ``why_not`` takes the labels and says why these rows cannot show the metric, or None.
    ``texts`` takes labels and copies (n,), rows of equal name being one text, and returns on how many texts an interval
    rests: all of them, or, where rows with a label are set against those without it, those of the rarer side.
    """

    name: str
    score: Callable[[Floats, Labels, Floats], Floats]
    why_not: Callable[[Labels], str | None]
    texts: Callable[[Labels, npt.NDArray[Any]], int]

    def __call__(self, probabilities: Floats, labels: Labels, weights: Floats) -> Floats:
        """The score under each weighting, NaN where the metric is undefined."""
        if self.why_not(labels) is not None:
            return np.full(len(weights), np.nan)
        return self.score(probabilities, labels, weights)


def scorers(metrics: Sequence[str | EvaluationModule], task: Task, *, max_loss: float) -> list[Scorer]:
    """The metrics of ``task``, by name, or loaded modules where Python code passes them.

    Raises:
        RecipeError: a name is neither shipped nor installed as an entry point.
    """
    return [_ours(metric, task, max_loss) if metric in METRICS else _foreign(metric, task) for metric in metrics]


def try_out(metrics: Sequence[str | EvaluationModule], tasks: Mapping[str, Task]) -> None:
    """Score two right answers a label by every metric that is not ours: what cannot score a task is known before
    anything is trained for it.

    Raises:
        RecipeError: a name is neither shipped nor installed, or a module cannot score a task's answers.
    """
    for metric in metrics:
        for task in () if metric in METRICS else tasks.values():
            scorer, right = _foreign(metric, task), np.repeat(np.eye(len(task.labels)), 2, axis=0)
            labels = right.astype(np.int64) if task.head.multilabel else right.argmax(axis=1)
            try:
                scorer(right, labels, np.ones((1, len(right))))
            except Exception as error:
                kind = "multilabel" if task.head.multilabel else f"{len(task.labels)} labels"
                raise RecipeError(
                    f"metric {scorer.name!r} cannot score task {task.name!r} ({kind}): {error} Leave it out, or pass "
                    "a module that takes such answers."
                ) from error


def _foreign(metric: str | EvaluationModule, task: Task) -> Scorer:
    from nlptl.evaluate import metrics  # imports evaluate, and with it transformers: seconds that ours do not need

    module = metrics.metric(metric)
    name = metric if isinstance(metric, str) else module.name
    return Scorer(name, metrics.resampled(module, task), lambda _: None, partial(_on_rarer_side, task.positive))


def _ours(name: str, task: Task, max_loss: float) -> Scorer:
    positive = task.positive
    rarer = partial(_on_rarer_side, positive)
    if name == "accuracy":
        return Scorer(name, _scores.accuracy, lambda _: None, _all)
    if name == "f1":
        return Scorer(name, partial(_scores.f1, positive=positive), lambda labels: _without(labels, task), rarer)
    if name == "auc":
        return Scorer(name, partial(_scores.auc, positive=positive), lambda labels: _one_sided(labels, task), rarer)
    if name in ("ece", "classwise_ece"):
        return Scorer(name, getattr(_reliability, name), lambda _: None, _all if name == "ece" else rarer)
    if positive is None:
        reason = f"heads.{task.name}.positive names no label to be caught"
        return Scorer(name, _scores.accuracy, lambda _: reason, rarer)
    return Scorer(
        name,
        partial(_scores.recall_at_loss, positive=positive, max_loss=max_loss),
        lambda labels: _one_sided(labels, task) or _scores.rule_of_three(labels, positive=positive, max_loss=max_loss),
        rarer,
    )


def _all(labels: Labels, copies: npt.NDArray[Any]) -> int:
    return len(np.unique(copies))


def _on_rarer_side(positive: int | None, labels: Labels, copies: npt.NDArray[Any]) -> int:
    """Of label ``positive``; without one, of the label whose rarer side has most texts: macro means rest on many."""
    _, texts = np.unique(copies, return_inverse=True)
    several = range(labels.shape[1]) if labels.ndim == 2 else np.unique(labels).tolist()
    chosen = several if positive is None else (positive,)
    return max(on_rarer_side(_scores.has(labels, label), texts) for label in chosen)


def _without(labels: Labels, task: Task) -> str | None:
    if task.positive is None or _scores.has(labels, task.positive).any():
        return None
    return f"no row is {task.labels[task.positive]!r}"


def _one_sided(labels: Labels, task: Task) -> str | None:
    """Why no row with a label can be set against one without it."""
    if task.positive is None:
        return "all rows have the same labels" if np.all(labels == labels[:1]) else None
    if _scores.has(labels, task.positive).all():
        return f"every row is {task.labels[task.positive]!r}"
    return _without(labels, task)
