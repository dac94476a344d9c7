"""Class means by hand, and what the head chooses on folds."""

import numpy as np
import pytest
import torch

from nlptl.contracts import Task
from nlptl.heads import Prototype
from nlptl.heads._evidence import Evidence
from nlptl.heads.prototype import class_means, similarity

TASK = Task("spam", Prototype(), ("ham", "spam"))


def test_class_means_by_hand() -> None:
    vectors, classes = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 6.0]]), np.array([0, 0, 1])
    np.testing.assert_allclose(class_means(vectors, classes, 2, 0.0), [[1, 0], [4, 6]])
    # the overall mean (2, 2) counts for one row: (2 + 2) / 3, (0 + 2) / 3; (4 + 2) / 2, (6 + 2) / 2
    np.testing.assert_allclose(class_means(vectors, classes, 2, 1.0), [[4 / 3, 2 / 3], [3, 4]])


def test_a_label_without_rows_is_the_overall_mean() -> None:
    np.testing.assert_allclose(class_means(np.array([[1.0], [3.0]]), np.array([0, 0]), 2, 0.0), [[2], [2]])


def test_similarities_by_hand() -> None:
    vectors, means = np.array([[3.0, 4.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(similarity(vectors, means, "cosine"), [[0.6, 0.8]])
    # −(4 + 16) and −(9 + 4)
    np.testing.assert_allclose(similarity(vectors, means, "euclid"), [[-20, -13]])


@pytest.mark.parametrize("distance", ["cosine", "euclid"])
@pytest.mark.parametrize("labels", [2, 3])
def test_the_network_answers_by_the_nearest_mean_of_the_better_reading(distance: str, labels: int) -> None:
    rng = np.random.default_rng(0)
    task = Task("t", Prototype(distance=distance), tuple("abc"[:labels]))  # type: ignore[arg-type]
    classes = np.arange(60) % labels
    good = np.eye(5)[classes] * 3 + rng.normal(size=(60, 5))
    place = np.arange(60)
    folds = [(place[place % 5 != part], place[place % 5 == part]) for part in range(5)]
    readings = {"bad": rng.normal(size=(60, 5)), "good": good}
    found = task.head.solve(Evidence(task, readings, classes, folds))
    assert found.reading == "good"
    logits = found.net(torch.as_tensor(good).float()).detach().numpy()
    means = class_means(good if distance == "euclid" else good / np.linalg.norm(good, axis=1)[:, None], classes, labels,
                        found.chosen["shrinkage"])  # fmt: skip
    expected = similarity(good, means, distance).argmax(1)
    if distance == "cosine":
        np.testing.assert_array_equal(task.probabilities(logits).argmax(1), expected)
    else:
        rms = np.sqrt((good**2).sum(1).mean())
        scaled = similarity(good / rms, class_means(good / rms, classes, labels, found.chosen["shrinkage"]), "euclid")
        expected_logits = found.chosen["scale"] * (scaled - scaled[:, :1])[:, 1:]
        got = logits if labels == 2 else (logits - logits[:, :1])[:, 1:]
        np.testing.assert_allclose(got, expected_logits, atol=1e-3)
