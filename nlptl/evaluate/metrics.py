"""Our metrics as modules of Hugging Face's ``evaluate``, so that they work offline and look as its users expect.

    >>> metric("f1").compute(predictions=[0, 1, 1], references=[0, 1, 0])
    {'f1': 0.6666666666666666}

Accuracy and F1 take ``predictions`` (class indices), the others take ``prediction_scores`` (n, labels),
as ``evaluate``'s own ``accuracy``, ``f1`` and ``roc_auc`` do; ``config_name="multilabel"`` takes rows of 0 and 1.
Nothing is written: modules keep what they are given in memory.

An installed package adds metrics through entry points of the group ``nlptl.metrics`` that point at a subclass of
``evaluate.EvaluationModule``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import datasets
import evaluate
import numpy as np

from nlptl.errors import RecipeError, nearest
from nlptl.evaluate import _reliability, _scores
from nlptl.registry import METRICS, class_name, metric_names, third_party_metric

if TYPE_CHECKING:
    from nlptl.contracts import Floats, Task


class _Shipped(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """What our modules share: inputs by configuration, and the call of the score with every row once."""

    input = "predictions"

    def _info(self) -> evaluate.MetricInfo:
        label: Any = datasets.Value("int64")
        labels = datasets.List(label) if self.config_name == "multilabel" else label
        given = labels if self.input == "predictions" else datasets.List(datasets.Value("float64"))
        return evaluate.MetricInfo(
            description=self.__doc__ or "",
            citation="",
            inputs_description=f"{self.input} and references, one a row; see nlptl.evaluate.metrics.",
            features=datasets.Features({self.input: given, "references": labels}),
        )

    def _answers(self, predictions: Any) -> Floats:
        """Predicted labels as probabilities of 0 and 1, which the scores read."""
        given = np.asarray(predictions)
        return given.astype(np.float64) if given.ndim == 2 else np.eye(int(given.max()) + 1)[given]


class Accuracy(_Shipped):
    """Share of rows whose label, or whole set of labels, is predicted."""

    def _compute(self, *, predictions: Any, references: Any) -> dict[str, float]:
        labels = np.asarray(references)
        answers = _wide(self._answers(predictions), labels)
        return {"accuracy": _once(_scores.accuracy(answers, labels, _every_row(labels)))}


class F1(_Shipped):
    """F1 of label ``pos_label``, 1 unless told, NaN where no row has it; ``average="macro"``: the mean over labels."""

    def _compute(
        self, *, predictions: Any, references: Any, pos_label: int = 1, average: str = "binary"
    ) -> dict[str, float]:
        labels = np.asarray(references)
        macro = average == "macro" or self.config_name == "multilabel"
        answers = _wide(self._answers(predictions), labels, least=pos_label + 1)
        value = _scores.f1(answers, labels, _every_row(labels), positive=None if macro else pos_label)
        return {"f1": _once(value)}


class Auc(_Shipped):
    """Area under the ROC curve of ``pos_label``; without one, of the second of two labels, else macro one-vs-rest."""

    input = "prediction_scores"

    def _compute(self, *, prediction_scores: Any, references: Any, pos_label: int | None = None) -> dict[str, float]:
        labels, scores = np.asarray(references), np.asarray(prediction_scores)
        return {"auc": _once(_scores.auc(scores, labels, _every_row(labels), positive=pos_label))}


class RecallAtLoss(_Shipped):
    """Recall of ``pos_label`` where at most ``max_loss`` of the other rows are flagged; NaN where too few."""

    input = "prediction_scores"

    def _compute(
        self, *, prediction_scores: Any, references: Any, pos_label: int = 1, max_loss: float = 0.01
    ) -> dict[str, float]:
        labels, scores = np.asarray(references), np.asarray(prediction_scores)
        if _scores.rule_of_three(labels, positive=pos_label, max_loss=max_loss):
            return {"recall_at_loss": float("nan")}
        value = _scores.recall_at_loss(scores, labels, _every_row(labels), positive=pos_label, max_loss=max_loss)
        return {"recall_at_loss": _once(value)}


class Ece(_Shipped):
    """Expected calibration error of the answers' probabilities, 15 bins of equal width (Guo et al. 2017)."""

    input = "prediction_scores"

    def _compute(self, *, prediction_scores: Any, references: Any) -> dict[str, float]:
        labels, scores = np.asarray(references), np.asarray(prediction_scores)
        return {"ece": _once(_reliability.ece(scores, labels, _every_row(labels)))}


class ClasswiseEce(_Shipped):
    """Calibration error of each label's probability, the mean over labels (Kull et al. 2019)."""

    input = "prediction_scores"

    def _compute(self, *, prediction_scores: Any, references: Any) -> dict[str, float]:
        labels, scores = np.asarray(references), np.asarray(prediction_scores)
        return {"classwise_ece": _once(_reliability.classwise_ece(scores, labels, _every_row(labels)))}


def metric(given: str | evaluate.EvaluationModule, *, config_name: str | None = None) -> evaluate.EvaluationModule:
    """The module of that name, ours or an entry point's; a loaded module is handed back as it is.

    Names are never passed to ``evaluate.load``, which runs the script it finds under them.

    Raises:
        RecipeError: no such metric is shipped or installed; the message holds the nearest name and the choices.
    """
    if isinstance(given, evaluate.EvaluationModule):
        return given
    choices = metric_names()
    if given not in choices:
        raise RecipeError(
            f"evaluate.metrics: no metric {given!r}{nearest(given, choices) or '.'} Choices: {', '.join(choices)}. "
            "From Python, pass a module that you loaded: nlptl.fit(recipe, metrics=[module])."
        )
    kind = globals()[class_name(given)] if given in METRICS else third_party_metric(given)
    module: evaluate.EvaluationModule = kind(config_name=config_name, keep_in_memory=True)
    return module


def resampled(module: evaluate.EvaluationModule, task: Task) -> Callable[[Floats, Any, Floats], Floats]:
    """A foreign module as a score of weighted rows: it is computed anew on each resample's rows, some ms each.

    A module with ``prediction_scores`` gets probabilities, those of the positive label where it takes one number a row;
    any other gets the answers. Of several numbers in its result, the first counts.
    """
    wanted = module.features[0] if isinstance(module.features, list) else module.features
    takes_scores = "prediction_scores" in wanted
    one_a_row = takes_scores and isinstance(wanted["prediction_scores"], datasets.Value)
    positive = 1 if task.positive is None else task.positive

    def score(probabilities: Floats, labels: Any, weights: Floats) -> Floats:
        given = probabilities if takes_scores else _scores.decide(probabilities, multilabel=task.head.multilabel)
        given = given[:, positive] if one_a_row else given
        values = np.full(len(weights), np.nan)
        for resample, counts in enumerate(weights.astype(np.int64)):
            rows = np.repeat(np.arange(len(counts)), counts)
            if not len(rows):
                continue
            inputs = {"prediction_scores" if takes_scores else "predictions": given[rows], "references": labels[rows]}
            values[resample] = next(iter(module.compute(**inputs).values()))
        return values

    return score


def _every_row(labels: Any) -> Floats:
    return np.ones((1, len(labels)))


def _wide(answers: Floats, labels: Any, *, least: int = 0) -> Floats:
    """``answers`` with a column for every label that is given, predicted or not, and at ``least`` so many."""
    missing = 0 if labels.ndim == 2 else max(int(labels.max()) + 1, least) - answers.shape[1]
    return np.pad(answers, ((0, 0), (0, max(0, missing))))


def _once(value: Floats) -> float:
    return float(value[0])
