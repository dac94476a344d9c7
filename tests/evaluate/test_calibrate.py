"""Temperatures that were made, thresholds by hand, and what domains with few rows get."""

from dataclasses import replace

import numpy as np
import pytest

from nlptl.contracts import Task
from nlptl.contracts.calibrate import Calibrate
from nlptl.evaluate._reliability import ece
from nlptl.evaluate.calibrate import (
    GRID,
    Calibration,
    calibrate,
    fit_temperatures,
    pooled_temperature,
    shrink,
    threshold_at_loss,
)
from nlptl.heads.linear import Linear

SPAM = Task("spam", Linear(positive="spam"), ("ham", "spam"))
TOPIC = Task("topic", Linear(), ("a", "b", "c"))


def boasts(temperatures: dict[str, float], rows: int, task: Task = SPAM) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Logits of each domain that are honest once divided by its temperature: logits, labels, domains."""
    rng = np.random.default_rng(0)
    honest = 2 * rng.normal(size=(rows * len(temperatures), task.outputs))
    shares = task.probabilities(honest)
    labels = (rng.uniform(size=(len(honest), 1)) > shares.cumsum(axis=1)).sum(axis=1)
    domains = np.repeat(list(temperatures), rows)
    return honest * np.repeat(list(temperatures.values()), rows)[:, None], labels, list(map(str, domains))


@pytest.mark.parametrize("task", [SPAM, TOPIC])
def test_temperatures_that_differ_are_found_domain_by_domain(task: Task) -> None:
    made = {"ann": 0.5, "bob": 1.0, "c/d.e": 3.0}
    own = fit_temperatures(task, *boasts(made, 1500, task))
    assert own == {name: pytest.approx(value, rel=0.15) for name, value in made.items()}


def test_domains_that_agree_have_the_pooled_temperature() -> None:
    logits, labels, domains = boasts({f"user {place}": 2.0 for place in range(20)}, 50)
    own = fit_temperatures(SPAM, logits, labels, domains)
    assert own["user 0"] == pytest.approx(2, rel=0.15)
    assert np.ptp(list(own.values())) < 0.2


def test_a_domain_with_few_rows_stays_near_the_pooled_one() -> None:
    """Two domains with the same 12 boastful rows, one with 40 copies of them: more evidence goes farther."""
    logits, labels, domains = boasts({"ann": 0.6, "bob": 1.0, "cy": 2.0}, 1000)
    few, of_few, _ = boasts({"dee": 6.0}, 12)
    logits = np.concatenate([logits, few, np.tile(few, (40, 1))])
    labels = np.concatenate([labels, of_few, np.tile(of_few, 40)])
    own = fit_temperatures(SPAM, logits, labels, [*domains, *["few"] * 12, *["many"] * 480])
    assert pooled_temperature(SPAM, logits, labels) < own["few"] < own["many"]


def test_shrinkage_by_hand() -> None:
    """Gaussian losses ½ (s − m)² / v with m = ±.8, v = .04, of log evidence −½ m² / (ν² + v) − ½ log((ν² + v) / v)
    each. Of both with the prior's −½ (ν / .5)²: −5.13 at ν = .4, −5.05 at .8, so that the posterior means are
    m ν² / (ν² + v) = ±.8 · .64 / .68 = ±.753. At m = ±.6 the evidence alone would have .8 (-3.36 to -3.41), the prior
    has .4 (-3.73 to -4.64): ±.6 · .16 / .2 = ±.48."""
    losses = np.stack([(GRID - mean) ** 2 / (2 * 0.04) for mean in (-0.8, 0.8)])
    np.testing.assert_allclose(shrink(losses, 0.0), [-0.752941, 0.752941], atol=1e-4)
    nearer = np.stack([(GRID - mean) ** 2 / (2 * 0.04) for mean in (-0.6, 0.6)])
    np.testing.assert_allclose(shrink(nearer, 0.0), [-0.48, 0.48], atol=1e-4)
    np.testing.assert_array_equal(shrink(np.zeros((3, len(GRID))), 0.25), 0.25)  # nothing said: pooled


def test_the_threshold_lets_through_the_share_that_may_be_lost() -> None:
    """Of 400 ham, k = ⌊.01 · 401⌋ = 4: the threshold is just above the fourth-highest ham, so that of a new ham among
    them the chance to be lost is 4 in 401."""
    ham = np.arange(400) / 1000
    probabilities = np.stack([1 - np.r_[ham, 0.9], np.r_[ham, 0.9]], axis=1)
    labels = np.r_[np.zeros(400, dtype=int), 1]
    threshold, reason = threshold_at_loss(1, probabilities, labels, 0.01)
    assert reason is None and threshold is not None
    assert 0.396 < threshold < 0.3961
    assert (ham >= threshold).sum() == 3
    short, reason = threshold_at_loss(1, probabilities[200:], labels[200:], 0.01)
    assert short is None and "at least 300 rows of the other labels" in str(reason)


def test_new_rows_lose_no_more_than_stated() -> None:
    """On average over 200 draws of the rows that set the threshold."""
    rng = np.random.default_rng(0)
    lost = []
    for _ in range(200):
        score = rng.uniform(size=350)
        threshold, _ = threshold_at_loss(1, np.stack([1 - score, score], 1), np.zeros(350, dtype=int), 0.01)
        lost.append(1 - threshold)  # of uniform scores, the share above
    assert 0.005 < np.mean(lost) < 0.01


def test_all_of_it_for_domains_with_many_rows_few_and_none() -> None:
    logits, labels, domains = boasts({"ann": 3.0, "bob": 3.0}, 1200)
    logits, labels, domains = logits[:1300], labels[:1300], domains[:1300]  # 100 of bob's
    found = calibrate(Calibrate(max_loss=0.01, abstain=0.8), SPAM, logits, labels, domains)
    assert set(found.temperatures) == {"ann", "bob"} and set(found.thresholds) == {"ann"}
    assert found.threshold is not None and found.reason is None
    before, after = SPAM.probabilities(logits), SPAM.probabilities(found.scaled(logits, domains))
    every_row = np.ones((1, 1300))
    assert ece(after, labels, every_row)[0] < 0.05 < ece(before, labels, every_row)[0]
    answers = np.array([-1 if answer is None else answer for answer in found.decide(SPAM, after, domains)])
    ham = labels[:1200] == 0
    assert 0 < (answers[:1200][ham] == 1).mean() <= 0.01
    given = np.array(replace(found, abstain=None).decide(SPAM, after, domains))
    assert ((answers == -1) == (after[np.arange(1300), given] < 0.8)).all()
    unknown = found.scaled(logits[:2], ["zed", None])
    np.testing.assert_allclose(unknown, logits[:2] / found.temperature)


def test_domains_without_a_head_are_served_by_what_the_shared_heads_logits_ask_for() -> None:
    """Domains' own heads boast a little and the shared one much: whoever has no head of his own is answered by it."""
    logits, labels, domains = boasts({"ann": 1.5, "bob": 1.5}, 1200)
    logits, labels, domains = logits[:1300], labels[:1300], domains[:1300]  # 100 of bob's: too few for a threshold
    shared = logits * 2
    alone, found = (
        calibrate(Calibrate(max_loss=0.01), SPAM, logits, labels, domains, shared=s) for s in (None, shared)
    )
    assert found.temperatures == alone.temperatures
    assert found.temperature == pytest.approx(2 * alone.temperature, rel=0.05)
    assert found.thresholds == {"bob": alone.threshold, **alone.thresholds}
    scaled = SPAM.probabilities(found.scaled(shared, [None] * 1300))
    assert found.threshold == threshold_at_loss(1, scaled, labels, 0.01)[0] != alone.threshold


def test_too_few_rows_give_no_threshold_and_the_reason() -> None:
    found = calibrate(Calibrate(max_loss=0.01), SPAM, *boasts({"ann": 1.0}, 100))
    assert found.threshold is None and found.thresholds == {}
    assert "takes at least 300 rows" in str(found.reason)


def test_of_three_labels_the_positive_one_has_the_threshold_and_the_likeliest_other_is_second() -> None:
    task = Task("topic", Linear(positive="b"), ("a", "b", "c"))
    shares = np.array([[0.3, 0.5, 0.2], [0.2, 0.6, 0.2], [0.1, 0.55, 0.35]])
    assert Calibration(threshold=0.58).decide(task, shares, [None] * 3) == [0, 1, 2]
    assert Calibration().decide(task, shares, [None] * 3) == [1, 1, 1]


def test_without_temperature_probabilities_stay() -> None:
    logits, labels, domains = boasts({"ann": 3.0}, 100)
    found = calibrate(Calibrate(temperature=False), SPAM, logits, labels, domains)
    np.testing.assert_array_equal(found.scaled(logits, domains), logits)


def test_it_abstains_by_the_probability_of_the_answer_that_it_gives() -> None:
    """.95 of spam is below the threshold, so that the answer would be ham, at .05."""
    strict = Calibration(threshold=0.99, abstain=0.8)
    assert strict.decide(SPAM, np.array([[0.05, 0.95], [0.9, 0.1], [0.001, 0.999]]), [None] * 3) == [None, 0, 1]


@pytest.mark.parametrize("task", [SPAM, TOPIC, Task("tags", Linear(multilabel=True), ("a", "b", "c"))])
def test_probabilities_before_are_found_again(task: Task) -> None:
    rng = np.random.default_rng(0)
    logits, domains = 3 * rng.normal(size=(6, task.outputs)), ["ann", "bob", None, "ann", "cy", "bob"]
    found = Calibration(1.5, {"ann": 0.4, "bob": 3.0})
    after = task.probabilities(found.scaled(logits, domains))
    np.testing.assert_allclose(found.undone(task, after, domains), task.probabilities(logits), atol=1e-12)
