import numpy as np
import pytest

from nlptl.diagnose._source_scores import likeness, source_scores


def voters(rights: list[float], rows: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    wrong = (truth + rng.integers(1, 3, (len(rights), rows))) % 3
    return np.where(rng.random((len(rights), rows)) < np.array(rights)[:, None], truth, wrong), truth


def test_sources_come_in_the_order_of_their_accuracy() -> None:
    votes, truth = voters([0.55, 0.9, 0.7, 0.8])
    answers = 0.8 * np.eye(3)[votes] + 0.2 / 3
    pooled = 0.7 * np.eye(3)[np.where(np.random.default_rng(5).random(len(truth)) < 0.85, truth, 0)] + 0.1
    found = source_scores(answers, pooled)
    assert list(np.argsort(-found["score"])) == [1, 3, 2, 0]
    assert found["agreement"][1] > found["agreement"][0]


def test_the_score_by_hand() -> None:
    teacher = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    answers = np.array([[[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]], [[0.3, 0.7], [0.2, 0.8], [0.7, 0.3]]])
    found = source_scores(answers, teacher)
    assert found["score"] == pytest.approx([(0.9 + 0.7 + 0.4) / 3, (0.1 + 0.7 + 0.6) / 3])
    assert found["agreement"] == pytest.approx([2 / 3, 2 / 3])


def test_a_target_unlike_most_sources_is_taught_by_those_like_it() -> None:
    """Seven sources answer by one rule on texts far off; two by another, on texts like the target's."""
    rng = np.random.default_rng(0)
    places = np.array([0.0] * 7 + [3.0] * 2)
    taught = rng.normal(size=(9 * 100, 5))
    taught[:, 0] += np.repeat(places, 100)
    own = rng.normal([3.0, 0, 0, 0, 0], size=(300, 5))
    masks = np.repeat(np.arange(9), 100) == np.arange(9)[:, None]
    weights, confusion = likeness(taught, own, masks)
    assert weights.mean() == pytest.approx(1) and weights[700:].mean() > 3 * weights[:700].mean()
    assert confusion[7:].min() > confusion[:7].max() and confusion.min() >= 0 and confusion.max() <= 1
    far, near = own[:, 1], own[:, 2]
    logits = np.stack([far + 0.3 * rng.normal(size=300) for _ in range(7)] + [near, near + far])
    answers = np.stack([1 / (1 + np.exp(logits)), 1 / (1 + np.exp(-logits))], axis=2)
    order = np.argsort(-source_scores(answers, answers[7])["score"])
    assert list(order[:2]) == [7, 8]
