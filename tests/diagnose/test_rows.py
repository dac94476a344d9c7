"""Anomalies, label noise, duplicates and what to label next, on rows whose truth is made."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis as reference
from sklearn.metrics import roc_auc_score

from nlptl.contracts.diagnose import View
from nlptl.diagnose import Anomaly, Duplicates, Noise, Suggest
from nlptl.diagnose.anomaly import energy, knn_distance, mahalanobis, max_softmax, one_a_label
from nlptl.diagnose.noise import ALONE
from nlptl.diagnose.suggest import margin, spread_out
from nlptl.errors import DataError


def three_classes(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    return 5 * np.eye(6)[labels] + rng.normal(size=(rows, 6)), labels


def test_mahalanobis_is_that_of_the_nearest_mean() -> None:
    from sklearn.covariance import ledoit_wolf

    features, labels = three_classes(90)
    means = np.stack([features[labels == k].mean(0) for k in range(3)])
    inverse = np.linalg.inv(ledoit_wolf(features - means[labels], assume_centered=True)[0])
    asked = np.random.default_rng(1).normal(size=(4, 6)) * 4
    by_scipy = [min(reference(row, mean, inverse) ** 2 for mean in means) for row in asked]
    assert mahalanobis(features, labels, asked) == pytest.approx(by_scipy, rel=1e-5)


def test_knn_energy_and_softmax_by_hand() -> None:
    seen = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert knn_distance(seen, np.array([[5.0, 0.0]]), k=1) == pytest.approx([0])
    assert knn_distance(seen, np.array([[5.0, 0.0]]), k=2) == pytest.approx([np.sqrt(2)])
    assert knn_distance(seen, np.array([[5.0, 0.0]]), k=9) == pytest.approx([2])
    logits = np.log([[1.0, 3.0]])
    assert energy(logits) == pytest.approx([-np.log(4)]) and max_softmax(logits) == pytest.approx([0.25])


def test_two_labels_are_alike_to_energy() -> None:
    """One logit z is that of two labels at −z/2 and z/2: as sure of either, as strange."""
    both = one_a_label(np.array([[4.0], [-4.0], [0.0]]))
    assert both == pytest.approx(np.array([[-2.0, 2.0], [2.0, -2.0], [0.0, 0.0]]))
    values = energy(both)
    assert values[0] == pytest.approx(values[1]) and values[2] > values[0]
    assert max_softmax(both)[0] == pytest.approx(1 / (1 + np.exp(4)))
    several = np.array([[1.0, 2.0, 3.0]])
    assert (one_a_label(several) == several).all()


def test_strange_rows_score_high() -> None:
    features, labels = three_classes(120)
    strange = np.random.default_rng(3).normal(size=(30, 6)) + 5 * np.eye(6)[4]
    usual, _ = three_classes(30, seed=9)
    view = View(
        features=np.concatenate([features, usual, strange]),
        labels=np.concatenate([labels, np.full(60, -1)]),
        domain=np.repeat(["seen", "new"], [120, 60]),
        target="new",
    )
    scores = Anomaly(k=3).measure(view)
    assert set(scores) == {"knn", "mahalanobis", "energy", "max_softmax"}
    truth = np.repeat([0, 1], 30)
    assert min(roc_auc_score(truth, scores[name]) for name in ("knn", "mahalanobis")) > 0.95
    assert set(Anomaly(k=3).measure(View(view.features, None, view.domain, "new"))) == {"knn"}


def test_turned_labels_are_found() -> None:
    pytest.importorskip("cleanlab")
    features, labels = three_classes(150)
    given = labels.copy()
    given[[3, 40, 77]] = (labels[[3, 40, 77]] + 1) % 3
    given[10] = -1
    found = Noise().measure(View(features=features, labels=given))
    turned = [row for row in found["rows"] if row in (3, 40, 77)]
    assert len(turned) >= 2 and len(found["rows"]) <= 5 and 10 not in found["rows"]
    suggested = dict(zip(found["rows"], found["suggested"], strict=True))
    assert [suggested[row] for row in turned] == labels[turned].tolist()


def test_one_row_a_label_tells_no_mistake_and_still_what_is_strange() -> None:
    features, labels = np.eye(6)[[0, 1, 2]], np.arange(3)
    asked = np.array([[1.0, 0, 0, 0, 0, 0], [0, 0, 0, 3.0, 0, 0]])
    view = View(features=np.r_[features, asked], labels=np.r_[labels, -1, -1],
                domain=np.repeat(["seen", "new"], [3, 2]), target="new")  # fmt: skip
    scores = Anomaly(k=1).measure(view)
    assert scores["mahalanobis"] == pytest.approx([0, 10])  # without a spread to scale by, the plain distance
    assert all(len(values) == 2 and np.isfinite(values).all() for values in scores.values())
    pytest.importorskip("cleanlab")
    assert Noise().measure(view) == {"skipped": ALONE}


def test_copies_and_conflicts_by_hand() -> None:
    groups, labels = np.array([7, 1, 7, 2, 1, 7]), np.array([0, 1, 1, 0, 1, -1])
    found = Duplicates().measure(View(groups=groups, labels=labels))
    assert found == {"copies": 3, "groups": [[0, 2, 5], [1, 4]], "conflicts": [[0, 2, 5]]}


def test_what_to_label_next() -> None:
    assert margin(np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]])) == pytest.approx([0.2, 0.8])
    features = np.array([[0.0], [0.1], [10.0], [10.1], [20.0]])
    answers = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2], [1.0, 0.0]])
    view = View(features=features, labels=np.array([-1, -1, -1, -1, 1]), probabilities=answers)
    assert Suggest(n=2, by="uncertainty").measure(view)["rows"] == [2, 1]
    assert Suggest(n=2, by="both").measure(view)["rows"] == [2, 1]  # one of each cluster, nearest its weighted centre
    assert sorted(row // 2 for row in Suggest(n=2, by="diversity").measure(view)["rows"]) == [0, 1]
    assert len(spread_out(np.zeros((4, 2)), np.ones(4), n=3, seed=0)) == 1
    blind = Suggest(n=2, by="diversity").measure(View(features=features, labels=view.labels))
    assert len(blind["rows"]) == 2 and blind["margins"] == [None, None]
    with pytest.raises(DataError, match="reads probabilities"):
        Suggest(n=2).measure(View(features=features, labels=view.labels))
