"""Neighbours by hand, the choice of k, and a network that is loaded with as many rows as were saved."""

import numpy as np
import pytest
import torch

import nlptl
from nlptl.contracts import Task
from nlptl.heads import Knn
from nlptl.heads._evidence import Evidence
from nlptl.heads._nets import Neighbours

VECTORS = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.0, 2.0]])


def test_log_shares_by_hand() -> None:
    net = Neighbours(VECTORS, torch.tensor([0, 1, 2, 2]), labels=3, k=2)
    shares = net(torch.tensor([[1.0, 0.01], [0.0, 5.0]])).exp()
    torch.testing.assert_close(shares, torch.tensor([[2.0, 2.0, 1.0], [1.0, 1.0, 3.0]]) / 5)


def test_of_two_labels_the_logit_is_the_log_odds() -> None:
    net = Neighbours(VECTORS, torch.tensor([0, 0, 1, 1]), labels=2, k=3)
    torch.testing.assert_close(net(torch.tensor([[1.0, 0.0]])).exp(), torch.tensor([[2.0 / 3.0]]))


def test_chunks_make_no_difference() -> None:
    net = Neighbours(VECTORS, torch.tensor([0, 1, 2, 2]), labels=3, k=1)
    many = torch.rand(2500, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(many)[2000:], net(many[2000:]))


def solved(noise: float) -> tuple[Task, np.ndarray, np.ndarray, object]:
    rng = np.random.default_rng(0)
    task = Task("t", Knn(), ("a", "b"))
    classes = np.arange(80) % 2
    flipped = np.where(rng.random(80) < noise, 1 - classes, classes)
    vectors = np.eye(2)[classes] + 0.2 * rng.normal(size=(80, 2))
    place = np.arange(80)
    folds = [(place[place // 2 % 5 != part], place[place // 2 % 5 == part]) for part in range(5)]
    return task, vectors, classes, task.head.solve(Evidence(task, {"last": vectors}, flipped, folds))


def test_k_grows_with_the_noise_in_the_labels() -> None:
    *_, clean = solved(0.0)
    *_, noisy = solved(0.3)
    task, vectors, classes, noisy = solved(0.3)
    assert noisy.chosen["k"] > 3  # type: ignore[attr-defined]
    logits = noisy.net(torch.as_tensor(vectors).float()).numpy()  # type: ignore[attr-defined]
    assert (task.probabilities(logits).argmax(1) == classes).mean() > 0.9
    assert clean.chosen["loss"] < noisy.chosen["loss"]  # type: ignore[attr-defined]


def test_a_saved_network_is_loaded_whole() -> None:
    _, vectors, _, found = solved(0.0)
    empty = Knn().build(2, 1)
    empty.load_state_dict(found.net.state_dict())  # type: ignore[attr-defined]
    rows = torch.as_tensor(vectors).float()
    torch.testing.assert_close(empty(rows), found.net(rows))  # type: ignore[attr-defined]


@pytest.mark.parametrize("k", [0, -3])
def test_no_neighbourhood_is_empty(k: int) -> None:
    with pytest.raises(nlptl.RecipeError, match=rf"heads\.x\.k: {k} is not 'auto' or more than 0"):
        nlptl.Recipe(data={"kind": "csv", "path": "x.csv"}, heads={"x": {"kind": "knn", "k": k}})
