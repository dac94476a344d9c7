"""Expected calibration error by hand, and against how often a made forecast comes true."""

import numpy as np
import pytest

from nlptl.evaluate import metrics
from nlptl.evaluate._reliability import classwise_ece, ece, reliability

BINARY = np.array([[0.9, 0.1], [0.88, 0.12], [0.3, 0.7], [0.45, 0.55]])
TRUTH = np.array([0, 1, 1, 0])


def test_by_hand() -> None:
    """Bin (.867, .933] holds .9 (right) and .88 (wrong): 2/4 · |.5 − .89| = .195; .7 is right: 1/4 · .3 = .075; .55 is
    wrong: 1/4 · .55 = .1375."""
    assert ece(BINARY, TRUTH, np.ones((1, 4))) == pytest.approx(0.195 + 0.075 + 0.1375)
    assert metrics.metric("ece").compute(prediction_scores=BINARY.tolist(), references=TRUTH.tolist()) == {
        "ece": pytest.approx(0.4075)
    }


def test_weights_are_copies_of_rows() -> None:
    rows = [0, 0, 2, 3, 3, 3]
    weights = np.array([[2.0, 0.0, 1.0, 3.0]])
    for score in (ece, classwise_ece):
        assert score(BINARY, TRUTH, weights) == pytest.approx(score(BINARY[rows], TRUTH[rows], np.ones((1, 6))))


def test_classwise_by_hand() -> None:
    forecast, truth = np.eye(3)[[0, 0, 1, 2]], np.array([0, 1, 1, 1])
    # label 0: at 1 two rows, one right: 2/4 · .5; at 0 two rows, none there: 0.
    # label 1: at 1 one row, right: 0; at 0 three rows, two there: 3/4 · 2/3.  label 2: at 1 one row, wrong: 1/4.
    assert classwise_ece(forecast, truth, np.ones((1, 4))) == pytest.approx((0.25 + 0.5 + 0.25) / 3)


def test_honest_forecasts_have_hardly_any_and_boasts_have_much() -> None:
    rng = np.random.default_rng(0)
    chance = rng.uniform(size=20_000)
    truth = (rng.uniform(size=20_000) < chance).astype(np.int64)
    honest = np.stack([1 - chance, chance], axis=1)
    boast = honest**3 / (honest**3).sum(axis=1, keepdims=True)
    every_row = np.ones((1, 20_000))
    assert ece(honest, truth, every_row)[0] < 0.01 < 0.1 < ece(boast, truth, every_row)[0]
    assert classwise_ece(honest, truth, every_row)[0] < 0.015


def test_multilabel_counts_every_label() -> None:
    forecast, truth = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    assert ece(forecast, truth, np.ones((1, 2))) == pytest.approx(3 / 4 * (1 - 2 / 3))


def test_bins_behind_it() -> None:
    bins = reliability(BINARY, TRUTH)
    assert [(pytest.approx(b["confidence"]), b["right"], b["n"]) for b in bins] == [
        (0.55, 0.0, 1), (0.7, 1.0, 1), (0.89, 0.5, 2)
    ]  # fmt: skip
    assert sum(b["n"] * abs(b["right"] - b["confidence"]) for b in bins) / 4 == pytest.approx(0.4075)
