"""The simple systems that ours must beat, on the same rows: majority, TF-IDF + logistic regression, frozen probe.

They are tuned as fairly as our own heads: the strength of each is the one with the lowest log loss on the same folds.
``tfidf`` reads the same words as ours does beside its vectors (sublinear counts, words that two texts have,
scikit-learn's tokens). Pairs of neighbouring words would gain the baseline alone about half a point on three of Enron's
four users and ours nothing, at several times the seconds; neither has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    from nlptl.contracts import Floats, Ints, Task

BASELINES = ("majority", "cosine", "tfidf", "probe")
"""``cosine``, to the labels' names, where a head knows them; the others where labels teach."""
STRENGTHS = tuple(float(c) for c in np.logspace(-3, 4, 8))
"""The grid of scikit-learn's C, the inverse of the penalty, for features whose rows have mean squared norm 1."""

MAX_ITERATIONS = 5000

Folds = Sequence[tuple["Ints", "Ints"]]
Matrix = Any  # a dense array or a scipy sparse one: scikit-learn takes both


class Baseline(Protocol):
    """A fitted baseline."""

    @property
    def strengths(self) -> tuple[float, ...]:
        """The C chosen, one a logistic regression; none where nothing was to be chosen."""

    def predict(self, texts: Sequence[str], features: Floats) -> Floats:
        """(n, labels) probabilities, in the order of the task's labels, for texts and their (n, width) features."""


def fit_baselines(
    task: Task, *, texts: Sequence[str], features: Floats, labels: npt.NDArray[Any], folds: Folds, seed: int
) -> dict[str, Baseline]:
    """Fit all baselines of ``task`` on its labelled teaching rows.

    Args:
        texts: of the n teaching rows.
        features: (n, width) last-layer vectors of the same rows, for the probe.
        labels: as ``task.encode`` gives them; unlabelled rows teach nothing.
        folds: (teaching rows, validation rows) of each fold, as places in ``texts``.
        seed: of the solver.

    Returns:
        ``majority``, ``tfidf`` and ``probe``. Where no row has a word, ``tfidf`` is ``majority``.
    """
    keep = task.labelled(labels)
    place = np.cumsum(keep) - 1
    folds = [(place[teach[keep[teach]]], place[check[keep[check]]]) for teach, check in folds]
    texts = [text for text, kept in zip(texts, keep, strict=True) if kept]
    features, labels = features[keep], labels[keep]
    # One yes-or-no column a regression: all of a multilabel task's columns apart, else the classes at once.
    columns = list(labels.T.astype(np.int64)) if task.head.multilabel else [labels]
    majority = Majority(_shares(task, labels))
    return {
        "majority": majority,
        "tfidf": _fit_tfidf(task, texts, columns, folds, seed) or majority,
        "probe": _fit_probe(task, features, columns, folds, seed),
    }


@dataclass(frozen=True)
class Majority:
    """Answers every text with the label shares of the teaching rows."""

    shares: Floats
    strengths: tuple[float, ...] = ()

    def predict(self, texts: Sequence[str], features: Floats) -> Floats:
        """(n, labels): the same row for every text."""
        return np.tile(self.shares, (len(texts), 1))


@dataclass(frozen=True)
class _Weigher:
    """Word counts → TF-IDF (sublinear, rows of norm 1) over the words that at least two teaching texts have, if any."""

    known: Ints
    tfidf: TfidfTransformer

    @classmethod
    def fit(cls, counts: Matrix) -> _Weigher:
        from sklearn.feature_extraction.text import TfidfTransformer

        texts_with = counts.getnnz(axis=0)
        known = np.flatnonzero(texts_with >= min(2, texts_with.max()))
        return cls(known, TfidfTransformer(sublinear_tf=True).fit(counts[:, known]))

    def __call__(self, counts: Matrix) -> Matrix:
        return self.tfidf.transform(counts[:, self.known])


@dataclass(frozen=True)
class Tfidf:
    """Logistic regression on TF-IDF words."""

    counter: CountVectorizer
    weigh: _Weigher
    regressions: tuple[_Regression, ...]
    multilabel: bool

    @property
    def strengths(self) -> tuple[float, ...]:
        """The C chosen, one a regression."""
        return tuple(r.strength for r in self.regressions)

    def predict(self, texts: Sequence[str], features: Floats) -> Floats:
        """(n, labels) probabilities from the texts alone."""
        return _predict(self.regressions, self.weigh(self.counter.transform(texts)), multilabel=self.multilabel)


@dataclass(frozen=True)
class Probe:
    """Logistic regression on frozen last-layer vectors, divided by one number, ``scale``."""

    scale: float
    regressions: tuple[_Regression, ...]
    multilabel: bool

    @property
    def strengths(self) -> tuple[float, ...]:
        """The C chosen, one a regression."""
        return tuple(r.strength for r in self.regressions)

    def predict(self, texts: Sequence[str], features: Floats) -> Floats:
        """(n, labels) probabilities from the features alone."""
        return _predict(self.regressions, features / self.scale, multilabel=self.multilabel)


def _fit_tfidf(task: Task, texts: list[str], columns: list[Ints], folds: Folds, seed: int) -> Tfidf | None:
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer()
    if not any(map(counter.build_analyzer(), texts)):
        return None
    counts = counter.fit_transform(texts)  # texts are split into words once, not once a fold

    def of_fold(teach: Ints, check: Ints) -> tuple[Matrix, Matrix]:
        weigh = _Weigher.fit(counts[teach])
        return weigh(counts[teach]), weigh(counts[check])

    weigh = _Weigher.fit(counts)
    regressions = _fit_columns(weigh(counts), columns, folds, of_fold, outputs=_outputs(task), seed=seed)
    return Tfidf(counter, weigh, regressions, task.head.multilabel)


def _fit_probe(task: Task, features: Floats, columns: list[Ints], folds: Folds, seed: int) -> Probe:
    scale = float(np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    scaled = features / scale
    regressions = _fit_columns(
        scaled, columns, folds, lambda teach, check: (scaled[teach], scaled[check]), outputs=_outputs(task), seed=seed
    )
    return Probe(scale, regressions, task.head.multilabel)


def _outputs(task: Task) -> int:
    return 2 if task.head.multilabel else len(task.labels)


def _shares(task: Task, labels: npt.NDArray[Any]) -> Floats:
    if task.head.multilabel:
        return np.asarray(labels.mean(axis=0, dtype=np.float64))
    return np.bincount(labels, minlength=len(task.labels)) / len(labels)


@dataclass(frozen=True)
class _Regression:
    """A fitted regression, or the answer of rows that all have one label (``model`` None)."""

    model: Any
    classes: Ints
    outputs: int
    strength: float

    def predict(self, features: Matrix) -> Floats:
        """(n, outputs); 0 for labels that did not teach."""
        probabilities = np.zeros((features.shape[0], self.outputs))
        probabilities[:, self.classes] = 1.0 if self.model is None else self.model.predict_proba(features)
        return probabilities


def _predict(regressions: tuple[_Regression, ...], features: Matrix, *, multilabel: bool) -> Floats:
    if not multilabel:
        return regressions[0].predict(features)
    return np.stack([regression.predict(features)[:, 1] for regression in regressions], axis=1)


def _fit_columns(
    features: Matrix,
    columns: list[Ints],
    folds: Folds,
    of_fold: Callable[[Ints, Ints], tuple[Matrix, Matrix]],
    *,
    outputs: int,
    seed: int,
) -> tuple[_Regression, ...]:
    """One regression a column, its C the one with the lowest log loss over the validation rows of all folds."""
    parts = [(*of_fold(teach, check), teach, check) for teach, check in folds]
    best = [_strength(parts, labels, outputs, seed) for labels in columns]
    return tuple(_fit(features, labels, c, outputs, seed) for labels, c in zip(columns, best, strict=True))


def _strength(parts: Sequence[tuple[Matrix, Matrix, Ints, Ints]], labels: Ints, outputs: int, seed: int) -> float:
    """The best of ``STRENGTHS``, from weak to strong; the strong ones take longest and are seldom the best, and two
    rises of the loss in a row end the search before them."""
    best, lowest, rises = STRENGTHS[0], np.inf, 0
    for strength in STRENGTHS:
        loss = 0.0
        for taught, checked, teach, check in parts:
            fitted = _fit(taught, labels[teach], strength, outputs, seed)
            probabilities = fitted.predict(checked)[np.arange(len(check)), labels[check]]
            loss -= float(np.log(np.maximum(probabilities, 1e-12)).sum())
        if loss < lowest:
            best, lowest, rises = strength, loss, 0
        else:
            rises += 1
        if rises == 2:
            break
    return best


def _fit(features: Matrix, labels: Ints, strength: float, outputs: int, seed: int) -> _Regression:
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(labels)
    if len(classes) == 1:
        return _Regression(None, classes, outputs, strength)
    # lbfgs says so (ConvergenceWarning) where the iterations do not suffice; nothing here silences it.
    model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS, random_state=seed).fit(features, labels)
    return _Regression(model, classes, outputs, strength)
