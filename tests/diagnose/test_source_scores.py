import numpy as np
import pytest

from nlptl.diagnose._source_scores import dawid_skene, source_scores


def voters(rights: list[float], rows: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, rows)
    wrong = (truth + rng.integers(1, 3, (len(rights), rows))) % 3
    return np.where(rng.random((len(rights), rows)) < np.array(rights)[:, None], truth, wrong), truth


def test_dawid_and_skene_find_who_is_right() -> None:
    rights = [0.9, 0.8, 0.6, 0.5, 0.75]
    votes, truth = voters(rights)
    likely = dawid_skene(votes, 3)
    assert likely.sum(1) == pytest.approx(1)
    estimated = [likely[np.arange(len(truth)), vote].mean() for vote in votes]
    assert estimated == pytest.approx([np.mean(vote == truth) for vote in votes], abs=0.03)
    majority = np.eye(3)[votes].sum(0).argmax(1)
    assert np.mean(likely.argmax(1) == truth) > np.mean(majority == truth)


def test_one_row_by_hand() -> None:
    # Two voters agree on both rows. One more vote a label: each π is (2 + 1) / (2 + 2) at first, and q goes to its end.
    likely = dawid_skene(np.array([[0, 0], [0, 0]]), 2)
    assert likely[:, 0] == pytest.approx([1, 1], abs=1e-3)


def test_sources_come_in_the_order_of_their_accuracy() -> None:
    votes, truth = voters([0.55, 0.9, 0.7, 0.8])
    answers = 0.8 * np.eye(3)[votes] + 0.2 / 3
    pooled = 0.7 * np.eye(3)[np.where(np.random.default_rng(5).random(len(truth)) < 0.85, truth, 0)] + 0.1
    found = source_scores(answers, pooled)
    assert list(np.argsort(-found["score"])) == [1, 3, 2, 0]
    assert found["agreement"][1] > found["agreement"][0]
