"""The transferability scores, held to numbers made by hand or by another road."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from nlptl.contracts.diagnose import View
from nlptl.diagnose.hscore import hscore
from nlptl.diagnose.knn import knn_accuracy
from nlptl.diagnose.leep import leep
from nlptl.diagnose.logme import logme
from nlptl.diagnose.nce import nce
from nlptl.diagnose.nleep import nleep
from nlptl.diagnose.probe import cross_validated, parts
from nlptl.errors import DataError
from nlptl.registry import find

SCORES = ("logme", "hscore", "leep", "nleep", "nce", "knn", "probe")


def two_classes(rows: int = 80, width: int = 4, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    features = rng.normal(size=(rows, width))
    features[:, 0] += apart * (2 * labels - 1)
    return features, labels


@pytest.mark.parametrize(("rows", "width"), [(30, 3), (12, 20)], ids=["tall", "wide"])
def test_logme_is_the_largest_marginal_likelihood(rows: int, width: int) -> None:
    features, labels = two_classes(rows, width)

    def negative(logs: np.ndarray, target: np.ndarray) -> float:
        alpha, beta = np.exp(logs)
        covariance = np.eye(rows) / beta + features @ features.T / alpha
        return -multivariate_normal(np.zeros(rows), covariance).logpdf(target)

    best = [minimize(negative, [0.0, 0.0], args=((labels == k) * 1.0,), method="Nelder-Mead").fun for k in (0, 1)]
    assert logme(features, labels) == pytest.approx(-np.mean(best) / rows, abs=1e-4)


def test_hscore_by_hand() -> None:
    # One dimension: values 0, 2 | 4, 6; class means −2 and 2 about 3, variance 5: 4 / 5.
    features, labels = np.array([[0.0], [2.0], [4.0], [6.0]]), np.array([0, 0, 1, 1])
    assert hscore(features, labels, shrinkage=0) == pytest.approx(0.8)
    assert hscore(features, labels, shrinkage=0.25) == pytest.approx(0.75 * 0.8)  # in one dimension Σ_α is Σ


def test_hscore_without_shrinkage_is_the_trace() -> None:
    features, labels = two_classes(60, 5)
    centred = features - features.mean(0)
    means = np.stack([centred[labels == k].mean(0) for k in labels])
    trace = np.trace(np.linalg.inv(np.cov(centred.T, bias=True)) @ np.cov(means.T, bias=True))
    assert hscore(features, labels, shrinkage=0) == pytest.approx(trace)
    assert 0 < hscore(features, labels) < trace


def test_leep_by_hand() -> None:
    theta, labels = np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 1])
    # P(y=0 | z) = .8/1.2 and .2/.8; the rows get .8·2/3 + .2·1/4 and .4·1/3 + .6·3/4
    by_hand = (np.log(0.8 * 2 / 3 + 0.05) + np.log(0.4 / 3 + 0.45)) / 2
    assert leep(theta, labels) == pytest.approx(by_hand)
    assert leep(np.eye(2)[[0, 1, 1]], np.array([1, 0, 0])) == pytest.approx(0)  # a code, whatever its names


def test_leep_of_hard_answers_is_nce() -> None:
    rng = np.random.default_rng(0)
    answers, labels = rng.integers(0, 3, 50), rng.integers(0, 4, 50)
    assert leep(np.eye(3)[answers], labels) == pytest.approx(nce(answers, labels))


def test_nce_by_hand() -> None:
    # z = 0 says nothing of two labels (half the rows), z = 1 says all.
    assert nce(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(-0.5 * np.log(2))


def test_nleep_knows_clusters_that_are_classes() -> None:
    apart, labels = two_classes(120, 3, apart=8)
    mixed, _ = two_classes(120, 3, apart=0)
    assert nleep(apart, labels) == pytest.approx(0, abs=1e-3)
    assert -np.log(2) - 1e-9 <= nleep(mixed, labels) < -0.3


def test_knn_by_hand() -> None:
    # Directions about the mean (0, 0): each row's nearest is of its class, but for the last, which stands among 0.
    features = np.array([[1, 0.1], [1, 0.2], [-1, 0.1], [-1, 0.2], [0, -1.2], [1, 0.6], [-1, 0.0]])
    labels = np.array([0, 0, 1, 1, 0, 1, 1])
    neighbours = knn_accuracy(features, labels, k=1)
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    reference = KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    assert neighbours == pytest.approx(
        cross_val_score(reference, features - features.mean(0), labels, cv=LeaveOneOut()).mean()
    )


def test_copies_do_not_vote_for_one_another() -> None:
    features, labels = two_classes(40, 3, apart=0)
    twice, groups = np.repeat(features, 2, axis=0), np.repeat(np.arange(40), 2)
    assert knn_accuracy(twice, np.repeat(labels, 2), k=1) == 1.0
    assert knn_accuracy(twice, np.repeat(labels, 2), k=1, groups=groups) == knn_accuracy(features, labels, k=1) < 0.8


def test_rows_of_one_group_never_vote_for_one_another_however_few_there_are() -> None:
    features = np.array([[1.0, 0.0], [-1.0, -0.5], [-1.0, 0.0], [1.0, 0.5]])
    labels, groups = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 2])
    assert knn_accuracy(features, labels, k=5, groups=groups) == 0  # each row's nearest is of the other label
    assert knn_accuracy(features, labels, groups=np.zeros(4, dtype=np.int64)) == 0  # none has a neighbour


def test_the_probe_tells_what_can_be_learned_from_what_cannot() -> None:
    apart, labels = two_classes(apart=4)
    mixed, _ = two_classes(apart=0)
    loss, accuracy = cross_validated(apart, labels)
    assert loss < 0.05 and accuracy == 1.0
    loss, accuracy = cross_validated(mixed, labels)
    assert loss == pytest.approx(np.log(2), abs=0.05) and accuracy < 0.7


@pytest.mark.parametrize("groups", [None, np.arange(4), np.array([0, 0, 1, 2])], ids=str)
def test_one_row_a_label_is_dealt_as_it_comes(groups: np.ndarray | None) -> None:
    pairs = parts(np.arange(4), groups, 5, 0)
    assert sorted(np.concatenate([held for _, held in pairs])) == [0, 1, 2, 3]
    assert all(len(teach) and not set(teach) & set(held) for teach, held in pairs)
    assert groups is None or all(not set(groups[teach]) & set(groups[held]) for teach, held in pairs)
    features = np.random.default_rng(0).normal(size=(4, 3))
    loss, accuracy = cross_validated(features, np.arange(4), groups=groups)
    assert np.isfinite(loss) and accuracy == 0  # no head has met the label of a row that is held out


def test_copies_alone_cannot_be_divided() -> None:
    with pytest.raises(DataError, match="the 4 rows that are compared are near copies of one another"):
        parts(np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64), 5, 0)


@pytest.mark.parametrize("kind", SCORES)
def test_every_score_is_higher_where_classes_stand_apart(kind: str) -> None:
    def score(apart: float) -> float:
        features, labels = two_classes(100, 6, apart=apart)
        shares = 1 / (1 + np.exp(-features[:, :1] * apart))
        labels = np.where(np.arange(100) % 10 == 0, -1, labels)  # a tenth without labels
        view = View(features=features, labels=labels, source_probabilities=np.hstack([1 - shares, shares]))
        return float(find("diagnose", kind)().measure(view)["score"])

    assert score(0.0) < score(1.0) < score(3.0)


@pytest.mark.parametrize("kind", SCORES)
def test_every_score_says_what_it_lacks(kind: str) -> None:
    with pytest.raises(DataError, match="reads labels"):
        find("diagnose", kind)().measure(View())
    with pytest.raises(DataError, match="2 labelled rows have 1"):
        find("diagnose", kind)().measure(View(features=np.eye(3), labels=np.array([1, 1, -1])))
