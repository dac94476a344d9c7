"""How a word's presence goes with a label, and how its vectors lie on two sides, as functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Floats

Array = npt.NDArray[np.float64]


def log_odds_ratios(present: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """(words,) log odds ratio of each word with the label, and its standard error, in nats.

    θ = log (a d / (b c)) with a: texts with word and label, b: word without label, c: label without word, d: neither,
    each plus ½ (Haldane 1956), and variance 1/a + 1/b + 1/c + 1/d (Woolf 1955). θ does not move with the label's share.

    Args:
        present: (rows, words).
        positive: (rows,).
    """
    here, yes = np.asarray(present, np.float64), np.asarray(positive, np.float64)
    a, b = yes @ here + 0.5, (1 - yes) @ here + 0.5
    c, d = yes.sum() + 1 - a, (1 - yes).sum() + 1 - b
    return np.log(a * d / (b * c)), np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)


def shrunk(estimates: Array, errors: Array) -> Array:
    """(words,) posterior means under θ ~ N(0, τ²), τ² by moments: max(0, mean(θ² − s²)) (the empirical Bayes of Efron &
    Morris 1973): a word seen seldom is drawn towards no pull."""
    spread = max(0.0, float((estimates**2 - errors**2).mean())) if len(estimates) else 0.0
    return np.asarray(estimates * spread / (spread + errors**2))


def difference_p(one: Array, one_error: Array, other: Array, other_error: Array) -> Array:
    """Two-sided p values of equal pulls: z = (θ − θ') / √(s² + s'²) against the normal distribution."""
    from scipy.stats import norm

    return np.asarray(2 * norm.sf(np.abs(one - other) / np.hypot(one_error, other_error)))


def drift(words: list[tuple[Floats, Floats]]) -> Array:
    """(width,) how far words move from one side to the other, the median over words in each dimension: what a change of
    subject does to all of them, and what those few that mean something else do not carry along."""
    return np.asarray(np.median([there.mean(axis=0) - here.mean(axis=0) for here, there in words], axis=0), np.float64)


def moved(here: Floats, there: Floats, *, draws: int, rng: np.random.Generator) -> tuple[float, float]:
    """(effect, p) of a word's vectors having another mean on the other side.

    The statistic T = ‖mean − mean'‖² is compared with its values when occurrences are shuffled between the sides. A
    small p value, as many words need, would take many shuffles: a Pearson type III distribution with the mean, variance
    and skewness of the shuffles gives the tail (Josse, Pagès & Husson 2008, "Testing the significance of the RV
    coefficient", §3). The effect is (T − mean of shuffles) / variance within sides, summed over dimensions.

    Args:
        here: (n, width) vectors, one a text; ``there`` (m, width).
    """
    from scipy.stats import pearson3

    vectors = np.concatenate([here, there]).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    n, m = len(here), len(there)
    sides = np.r_[np.full(n, 1 / n), np.full(m, -1 / m)]
    order = np.concatenate([np.arange(n + m)[None], rng.random((draws, n + m)).argsort(axis=1)])
    weights = sides[order]
    statistics = np.einsum("bi,bi->b", weights @ (vectors @ vectors.T), weights)
    shuffled = statistics[1:]
    within = (vectors[:n].var(axis=0).sum() * n + vectors[n:].var(axis=0).sum() * m) / (n + m)
    if shuffled.std() == 0:
        return 0.0, 1.0
    deviation = (shuffled - shuffled.mean()) / shuffled.std()
    p = pearson3.sf((statistics[0] - shuffled.mean()) / shuffled.std(), float((deviation**3).mean()))
    return float((statistics[0] - shuffled.mean()) / (within or 1.0)), max(float(p), 1e-300)


def presence(found: list[set[str]], words: list[str]) -> npt.NDArray[Any]:
    """(rows, words) bool: which text has which word."""
    return np.array([[word in here for word in words] for here in found], dtype=bool).reshape(len(found), len(words))
