"""Label shift: BBSE by hand and on a made shift, beside EM; answers that cannot be inverted are refused."""

import numpy as np
import pytest
from scipy.stats import chi2

import nlptl
from nlptl.adapt._sure_shift import beyond_error, likelihood_ratio
from nlptl.adapt.label_shift import LabelShift, bbse_shares
from nlptl.contracts import Task
from nlptl.contracts.adapt import Answers
from nlptl.heads._temperature import fit_bias_corrected
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
    answers = Answers(SPAM, source, labels, target, np.repeat(["a", "b", "c", "d"], 1000))
    found = LabelShift(method=method).shift(answers)
    taught, shares, (temperature, bias) = found.taught, found.shares, found.scale
    assert found.doubt == "" and bias == pytest.approx([0], abs=0.1)
    assert taught == pytest.approx([0.5, 0.5], abs=0.02)
    assert temperature == pytest.approx(2, rel=0.1)
    assert shares[1] == pytest.approx(0.9, abs=0.03)

    offsets, words = LabelShift(method=method).offsets(answers, None)
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
    once, thrice = (LabelShift(sure=False).offsets(answers, scale)[0] for scale in (1.0, 3.0))
    np.testing.assert_allclose(thrice, 3 * once)


def drawn(rng: np.random.Generator, rows: int, share: float, moved: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits 2x of x ~ N(±1 + moved, 1), and classes, of which ``share`` are spam."""
    labels = (rng.random(rows) < share).astype(np.int64)
    return (2 * (2 * labels - 1 + moved + rng.normal(size=rows)))[:, None], labels


def test_equal_shares_are_left_alone_and_so_is_everything_where_no_source_is_held_out() -> None:
    """The same shares; and, with one source, even shares of .9: nothing is added but where the recipe insists."""
    rng = np.random.default_rng(2)
    source, labels = drawn(rng, 2000, 0.5)
    same, _ = drawn(rng, 500, 0.5)
    offsets, words = LabelShift().offsets(Answers(SPAM, source, labels, same), None)
    assert not offsets.any() and "not moved: they may be the same (p = " in words
    shifted, _ = drawn(rng, 500, 0.9)
    offsets, words = LabelShift().offsets(Answers(SPAM, source, labels, shifted), None)
    assert not offsets.any() and "not moved: no source was held out, so how far estimates err is not known" in words
    assert LabelShift(sure=False).offsets(Answers(SPAM, source, labels, shifted), None)[0].any()


def test_sources_that_rehearse_say_how_far_estimates_err() -> None:
    """Four sources whose scores are moved to and fro: a share of .65 is within their errors, .95 is not; where the
    sources are alike, .65 is sure."""
    rng = np.random.default_rng(3)
    for moves, moved in (((-0.3, -0.1, 0.1, 0.3), {0.65: False, 0.95: True}), ((0, 0, 0, 0), {0.65: True, 0.95: True})):
        parts = [drawn(rng, 500, 0.5, moved=move) for move in moves]
        source, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
        domains = np.repeat(["a", "b", "c", "d"], 500)
        for share, sure in moved.items():
            target, _ = drawn(rng, 500, share)
            offsets, words = LabelShift().offsets(Answers(SPAM, source, labels, target, domains), None)
            assert bool(offsets.any()) == sure, words


def test_a_label_that_one_source_alone_shows_is_a_doubt_and_no_end_of_the_run() -> None:
    """All spam is of source c, without which bbse has no answer that means spam."""
    rng = np.random.default_rng(5)
    parts = [drawn(rng, 300, share) for share in (0.0, 0.0, 0.8)]
    source, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    target, _ = drawn(rng, 300, 0.9)
    answers = Answers(SPAM, source, labels, target, np.repeat(["a", "b", "c"], 300))
    offsets, words = LabelShift(method="bbse").offsets(answers, None)
    assert not offsets.any()
    assert "not moved: without source c some label is not told, so how far estimates err is not known" in words


def test_the_tests_by_hand() -> None:
    """Answers of .8 twice and .2 once under even shares: at q = (.4, .6) the gain is 2 ln(1.12² · .88) = .198."""
    answers = np.array([[0.2, 0.8], [0.2, 0.8], [0.8, 0.2]])
    even, odd = np.array([0.5, 0.5]), np.array([0.4, 0.6])
    assert likelihood_ratio(answers, even, odd) == pytest.approx(chi2.sf(2 * np.log(1.12**2 * 0.88), 1))
    errors = np.array([[0.1, -0.1], [-0.1, 0.1]])  # spread .1, and t at 2 degrees is 4.303
    assert not beyond_error(np.array([0.08, 0.92]), even, errors)
    assert beyond_error(np.array([0.06, 0.94]), even, errors)


def test_biases_are_found_beside_the_temperature() -> None:
    """Logits 3 (z − .5) of a calibrated z: T = 3 and b = .5."""
    rng = np.random.default_rng(4)
    z = rng.normal(size=20000) * 2
    labels = (rng.random(20000) < 1 / (1 + np.exp(-z))).astype(np.int64)
    temperature, bias = fit_bias_corrected(SPAM, 3 * (z - 0.5)[:, None], labels)
    assert temperature == pytest.approx(3, rel=0.05)
    assert bias == pytest.approx([0.5], abs=0.05)
