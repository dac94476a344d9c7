"""Scores of probabilities against labels, under many weightings of the rows at once.

Throughout: ``probabilities`` (n, labels); ``labels`` (n,) class indices or, for a multilabel task, (n, labels) of 0 and
1; ``weights`` (resamples, n), how often each resample holds each row; the result is (resamples,), NaN where undefined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    from nlptl.contracts import Floats

    Labels = npt.NDArray[Any]


def decide(probabilities: Floats, *, multilabel: bool) -> Labels:
    """The answers: (n,) the likeliest label's index; for a multilabel task (n, labels) of 0 and 1, cut at one half."""
    return (probabilities >= 0.5).astype(np.int64) if multilabel else probabilities.argmax(axis=1)


def correct(probabilities: Floats, labels: Labels) -> npt.NDArray[np.bool_]:
    """(n,) bool: rows answered rightly; a multilabel row is right when all of its labels are (subset accuracy)."""
    multilabel = labels.ndim == 2
    right = np.asarray(decide(probabilities, multilabel=multilabel) == labels)
    return np.asarray(right.all(axis=1)) if multilabel else right


def accuracy(probabilities: Floats, labels: Labels, weights: Floats) -> Floats:
    """Share of rows answered rightly."""
    return ratio(weights @ correct(probabilities, labels).astype(np.float64), weights.sum(axis=1))


def f1(probabilities: Floats, labels: Labels, weights: Floats, *, positive: int | None) -> Floats:
    """F1, 2·TP / (2·TP + FP + FN), of label ``positive``; without one, the plain mean over labels (macro).

    Undefined for a ``positive`` that no row has. As in scikit-learn, macro passes over labels that are neither given
    nor predicted.
    """
    truth = _indicator(labels, probabilities.shape[1])
    answer = _indicator(decide(probabilities, multilabel=labels.ndim == 2), probabilities.shape[1])
    given = _tally(truth, weights)
    each = ratio(2 * _tally(truth.multiply(answer), weights), given + _tally(answer, weights))
    return mean_defined(each) if positive is None else np.where(given[:, positive] > 0, each[:, positive], np.nan)


def auc(probabilities: Floats, labels: Labels, weights: Floats, *, positive: int | None) -> Floats:
    """Area under the ROC curve: P(score of a row with the label > score of one without), ties counting one half.

    Of label ``positive``; without one, of the second of two labels, else the mean over labels against the rest
    (one-vs-rest, macro), passing over labels that all rows or none have.
    """
    outputs = probabilities.shape[1]
    if positive is None and outputs == 2 and labels.ndim == 1:
        positive = 1
    chosen = range(outputs) if positive is None else (positive,)
    each = [_auc_of(probabilities[:, label], has(labels, label), weights) for label in chosen]
    return mean_defined(np.stack(each, axis=1))


def recall_at_loss(probabilities: Floats, labels: Labels, weights: Floats, *, positive: int, max_loss: float) -> Floats:
    """The largest recall of ``positive`` at a threshold that flags at most ``max_loss`` of the other rows.

    A point of the ROC curve of the scored rows themselves, such as spam caught at 1 % ham lost: what a well-set
    threshold could reach, not what a threshold set on other rows will.
    """
    flagged, lost = _by_falling_score(probabilities[:, positive], has(labels, positive), weights)
    caught, lost = flagged.cumsum(axis=1), lost.cumsum(axis=1)
    allowed = (lost <= max_loss * lost[:, -1:] + 1e-9).sum(axis=1)
    reached = np.where(allowed > 0, caught[np.arange(len(caught)), np.maximum(allowed, 1) - 1], 0.0)
    return np.where(lost[:, -1] > 0, ratio(reached, caught[:, -1]), np.nan)


def rule_of_three(labels: Labels, *, positive: int, max_loss: float) -> str | None:
    """Why ``recall_at_loss`` cannot be shown on these rows, or None.

    Where none of m rows is lost, the share lost may still be 3/m (the upper 95 % bound; Hanley & Lippman-Hand 1983), so
    that fewer than 3 / ``max_loss`` other rows cannot show the level.
    """
    others = int((~has(labels, positive)).sum())
    if max_loss * others >= 3:
        return None
    if max_loss == 0:
        return "a loss of 0 can be shown by no number of rows; set evaluate.max_loss above 0"
    needed = np.ceil(3 / max_loss)
    return f"a loss of {max_loss:g} takes at least {needed:.0f} rows of the other labels to show; here are {others}"


def mean_defined(values: Floats) -> Floats:
    """(rows, columns) → (rows,): the mean of each row's numbers, NaN where it has none."""
    return ratio(np.nansum(values, axis=1), (~np.isnan(values)).sum(axis=1))


def ratio(above: Floats, below: Floats) -> Floats:
    """``above`` / ``below``, NaN where ``below`` is 0."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0))


def has(labels: Labels, label: int) -> npt.NDArray[np.bool_]:
    """(n,) bool: rows that have the label."""
    return np.asarray(labels[:, label] == 1 if labels.ndim == 2 else labels == label)


def _indicator(labels: Labels, outputs: int) -> sparse.csr_array:
    """(n, outputs) of 0 and 1; sparse, because a task may have hundreds of labels and a row has few."""
    if labels.ndim == 2:
        return sparse.csr_array(labels.astype(np.float64))
    rows = np.arange(len(labels))
    return sparse.csr_array((np.ones(len(labels)), (rows, labels)), shape=(len(labels), outputs))


def _tally(indicator: sparse.csr_array, weights: Floats) -> Floats:
    """(resamples, labels): the weight of the rows that ``indicator`` marks."""
    return np.asarray(indicator.T @ weights.T).T


def _by_falling_score(scores: Floats, held: npt.NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Weights with and without the label, (resamples, distinct scores) each, from the highest score to the lowest."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    ordered, held = weights[:, order], held[order]
    return (np.add.reduceat(ordered * held, starts, axis=1), np.add.reduceat(ordered * ~held, starts, axis=1))


def _auc_of(scores: Floats, held: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    with_label, without = _by_falling_score(scores, held, weights)
    at_or_above = without.cumsum(axis=1)
    total = at_or_above[:, -1]
    below = total[:, None] - at_or_above
    wins = np.einsum("rg,rg->r", with_label, below + without / 2)
    return ratio(wins, with_label.sum(axis=1) * total)
