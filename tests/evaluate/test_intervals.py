import numpy as np
import pytest

from nlptl.evaluate import _scores
from nlptl.evaluate.intervals import around, bootstrap, collapsed, draw_seeds, effective_rows, percentiles, with_phantom


def share(rows: list[np.ndarray]):
    """The mean of each seed's rows, on draws."""
    return lambda seed, weights: _scores.ratio(weights @ rows[seed], weights.sum(axis=1))[:, None]


def interval(rows: list[np.ndarray], ids: list[np.ndarray], *, resamples: int = 4000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    draws = draw_seeds(len(rows), resamples=resamples, rng=rng)
    return percentiles(bootstrap(share(rows), ids, seed_draws=draws, rng=rng)[:, 0])


def test_one_seed_gives_the_interval_of_a_mean() -> None:
    rows = (np.arange(400) < 320).astype(float)
    low, high = interval([rows], [np.arange(400)])
    half_width = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert (low, high) == pytest.approx((0.8 - half_width, 0.8 + half_width), abs=0.006)


def test_the_same_rows_under_every_seed_are_no_more_evidence_than_one_seed() -> None:
    rows, ids = (np.arange(200) < 150).astype(float), np.arange(200)
    low, high = interval([rows] * 4, [ids] * 4)
    alone = interval([rows], [ids])
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.1)
    apart = interval([rows] * 4, [ids + 200 * seed for seed in range(4)])
    assert apart[1] - apart[0] < 0.75 * (high - low)  # other rows under each seed are


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    rows = [(rng.random(300) < p).astype(float) for p in (0.6, 0.7, 0.8, 0.9)]
    ids = [np.arange(300) + 300 * seed for seed in range(4)]
    low, high = interval(rows, ids)
    from_rows_alone = 2 * 1.96 * np.sqrt(0.75 * 0.25 / 1200)
    assert high - low > 2 * from_rows_alone


def test_blocks_do_not_change_what_a_resample_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from nlptl.evaluate import intervals

    seen = []

    def score(seed: int, weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights.sum(axis=1, keepdims=True)

    monkeypatch.setattr(intervals, "CELLS", 30)
    samples = bootstrap(score, [np.arange(10)], seed_draws=np.ones((7, 1)), rng=np.random.default_rng(0))
    assert [len(block) for block in seen] == [3, 3, 1]
    np.testing.assert_array_equal(samples, np.full((7, 1), 9.0))  # every resample holds as many rows, but one


def test_undefined_seeds_are_passed_over_and_nothing_defined_is_nan() -> None:
    draws = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    score = lambda seed, weights: np.full((len(weights), 1), [0.5, np.nan][seed])  # noqa: E731
    ids = [np.arange(3), np.arange(3)]
    samples = bootstrap(score, ids, seed_draws=draws, rng=np.random.default_rng(0))[:, 0]
    np.testing.assert_array_equal(samples, [0.5, 0.5, np.nan])
    assert percentiles(samples) == (0.5, 0.5)
    assert np.isnan(percentiles(np.array([np.nan]))).all()


def test_one_seed_is_never_drawn_away_and_draws_follow_the_generator() -> None:
    np.testing.assert_array_equal(draw_seeds(1, resamples=5, rng=np.random.default_rng(0)), np.ones((5, 1)))
    twice = [draw_seeds(3, resamples=50, rng=np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    assert (twice[0].sum(axis=1) == 3).all() and (twice[0] == 0).any()


def test_draws_of_few_rows_vary_as_their_mean_does() -> None:
    rows = np.array([0.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    samples = bootstrap(share([rows]), [np.arange(3)], seed_draws=np.ones((20000, 1)), rng=rng)
    assert samples.var() == pytest.approx(rows.var(ddof=1) / 3, rel=0.03)  # three draws of three rows: 2/3 of it


def test_rows_all_answered_rightly_have_the_interval_of_jeffreys() -> None:
    from scipy.stats import beta

    for rows in (1, 3, 60):
        draws = with_phantom(np.ones((40000, 1)), rows, rng=np.random.default_rng(0))[:, 0]
        assert percentiles(draws) == pytest.approx(beta.ppf([0.025, 0.975], rows + 0.5, 0.5), abs=0.005)


@pytest.mark.parametrize(("rows", "p"), [(8, 0.9), (20, 0.95), (20, 0.7), (60, 0.98)])
def test_intervals_of_few_rows_hold_the_truth(rows: int, p: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        right = (rng.random(rows) < p).astype(float)
        samples = bootstrap(share([right]), [np.arange(rows)], seed_draws=np.ones((300, 1)), rng=rng)
        low, high = percentiles(with_phantom(samples, rows, rng=rng)[:, 0])
        held.append(low <= p <= high)
    assert np.mean(held) >= 0.91  # without the row beside: .57, .66, .94, .70


@pytest.mark.parametrize(("rows", "p"), [((3, 3), 0.9), ((5, 5, 5), 0.9), ((10, 200), 0.9), ((3,) * 40, 0.9)])
def test_intervals_of_a_mean_over_few_domains_hold_the_truth(rows: tuple[int, ...], p: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        right = [(rng.random(of_domain) < p).astype(float) for of_domain in rows]
        draws = np.ones((300, 1))
        samples = [bootstrap(share([r]), [np.arange(len(r))], seed_draws=draws, rng=rng) for r in right]
        mean = with_phantom(np.mean(samples, axis=0), effective_rows(rows), rng=rng)[:, 0]
        low, high = around(float(np.mean([r.mean() for r in right])), mean)
        held.append(low <= p <= high)
    assert np.mean(held) >= 0.88  # without the row beside: .48, .79, .61, .95


def test_effective_rows_are_those_of_one_domain_that_varies_as_much() -> None:
    assert effective_rows([7]) == pytest.approx(7)
    assert effective_rows([5, 5, 5]) == pytest.approx(15)
    assert effective_rows([10, 200]) == pytest.approx(4 / (1 / 10 + 1 / 200))


def test_domains_of_one_row_vary_as_their_mean_does() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        right = (rng.random(40) < 0.8).astype(float)
        fixed = [np.full((400, 1), one) for one in right]  # one row is all of each draw
        means = np.mean(collapsed(fixed, [1] * 40, rng=rng), axis=0)
        low, high = percentiles(with_phantom(means, effective_rows([1] * 40), rng=rng)[:, 0])
        held.append(low <= 0.8 <= high)
    assert 0.9 <= np.mean(held) <= 0.99  # the phantom row alone: .35


def test_domains_of_several_rows_keep_their_draws() -> None:
    samples = [np.full((5, 1), value) for value in (0.0, 0.5, 1.0)]
    found = collapsed(samples, [1, 2, 1], rng=np.random.default_rng(0))
    assert found[1] is samples[1]
    assert {float(value) for value in np.concatenate([found[0], found[2]]).ravel()} == {0.0, 1.0}
