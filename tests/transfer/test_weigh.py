import numpy as np
import pytest

from nlptl.transfer.weigh import nearest, similarity, trust


def voters(chances: list[float], labels: int, rows: int = 20_000) -> np.ndarray:
    """(voters, rows) answers that are right with the given chances, their errors even and independent."""
    rng = np.random.default_rng(0)
    truth = rng.integers(labels, size=rows)
    wrong = (truth + rng.integers(1, labels, size=(len(chances), rows))) % labels
    return np.where(rng.random((len(chances), rows)) < np.array(chances)[:, None], truth, wrong)


@pytest.mark.parametrize("labels", [2, 4])
def test_chances_of_being_right_are_found_without_a_label(labels: int) -> None:
    chances = [0.95, 0.8, 0.7, 0.6]
    assert trust(voters(chances, labels), labels=labels) == pytest.approx(chances, abs=0.02)


def test_one_who_says_the_opposite_is_found_among_three() -> None:
    answers = np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]])
    assert trust(answers, labels=2) == pytest.approx([1, 0, 1])


def test_two_sources_are_trusted_alike() -> None:
    # Agreement 3/4 of two labels: r² = 1/2, a = (1 + √½) / 2.
    answers = np.array([[0, 1, 1, 0], [0, 1, 0, 0]])
    assert trust(answers, labels=2) == pytest.approx([(1 + np.sqrt(0.5)) / 2] * 2, abs=1e-6)


def test_labels_of_several_at_once_count_each() -> None:
    answers = np.array([[[0, 1], [1, 0]], [[0, 1], [1, 1]], [[0, 1], [1, 0]]])
    assert trust(answers, labels=2) == pytest.approx(trust(answers.reshape(3, 4), labels=2))


def test_weights_are_log_odds_of_mean_one() -> None:
    weights = similarity(np.array([0.9, 0.75, 0.4]), labels=2, rows=100)
    assert weights == pytest.approx(np.array([np.log(9), np.log(3), 0]) * 3 / np.log(27))
    # Of four labels a third is already more than chance: log(1/3 · 3 / (2/3)) = log 1.5.
    four = similarity(np.array([1 / 3, 0.5]), labels=4, rows=100)
    assert four[0] / four[1] == pytest.approx(np.log(1.5) / np.log(3))


def test_certainty_and_chance_stay_finite() -> None:
    assert similarity(np.array([1.0, 0.5]), labels=2, rows=10) == pytest.approx([2, 0])
    assert similarity(np.array([0.5, 0.0]), labels=2, rows=10) == pytest.approx([1, 1])


def test_the_nearest_are_the_most_trusted() -> None:
    names = ("zoe", "ann", "bob")
    assert nearest(np.array([0.8, 0.8, 0.9]), names, 2).tolist() == [0, 1, 1]
    assert nearest(np.array([0.8, 0.8, 0.9]), names, 5).tolist() == [1, 1, 1]
