"""Zero-shot by hand-sized numbers: directions, calibration, refinement."""

import numpy as np
import pytest

from nlptl.heads._names import (
    ANSWERED_SPREAD,
    SPREAD,
    calibrated,
    cosine_answers,
    directions,
    label_vectors,
    refined,
    uncalibrated,
    unit,
)


def test_label_vectors_average_phrasings_of_any_length_alike() -> None:
    found = label_vectors([np.array([[10.0, 0.0], [0.0, 0.1]]), np.array([[0.0, -3.0]])])
    np.testing.assert_allclose(found, [[np.sqrt(0.5), np.sqrt(0.5)], [0, -1]])


def test_directions_are_what_tells_labels_apart() -> None:
    found = directions(np.array([[1.0, 2.0], [1.0, -2.0]]))  # the mean (1, 0) is no label's own
    np.testing.assert_allclose(found, [[0, 1], [0, -1]])
    np.testing.assert_array_equal(directions(np.ones((2, 3))), np.zeros((2, 3)))


def texts(rng: np.random.Generator, shares: list[float], rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about axes 0 and 1, all of them shifted towards what label 0 is called."""
    classes = (rng.random(rows) < shares[1]).astype(np.int64)
    vectors = 2 * np.eye(6)[classes] + 0.5 * rng.normal(size=(rows, 6))
    vectors[:, 0] += 3
    return vectors, classes


def test_no_label_wins_by_its_wording() -> None:
    vectors, classes = texts(np.random.default_rng(0), [0.5, 0.5])
    names = np.eye(6)[:2]
    assert (cosine_answers(vectors, names).argmax(1) == 0).mean() > 0.95  # every text is near what label 0 is called
    scores = calibrated(directions(names), unit(vectors))
    assert (scores(vectors).argmax(1) == classes).mean() > 0.95
    cosines = unit(vectors) @ scores.weights
    assert (cosines - cosines.mean(axis=0)).std() == pytest.approx(SPREAD, rel=0.05)


def test_shares_are_estimated_not_imposed() -> None:
    vectors, classes = texts(np.random.default_rng(1), [0.8, 0.2])
    scores = calibrated(directions(np.eye(6)[:2]), unit(vectors))
    assert (scores(vectors).argmax(1) == classes).mean() > 0.95
    assert (scores(vectors).argmax(1) == 1).mean() == pytest.approx(0.2, abs=0.05)


def test_refinement_finds_the_clusters_that_names_only_hint_at() -> None:
    rng = np.random.default_rng(2)
    classes = rng.integers(0, 2, 500)
    vectors = 1.5 * np.eye(8)[classes] + 0.5 * rng.normal(size=(500, 8))
    names = directions(np.array([[0.4, 0, 0, 0, 1, 0, 0, 0], [0, 0.4, 0, 0, 0, 1, 0, 0.0]]))
    accuracy = [(refined(names, vectors, rounds=rounds)(vectors).argmax(1) == classes).mean() for rounds in (0, 1, 3)]
    assert accuracy[0] + 0.05 < accuracy[1] < accuracy[2]


def test_answers_are_softened_without_changing_any() -> None:
    vectors, _ = texts(np.random.default_rng(3), [0.5, 0.5])
    toward = directions(np.eye(6)[:2])
    sharp, soft = calibrated(toward, unit(vectors))(vectors), refined(toward, vectors, rounds=0)(vectors)
    np.testing.assert_allclose(soft, sharp * ANSWERED_SPREAD / SPREAD)


def test_without_texts_the_answers_are_those_of_the_cosine_to_the_directions() -> None:
    toward = directions(np.eye(3)[:2])
    scores = uncalibrated(toward)(np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(scores.argmax(1), [0, 1])
    np.testing.assert_allclose(scores[1], [-10 * np.sqrt(0.5), 10 * np.sqrt(0.5)])
