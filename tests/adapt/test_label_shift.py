"""Label shift: BBSE by hand and on a made shift, beside EM; answers that cannot be inverted are refused."""

import numpy as np
import pytest

import nlptl
from nlptl._contracts_adapt import Answers
from nlptl.adapt.label_shift import LabelShift, bbse_shares
from nlptl.contracts import Task
from nlptl.heads.linear import Linear

SPAM = Task("spam", Linear(), ("ham", "spam"))


def answered(*classes: int) -> np.ndarray:
    return np.eye(2)[list(classes)]


def test_bbse_by_hand() -> None:
    """C = [[.4, .1], [.1, .4]]; the target is answered spam in 7 of 10: w = C⁻¹ (.3, .7) = (1/3, 5/3), q = w / 2."""
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    source, target = answered(0, 0, 0, 0, 1, 0, 1, 1, 1, 1), answered(*[0] * 3, *[1] * 7)
    assert bbse_shares(source, labels, target, least=0.1) == pytest.approx([1 / 6, 5 / 6])
    assert bbse_shares(source, labels, source, least=0.1) == pytest.approx([0.5, 0.5])
    assert bbse_shares(source, labels, answered(1, 1), least=0.1) == pytest.approx([0, 1])  # w of ham is below 0


def test_answers_that_tell_nothing_are_refused() -> None:
    with pytest.raises(nlptl.RunError, match=r"smallest singular value of P\(answer \| label\) is 0, below"):
        bbse_shares(answered(0, 0, 0, 0), np.array([0, 0, 1, 1]), answered(0, 1), least=0.05)


@pytest.mark.parametrize("method", ["em", "bbse"])
def test_the_shares_of_a_made_shift_are_found(method: str) -> None:
    """Gaussians at ±1 taught half and half, .9 spam in the target, and a head twice as confident as it should be."""
    rng = np.random.default_rng(0)
    labels, truth = (rng.random(4000) < 0.5).astype(np.int64), (rng.random(4000) < 0.9).astype(np.int64)
    source, target = (4 * (2 * y - 1 + rng.normal(size=4000))[:, None] for y in (labels, truth))
    taught, shares, temperature = LabelShift(method=method).shift(Answers(SPAM, source, labels, target))
    assert taught == pytest.approx([0.5, 0.5], abs=0.02)
    assert temperature == pytest.approx(2, rel=0.1)
    assert shares[1] == pytest.approx(0.9, abs=0.03)

    offsets, words = LabelShift(method=method).offsets(Answers(SPAM, source, labels, target), None)
    right = ((target + offsets)[:, 0] > 0) == truth
    assert right.mean() > ((target[:, 0] > 0) == truth).mean() + 0.03
    assert words == (
        f"label_shift ({method}): ham {taught[0]:.3f} → {shares[0]:.3f}, spam {taught[1]:.3f} → {shares[1]:.3f}; "
        f"temperature {temperature:.2f}"
    )


def test_another_temperature_moves_logits_of_another_scale() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random(500) < 0.5).astype(np.int64)
    source = (2 * labels - 1 + rng.normal(size=500))[:, None]
    answers = Answers(SPAM, source, labels, source[labels == 1])
    once, thrice = (LabelShift().offsets(answers, scale)[0] for scale in (1.0, 3.0))
    np.testing.assert_allclose(thrice, 3 * once)
